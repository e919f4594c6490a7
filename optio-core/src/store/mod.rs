//! The port for state. The Store is the truth; everything else can be lost and is rebuilt from it.

mod check;

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    account::{AccountName, Pause, PauseEnd},
    clock::Timestamp,
    decision::{DecisionRecord, SnapshotDigest},
    error::Result,
    id::{OutboxId, RepoId, RunId, ScheduleId, TaskId, WebhookId, WorkspaceId},
    money::Usd,
    repo::{Repo, RepoUrl},
    run::{Run, WorkerId},
    schedule::Schedule,
    task::{StateName, Task},
    transcript::{LogCursor, LogEntry},
    webhook::Webhook,
    workspace::Workspace,
};

/// Where state lives.
///
/// # Contract
/// - [`commit`](Self::commit) is all or nothing and durable when it returns. Two commits that touch the same record
///   are ordered; a reader never sees half of one.
/// - A record is written only if its `version` is the stored one (zero and absent for a new record); it is then
///   stored with `version + 1`. Anything else is [`Conflict`](crate::error::ErrorKind::Conflict) and changes nothing.
/// - A commit that could never be carried out is refused as [`Commit::check`] says, whatever is stored.
/// - A commit guarded by a [`RunGuard`] fails with `Conflict` unless the run is stored with that epoch and is live.
/// - A record that cannot be read as what it should be is [`Corrupt`](crate::error::ErrorKind::Corrupt), naming it.
/// - Reads see every commit that returned before they began.
/// - Dropping a future may or may not carry out the call; it never leaves half of it.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Whether other processes may be at work on the same state.
    fn sharing(&self) -> Sharing;

    /// Writes a change: all of it or nothing.
    async fn commit(&self, commit: Commit) -> Result<()>;

    /// A task; `NotFound` if there is none.
    async fn task(&self, id: TaskId) -> Result<Task>;

    /// Tasks, by id (which is by age), ascending unless the query says otherwise.
    async fn tasks(&self, query: &TaskQuery) -> Result<Vec<Task>>;

    /// How many tasks are in each state; states without any are left out.
    async fn count_tasks(&self) -> Result<Vec<(StateName, u64)>>;

    /// A run; `NotFound` if there is none.
    async fn run(&self, id: RunId) -> Result<Run>;

    /// Runs, by id (which is by age), ascending.
    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>>;

    /// A repository; `NotFound` if there is none.
    async fn repo(&self, id: RepoId) -> Result<Repo>;

    /// The repository of this address, however it is spelt.
    async fn repo_by_url(&self, url: &RepoUrl) -> Result<Option<Repo>>;

    /// All repositories, by id.
    async fn repos(&self) -> Result<Vec<Repo>>;

    /// All workspaces that were not forgotten, by repository and ordinal.
    async fn workspaces(&self) -> Result<Vec<Workspace>>;

    /// What happened to a task, oldest first.
    async fn history(&self, task: TaskId) -> Result<Vec<Audit>>;

    /// Log entries of a task behind a cursor, ascending, at most `limit`.
    async fn log(&self, task: TaskId, after: LogCursor, limit: usize) -> Result<Vec<LogEntry>>;

    /// The last `limit` log entries of a task, ascending.
    async fn log_tail(&self, task: TaskId, limit: usize) -> Result<Vec<LogEntry>>;

    /// What runs that started at or after `since` have cost: those of one repository, or all of them.
    async fn spent(&self, repo: Option<RepoId>, since: Timestamp) -> Result<Usd>;

    /// Outbox entries that are due at `now` and not claimed by somebody else, oldest first, at most `limit`. They are
    /// claimed until `claimed_until`: nobody else is given them before, and afterwards they are due again.
    async fn claim_outbox(
        &self,
        now: Timestamp,
        claimed_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxEntry>>;

    /// Takes or renews a named lease until `until`. False if somebody else holds it at `now`.
    async fn lease(
        &self,
        name: &str,
        holder: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool>;

    /// All schedules, by id.
    async fn schedules(&self) -> Result<Vec<Schedule>>;

    /// All outgoing webhooks, by id.
    async fn webhooks(&self) -> Result<Vec<Webhook>>;

    /// Runs that ended before this moment and whose log was not removed, the one that ended first before all others; at
    /// most `limit`.
    async fn old_logs(&self, ended_before: Timestamp, limit: usize) -> Result<Vec<Run>>;

    /// The pauses of accounts, by name: at most one for each. One whose time has passed is kept until it is lifted.
    async fn pauses(&self) -> Result<Vec<Pause>>;
}

/// Whether other processes may be at work on the same state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// This process has it to itself, and the store sees to that: what another process held before is free.
    Exclusive,
    /// Several processes share it; leases decide.
    Shared,
}

