//! The one writer: it takes all that waits, carries it out in one transaction, and answers once that is on the disk.
//!
//! Durability costs a sync of the disk for each transaction, whatever is in it; so commits that come while the last
//! sync was under way share the next one. Each succeeds or fails by itself: first all of them are tried together, a
//! statement for many rows at a time; if any step does not fit they are done over one by one, each in a savepoint.

use std::collections::HashMap;

use sqlx::{SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use optio_core::{Error, Result, Timestamp, run::WorkerId, store::OutboxEntry};

use super::{
    error::{closed, failed},
    lock::DataLock,
    op::{Key, Kind, Op},
    query, statement,
};

/// How many requests may wait before callers have to.
pub(super) const WAITING: usize = 1024;
/// How many requests share a transaction at most.
const BATCH: usize = 512;

/// A change, and who waits for it.
#[derive(Debug)]
pub(super) enum Request {
    Commit(Job<Vec<Op>, ()>),
    Claim(Job<Claim, Vec<OutboxEntry>>),
    Lease(Job<Lease, bool>),
}

/// Which outbox entries are claimed.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) now: Timestamp,
    pub(super) until: Timestamp,
    pub(super) limit: usize,
}

/// Who wants which lease.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) name: String,
    pub(super) holder: WorkerId,
    pub(super) now: Timestamp,
    pub(super) until: Timestamp,
}

/// What is asked for, what came of it, and where to send that.
#[derive(Debug)]
pub(super) struct Job<W, T> {
    wish: W,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<W, T> Job<W, T> {
    /// A job, and where its result will come.
    pub(super) fn new(wish: W) -> (Self, oneshot::Receiver<Result<T>>) {
        let (reply, answer) = oneshot::channel();
        let job = Self {
            wish,
            result: None,
            reply,
        };
        (job, answer)
    }

    /// Sends the result; instead of it the failure of the whole batch, if there was one.
    fn answer(self, failure: Option<&sqlx::Error>) {
        let result = match failure {
            Some(error) => Err(failed("write", error)),
            None => self.result.unwrap_or_else(|| Err(closed())),
        };
        // nobody may be waiting any more: dropping a call does not undo it
        let _ = self.reply.send(result);
    }
}

impl Request {
    fn answer(self, failure: Option<&sqlx::Error>) {
        match self {
            Self::Commit(job) => job.answer(failure),
            Self::Claim(job) => job.answer(failure),
            Self::Lease(job) => job.answer(failure),
        }
    }
}

/// Writes until `closing`, or until nobody can ask any more; then closes the database and gives the folder free.
pub(super) async fn write(
    pools: Pools,
    mut requests: mpsc::Receiver<Request>,
    closing: CancellationToken,
    lock: Option<DataLock>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            taken = requests.recv_many(&mut batch, BATCH) => if taken == 0 { break },
            () = closing.cancelled(), if !requests.is_closed() => {
                requests.close(); // what waits already is still carried out
                continue;
            }
        }
        let failure = transact(&pools.writer, &mut batch).await.err();
        if let Some(error) = &failure {
            tracing::error!(%error, commits = batch.len(), "a batch of commits could not be written");
        }
        for request in batch.drain(..) {
            request.answer(failure.as_ref());
        }
    }
    // the readers first: the last connection that goes moves the write-ahead log into the database
    pools.readers.close().await;
    pools.writer.close().await;
    drop(lock);
}

/// The connections: one that writes, some that read. In memory it is one and the same.
#[derive(Debug, Clone)]
pub(super) struct Pools {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
}

/// Carries out a batch in one transaction and leaves its results in the requests.
///
/// # Errors
/// Nothing of it is stored.
async fn transact(pool: &SqlitePool, batch: &mut [Request]) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    // plain statements, not sqlx's transaction: SQLite may end one by itself when the disk is full, and the
    // bookkeeping there would not notice
    let outcome = async {
        run(&mut connection, "BEGIN IMMEDIATE").await?;
        let only_commits = |request: &Request| matches!(request, Request::Commit(_));
        if !batch.iter().all(only_commits) {
            carry_out(&mut connection, batch).await?;
        } else if !at_once(&mut connection, batch).await? {
            run(&mut connection, "BEGIN IMMEDIATE").await?;
            carry_out(&mut connection, batch).await?;
        }
        run(&mut connection, "COMMIT").await
    }
    .await;
    if outcome.is_err() && run(&mut connection, "ROLLBACK").await.is_err() {
        // most likely SQLite has rolled back already; a probe tells, and a connection in doubt is not used again
        if run(&mut connection, "BEGIN; ROLLBACK").await.is_err() {
            connection.close_on_drop();
        }
    }
    outcome
}

/// Carries out commits that all fit: nearly every batch, and without the price of a savepoint. False, and the
/// transaction rolled back, if one of them does not fit.
async fn at_once(
    connection: &mut SqliteConnection,
    batch: &mut [Request],
) -> Result<bool, sqlx::Error> {
    let done = steps(connection, batch).await;
    if let Ok(true) = done {
        fulfil(batch);
        return Ok(true);
    }
    match (run(connection, "ROLLBACK").await, done) {
        (Ok(()), _) => Ok(false),
        // SQLite has rolled back by itself: why, says the first error
        (Err(_), Err(error)) | (Err(error), Ok(_)) => Err(error),
    }
}

