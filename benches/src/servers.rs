//! Private servers for the benches that need them: the programs of this machine, in a folder of their own, gone afterwards.
//!
//! Everybody reaches them by a port of this machine, ours and the peers: replicas have no sockets of their servers.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use optio_core::{Clock as _, SystemClock};
use optio_queue_redis::RedisOptions;
use optio_store_postgres::{PostgresOptions, PostgresStore};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

#[path = "../../xtask/src/servers/postgres.rs"]
mod postgres;
#[path = "../../xtask/src/servers/redis.rs"]
mod redis;

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syncs {
    /// As in production: what is committed is on the disk.
    Disk,
    /// It is written and not waited for: what is left is the work of the processors.
    Off,
}

/// Fills 1.9 GB of write-ahead log, which the next checkpoint makes room of.
const FILL_FILES: &str = "DO $$ BEGIN FOR n IN 1..120 LOOP \
     PERFORM pg_logical_emit_message(false, 'warm-up', 'x'); PERFORM pg_switch_wal(); END LOOP; END $$";

/// A PostgreSQL that nobody else uses.
#[derive(Debug)]
pub struct Postgres {
    _server: postgres::Postgres,
    port: u16,
    _folder: TempDir,
}

impl Postgres {
    /// Starts one.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub fn start(syncs: Syncs) -> Result<Self> {
        let folder = passable_folder()?;
        let build = std::env::current_exe()?;
        let build = build
            .ancestors()
            .nth(2)
            .context("this program lies in no folder")?;
        let fsync = match syncs {
            Syncs::Disk => "fsync=on",
            Syncs::Off => "fsync=off",
        };
        let port = free_port()?;
        let at = format!("port={port}");
        let settings = [
            at.as_str(),
            "listen_addresses=127.0.0.1",
            fsync,
            "shared_buffers=256MB",
            "max_wal_size=4GB",
            "checkpoint_timeout=30min",
            // as many files of the write-ahead log as a warm-up makes stay
            "min_wal_size=2GB",
        ];
        let server = postgres::Postgres::start_with(
            &folder.path().join("postgres"),
            &build.join("test-servers"),
            &settings,
        );
        Ok(Self {
            _server: server.map_err(anyhow::Error::msg)?,
            port,
            _folder: folder,
        })
    }

    /// The address of its database.
    #[must_use]
    pub fn url(&self) -> String {
        self.address("postgres")
    }

    fn address(&self, database: &str) -> String {
        format!("postgres://optio@127.0.0.1:{}/{database}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets it be as a server that has been at work for a while: its write-ahead log goes over files that are there already,
    /// where a new server writes each of them twice.
    ///
    /// # Errors
    /// It cannot be connected to.
    pub async fn warm_up(&self) -> Result<()> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        for statement in [FILL_FILES, "CHECKPOINT"] {
            sqlx::raw_sql(statement).execute(&mut connection).await?;
        }
        connection.close().await?;
        Ok(())
    }

    /// How many transactions it has carried out, each read by itself among them; as it says about a second later.
    ///
    /// # Errors
    /// It cannot be connected to.
    pub async fn transactions(&self) -> Result<i64> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        let sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
        let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(count)
    }

    /// The folder of its own programs.
    ///
    /// # Errors
    /// They are gone.
    pub fn programs() -> Result<PathBuf> {
        postgres::programs().context("PostgreSQL is not installed")
    }

    /// A store on it that holds nothing yet, in a database of its own.
    ///
    /// # Errors
    /// It cannot be connected to.
    pub async fn fresh_store(&self) -> Result<PostgresStore> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        let name = format!("bench_{:016x}", SystemClock.random());
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create).execute(&mut connection).await?;
        connection.close().await?;
        Ok(PostgresStore::connect(&self.address(&name), PostgresOptions::default()).await?)
    }

    /// A store on it.
    ///
    /// # Errors
    /// It cannot be connected to.
    pub async fn store(&self) -> Result<PostgresStore> {
        Ok(PostgresStore::connect(&self.url(), PostgresOptions::default()).await?)
    }
}

/// A Redis that nobody else uses. It keeps nothing on disk.
#[derive(Debug)]
pub struct Redis {
    _server: redis::Redis,
    port: u16,
    _folder: TempDir,
}

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// Redis is not installed, or does not start.
    pub fn start() -> Result<Self> {
        let folder = passable_folder()?;
        let port = free_port()?;
        let server = redis::Redis::start_at(&folder.path().join("redis"), port);
        Ok(Self {
            _server: server.map_err(anyhow::Error::msg)?,
            port,
            _folder: folder,
        })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection of its own to it, under a prefix that nobody else uses.
    ///
    /// # Errors
    /// It cannot be connected to.
    pub async fn connect_apart(&self) -> Result<optio_queue_redis::Redis> {
        let prefix = format!("bench-{:016x}", SystemClock.random());
        let options = RedisOptions::default().with_prefix(prefix);
        Ok(optio_queue_redis::Redis::connect(&self.url(), options).await?)
    }

    /// A connection of its own to it.
    ///
    /// # Errors
    /// It cannot be connected to.
    pub async fn connect(&self) -> Result<optio_queue_redis::Redis> {
        Ok(optio_queue_redis::Redis::connect(&self.url(), RedisOptions::default()).await?)
    }
}

/// A port that nobody listens on. Somebody else could take it before the server does; then that does not start, and says so.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// A folder that others may pass through: a server that refuses root runs as somebody else.
fn passable_folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("optio-bench-").tempdir()?;
    let passable = fs::Permissions::from_mode(0o755);
    let path: &Path = folder.path();
    fs::set_permissions(path, passable)
        .with_context(|| format!("{} cannot be opened to others", path.display()))?;
    Ok(folder)
}
