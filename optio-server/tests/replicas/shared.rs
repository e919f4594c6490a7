//! The servers that replicas share: a PostgreSQL and a Redis that belong to one test.

use std::{
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

#[path = "../../../xtask/src/servers/postgres.rs"]
mod postgres;
#[path = "../../../xtask/src/servers/redis.rs"]
mod redis;

/// A PostgreSQL and a Redis. They end with this value.
#[derive(Debug)]
pub(crate) struct Shared {
    postgres: postgres::Postgres,
    redis: redis::Redis,
    _folder: TempDir,
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It ends what it is at.
    InOrder,
    /// As a crash does.
    Crash,
}

impl Shared {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("optio-shared-")
            .tempdir()
            .unwrap();
        // the user of the database has to come through
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let program = std::env::current_exe().unwrap();
        let templates = program.ancestors().nth(3).unwrap().join("test-servers");
        let postgres = postgres::Postgres::start(&folder.path().join("p"), &templates).unwrap();
        let redis = redis::Redis::start(&folder.path().join("r")).unwrap();
        Self {
            postgres,
            redis,
            _folder: folder,
        }
    }

    pub(crate) fn database_url(&self) -> String {
        self.postgres.url()
    }

    pub(crate) fn redis_url(&self) -> String {
        self.redis.url()
    }

    pub(crate) fn restart_postgres(&mut self, stop: Stop) {
        let signal = match stop {
            Stop::InOrder => "INT",
            Stop::Crash => "QUIT",
        };
        self.postgres.restart(signal).unwrap();
    }

    /// Redis is away until it is restarted.
    pub(crate) fn stop_redis(&mut self) {
        self.redis.stop();
    }

    /// It comes back empty.
    pub(crate) fn restart_redis(&mut self) {
        self.redis.restart().unwrap();
    }

    /// Loses everything that Redis holds, while all stay connected.
    pub(crate) fn flush_redis(&self) {
        self.ask_redis("FLUSHALL");
    }

    /// Has Redis do something that it answers with OK.
    pub(crate) fn ask_redis(&self, command: &str) {
        let url = self.redis.url();
        let mut socket = UnixStream::connect(url.trim_start_matches("redis+unix://")).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        socket
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        let mut answer = [0; 5];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+OK\r\n", "{command}");
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.database_url()).await.unwrap()
    }

    /// Carries out statements that Optio would not.
    pub(crate) async fn run(&self, sql: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.unwrap();
    }
}