/// A change: records to write, guarded by their versions, and what must follow from it.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Runs that must still be held by the writer.
    pub guards: Vec<RunGuard>,
    /// The writes, carried out in order.
    pub writes: Vec<Write>,
}

/// A run that the writer must still hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunGuard {
    /// The run.
    pub run: RunId,
    /// The epoch in which the writer holds it.
    pub epoch: u64,
}

/// One write of a commit.
#[derive(Debug, Clone)]
pub enum Write {
    /// A task, new or changed.
    Task(Task),
    /// A new run. `Conflict` if its id exists.
    NewRun(Run),
    /// A changed run; guarded by a [`RunGuard`] of the same commit, or by the epoch one below its own when it changes
    /// hands ([`TakeOver`](Self::TakeOver)).
    Run(Run),
    /// A run that changes hands: its stored epoch and lease become the given ones, only if the stored epoch is one less
    /// than the given one and the run is live. All else stays as it is stored: what its old holder wrote after the taker
    /// had read it is not taken back.
    TakeOver(Run),
    /// Not a write but a condition: no task that is stored comes from this ticket. `Conflict` otherwise. Commits with
    /// such a condition come one after the other, whoever makes them.
    TicketIsNew {
        /// The ticket's source.
        source: String,
        /// Its key there.
        key: String,
    },
    /// Not a write but a condition: once the writes before it are made, no more runs than this are live. `Conflict`
    /// otherwise. Commits with such a condition come one after the other, whoever makes them.
    LiveRunsAtMost {
        /// Which runs.
        of: RunsOf,
        /// How many of them may be live.
        limit: u32,
    },
    /// A repository, new or changed. `Conflict` if another one has the same address.
    Repo(Repo),
    /// A workspace, new or changed. `Conflict` if it takes runs and another one of its repository that does has its
    /// ordinal: of two replicas that make room at once one is told.
    Workspace(Workspace),
    /// A run begins in a workspace: it is used at this moment, and is a version further, so that nobody who has not seen
    /// that takes it away. `Conflict` if it takes no runs. Whatever else was changed about it is in nobody's way: many
    /// may begin at once.
    UseWorkspace(WorkspaceId, Timestamp),
    /// Forgets a workspace, if its version is the stored one.
    ForgetWorkspace(WorkspaceId, u64),
    /// Log entries of a run of this task, following on without a gap from what is stored. `Conflict` otherwise.
    Log(TaskId, Vec<LogEntry>),
    /// Removes the log of a run that has ended, or its beginning. `Conflict` if the run is live once the writes before it
    /// are made: whoever follows it stands on what is stored of its log.
    RemoveLog(RemovedLog),
    /// A line of a task's history.
    Audit(Audit),
    /// Something to be delivered once this is committed.
    Outbox(OutboxEntry),
    /// An outbox entry was delivered, or given up: it is forgotten.
    Delivered(OutboxId),
    /// An outbox entry could not be delivered: it is due again at `not_before`.
    Postponed(OutboxId, Timestamp),
    /// A schedule, new or changed.
    Schedule(Schedule),
    /// Forgets a schedule.
    ForgetSchedule(ScheduleId),
    /// A webhook, new or changed.
    Webhook(Webhook),
    /// Forgets a webhook.
    ForgetWebhook(WebhookId),
    /// Pauses an account, unless it is paused already until the same end or a later one. Never a conflict: of several
    /// that are written at once the one that ends last is kept.
    Pause(Pause),
    /// Lifts the pause of an account, if it is one with this end: a later one that came meanwhile stays.
    Lift(AccountName, PauseEnd),
}

impl Commit {
    /// An empty change.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same change, made only while the writer holds this run.
    #[must_use]
    pub fn guarded(mut self, run: RunId, epoch: u64) -> Self {
        self.guards.push(RunGuard { run, epoch });
        self
    }

    /// The same change with one more write.
    #[must_use]
    pub fn with(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }
}

/// Which runs are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunsOf {
    /// All.
    Fleet,
    /// Those of a repository.
    Repo(RepoId),
    /// Those in a workspace.
    Workspace(WorkspaceId),
}

