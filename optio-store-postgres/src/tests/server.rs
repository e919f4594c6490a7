//! A database for one test: on the server of `OPTIO_TEST_DATABASE_URL`, else on a private one that lives as long.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions,
};
use uuid::Uuid;

use crate::{PostgresOptions, PostgresStore};

#[path = "../../../xtask/src/servers/postgres.rs"]
pub(super) mod postgres;

/// An empty database, dropped with this value.
#[derive(Debug)]
pub(super) struct Database {
    name: String,
    server: String,
    _private: Option<(postgres::Postgres, tempfile::TempDir)>,
}

impl Database {
    pub(super) async fn create() -> Self {
        let (server, private) = server();
        let name = format!("optio_test_{}", Uuid::now_v7().simple());
        run_on(&server, &format!("CREATE DATABASE {name}")).await;
        Self {
            name,
            server,
            _private: private,
        }
    }

    /// The address of this database.
    pub(super) fn url(&self) -> String {
        let options: PgConnectOptions = self.server.parse().unwrap();
        let socket = options
            .get_socket()
            .map(|folder| folder.display().to_string());
        let url = options.database(&self.name).to_url_lossy().to_string();
        match socket {
            Some(folder) if !url.contains("host=") && !url.contains("%2F") => {
                format!("{url}&host={folder}")
            }
            _ => url,
        }
    }

    pub(super) async fn store(&self) -> PostgresStore {
        self.store_with(PostgresOptions::default().with_max_connections(4))
            .await
    }

    pub(super) async fn store_with(&self, options: PostgresOptions) -> PostgresStore {
        PostgresStore::connect(&self.url(), options).await.unwrap()
    }

    /// A connection that is not the store's.
    pub(super) async fn connection(&self) -> PgConnection {
        let options: PgConnectOptions = self.url().parse().unwrap();
        options.connect().await.unwrap()
    }

    /// Carries out statements that the store would not.
    pub(super) async fn run(&self, sql: &str) {
        run_on(&self.url(), sql).await;
    }

    /// Waits until a question to the database is answered with true: nobody sends a signal when a connection begins to
    /// wait for a lock.
    pub(super) async fn until(&self, question: &'static str) {
        let mut connection = self.connection().await;
        for _ in 0..1000 {
            let answer: bool = sqlx::query_scalar(question)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            if answer {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never came true: {question}");
    }
}

async fn run_on(url: &str, sql: &str) {
    let options: PgConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    connection.close().await.unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the tests names the server"
)]
fn server() -> (String, Option<(postgres::Postgres, tempfile::TempDir)>) {
    if let Ok(url) = std::env::var("OPTIO_TEST_DATABASE_URL") {
        return (url, None);
    }
    let private = private(&[]);
    (private.0.url(), Some(private))
}

/// A server of our own, with settings beside the usual ones.
pub(super) fn private(settings: &[&str]) -> (postgres::Postgres, tempfile::TempDir) {
    let folder = tempfile::Builder::new()
        .prefix("optio-pg-")
        .tempdir()
        .unwrap();
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let program = std::env::current_exe().unwrap();
    let target = program.ancestors().nth(3).unwrap();
    let templates = target.join("test-servers");
    let settings = [postgres::UNSAFE, settings].concat();
    let server =
        postgres::Postgres::start_with(&folder.path().join("s"), &templates, &settings).unwrap();
    (server, folder)
}

impl Drop for Database {
    fn drop(&mut self) {
        if self._private.is_some() {
            return; // it goes with its server
        }
        let (server, sql) = (
            self.server.clone(),
            format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name),
        );
        // a thread of its own: the runtime of the test cannot wait here
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(run_on(&server, &sql));
        })
        .join();
        drop(dropped);
    }
}
