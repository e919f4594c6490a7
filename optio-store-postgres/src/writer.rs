//! The writer of a process: it takes all that waits, carries it out in one transaction, and answers once that is stored.
//!
//! Durability costs a sync of the server's disk for each transaction, and each statement a way over the network; so
//! commits that come while transactions are under way share the next one. A few are under way at once, for while one of
//! them waits for the disk or the network, the server can work on another. Each commit succeeds or fails by itself:
//! `batch` sees to that. What fails for a reason that passes (a deadlock with another replica, a connection that broke)
//! is done over here, and if the connection breaks at the very end, Postgres is asked what has become of it. Once a newer
//! optio has migrated the database nothing more is written: what this one knows of a record is not all of it any more.

use std::{pin::pin, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use optio_core::{Error, Result};

use crate::{error::closed, lane::Lane, op::Op, place::STAY, pool::Pool, transaction::Failure};

/// How many commits may wait before callers have to.
pub(crate) const WAITING: usize = 1024;
/// How many commits share a transaction at most.
const BATCH: usize = 512;
/// How long a batch waits for more while others are under way.
const PATIENCE: Duration = Duration::from_millis(3);

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
    pub(crate) fn answer(self, failure: Option<&Failure>) {
        let result = match failure {
            Some(failure) => Err(failure.meaning()),
            None => self.result.unwrap_or_else(|| Err(closed())),
        };
        // nobody may be waiting any more: dropping a call does not undo it
        let _ = self.reply.send(result);
    }
}

/// How many connections write, and how much is under way on them.
#[derive(Debug)]
struct Lanes {
    pool: Pool,
    free: Vec<Lane>,
    under_way: JoinSet<(Lane, usize)>,
    /// Commits in batches that are under way.
    busy: usize,
}

impl Lanes {
    fn new(pool: Pool) -> Self {
        let lanes = pool.size();
        Self {
            free: (0..lanes).map(|_| Lane::new(&pool)).collect(),
            pool,
            under_way: JoinSet::new(),
            busy: 0,
        }
    }

    /// A lane that has nothing to do, once there is one.
    async fn next(&mut self) -> Lane {
        loop {
            match self.free.pop() {
                Some(lane) => return lane,
                None => self.ended().await,
            }
        }
    }

    /// Waits until a batch has been carried out, if one is under way.
    async fn ended(&mut self) {
        match self.under_way.join_next().await {
            Some(Ok((lane, commits))) => {
                self.busy -= commits;
                self.free.push(lane);
            }
            // it has dropped its jobs, which tells those who wait for them
            Some(Err(_)) => self.free.push(Lane::new(&self.pool)),
            None => {}
        }
        if self.under_way.is_empty() {
            self.busy = 0;
        }
    }

    fn carry_out(&mut self, mut lane: Lane, batch: Vec<Job>) {
        let commits = batch.len();
        self.busy += commits;
        self.under_way.spawn(async move {
            lane.carry_out(batch).await;
            (lane, commits)
        });
    }

    async fn close(mut self) {
        while !self.under_way.is_empty() {
            self.ended().await;
        }
        for mut lane in self.free {
            lane.rest().await;
        }
        self.pool.close().await;
    }
}

/// Writes until `closing`, or until nobody can ask any more; then closes the connections.
pub(crate) async fn write(
    writers: Pool,
    readers: Pool,
    mut jobs: mpsc::Receiver<Job>,
    closing: CancellationToken,
) {
    let mut lanes = Lanes::new(writers);
    loop {
        let mut lane = lanes.next().await;
        let mut batch = Vec::new();
        let taken = tokio::select! {
            biased;
            taken = jobs.recv_many(&mut batch, 1) => taken,
            () = closing.cancelled(), if !jobs.is_closed() => {
                jobs.close(); // what waits already is still carried out
                lanes.free.push(lane);
                continue;
            }
            // that one has a connection, and so is the one to go on with, or to give it back
            () = lanes.ended(), if !lanes.under_way.is_empty() => {
                lanes.free.insert(0, lane);
                continue;
            }
            () = tokio::time::sleep(STAY), if lane.has_place() => {
                lane.rest().await;
                lanes.free.insert(0, lane);
                continue;
            }
        };
        if taken == 0 {
            lanes.free.push(lane);
            break;
        }
        gather(&mut batch, &mut jobs, &mut lanes).await;
        lanes.carry_out(lane, batch);
    }
    lanes.close().await;
    readers.close().await;
}

/// Adds to a batch what waits too. While others are under way there is no hurry: a small batch costs nearly as much as a
/// large one, so one that is not a third as large as they are waits for more until one of them is stored, but not for long.
async fn gather(batch: &mut Vec<Job>, jobs: &mut mpsc::Receiver<Job>, lanes: &mut Lanes) {
    let mut patience = pin!(tokio::time::sleep(PATIENCE));
    loop {
        // whoever was woken together with the first one hands in its commit now
        tokio::task::yield_now().await;
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        if batch.len() >= BATCH || batch.len() * 3 >= lanes.busy {
            return;
        }
        tokio::select! {
            biased;
            () = lanes.ended() => {}
            taken = jobs.recv_many(batch, BATCH - batch.len()) => if taken == 0 { return },
            () = &mut patience => return,
        }
    }
}

/// The error for whoever asks a store that is closed, or whose writer is gone.
pub(crate) fn gone<T>(_: T) -> Error {
    closed()
}
