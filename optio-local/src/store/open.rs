//! Opening and closing: one process per data folder, a present schema, and a sentence for everything that can be wrong.

use std::{
    fs::File,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use optio_core::{Error, ErrorKind, Result};

use super::{
    BACKEND, SqliteStore,
    error::{detail, failed, meaning},
    lock::{DataLock, LockError},
    schema::{self, SchemaError},
    writer::{self, Pools},
};

/// How many may read at once.
const READERS: u32 = 4;
/// Pages that the writer keeps in memory, in KiB (that is what the minus sign says). The system keeps the others.
const WRITER_CACHE: &str = "-8000";
/// The same for each of those who read.
const READER_CACHE: &str = "-2000";
/// How long to wait for another program that looks into the database, such as the `sqlite3` shell.
const PATIENCE: Duration = Duration::from_secs(5);

impl SqliteStore {
    /// Opens the database at `path`, and makes it and the folders above it if they are missing. Until the store is
    /// closed or dropped, or the process ends, no other one can be opened there.
    ///
    /// What an earlier process had leased or claimed is free.
    ///
    /// # Errors
    /// `Unavailable` if another process has it open; `Denied`, `Invalid`, `Corrupt` or `Unsupported` if the folder or
    /// the file will not do. The message says what to do; nothing was changed.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let prepared = path.clone();
        let lock = tokio::task::spawn_blocking(move || prepare(&prepared))
            .await
            .map_err(|error| Error::unavailable(BACKEND, error.to_string()))??;
        let options = options().filename(&path);
        let shown = path.display().to_string();
        check(&options, &shown).await?;
        let options = options.journal_mode(SqliteJournalMode::Wal);
        let writer = pool(1, options.clone()).await;
        let writer = writer.map_err(|error| unusable(&shown, &error))?;
        if let Err(error) = make_ready(&writer, &shown).await {
            writer.close().await;
            return Err(error);
        }
        let options = options
            .pragma("query_only", "ON")
            .pragma("cache_size", READER_CACHE);
        let readers = pool(READERS, options).await;
        let readers = readers.map_err(|error| unusable(&shown, &error))?;
        Ok(Self::start(Pools { writer, readers }, Some(lock)))
    }

    /// A store that is gone when it is dropped.
    ///
    /// # Errors
    /// `Unavailable` if there is no memory for it.
    pub async fn in_memory() -> Result<Self> {
        // each connection would have a database of its own, so there is only one
        let options = options().in_memory(true).shared_cache(false);
        let writer = pool(1, options).await.map_err(|e| failed("open", &e))?;
        make_ready(&writer, "in memory").await?;
        let readers = writer.clone();
        Ok(Self::start(Pools { writer, readers }, None))
    }

    fn start(pools: Pools, lock: Option<DataLock>) -> Self {
        let (requests, waiting) = mpsc::channel(writer::WAITING);
        let closing = CancellationToken::new();
        let readers = pools.readers.clone();
        let writer = tokio::spawn(writer::write(pools, waiting, closing.clone(), lock));
        Self {
            readers,
            requests,
            closing,
            writer: Mutex::new(Some(writer)),
        }
    }

    /// Carries out what was asked for so far, moves the write-ahead log into the database and gives the folder free.
    /// Every call after it fails as `Unavailable`. Closing twice does nothing.
    pub async fn close(&self) {
        self.closing.cancel();
        let writer = match self.writer.lock() {
            Ok(mut writer) => writer.take(),
            Err(poisoned) => poisoned.into_inner().take(),
        };
        if let Some(writer) = writer {
            // it ends by itself; if it was aborted with its runtime there is nothing left to wait for
            let _ = writer.await;
        }
    }
}

pub(super) fn options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        // a commit is on the disk when it returns: in WAL mode anything less may lose the last ones with the power
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(PATIENCE)
        .statement_cache_capacity(512)
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", WRITER_CACHE)
        .disable_statement_logging()
}

async fn pool(size: u32, options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(size)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await
}

