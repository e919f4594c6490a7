//! The transactions of the writer, for what one statement cannot store by itself: marked as they begin, so that it can be
//! told afterwards what became of them.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use optio_core::{Error, ErrorKind};

use crate::{
    BACKEND,
    error::{detail, failed, is_lost},
    place::Mark,
    schema,
};

/// How often something is tried.
pub(crate) const ATTEMPTS: u32 = 6;
/// The pause after the first try; each further one is twice as long, and all of them vary.
const PAUSE: Duration = Duration::from_millis(20);

/// Why a batch was not stored, or may not be.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing of it is stored.
    Undone(sqlx::Error),
    /// Nothing of it is stored, because a newer optio has brought the database to this schema.
    Outdated(i64),
    /// The connection broke while it was stored: it may be stored or not.
    InDoubt { mark: Mark, error: sqlx::Error },
}

impl Failure {
    pub(crate) fn meaning(&self) -> Error {
        match self {
            Self::Undone(error) => failed("write", error),
            Self::Outdated(version) => schema::outdated(*version),
            Self::InDoubt { error, .. } => Error::new(
                ErrorKind::Unavailable,
                BACKEND,
                format!(
                    "the connection to the database broke in the middle of a commit, and whether it is stored cannot be told: read it again ({})",
                    detail(error)
                ),
            ),
        }
    }
}

/// Begins a transaction.
pub(crate) async fn begin(connection: &mut PgConnection, mark: Mark) -> Result<(), sqlx::Error> {
    let Mark { place, batch } = mark;
    let begin = format!("BEGIN; UPDATE writers SET batch = {batch} WHERE id = '{place}'");
    let marked = connection
        .execute(sqlx::raw_sql(AssertSqlSafe(begin)))
        .await?;
    if marked.rows_affected() == 1 {
        Ok(())
    } else {
        Err(lost_place())
    }
}

/// The error of a transaction whose row of marks is gone: it cannot be stored.
pub(crate) fn lost_place() -> sqlx::Error {
    sqlx::Error::Protocol("this connection has lost its place".to_owned())
}

/// Ends a transaction by storing it.
pub(crate) async fn commit(connection: &mut PgConnection, mark: Mark) -> Result<(), Failure> {
    run(connection, "COMMIT")
        .await
        .map_err(|error| unanswered(mark, error))
}

/// What it means that a transaction was not said to be stored.
pub(crate) fn unanswered(mark: Mark, error: sqlx::Error) -> Failure {
    if is_lost(&error) {
        Failure::InDoubt { mark, error }
    } else {
        Failure::Undone(error)
    }
}

/// Waits before something is tried again.
pub(crate) async fn pause(attempt: u32) {
    let longest = PAUSE.saturating_mul(1 << (attempt - 1));
    tokio::time::sleep(longest.mul_f64(rand::random_range(0.5..1.0))).await;
}

/// A statement without rows and without values.
pub(crate) async fn run(
    connection: &mut PgConnection,
    sql: &'static str,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(|_| ())
}
