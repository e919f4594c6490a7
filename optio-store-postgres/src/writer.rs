//! The writer of a process: it takes all that waits, carries it out in one transaction, and answers once that is stored.
//!
//! Durability costs a sync of the server's disk for each transaction, and each statement a way over the network; so
//! commits that come while transactions are under way share the next one. A few are under way at once, for while one of
//! them waits for the disk or the network, the server can work on another. Each commit succeeds or fails by itself:
//! `batch` sees to that. What fails for a reason that passes (a deadlock with another replica, a connection that broke)
//! is done over here, and if the connection breaks at the very end, Postgres is asked what has become of it. Once a newer
//! optio has migrated the database nothing more is written: what this one knows of a record is not all of it any more.

use std::{sync::LazyLock, time::Duration};

use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use optio_core::{Error, ErrorKind, Result};

use crate::{
    BACKEND, batch,
    error::{closed, detail, failed, is_lost, is_passing},
    op::Op,
    schema,
};

/// How many commits may wait before callers have to.
pub(crate) const WAITING: usize = 1024;
/// How many commits share a transaction at most.
const BATCH: usize = 512;
/// How often a batch is tried.
const ATTEMPTS: u32 = 6;
/// The pause after the first try; each further one is twice as long, and all of them vary.
const PAUSE: Duration = Duration::from_millis(20);

/// The steps of a commit, what came of them, and where to send that.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) steps: Vec<Op>,
    pub(crate) result: Option<Result<()>>,
    reply: oneshot::Sender<Result<()>>,
}

impl Job {
    /// A job, and where its result will come.
    pub(crate) fn new(steps: Vec<Op>) -> (Self, oneshot::Receiver<Result<()>>) {
        let (reply, answer) = oneshot::channel();
        let job = Self {
            steps,
            result: None,
            reply,
        };
        (job, answer)
    }

    /// Sends the result; instead of it the failure of the whole batch, if there was one.
    fn answer(self, failure: Option<&Failure>) {
        let result = match failure {
            Some(failure) => Err(failure.meaning()),
            None => self.result.unwrap_or_else(|| Err(closed())),
        };
        // nobody may be waiting any more: dropping a call does not undo it
        let _ = self.reply.send(result);
    }
}

/// Why a batch was not stored, or may not be.
#[derive(Debug)]
enum Failure {
    /// Nothing of it is stored.
    Undone(sqlx::Error),
    /// Nothing of it is stored, because a newer optio has brought the database to this schema.
    Outdated(i64),
    /// The connection broke while the transaction ended: it may be stored or not.
    InDoubt {
        transaction: String,
        error: sqlx::Error,
    },
}

impl Failure {
    fn meaning(&self) -> Error {
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

/// How long a connection that has nothing to write is kept out of the pool.
const KEPT: Duration = Duration::from_secs(5);

/// Writes until `closing`, or until nobody can ask any more; then closes the connections.
pub(crate) async fn write(
    writers: PgPool,
    readers: PgPool,
    mut jobs: mpsc::Receiver<Job>,
    closing: CancellationToken,
) {
    let lanes = usize::try_from(writers.options().get_max_connections()).unwrap_or(1);
    let mut under_way = JoinSet::new();
    let mut free: Vec<Lane> = (0..lanes).map(|_| Lane::new(&writers)).collect();
    loop {
        // one that panicked has dropped its jobs, which tells those who wait for them
        while let Some(ended) = under_way.try_join_next() {
            free.push(ended.unwrap_or_else(|_| Lane::new(&writers)));
        }
        let mut lane = match free.pop() {
            Some(lane) => lane,
            None => match under_way.join_next().await {
                Some(Ok(lane)) => lane,
                _ => Lane::new(&writers),
            },
        };
        let mut batch = Vec::new();
        let taken = tokio::select! {
            biased;
            taken = jobs.recv_many(&mut batch, 1) => taken,
            () = closing.cancelled(), if !jobs.is_closed() => {
                jobs.close(); // what waits already is still carried out
                free.push(lane);
                continue;
            }
            () = tokio::time::sleep(KEPT), if lane.connection.is_some() => {
                lane.connection = None;
                free.insert(0, lane);
                continue;
            }
        };
        if taken == 0 {
            break;
        }
        // whoever was woken together with the first one hands in its commit now
        tokio::task::yield_now().await;
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        under_way.spawn(async move {
            lane.carry_out(batch).await;
            lane
        });
    }
    while under_way.join_next().await.is_some() {}
    drop(free);
    readers.close().await;
    writers.close().await;
}

/// Carries out one batch at a time. It keeps its connection while there is something to write: to give that back to the
/// pool and to ask for it again takes more ways to the server than a transaction.
#[derive(Debug)]
struct Lane {
    pool: PgPool,
    connection: Option<PoolConnection<Postgres>>,
}

impl Lane {
    fn new(pool: &PgPool) -> Self {
        Self {
            pool: pool.clone(),
            connection: None,
        }
    }

    async fn carry_out(&mut self, mut batch: Vec<Job>) {
        let failure = self.persist(&mut batch).await.err();
        if let Some(failure) = &failure {
            let error = failure.meaning();
            tracing::error!(%error, commits = batch.len(), "a batch of commits could not be written");
        }
        for job in batch {
            job.answer(failure.as_ref());
        }
    }

    /// Carries out a batch, more than once if that helps.
    async fn persist(&mut self, batch: &mut [Job]) -> Result<(), Failure> {
        let mut attempt = 1;
        loop {
            let failure = match self.transact(batch).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let undone = match failure {
                Failure::Undone(error) => error,
                outdated @ Failure::Outdated(_) => return Err(outdated),
                Failure::InDoubt { transaction, error } => {
                    match fate(&self.pool, &transaction).await {
                        Some(Fate::Committed) => return Ok(()),
                        Some(Fate::Aborted) => error,
                        None => return Err(Failure::InDoubt { transaction, error }),
                    }
                }
            };
            if attempt == ATTEMPTS || !(is_passing(&undone) || is_lost(&undone)) {
                return Err(Failure::Undone(undone));
            }
            tracing::debug!(error = %detail(&undone), attempt, "a batch of commits is tried again");
            pause(attempt).await;
            attempt += 1;
        }
    }

    /// Carries out a batch in one transaction and leaves its results in the jobs.
    async fn transact(&mut self, jobs: &mut [Job]) -> Result<(), Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.pool.acquire().await.map_err(Failure::Undone)?,
        };
        let outcome = transact_on(&mut connection, jobs).await;
        let broken = match &outcome {
            Ok(()) => false,
            // a transaction that failed is ended; a connection in doubt is not used again
            Err(Failure::Undone(error)) => {
                is_lost(error) || run(&mut connection, "ROLLBACK").await.is_err()
            }
            Err(Failure::Outdated(_)) => run(&mut connection, "ROLLBACK").await.is_err(),
            Err(Failure::InDoubt { .. }) => true,
        };
        if broken {
            connection.close_on_drop();
        } else {
            self.connection = Some(connection);
        }
        outcome
    }
}

