//! Looking at a database without opening it for work: whether it will do, and how far away it is.

use std::time::Duration;

use optio_core::{Clock as _, Result, SystemClock, Timestamp, clock::elapsed};
use sqlx::{Connection as _, PgConnection};

use crate::{
    PostgresOptions, PostgresStore,
    connect::Address,
    schema::{self, SchemaError},
};

/// How often the way to the database is measured; the quickest counts.
const ROUNDS: usize = 5;

/// The schema of a database, and the one that this program works with. Zero is that of a database that is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaVersion {
    /// What the database has.
    pub found: i64,
    /// What this program works with.
    pub wanted: i64,
}

/// What was found about a database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Examination {
    /// Its address, without a password.
    pub address: String,
    /// The server's version, as it calls it.
    pub server: String,
    /// The schema.
    pub schema: SchemaVersion,
    /// How long a question and its answer take.
    pub round_trip: Duration,
    /// How far the server's clock is from ours, either way.
    pub skew: Duration,
    /// What its user may do.
    pub rights: Rights,
}

/// What the user of a database may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Everything that is needed.
    All,
    /// Read and write, but not change the schema: somebody else has to migrate.
    WriteOnly,
    /// Not even read and write each table.
    None,
    /// Nobody may write: the server is a standby.
    Standby,
}

impl PostgresStore {
    /// Which schema the database at `url` has. Changes nothing.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect), except for what is wrong with the schema.
    pub async fn schema_version(url: &str, options: &PostgresOptions) -> Result<SchemaVersion> {
        let address = Address::parse(url)?;
        let mut connection = address.connect(options.acquire_timeout).await?;
        let found = async {
            schema::check_server(&mut connection).await?;
            version(&mut connection).await
        }
        .await;
        // a connection that cannot be closed in order is dropped
        let _ = connection.close().await;
        found.map_err(|error| address.unfit(&error))
    }

    /// Looks at the database at `url`. Changes nothing.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect), except for what is wrong with the schema.
    pub async fn examine(url: &str, options: &PostgresOptions) -> Result<Examination> {
        let address = Address::parse(url)?;
        let mut connection = address.connect(options.acquire_timeout).await?;
        let found = look(&mut connection, address.shown()).await;
        let _ = connection.close().await;
        found.map_err(|error| address.unfit(&error))
    }
}

async fn version(connection: &mut PgConnection) -> Result<SchemaVersion, SchemaError> {
    Ok(SchemaVersion {
        found: schema::found(connection).await?,
        wanted: schema::newest(),
    })
}

async fn look(connection: &mut PgConnection, address: &str) -> Result<Examination, SchemaError> {
    schema::check_server(&mut *connection).await?;
    let server = sqlx::query_scalar("SELECT current_setting('server_version')")
        .fetch_one(&mut *connection)
        .await
        .map_err(SchemaError::Sql)?;
    let (round_trip, skew) = clock_of(&mut *connection).await.map_err(SchemaError::Sql)?;
    Ok(Examination {
        address: address.to_owned(),
        server,
        schema: version(&mut *connection).await?,
        round_trip,
        skew,
        rights: rights(connection).await.map_err(SchemaError::Sql)?,
    })
}

async fn clock_of(connection: &mut PgConnection) -> Result<(Duration, Duration), sqlx::Error> {
    let mut best: Option<(Duration, Duration)> = None;
    for _ in 0..ROUNDS {
        let begun = tokio::time::Instant::now();
        let micros: i64 =
            sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
                .fetch_one(&mut *connection)
                .await?;
        let took = begun.elapsed();
        let theirs = Timestamp::from_microsecond(micros)
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        // it was asked about half of the way ago
        let ours = optio_core::clock::later(theirs, took / 2);
        let now = SystemClock.now();
        let skew = elapsed(ours, now).max(elapsed(now, ours));
        if best.is_none_or(|(quickest, _)| took < quickest) {
            best = Some((took, skew));
        }
    }
    Ok(best.unwrap_or_default())
}

/// What its user may do: each of the rights on each of our tables that are there. Who changes a table has to own it.
const RIGHTS: &str = "SELECT pg_is_in_recovery(), \
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) \
         AND coalesce(bool_and(pg_has_role(relowner, 'USAGE')), true), \
       coalesce(bool_and(has_table_privilege(ours.oid, 'SELECT') AND (relname = '_sqlx_migrations' \
         OR has_table_privilege(ours.oid, 'INSERT') AND has_table_privilege(ours.oid, 'UPDATE') \
         AND has_table_privilege(ours.oid, 'DELETE'))), true) \
     FROM pg_class AS ours WHERE oid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS names (name))";

async fn rights(connection: &mut PgConnection) -> Result<Rights, sqlx::Error> {
    let (standby, change, work): (bool, bool, bool) = sqlx::query_as(RIGHTS)
        .bind(schema::TABLES)
        .fetch_one(connection)
        .await?;
    Ok(match (standby, change, work) {
        (true, _, _) => Rights::Standby,
        (false, _, false) => Rights::None,
        (false, true, true) => Rights::All,
        (false, false, true) => Rights::WriteOnly,
    })
}
