//! Connecting and closing: a server that will do, a present schema, and a sentence for everything that can be wrong.

use std::{sync::Mutex, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use optio_core::{Error, ErrorKind, Result, error::Retry};

use crate::{
    BACKEND, PostgresStore,
    error::{detail, is_distrusted, meaning},
    options::{Migrations, PostgresOptions},
    pool::Pool,
    schema::{self, SchemaError},
    writer,
};

/// How many connections write, where there are enough of them.
const WRITING: u32 = 3;

impl PostgresStore {
    /// Connects to the database at `url` (`postgres://user:password@host/database?sslmode=verify-full`).
    ///
    /// # Errors
    /// `Invalid` if the address is none; `Denied`, `NotFound`, `Unavailable` or `Unsupported` if server or database
    /// will not do. The message says what to do and never holds the password.
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Self> {
        let address = Address::parse(url)?;
        let mut connection = address.connect(options.acquire_timeout).await?;
        let prepared = async {
            schema::check_server(&mut connection).await?;
            match options.migrations {
                Migrations::Run => schema::migrate(&mut connection).await,
                Migrations::Refuse => schema::check(&mut connection).await,
            }
        }
        .await;
        // a connection that cannot be closed in order is dropped
        let _ = connection.close().await;
        prepared.map_err(|error| address.unfit(&error))?;
        let writing = if options.max_connections < 2 * WRITING {
            1
        } else {
            WRITING
        };
        let reading = options.max_connections.max(2) - writing;
        let writer = Pool::new(address.options.clone(), &options, writing);
        let readers = Pool::new(address.options, &options, reading);
        let (jobs, waiting) = mpsc::channel(writer::WAITING);
        let closing = CancellationToken::new();
        let task = tokio::spawn(writer::write(
            writer,
            readers.clone(),
            waiting,
            closing.clone(),
        ));
        Ok(Self {
            readers,
            jobs,
            closing,
            writer: Mutex::new(Some(task)),
        })
    }

    /// Brings the schema of the database at `url` up to date. Doing it again, or at once from several places, changes
    /// nothing more.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub async fn migrate(url: &str, options: &PostgresOptions) -> Result<()> {
        let address = Address::parse(url)?;
        let mut connection = address.connect(options.acquire_timeout).await?;
        let migrated = async {
            schema::check_server(&mut connection).await?;
            schema::migrate(&mut connection).await
        }
        .await;
        let _ = connection.close().await;
        migrated.map_err(|error| address.unfit(&error))
    }

    /// Carries out what waits, and closes all connections. Calls after it are `Unavailable`.
    pub async fn close(&self) {
        self.closing.cancel();
        let writer = self.writer.lock().ok().and_then(|mut task| task.take());
        if let Some(writer) = writer {
            // a writer that panicked has nothing left to close
            let _ = writer.await;
        }
        self.readers.close().await;
    }
}

/// Where the database is.
#[derive(Debug)]
pub(crate) struct Address {
    options: PgConnectOptions,
    /// For people: without the password.
    shown: String,
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let options: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| {
            let message = format!("the address of the database cannot be read: {error}");
            Error::new(ErrorKind::Invalid, BACKEND, message)
        })?;
        let options = options
            .application_name("optio")
            .disable_statement_logging();
        let shown = format!(
            "{} at {}",
            options
                .get_database()
                .unwrap_or_else(|| options.get_username()),
            options.get_host()
        );
        Ok(Self { options, shown })
    }

    /// For people: without the password.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    pub(crate) async fn connect(&self, patience: Duration) -> Result<PgConnection> {
        let connect = async {
            let mut connection = self.options.connect().await?;
            // that a table is there already is no news
            let quiet = sqlx::raw_sql("SET client_min_messages = warning");
            connection.execute(quiet).await?;
            Ok(connection)
        };
        match tokio::time::timeout(patience, connect).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.unusable(&error)),
            Err(_) => Err(self.unusable(&sqlx::Error::PoolTimedOut)),
        }
    }

    fn unusable(&self, error: &sqlx::Error) -> Error {
        let (kind, reason) = meaning(error);
        let way_out = match kind {
            _ if matches!(error, sqlx::Error::Tls(_)) => {
                "switch TLS on at the server, and check sslmode and sslrootcert in the address"
            }
            _ if is_distrusted(error) => {
                "name the file of the authority that signed its certificate in sslrootcert, and the host as the certificate does"
            }
            ErrorKind::Denied => "check user and password, and what that user may do",
            ErrorKind::NotFound => "create it, or choose another one",
            ErrorKind::Invalid => "mend the address",
            ErrorKind::Corrupt => "look at the server's log",
            _ => "check that the server is up and can be reached from here",
        };
        let unusable = Error::new(
            kind,
            BACKEND,
            format!(
                "the database {} cannot be used, {reason} ({}): {way_out}",
                self.shown,
                detail(error)
            ),
        );
        // no time mends a certificate
        if matches!(error, sqlx::Error::Tls(_)) || is_distrusted(error) {
            return unusable.with_retry(Retry::Never);
        }
        unusable
    }

    pub(crate) fn unfit(&self, error: &SchemaError) -> Error {
        let shown = &self.shown;
        let newest = schema::newest();
        let (kind, message) = match error {
            SchemaError::Sql(error) => return self.unusable(error),
            SchemaError::OldServer(version) => (
                ErrorKind::Unsupported,
                format!(
                    "the server of the database {shown} is PostgreSQL {version}: 14 or newer is needed"
                ),
            ),
            SchemaError::Newer(version) => (
                ErrorKind::Unsupported,
                format!(
                    "the database {shown} was written by a newer optio (schema {version}, this one knows {newest}): use that version"
                ),
            ),
            SchemaError::Behind(version) => (
                ErrorKind::Unsupported,
                format!(
                    "the database {shown} has schema {version}, and {newest} is needed: run `optio migrate`"
                ),
            ),
            SchemaError::Altered(version) => (
                ErrorKind::Corrupt,
                format!(
                    "the database {shown} has another schema {version} than was released: restore it from a backup, or use an empty database"
                ),
            ),
        };
        Error::new(kind, BACKEND, message)
    }
}
