//! The schema and its history. A migration that was ever released is never edited; the next one is added below it.

use std::borrow::Cow;

use sqlx::{
    SqlSafeStr, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

/// What `PRAGMA application_id` says in our files: "opti".
const APPLICATION_ID: i64 = 0x6f70_7469;

/// Why a database cannot be brought to the present schema.
#[derive(Debug)]
pub(super) enum SchemaError {
    /// It belongs to another program.
    Foreign,
    /// A newer optio has written it, with this schema.
    Newer(i64),
    /// The schema of this version is not the one that was released.
    Altered(i64),
    /// The database itself failed.
    Sql(sqlx::Error),
}

fn migrator() -> Migrator {
    Migrator::with_migrations(vec![
        migration(1, "first", include_str!("schema/0001_first.sql")),
        migration(2, "pauses", include_str!("schema/0002_pauses.sql")),
        migration(3, "retention", include_str!("schema/0003_retention.sql")),
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

/// Refuses a database that another program has made. Changes nothing.
pub(super) async fn check_owner(connection: &mut SqliteConnection) -> Result<(), SchemaError> {
    let owner: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *connection)
        .await
        .map_err(SchemaError::Sql)?;
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name <> '_sqlx_migrations'",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(SchemaError::Sql)?;
    if owner != APPLICATION_ID && (owner != 0 || tables > 0) {
        return Err(SchemaError::Foreign);
    }
    Ok(())
}

/// Brings the database to the present schema, whatever version it has.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), SchemaError> {
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

/// The version of the schema that a database has; zero if it has none. Changes nothing.
pub(super) async fn found(connection: &mut SqliteConnection) -> Result<i64, SchemaError> {
    check_owner(&mut *connection).await?;
    let migrations: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(SchemaError::Sql)?;
    if migrations == 0 {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut *connection)
        .await
        .map_err(SchemaError::Sql)
}

/// The version of the present schema.
pub(super) fn newest() -> i64 {
    migrator()
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or_default()
}
