//! The schema and its history. A migration that was ever released is never edited; the next one is added below it.

use std::borrow::Cow;

use sqlx::{
    PgConnection, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

/// The first Postgres that has all we use, as `server_version_num` says it.
const OLDEST_SERVER: i32 = 140_000;

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

/// Brings the database to the present schema, whatever version it has. One at a time: others wait for the advisory
/// lock that is held meanwhile.
pub(crate) async fn migrate(connection: &mut PgConnection) -> Result<(), SchemaError> {
    migrator()
        .run_direct(None, connection, false)
        .await
        .map_err(|error| match error {
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
    migrator()
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or_default()
}
