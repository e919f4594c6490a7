//! What the forge remembers beside git: who wanted what merged, what reviewers and checks said.
//!
//! A database file of its own. One connection writes, so a transaction that reads first is alone from its first
//! statement on; others read beside it.

use std::{borrow::Cow, path::Path, time::Duration};

use optio_core::{
    Error, ErrorKind, Result, Timestamp,
    pull_request::{CommitId, PrNumber, PrState},
};
use sqlx::{
    ConnectOptions as _, Row as _, SqlSafeStr as _, Sqlite, SqlitePool, Transaction,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    },
};

use super::NAME;

mod claims;
mod remarks;

pub(super) use self::remarks::{CheckRecord, NewReview, News};

/// How many may read at once.
const READERS: u32 = 2;
/// How long to wait for another program that looks into the database, such as the `sqlite3` shell.
const PATIENCE: Duration = Duration::from_secs(5);

/// The records.
#[derive(Debug, Clone)]
pub(super) struct Records {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// A pull request as recorded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pull {
    pub(super) number: PrNumber,
    pub(super) title: String,
    pub(super) head_branch: String,
    pub(super) base_branch: String,
    /// The head as last seen.
    pub(super) head: CommitId,
    /// The base as last seen.
    pub(super) base: CommitId,
    /// The last head that had commits which the base branch had not.
    pub(super) ahead: CommitId,
    pub(super) head_at: Timestamp,
    pub(super) opened_at: Timestamp,
    pub(super) readiness: Readiness,
    pub(super) state: PrState,
}

/// Whether a pull request may be merged once all else is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It may.
    Ready,
    /// Not yet: its author is still at it.
    Draft,
}

/// A pull request to be recorded.
#[derive(Debug)]
pub(super) struct NewPull<'a> {
    pub(super) title: &'a str,
    pub(super) body: &'a str,
    pub(super) head_branch: &'a str,
    pub(super) base_branch: &'a str,
    pub(super) head: &'a CommitId,
    pub(super) base: &'a CommitId,
    pub(super) at: Timestamp,
}

const COLUMNS: &str = "number, title, head_branch, base_branch, head, base, ahead, head_at, opened_at, draft, state, merged_commit";

