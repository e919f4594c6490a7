//! State and dispatch as the configuration wants them: on this machine, or on servers that replicas share.

use std::{path::PathBuf, sync::Arc};

use optio_core::{
    Clock, Error, Result,
    event_bus::EventBus,
    memory::{MemoryBus, MemoryQueue},
    queue::Queue,
    store::{Sharing, Store},
};
use optio_local::SqliteStore;
use optio_queue_redis::{Redis, RedisEventBus, RedisQueue};
use optio_store_postgres::{Migrations, PostgresStore};

use crate::{
    config::{Database, Dispatch, ServerConfig},
    patience::until_up,
};

/// The store, the queue and the bus, opened.
#[derive(Debug)]
pub struct State {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// The bus.
    pub bus: Arc<dyn EventBus>,
    opened: Opened,
}

#[derive(Debug)]
enum Opened {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

/// The schema of the database, and the one that this program works with. Zero is that of a database that is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// What the database has.
    pub found: i64,
    /// What this program works with.
    pub wanted: i64,
}

impl State {
    /// Opens them, and waits for servers that are not up yet. Nothing but the schema of the database is changed, and that
    /// only if the configuration allows it.
    ///
    /// # Errors
    /// A server or file cannot be used. The message says what to do and holds no password.
    pub async fn open(config: &ServerConfig, clock: &Arc<dyn Clock>) -> Result<Self> {
        let (store, opened): (Arc<dyn Store>, Opened) = match &config.database {
            Database::Sqlite(_) => {
                let path = sqlite_file(config);
                if config.migrations == Migrations::Refuse {
                    must_be_current(config).await?;
                }
                let store = Arc::new(SqliteStore::open(path).await?);
                (Arc::<SqliteStore>::clone(&store), Opened::Sqlite(store))
            }
            Database::Postgres { url, options } => {
                let options = options.clone().with_migrations(config.migrations);
                let connect = || PostgresStore::connect(url.expose(), options.clone());
                let store = until_up("the database", config.start_timeout, connect).await?;
                let store = Arc::new(store);
                (Arc::<PostgresStore>::clone(&store), Opened::Postgres(store))
            }
        };
        let (queue, bus): (Arc<dyn Queue>, Arc<dyn EventBus>) = match &config.dispatch {
            Dispatch::InProcess => (
                Arc::new(MemoryQueue::new(Arc::clone(clock))),
                Arc::new(MemoryBus::new()),
            ),
            Dispatch::Redis { url, options } => {
                let connect = || connect_redis(url.expose(), options.clone());
                let redis = until_up("the queue", config.start_timeout, connect).await?;
                (
                    Arc::new(RedisQueue::new(&redis, Arc::clone(clock))),
                    Arc::new(RedisEventBus::new(&redis)),
                )
            }
        };
        Ok(Self {
            store,
            queue,
            bus,
            opened,
        })
    }

    /// Whether other processes may be at work on the same state.
    #[must_use]
    pub fn sharing(&self) -> Sharing {
        self.store.sharing()
    }

    /// Ends all work with the store.
    pub async fn close(self) {
        match self.opened {
            Opened::Sqlite(store) => store.close().await,
            Opened::Postgres(store) => store.close().await,
        }
    }
}

/// Connects to a Redis; a sentence says what to do if that cannot be.
///
/// # Errors
/// As [`Redis::connect`].
pub(crate) async fn connect_redis(
    url: &str,
    options: optio_queue_redis::RedisOptions,
) -> Result<Redis> {
    Redis::connect(url, options).await.map_err(|error| {
        let message = format!(
            "the queue of REDIS_URL cannot be used ({}): check that the server is up, and its address and password",
            error.message()
        );
        Error::new(error.kind(), "redis", message).with_retry(error.retry())
    })
}

/// Which schema the database has. Changes nothing.
///
/// # Errors
/// The database cannot be used. The message says what to do.
pub async fn schema(config: &ServerConfig) -> Result<Schema> {
    Ok(match &config.database {
        Database::Sqlite(_) => {
            let schema = SqliteStore::schema_version(&sqlite_file(config)).await?;
            Schema {
                found: schema.found,
                wanted: schema.wanted,
            }
        }
        Database::Postgres { url, options } => {
            let schema = PostgresStore::schema_version(url.expose(), options).await?;
            Schema {
                found: schema.found,
                wanted: schema.wanted,
            }
        }
    })
}

/// Brings the database to the present schema.
///
/// # Errors
/// The database cannot be used, or a server has the SQLite file open. The message says what to do.
pub async fn migrate(config: &ServerConfig) -> Result<()> {
    match &config.database {
        Database::Sqlite(_) => {
            SqliteStore::open(sqlite_file(config)).await?.close().await;
            Ok(())
        }
        Database::Postgres { url, options } => PostgresStore::migrate(url.expose(), options).await,
    }
}

/// How people know the database: without its password.
#[must_use]
pub fn shown(config: &ServerConfig) -> String {
    match &config.database {
        Database::Sqlite(_) => sqlite_file(config).display().to_string(),
        Database::Postgres { url, .. } => without_password(url.expose()),
    }
}

/// An address without its password.
pub(crate) fn without_password(url: &str) -> String {
    let before_query = url.split(['?', '#']).next().unwrap_or_default();
    match (
        before_query.split_once("://"),
        before_query.rsplit_once('@'),
    ) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => before_query.to_owned(),
    }
}

async fn must_be_current(config: &ServerConfig) -> Result<()> {
    let Schema { found, wanted } = schema(config).await?;
    if found == wanted {
        return Ok(());
    }
    Err(Error::invalid(
        "sqlite",
        format!(
            "the database {} has schema {found}, and {wanted} is needed: run `optio migrate`, or set OPTIO_MIGRATE to auto",
            shown(config)
        ),
    ))
}

fn sqlite_file(config: &ServerConfig) -> PathBuf {
    match &config.database {
        // an absolute path stays as it is
        Database::Sqlite(path) => config.data.join(path),
        Database::Postgres { .. } => config.data.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_their_passwords() {
        let rows = [
            "postgres://me:secret@db.example/optio?sslmode=require",
            "postgres://me:s@cret@db.example/optio",
            "redis://:secret@cache.example:6379/1",
            "redis+unix:///run/redis.sock?pass=secret",
            "postgres://db.example/optio?password=secret",
        ]
        .map(without_password);
        assert_eq!(
            rows,
            [
                "postgres://db.example/optio",
                "postgres://db.example/optio",
                "redis://cache.example:6379/1",
                "redis+unix:///run/redis.sock",
                "postgres://db.example/optio",
            ]
        );
    }
}