impl RunsOf {
    /// Whether a run is one of them.
    #[must_use]
    pub fn has(self, run: &Run) -> bool {
        match self {
            Self::Fleet => true,
            Self::Repo(repo) => run.repo == repo,
            Self::Workspace(workspace) => run.workspace == workspace,
        }
    }
}

/// The log of a run that has ended, or its beginning, that is to be removed.
#[derive(Debug, Clone, PartialEq)]
pub struct RemovedLog {
    /// The run.
    pub run: RunId,
    /// Its task.
    pub task: TaskId,
    /// Its number in the task.
    pub number: u32,
    /// Entries up to this number go, or about as many: a backend that keeps several together may leave the last of them
    /// for the next time. All of them if none; then the run is none of the [`old_logs`](Store::old_logs) any more.
    pub through: Option<u64>,
    /// What says so: the first entry of what is left. None for a log that is empty.
    pub notice: Option<LogEntry>,
}

/// Which tasks are asked for. The default asks for all.
#[derive(Debug, Clone, Default)]
pub struct TaskQuery {
    /// Only these; an id that no task has finds nothing.
    pub ids: Option<Vec<TaskId>>,
    /// Only those in one of these states; all if empty.
    pub states: Vec<StateName>,
    /// Only those of this repository.
    pub repo: Option<RepoId>,
    /// Only the reviews of this task.
    pub parent: Option<TaskId>,
    /// Only those that depend on this task.
    pub depends_on: Option<TaskId>,
    /// Only those that came from the ticket source and key.
    pub ticket: Option<(String, String)>,
    /// Only those behind this one, in the order asked for.
    pub after: Option<TaskId>,
    /// Oldest or newest first.
    pub order: TaskOrder,
    /// At most so many; all if none.
    pub limit: Option<usize>,
}

/// The order of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TaskOrder {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

impl TaskQuery {
    /// Tasks in one of these states.
    #[must_use]
    pub fn in_states(states: impl IntoIterator<Item = StateName>) -> Self {
        Self {
            states: states.into_iter().collect(),
            ..Self::default()
        }
    }
}

/// Which runs are asked for. The default asks for all.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunQuery {
    /// Only those of this task.
    pub task: Option<TaskId>,
    /// Only those in this workspace.
    pub workspace: Option<WorkspaceId>,
    /// Only those that have not ended, or all.
    pub only_live: OnlyLive,
}

/// Whether runs that have ended are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnlyLive {
    /// All runs.
    #[default]
    No,
    /// Those that have not ended.
    Yes,
}

/// One line of a task's history: what happened, and which rule decided it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// The task.
    pub task: TaskId,
    /// When.
    pub at: Timestamp,
    /// The state before; none for a new task.
    pub from: Option<StateName>,
    /// The state after.
    pub to: StateName,
    /// The event's name.
    pub event: String,
    /// Who did it: a worker, `api`, ...
    pub actor: String,
    /// The rule that fired.
    pub rule: String,
    /// What it means, for people.
    pub detail: Option<String>,
    /// The digest of what it was decided from: of the last decision's snapshot, or of the state and the event where
    /// no policy was asked. None in lines from before there were digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<SnapshotDigest>,
    /// What policies said on the way, the deciding one last. Of two lines that one decision wrote, the first has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<DecisionRecord>,
}

/// Something that follows from a change and is delivered at least once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboxEntry {
    /// Its key.
    pub id: OutboxId,
    /// What is to be delivered.
    pub message: OutboxMessage,
    /// When it was written.
    pub at: Timestamp,
    /// It is not due before this moment.
    pub not_before: Timestamp,
    /// How often delivery was tried: counted by each claim.
    pub attempts: u32,
}

/// What an outbox entry delivers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
#[non_exhaustive]
pub enum OutboxMessage {
    /// The task's place in the queue has to be made to agree with its state: pushed if it is queued, else removed.
    SyncQueue {
        /// The task.
        task: TaskId,
    },
    /// A task entered a state: whoever waits for it is woken, and subscribed webhooks get a message each.
    TaskChanged {
        /// The task.
        task: TaskId,
        /// The state it entered.
        state: StateName,
    },
    /// One webhook is told that a task entered a state.
    Webhook {
        /// The subscriber.
        webhook: WebhookId,
        /// The body, fixed when the state was entered.
        body: String,
    },
    /// An account is not paused any more: the tasks that waited for it go on.
    WakeAccount {
        /// The account.
        account: AccountName,
    },
    /// The ticket of a completed task is closed, or told how it ended.
    Ticket {
        /// The task.
        task: TaskId,
    },
}

#[cfg(test)]
mod tests;