impl Records {
    /// Opens the database file, and makes it if it is missing.
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // a merge attempt must be on the disk before the branch is moved
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            .foreign_keys(true)
            .disable_statement_logging();
        let unusable = |error: sqlx::Error| {
            let (kind, why) = meaning(&error);
            let path = path.display();
            let message = format!(
                "the forge's database {path} cannot be used, {why} ({error}): mend that, or move the file away to forget its pull requests"
            );
            Error::new(kind, NAME, message)
        };
        let writer = pool(1, options.clone()).await.map_err(unusable)?;
        let migrated = migrator().run(&writer).await;
        if let Err(error) = migrated {
            writer.close().await;
            return Err(unusable(sqlx::Error::Migrate(Box::new(error))));
        }
        let readers = pool(READERS, options.pragma("query_only", "ON"))
            .await
            .map_err(unusable)?;
        Ok(Self { writer, readers })
    }

    /// Ends all work with the file. Every call after it fails as `Unavailable`.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// The pull request of this number.
    pub(super) async fn pull(&self, repository: &str, number: PrNumber) -> Result<Option<Pull>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM pull_requests WHERE repository = ? AND number = ?"
        )))
        .bind(repository)
        .bind(stored(number))
        .fetch_optional(&self.readers)
        .await
        .map_err(unreadable)?;
        row.as_ref().map(pull).transpose()
    }

    /// The open pull request of a branch, else its latest.
    pub(super) async fn pull_of(&self, repository: &str, branch: &str) -> Result<Option<PrNumber>> {
        sqlx::query_scalar(
            "SELECT number FROM pull_requests WHERE repository = ? AND head_branch = ?
             ORDER BY state = 'open' DESC, number DESC LIMIT 1",
        )
        .bind(repository)
        .bind(branch)
        .fetch_optional(&self.readers)
        .await
        .map_err(unreadable)?
        .map(number)
        .transpose()
    }

    /// All pull requests of a repository, the latest first.
    pub(super) async fn pulls(&self, repository: &str) -> Result<Vec<PrNumber>> {
        sqlx::query_scalar(
            "SELECT number FROM pull_requests WHERE repository = ? ORDER BY number DESC",
        )
        .bind(repository)
        .fetch_all(&self.readers)
        .await
        .map_err(unreadable)?
        .into_iter()
        .map(number)
        .collect()
    }

    /// The open pull requests that are to be merged into a branch.
    pub(super) async fn open_on(&self, repository: &str, base: &str) -> Result<Vec<PrNumber>> {
        sqlx::query_scalar(
            "SELECT number FROM pull_requests
             WHERE repository = ? AND base_branch = ? AND state = 'open' ORDER BY number",
        )
        .bind(repository)
        .bind(base)
        .fetch_all(&self.readers)
        .await
        .map_err(unreadable)?
        .into_iter()
        .map(number)
        .collect()
    }

    /// Records a pull request under the next number, unless its branch has an open one: then it is that one.
    pub(super) async fn open_pull(&self, repository: &str, new: NewPull<'_>) -> Result<PrNumber> {
        let mut tx = self.begin().await?;
        let open: Option<i64> = sqlx::query_scalar(
            "SELECT number FROM pull_requests WHERE repository = ? AND head_branch = ? AND state = 'open'",
        )
        .bind(repository)
        .bind(new.head_branch)
        .fetch_optional(&mut *tx)
        .await
        .map_err(unreadable)?;
        if let Some(open) = open {
            return number(open);
        }
        let next: i64 = sqlx::query_scalar(
            "INSERT INTO repositories (path, next_number) VALUES (?, 2)
             ON CONFLICT DO UPDATE SET next_number = next_number + 1 RETURNING next_number - 1",
        )
        .bind(repository)
        .fetch_one(&mut *tx)
        .await
        .map_err(unwritten)?;
        sqlx::query(
            "INSERT INTO pull_requests (repository, number, title, body, head_branch, base_branch,
                head, base, ahead, head_at, opened_at, draft, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?7, ?9, ?9, 0, 'open')",
        )
        .bind(repository)
        .bind(next)
        .bind(new.title)
        .bind(new.body)
        .bind(new.head_branch)
        .bind(new.base_branch)
        .bind(new.head.as_str())
        .bind(new.base.as_str())
        .bind(new.at.as_microsecond())
        .execute(&mut *tx)
        .await
        .map_err(unwritten)?;
        tx.commit().await.map_err(unwritten)?;
        number(next)
    }

    /// Records what was seen of an open pull request's branches, unless somebody else saw something newer meanwhile.
    pub(super) async fn saw(&self, repository: &str, before: &Pull, now: &Pull) -> Result<()> {
        sqlx::query(
            "UPDATE pull_requests SET head = ?, base = ?, ahead = ?, head_at = ?
             WHERE repository = ? AND number = ? AND state = 'open' AND head = ? AND base = ?",
        )
        .bind(now.head.as_str())
        .bind(now.base.as_str())
        .bind(now.ahead.as_str())
        .bind(now.head_at.as_microsecond())
        .bind(repository)
        .bind(stored(now.number))
        .bind(before.head.as_str())
        .bind(before.base.as_str())
        .execute(&self.writer)
        .await
        .map(|_| ())
        .map_err(unwritten)
    }

    /// Records that a pull request is merged, if it is open, with the base branch as it is now.
    pub(super) async fn merged(
        &self,
        repository: &str,
        number: PrNumber,
        commit: &CommitId,
        base: &CommitId,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE pull_requests SET state = 'merged', merged_commit = ?, base = ?
             WHERE repository = ? AND number = ? AND state = 'open'",
        )
        .bind(commit.as_str())
        .bind(base.as_str())
        .bind(repository)
        .bind(stored(number))
        .execute(&self.writer)
        .await
        .map(|_| ())
        .map_err(unwritten)
    }

    /// Records that a pull request is closed, if it is open.
    pub(super) async fn closed(&self, repository: &str, number: PrNumber) -> Result<()> {
        sqlx::query(
            "UPDATE pull_requests SET state = 'closed'
             WHERE repository = ? AND number = ? AND state = 'open'",
        )
        .bind(repository)
        .bind(stored(number))
        .execute(&self.writer)
        .await
        .map(|_| ())
        .map_err(unwritten)
    }

    /// Records that a pull request is open again, if it is closed.
    ///
    /// # Errors
    /// `Conflict` if its branch has another open one by now.
    pub(super) async fn reopened(&self, repository: &str, number: PrNumber) -> Result<()> {
        sqlx::query(
            "UPDATE pull_requests SET state = 'open'
             WHERE repository = ? AND number = ? AND state = 'closed'",
        )
        .bind(repository)
        .bind(stored(number))
        .execute(&self.writer)
        .await
        .map(|_| ())
        .map_err(|error| match meaning(&error) {
            (ErrorKind::Conflict, _) => Error::conflict(
                NAME,
                format!("pull request {number} stays closed: its branch has another open one"),
            ),
            _ => unwritten(error),
        })
    }

    /// Records whether a pull request is a draft.
    pub(super) async fn set_readiness(
        &self,
        repository: &str,
        number: PrNumber,
        readiness: Readiness,
    ) -> Result<()> {
        sqlx::query("UPDATE pull_requests SET draft = ? WHERE repository = ? AND number = ?")
            .bind(readiness == Readiness::Draft)
            .bind(repository)
            .bind(stored(number))
            .execute(&self.writer)
            .await
            .map(|_| ())
            .map_err(unwritten)
    }

    /// Records a commit that is about to be put on the base branch.
    pub(super) async fn attempt(
        &self,
        repository: &str,
        number: PrNumber,
        commit: &CommitId,
    ) -> Result<()> {
        sqlx::query("INSERT OR IGNORE INTO merge_attempts VALUES (?, ?, ?)")
            .bind(repository)
            .bind(stored(number))
            .bind(commit.as_str())
            .execute(&self.writer)
            .await
            .map(|_| ())
            .map_err(unwritten)
    }

    /// The commits that may have been put on the base branch.
    pub(super) async fn attempts(
        &self,
        repository: &str,
        number: PrNumber,
    ) -> Result<Vec<CommitId>> {
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT commit_id FROM merge_attempts WHERE repository = ? AND number = ?",
        )
        .bind(repository)
        .bind(stored(number))
        .fetch_all(&self.readers)
        .await
        .map_err(unreadable)?;
        Ok(found.into_iter().map(CommitId::new).collect())
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        self.writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(unwritten)
    }
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