async fn pause(attempt: u32) {
    let longest = PAUSE.saturating_mul(1 << (attempt - 1));
    tokio::time::sleep(longest.mul_f64(rand::random_range(0.5..1.0))).await;
}

/// What became of a transaction.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Committed,
    Aborted,
}

/// Asks Postgres what became of a transaction whose connection broke. None if it cannot tell, or not in time.
async fn fate(pool: &PgPool, transaction: &str) -> Option<Fate> {
    for attempt in 1..=ATTEMPTS {
        let status: Result<Option<String>, sqlx::Error> =
            sqlx::query_scalar("SELECT pg_xact_status($1::text::xid8)")
                .bind(transaction)
                .fetch_one(pool)
                .await;
        match status {
            Ok(Some(status)) if status == "committed" => return Some(Fate::Committed),
            Ok(Some(status)) if status == "aborted" => return Some(Fate::Aborted),
            // its connection may not have noticed yet that we are gone
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) if is_lost(&error) => {}
            Err(_) => return None,
        }
        pause(attempt).await;
    }
    None
}

async fn transact_on(connection: &mut PgConnection, jobs: &mut [Job]) -> Result<(), Failure> {
    let mut transaction = begin(connection).await?;
    batch::take_turns(connection, jobs)
        .await
        .map_err(Failure::Undone)?;
    if !batch::at_once(connection, jobs)
        .await
        .map_err(Failure::Undone)?
    {
        run(connection, "ROLLBACK").await.map_err(Failure::Undone)?;
        transaction = begin(connection).await?;
        batch::take_turns(connection, jobs)
            .await
            .map_err(Failure::Undone)?;
        // one that stands alone needs no savepoint, and is tried in its own order, for the reason
        if let [job] = jobs {
            if !batch::single(connection, job)
                .await
                .map_err(Failure::Undone)?
            {
                return run(connection, "ROLLBACK").await.map_err(Failure::Undone);
            }
        } else {
            batch::one_by_one(connection, jobs)
                .await
                .map_err(Failure::Undone)?;
        }
    }
    run(connection, "COMMIT").await.map_err(|error| {
        if is_lost(&error) {
            Failure::InDoubt { transaction, error }
        } else {
            Failure::Undone(error)
        }
    })
}

/// Begins a transaction, asks for its number and whether somebody has migrated, all in one way to the server and back.
/// The lock comes first, so that nobody migrates between this look and the end of the transaction.
pub(crate) static BEGIN: LazyLock<String> = LazyLock::new(|| {
    format!(
        "BEGIN; SELECT pg_advisory_xact_lock_shared(1869640809, 1935894629); \
         SELECT pg_current_xact_id()::text, \
           EXISTS (SELECT FROM _sqlx_migrations WHERE version > {} AND success)",
        schema::newest()
    )
});

/// Begins a transaction and gives its number, by which its fate can be asked for.
async fn begin(connection: &mut PgConnection) -> Result<String, Failure> {
    let begun = begun(connection).await;
    match begun.map_err(Failure::Undone)? {
        Begun::Transaction(number) => Ok(number),
        Begun::Outdated(version) => Err(Failure::Outdated(version)),
    }
}

#[derive(Debug)]
enum Begun {
    Transaction(String),
    Outdated(i64),
}

async fn begun(connection: &mut PgConnection) -> Result<Begun, sqlx::Error> {
    use sqlx::{Executor as _, Row as _};
    let begin = sqlx::raw_sql(AssertSqlSafe(BEGIN.as_str()));
    let rows = connection.fetch_all(begin).await?;
    let row = rows.last().ok_or(sqlx::Error::RowNotFound)?;
    if row.try_get(1)? {
        let newest = "SELECT max(version) FROM _sqlx_migrations WHERE success";
        let version = sqlx::query_scalar(newest).fetch_one(connection).await?;
        return Ok(Begun::Outdated(version));
    }
    Ok(Begun::Transaction(row.try_get(0)?))
}

/// A statement without rows and without values.
pub(crate) async fn run(
    connection: &mut PgConnection,
    sql: &'static str,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(|_| ())
}

/// The error for whoever asks a store that is closed, or whose writer is gone.
pub(crate) fn gone<T>(_: T) -> Error {
    closed()
}
