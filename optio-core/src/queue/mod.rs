//! The port for dispatch: which task runs next, within the limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    error::Result,
    id::{RepoId, TaskId},
    run::WorkerId,
    scheduling::WaitReason,
};

/// Hands out tasks under limits.
///
/// The queue is a dispatcher, not the truth: losing all of it loses nothing, for it is rebuilt from the
/// [`Store`](crate::store::Store).
///
/// # Contract
/// - A task has at most one entry. Pushing it again replaces the entry (the older `since` is not kept); pushing a task that is
///   claimed makes it wait behind that claim, and it is handed out again once the claim is gone.
/// - [`claim`](Self::claim) is one atomic step: of the entries that are due, whose repository and the whole fleet have a
///   free slot, it takes the one that [`scheduling::rank`](crate::scheduling::rank) puts first. A full repository is skipped.
/// - A claim holds its slot until it is completed, released, or its lease ends. When the lease ends the entry waits
///   again, unchanged, and every call with the old claim is `Conflict`.
/// - Any change that may let a waiting worker claim (push, completed, released, removed, new limits, a lease or a delay that
///   ends) completes every pending [`changed`](Self::changed) at once. Missing a change by a race is not possible:
///   a change after the last look counts.
/// - A queue that is shared and has lost everything (a server that was emptied, or started anew) says so to each handle
///   that had set limits: its [`claim`](Self::claim), [`complete_and_claim`](Self::complete_and_claim) and
///   [`changed`](Self::changed) fail with [`NotFound`](crate::error::ErrorKind::NotFound), within seconds also for one that
///   waits, until that handle sets limits again. So nothing is handed out under limits that nobody has set, and whoever
///   is told can rebuild it at once.
#[async_trait]
pub trait Queue: fmt::Debug + Send + Sync + 'static {
    /// Puts a task in, or replaces its entry.
    async fn push(&self, job: Job) -> Result<()>;

    /// Puts many tasks in, each as [`push`](Self::push) does. If it fails, some of them may be in.
    async fn push_all(&self, jobs: Vec<Job>) -> Result<()> {
        for job in jobs {
            self.push(job).await?;
        }
        Ok(())
    }

    /// Takes the best entry that the limits allow; none if there is none.
    async fn claim(&self, worker: &WorkerId, lease: Duration) -> Result<Option<Claim>>;

    /// Takes the slot of a run that is already at work, whatever the limits say: after a restart, or after the queue
    /// was lost. An entry of the same task is taken with it. `Conflict` if somebody else holds a claim on the task.
    async fn adopt(&self, job: Job, worker: &WorkerId, lease: Duration) -> Result<Claim>;

    /// Makes a claim last until `lease` from now. `Conflict` if it is lost.
    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<()>;

    /// Gives the slot back; the entry is gone. `Conflict` if the claim is lost.
    async fn complete(&self, claim: Claim) -> Result<()>;

    /// Gives the slot back and takes the best entry that the limits allow then, for the same worker: the slot's next
    /// task, in the same step where the backend can. `Conflict` if the claim is lost; then nothing is taken. After any
    /// other error the slot may or may not be given back.
    async fn complete_and_claim(&self, claim: Claim, lease: Duration) -> Result<Option<Claim>> {
        let worker = claim.worker().clone();
        self.complete(claim).await?;
        self.claim(&worker, lease).await
    }

    /// Gives the slot back and lets the entry wait again, until `not_before` if given. `Conflict` if the claim is lost.
    async fn release(&self, claim: Claim, not_before: Option<Timestamp>) -> Result<()>;

    /// Takes a waiting entry out. A claim is not touched. No error if there is none.
    async fn remove(&self, task: TaskId) -> Result<()>;

    /// Gives an entry another priority. No error if there is none.
    async fn reprioritise(&self, task: TaskId, priority: i32) -> Result<()>;

    /// Sets the limits for everybody. Claims above a lowered limit are kept.
    async fn set_limits(&self, limits: QueueLimits) -> Result<()>;

    /// Completes once something has changed since the caller's last [`claim`](Self::claim) or `changed` through this
    /// handle that may let it claim. May complete without need; never fails to complete when there is need. Drop it to
    /// stop waiting.
    async fn changed(&self) -> Result<()>;

    /// Everything that waits, in the order in which it would be handed out, each with the reason why it waits.
    async fn waiting(&self) -> Result<Vec<Waiting>>;

    /// Where one task stands in [`waiting`](Self::waiting); none if it does not wait. Backends that are shared should not
    /// read everything for it.
    async fn position(&self, task: TaskId) -> Result<Option<Position>> {
        let waiting = self.waiting().await?.into_iter();
        let mut numbered = (1..).zip(waiting);
        let found = numbered.find(|(_, waiting)| waiting.job.task == task);
        Ok(found.map(|(place, waiting)| Position { place, waiting }))
    }

    /// The tasks that are claimed and by whom.
    async fn claimed(&self) -> Result<Vec<(TaskId, WorkerId)>>;

    /// Those of these tasks that neither wait nor are claimed, in the order given.
    async fn missing(&self, tasks: &[TaskId]) -> Result<Vec<TaskId>> {
        let waiting = self.waiting().await?;
        let claimed = self.claimed().await?;
        let there: BTreeSet<TaskId> = (waiting.iter().map(|entry| entry.job.task))
            .chain(claimed.iter().map(|(task, _)| *task))
            .collect();
        let missing = tasks.iter().filter(|task| !there.contains(task));
        Ok(missing.copied().collect())
    }
}

/// An entry of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// The task.
    pub task: TaskId,
    /// Its repository.
    pub repo: RepoId,
    /// Lower first.
    pub priority: i32,
    /// Since when it waits: its age.
    pub since: Timestamp,
    /// Not handed out before this moment.
    pub not_before: Option<Timestamp>,
}

/// How many may be at work at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueLimits {
    /// In all.
    pub global: u32,
    /// Of each repository that is not named below.
    pub per_repo: u32,
    /// Of these repositories.
    pub repos: BTreeMap<RepoId, u32>,
}

impl QueueLimits {
    /// The limit of one repository.
    #[must_use]
    pub fn of(&self, repo: RepoId) -> u32 {
        self.repos.get(&repo).copied().unwrap_or(self.per_repo)
    }
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            global: 5,
            per_repo: 2,
            repos: BTreeMap::new(),
        }
    }
}

/// The right to work on a task, until its lease ends. It cannot be copied: what ends it takes it away.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a claim that is dropped holds its slot until its lease ends"]
pub struct Claim {
    job: Job,
    worker: WorkerId,
    token: u64,
}

impl Claim {
    /// For implementations of [`Queue`]: a claim on `job`, told from earlier claims on the same task by `token`.
    pub fn new(job: Job, worker: WorkerId, token: u64) -> Self {
        Self { job, worker, token }
    }

    /// What was claimed.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Who claimed it.
    #[must_use]
    pub fn worker(&self) -> &WorkerId {
        &self.worker
    }

    /// What tells it from earlier claims on the same task.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }
}

/// An entry that waits, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The entry.
    pub job: Job,
    /// Why it is not at work.
    pub why: WaitReason,
}

/// Where an entry stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Its place in the order in which entries are handed out, from 1.
    pub place: usize,
    /// The entry, and why it waits.
    pub waiting: Waiting,
}

#[cfg(test)]
mod tests;
