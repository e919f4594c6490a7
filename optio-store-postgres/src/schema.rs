//! The schema and its history. A migration that was ever released is never edited; the next one is added below it.

use std::{borrow::Cow, sync::LazyLock};

use sqlx::{
    Executor as _, PgConnection, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use optio_core::{Error, ErrorKind};

use crate::BACKEND;

/// The first Postgres that has all we use, as `server_version_num` says it.
const OLDEST_SERVER: i32 = 140_000;

/// The tables of the present schema, and that of its history.
pub(crate) const TABLES: [&str; 13] = [
    "_sqlx_migrations",
    "audit",
    "leases",
    "log_batches",
    "outbox",
    "pauses",
    "repos",
    "runs",
    "schedules",
    "tasks",
    "webhooks",
    "workspaces",
    "writers",
];

/// Why a database cannot be brought to the present schema.
#[derive(Debug)]
pub(crate) enum SchemaError {
    /// The server is too old; its version, as it calls it.
    OldServer(String),
    /// A newer optio has written it, with this schema.
    Newer(i64),
    /// The schema of this version is not the one that was released.
    Altered(i64),
    /// It was never brought to this schema, or to none at all.
    Behind(i64),
    /// The database itself failed.
    Sql(sqlx::Error),
}

fn migrator() -> Migrator {
    Migrator::with_migrations(vec![
        migration(1, "first", include_str!("schema/0001_first.sql")),
        migration(2, "pauses", include_str!("schema/0002_pauses.sql")),
        migration(3, "batches", include_str!("schema/0003_batches.sql")),
        migration(4, "states", include_str!("schema/0004_states.sql")),
        migration(5, "writers", include_str!("schema/0005_writers.sql")),
    ])
}

fn migration(version: i64, description: &'static str, sql: &'static str) -> Migration {
    Migration::new(
        version,
        Cow::Borrowed(description),
        MigrationType::Simple,
        sql.into_sql_str(),
        false,
    )
}

/// Refuses a server that is too old. Changes nothing.
pub(crate) async fn check_server(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let (number, name): (i32, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version')",
    )
    .fetch_one(connection)
    .await
    .map_err(SchemaError::Sql)?;
    if number < OLDEST_SERVER {
        return Err(SchemaError::OldServer(name));
    }
    Ok(())
}

/// Keeps writers of all replicas from beginning, once those that have begun are done: each of their transactions holds
/// the same lock, shared with the others. The numbers are any that nobody else uses: "opti", and "sche".
const KEEP_WRITERS_OUT: &str = "SELECT pg_advisory_lock(1869640809, 1935894629)";

/// The end of [`KEEP_WRITERS_OUT`].
const LET_WRITERS_IN: &str = "SELECT pg_advisory_unlock(1869640809, 1935894629)";

/// Brings the database to the present schema, whatever version it has. One at a time: others wait for the advisory
/// locks that are held meanwhile. The connection is one for this: its limits are lifted.
pub(crate) async fn migrate(connection: &mut PgConnection) -> Result<(), SchemaError> {
    // who limits this user's statements did not think of one that rewrites a table, nor of one that waits for it
    batch(
        connection,
        "SET statement_timeout = 0; SET lock_timeout = 0",
    )
    .await?;
    // a replica that only starts must not make all others wait for a transaction that somebody is long about
    let behind = found(connection).await? < newest();
    if behind {
        batch(connection, KEEP_WRITERS_OUT).await?;
    }
    let migrated = migrator().run_direct(None, &mut *connection, false).await;
    if behind {
        // if that fails the connection is gone, and the lock with it
        let _ = batch(connection, LET_WRITERS_IN).await;
    }
    migrated.map_err(|error| match error {
        MigrateError::VersionMissing(version) => SchemaError::Newer(version),
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            SchemaError::Altered(version)
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            SchemaError::Sql(error)
        }
        other => SchemaError::Sql(sqlx::Error::Configuration(Box::new(other))),
    })
}

/// Statements without values.
async fn batch(connection: &mut PgConnection, sql: &'static str) -> Result<(), SchemaError> {
    let done = connection.execute(sqlx::raw_sql(sql)).await;
    done.map(|_| ()).map_err(SchemaError::Sql)
}

/// Refuses a database that has another schema than the present one. Changes nothing.
pub(crate) async fn check(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let version = found(connection).await?;
    match version.cmp(&newest()) {
        std::cmp::Ordering::Less => Err(SchemaError::Behind(version)),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(SchemaError::Newer(version)),
    }
}

/// The version of the schema that a database has; zero if it has none. Changes nothing.
pub(crate) async fn found(connection: &mut PgConnection) -> Result<i64, SchemaError> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(SchemaError::Sql)?;
    if !there {
        return Ok(0);
    }
    sqlx::query_scalar(
        "SELECT coalesce(max(version), 0)::bigint FROM _sqlx_migrations WHERE success",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(SchemaError::Sql)
}

/// The version of the schema, if a newer optio has brought the database to it.
pub(crate) async fn newer(connection: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
    let newest = "SELECT max(version) FROM _sqlx_migrations WHERE version > $1 AND success";
    sqlx::query_scalar(newest)
        .bind(self::newest())
        .fetch_one(connection)
        .await
}

/// The error of every write after a newer optio has brought the database to the schema of this version.
pub(crate) fn outdated(version: i64) -> Error {
    let known = newest();
    let message = format!(
        "nothing is written any more, for a newer optio has brought the database to schema {version}, and this one knows {known}: restart this replica with the newer version"
    );
    Error::new(ErrorKind::Unsupported, BACKEND, message)
}

/// Brings an empty database to an older schema.
#[cfg(test)]
pub(crate) async fn migrate_up_to(connection: &mut PgConnection, version: i64) {
    let mut migrations: Vec<Migration> = migrator().iter().cloned().collect();
    migrations.retain(|migration| migration.version <= version);
    let migrated = Migrator::with_migrations(migrations)
        .run_direct(None, connection, false)
        .await;
    migrated.expect("an empty database");
}

/// The version of the present schema.
pub(crate) fn newest() -> i64 {
    // each batch of commits asks, and to make the migrator is to hash all of it
    static NEWEST: LazyLock<i64> = LazyLock::new(|| {
        let versions = migrator().iter().map(|migration| migration.version).max();
        versions.unwrap_or_default()
    });
    *NEWEST
}