fn fulfil(group: &mut [Request]) {
    for request in group {
        if let Request::Commit(job) = request {
            job.result = Some(Ok(()));
        }
    }
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(|_| ())
}

async fn carry_out(
    connection: &mut SqliteConnection,
    batch: &mut [Request],
) -> Result<(), sqlx::Error> {
    let mut rest = batch;
    while !rest.is_empty() {
        let commits = rest
            .iter()
            .take_while(|request| matches!(request, Request::Commit(_)))
            .count();
        let (group, behind) = rest.split_at_mut(commits.max(1));
        rest = behind;
        match group {
            [Request::Claim(job)] => {
                job.result = Some(query::claim(connection, &job.wish).await);
            }
            [Request::Lease(job)] => {
                let taken = query::lease(connection, &job.wish).await;
                job.result = Some(taken.map_err(|error| failed("write", &error)));
            }
            group => commit_group(connection, group).await?,
        }
    }
    Ok(())
}

/// Carries out commits: together if all of them fit, else in ever smaller groups until those that do not stand alone.
async fn commit_group(
    connection: &mut SqliteConnection,
    group: &mut [Request],
) -> Result<(), sqlx::Error> {
    let mut groups = vec![group];
    while let Some(group) = groups.pop() {
        if let [Request::Commit(job)] = group {
            job.result = Some(alone(connection, &job.wish).await?);
        } else if together(connection, group).await? {
            fulfil(group);
        } else {
            let (first, second) = group.split_at_mut(group.len() / 2);
            groups.extend([second, first]);
        }
    }
    Ok(())
}

/// Carries out all steps of all these commits. False, and nothing done, if one of them does not fit.
async fn together(
    connection: &mut SqliteConnection,
    group: &[Request],
) -> Result<bool, sqlx::Error> {
    let done = savepoint(connection, async |connection| {
        steps(connection, group).await
    })
    .await?;
    Ok(done.unwrap_or(false))
}

/// The steps of all these commits, those of one kind at once. False, and some of them done, if one does not fit.
async fn steps(connection: &mut SqliteConnection, group: &[Request]) -> Result<bool, sqlx::Error> {
    let steps = group.iter().flat_map(|request| match request {
        Request::Commit(job) => job.wish.as_slice(),
        Request::Claim(_) | Request::Lease(_) => &[],
    });
    let mut wave = Wave::default();
    for op in steps {
        if !wave.takes(op) && !wave.flush(connection).await? {
            return Ok(false);
        }
        wave.add(op);
    }
    wave.flush(connection).await
}

/// Carries out the steps of one commit in their order.
async fn alone(connection: &mut SqliteConnection, ops: &[Op]) -> Result<Result<()>, sqlx::Error> {
    let mut unfit = None;
    let done = savepoint(connection, async |connection| {
        for op in ops {
            if !statement::carry_out(connection, op.kind, &[op]).await? {
                unfit = Some(op.conflict());
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await?;
    Ok(match (done, unfit) {
        (Ok(_), Some(conflict)) => Err(conflict),
        (Ok(_), None) => Ok(()),
        (Err(error), _) => Err(failed("write", &error)),
    })
}

/// Undoes `work` unless it comes to true.
///
/// # Errors
/// On the outside: the transaction itself is lost. On the inside: this piece of work failed and is undone.
async fn savepoint(
    connection: &mut SqliteConnection,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<bool, sqlx::Error>,
) -> Result<Result<bool, sqlx::Error>, sqlx::Error> {
    run(connection, "SAVEPOINT piece").await?;
    let outcome = work(connection).await;
    if !matches!(outcome, Ok(true)) && run(connection, "ROLLBACK TO piece").await.is_err() {
        // there is no savepoint any more: SQLite has rolled everything back
        return outcome.and(Err(sqlx::Error::WorkerCrashed));
    }
    run(connection, "RELEASE piece").await?;
    Ok(outcome)
}

/// Steps that can be carried out kind by kind, because that leaves the order of those that touch the same thing.
#[derive(Debug, Default)]
struct Wave<'a> {
    touched: HashMap<Key, Kind>,
    by_kind: Vec<Vec<&'a Op>>,
}

impl<'a> Wave<'a> {
    fn takes(&self, op: &Op) -> bool {
        op.key
            .and_then(|key| self.touched.get(&key))
            .is_none_or(|before| *before < op.kind)
    }

    fn add(&mut self, op: &'a Op) {
        self.by_kind.resize_with(Kind::ALL.len(), Vec::new);
        if let Some(key) = op.key {
            self.touched.insert(key, op.kind);
        }
        self.by_kind[op.kind as usize].push(op);
    }

    /// Carries out what has been added. False if something did not fit.
    async fn flush(&mut self, connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
        self.touched.clear();
        for (ops, kind) in self.by_kind.iter_mut().zip(Kind::ALL) {
            if !ops.is_empty() && !statement::carry_out(connection, kind, ops).await? {
                return Ok(false);
            }
            ops.clear();
        }
        Ok(true)
    }
}

/// The error for whoever asks a store that is closed, or whose writer is gone.
pub(super) fn gone<T>(_: T) -> Error {
    closed()
}