/// A migration that was ever released is never edited; the next one is added below it.
fn migrator() -> Migrator {
    Migrator::with_migrations(vec![
        migration(1, "first", include_str!("../schema/0001_first.sql")),
        migration(
            2,
            "check claims",
            include_str!("../schema/0002_check_claims.sql"),
        ),
    ])
}

fn migration(version: i64, description: &'static str, sql: &'static str) -> Migration {
    let description = Cow::Borrowed(description);
    let sql = sql.into_sql_str();
    Migration::new(version, description, MigrationType::Simple, sql, false)
}

fn pull(row: &SqliteRow) -> Result<Pull> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(unreadable);
    let commit = |column: &str| text(column).map(CommitId::new);
    let time = |column: &str| moment(row.try_get(column).map_err(unreadable)?);
    let state = match text("state")?.as_str() {
        "open" => PrState::Open,
        "closed" => PrState::Closed,
        _ => PrState::Merged {
            commit: commit("merged_commit")?,
        },
    };
    let draft: bool = row.try_get("draft").map_err(unreadable)?;
    Ok(Pull {
        number: number(row.try_get("number").map_err(unreadable)?)?,
        title: text("title")?,
        head_branch: text("head_branch")?,
        base_branch: text("base_branch")?,
        head: commit("head")?,
        base: commit("base")?,
        ahead: commit("ahead")?,
        head_at: time("head_at")?,
        opened_at: time("opened_at")?,
        readiness: if draft {
            Readiness::Draft
        } else {
            Readiness::Ready
        },
        state,
    })
}

fn stored(number: PrNumber) -> i64 {
    // no number is that large, so one that is finds nothing
    i64::try_from(number.0).unwrap_or(i64::MAX)
}

fn number(stored: i64) -> Result<PrNumber> {
    u64::try_from(stored)
        .map(PrNumber)
        .map_err(|_| Error::corrupt(NAME, "a pull request has a negative number"))
}

fn moment(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros)
        .map_err(|error| Error::corrupt(NAME, "a record's time is out of range").caused_by(error))
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn unreadable(error: sqlx::Error) -> Error {
    failed("read", &error)
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn unwritten(error: sqlx::Error) -> Error {
    failed("written", &error)
}

fn failed(done: &str, error: &sqlx::Error) -> Error {
    let message = match (meaning(error), error) {
        ((_, why), sqlx::Error::PoolClosed) => why.to_owned(),
        ((_, why), _) => format!("the forge's records cannot be {done}: {why} ({error})"),
    };
    Error::new(meaning(error).0, NAME, message)
}

/// What an error means to a caller, and how people would say it.
fn meaning(error: &sqlx::Error) -> (ErrorKind, &'static str) {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| code.parse::<u32>().ok());
            // the low byte is the class, the rest says more about it
            match code.map(|code| code & 0xff) {
                Some(3 | 8 | 23) => (ErrorKind::Denied, "it may not be written"),
                Some(11 | 26) => (ErrorKind::Corrupt, "it is damaged or no database"),
                Some(13) => (ErrorKind::Unavailable, "the disk is full"),
                Some(19) => (ErrorKind::Conflict, "another record stands in the way"),
                _ => (ErrorKind::Unavailable, "the database failed"),
            }
        }
        sqlx::Error::PoolClosed => (ErrorKind::Unavailable, "the forge is shut down"),
        sqlx::Error::PoolTimedOut => (ErrorKind::Unavailable, "too many are at work on it"),
        sqlx::Error::Migrate(_) => (ErrorKind::Corrupt, "it is not of this version"),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_) => (ErrorKind::Corrupt, "it is not as it should be"),
        _ => (ErrorKind::Unavailable, "the connection to it is lost"),
    }
}