/// Folders, file and lock.
fn prepare(path: &Path) -> Result<DataLock> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(|error| folder(parent, &error))?;
    if path.is_dir() {
        let message = format!(
            "{} is a folder: expected the path of a database file, such as {}",
            path.display(),
            path.join("optio.db").display()
        );
        return Err(Error::invalid(BACKEND, message));
    }
    let lock = DataLock::take(path).map_err(|error| match error {
        LockError::Held(pid) => held(parent, pid),
        LockError::Io(error) => folder(parent, &error),
    })?;
    // it holds the secrets of webhooks: for nobody else's eyes. SQLite gives its other files the same mode.
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| {
            let message = format!(
                "the database {} cannot be read and written ({error}): give this user the right to, or choose another folder",
                path.display()
            );
            Error::new(kind(&error), BACKEND, message)
        })?;
    Ok(lock)
}

fn held(folder: &Path, pid: Option<u32>) -> Error {
    let who = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
    Error::unavailable(
        BACKEND,
        format!(
            "another optio{who} is using the data folder {}: stop it first, or use another data folder",
            folder.display()
        ),
    )
}

fn folder(folder: &Path, error: &io::Error) -> Error {
    Error::new(
        kind(error),
        BACKEND,
        format!(
            "the data folder {} cannot be made or written ({error}): give this user the right to, or choose another folder",
            folder.display()
        ),
    )
}

fn kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Unavailable,
        _ => ErrorKind::Invalid,
    }
}

pub(super) fn unusable(path: &str, error: &sqlx::Error) -> Error {
    let (kind, reason) = meaning(error);
    let way_out = match kind {
        ErrorKind::Corrupt => "restore it from a backup, or move it away to start afresh",
        ErrorKind::Denied => "give this user the right to, or choose another data folder",
        _ => "try again once that is mended",
    };
    Error::new(
        kind,
        BACKEND,
        format!(
            "the database {path} cannot be used, {reason} ({}): {way_out}",
            detail(error)
        ),
    )
}

/// Refuses a file that is no database of ours, before anything in it is touched.
async fn check(options: &SqliteConnectOptions, path: &str) -> Result<()> {
    let connection = options.connect().await;
    let mut connection = connection.map_err(|error| unusable(path, &error))?;
    let checked = schema::check_owner(&mut connection).await;
    // a connection that cannot be closed in order is dropped
    let _ = connection.close().await;
    checked.map_err(|error| unfit(path, &error))
}

/// Brings the schema up to date and frees what an earlier process held: we have the folder to ourselves.
async fn make_ready(writer: &SqlitePool, path: &str) -> Result<()> {
    let connection = writer.acquire().await;
    let mut connection = connection.map_err(|error| unusable(path, &error))?;
    schema::migrate(&mut connection)
        .await
        .map_err(|error| unfit(path, &error))?;
    for sql in [FREE_LEASES, FREE_CLAIMS] {
        let freed = sqlx::query(sql).execute(&mut *connection).await;
        freed.map_err(|error| unusable(path, &error))?;
    }
    Ok(())
}

pub(super) fn unfit(path: &str, error: &SchemaError) -> Error {
    let (kind, message) = match error {
        SchemaError::Sql(error) => return unusable(path, error),
        SchemaError::Foreign => (
            ErrorKind::Invalid,
            format!("the database {path} belongs to another program: choose another file"),
        ),
        SchemaError::Newer(version) => (
            ErrorKind::Unsupported,
            format!(
                "the database {path} was written by a newer optio (schema {version}, this one knows {}): use that version, or another data folder",
                schema::newest()
            ),
        ),
        SchemaError::Altered(version) => (
            ErrorKind::Corrupt,
            format!(
                "the database {path} has another schema {version} than was released: restore it from a backup, or move it away to start afresh"
            ),
        ),
    };
    Error::new(kind, BACKEND, message)
}

const FREE_LEASES: &str = "DELETE FROM leases";
const FREE_CLAIMS: &str = "UPDATE outbox SET due_at = not_before WHERE due_at <> not_before";
