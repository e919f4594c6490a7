//! State in memory: sorted maps behind one lock.

mod commit;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::{
    account::{AccountName, Pause},
    clock::Timestamp,
    error::{Error, Result},
    id::{OutboxId, RepoId, RunId, ScheduleId, TaskId, WebhookId, WorkspaceId},
    money::Usd,
    repo::{Repo, RepoUrl},
    run::{Lease, Run, WorkerId},
    schedule::Schedule,
    store::{Audit, Commit, OnlyLive, OutboxEntry, RunQuery, Sharing, Store, TaskOrder, TaskQuery},
    task::{StateName, Task},
    transcript::{LogCursor, LogEntry},
    webhook::Webhook,
    workspace::Workspace,
};

const BACKEND: &str = "memory store";

/// A [`Store`] that lasts as long as the process.
#[derive(Debug)]
pub struct MemoryStore {
    sharing: Sharing,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tasks: BTreeMap<TaskId, Task>,
    runs: BTreeMap<RunId, Run>,
    repos: BTreeMap<RepoId, Repo>,
    workspaces: BTreeMap<WorkspaceId, Workspace>,
    schedules: BTreeMap<ScheduleId, Schedule>,
    webhooks: BTreeMap<WebhookId, Webhook>,
    history: BTreeMap<TaskId, Vec<Audit>>,
    logs: BTreeMap<TaskId, BTreeMap<LogCursor, LogEntry>>,
    removed_logs: BTreeSet<RunId>,
    outbox: BTreeMap<OutboxId, Outgoing>,
    leases: BTreeMap<String, Lease>,
    pauses: BTreeMap<AccountName, Pause>,
}

#[derive(Debug)]
struct Outgoing {
    entry: OutboxEntry,
    /// When it may be claimed: not before its time, and not while it is claimed.
    due: Timestamp,
}

impl MemoryStore {
    /// An empty store that behaves as one that several processes share: leases decide.
    #[must_use]
    pub fn new() -> Self {
        Self::with_sharing(Sharing::Shared)
    }

    /// An empty store that says of itself whether it is shared.
    #[must_use]
    pub fn with_sharing(sharing: Sharing) -> Self {
        Self {
            sharing,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // whoever panicked with the lock in hand did so in a read or between two whole steps
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn sharing(&self) -> Sharing {
        self.sharing
    }

    async fn commit(&self, commit: Commit) -> Result<()> {
        self.state().commit(commit)
    }

    async fn task(&self, id: TaskId) -> Result<Task> {
        found(self.state().tasks.get(&id), id)
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<Vec<Task>> {
        let state = self.state();
        let wanted = |task: &&Task| matches(query, task);
        let limit = query.limit.unwrap_or(usize::MAX);
        Ok(match query.order {
            TaskOrder::Ascending => (state.tasks.values())
                .skip_while(|task| query.after.is_some_and(|after| task.id <= after))
                .filter(wanted)
                .take(limit)
                .cloned()
                .collect(),
            TaskOrder::Descending => (state.tasks.values().rev())
                .skip_while(|task| query.after.is_some_and(|after| task.id >= after))
                .filter(wanted)
                .take(limit)
                .cloned()
                .collect(),
        })
    }

    async fn count_tasks(&self) -> Result<Vec<(StateName, u64)>> {
        let mut counts = BTreeMap::new();
        for task in self.state().tasks.values() {
            *counts.entry(task.state.name()).or_default() += 1;
        }
        Ok(counts.into_iter().collect())
    }

    async fn run(&self, id: RunId) -> Result<Run> {
        found(self.state().runs.get(&id), id)
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>> {
        let wanted = |run: &&Run| {
            query.task.is_none_or(|task| run.task == task)
                && query.workspace.is_none_or(|place| run.workspace == place)
                && (query.only_live == OnlyLive::No || run.is_live())
        };
        Ok(self.state().runs.values().filter(wanted).cloned().collect())
    }

    async fn repo(&self, id: RepoId) -> Result<Repo> {
        found(self.state().repos.get(&id), id)
    }

    async fn repo_by_url(&self, url: &RepoUrl) -> Result<Option<Repo>> {
        let state = self.state();
        Ok(state.repos.values().find(|repo| repo.url == *url).cloned())
    }

    async fn repos(&self) -> Result<Vec<Repo>> {
        Ok(self.state().repos.values().cloned().collect())
    }

    async fn workspaces(&self) -> Result<Vec<Workspace>> {
        let mut all: Vec<_> = self.state().workspaces.values().cloned().collect();
        all.sort_by_key(|workspace| (workspace.repo, workspace.ordinal, workspace.id));
        Ok(all)
    }

    async fn history(&self, task: TaskId) -> Result<Vec<Audit>> {
        Ok(self.state().history.get(&task).cloned().unwrap_or_default())
    }

    async fn log(&self, task: TaskId, after: LogCursor, limit: usize) -> Result<Vec<LogEntry>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let state = self.state();
        let log = state.logs.get(&task).into_iter();
        Ok(log
            .flat_map(|log| log.range((Excluded(after), Unbounded)))
            .take(limit)
            .map(|(_, entry)| entry.clone())
            .collect())
    }

    async fn log_tail(&self, task: TaskId, limit: usize) -> Result<Vec<LogEntry>> {
        let state = self.state();
        let log = state.logs.get(&task).into_iter();
        let mut tail: Vec<_> = log
            .flat_map(|log| log.values().rev())
            .take(limit)
            .cloned()
            .collect();
        tail.reverse();
        Ok(tail)
    }

    async fn spent(&self, repo: Option<RepoId>, since: Timestamp) -> Result<Usd> {
        let state = self.state();
        let counted = (state.runs.values())
            .filter(|run| run.started_at >= since && repo.is_none_or(|repo| run.repo == repo));
        Ok(counted.map(|run| run.usage().cost).sum())
    }

    async fn claim_outbox(
        &self,
        now: Timestamp,
        claimed_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxEntry>> {
        let mut state = self.state();
        let due = (state.outbox.values_mut())
            .filter(|outgoing| outgoing.due <= now)
            .take(limit);
        Ok(due
            .map(|outgoing| {
                outgoing.due = claimed_until;
                outgoing.entry.attempts += 1;
                outgoing.entry.clone()
            })
            .collect())
    }

    async fn lease(
        &self,
        name: &str,
        holder: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool> {
        let mut state = self.state();
        let held = (state.leases.get(name))
            .is_some_and(|lease| lease.holder != *holder && lease.until > now);
        if !held {
            let holder = holder.clone();
            state
                .leases
                .insert(name.to_owned(), Lease { holder, until });
        }
        Ok(!held)
    }

    async fn schedules(&self) -> Result<Vec<Schedule>> {
        Ok(self.state().schedules.values().cloned().collect())
    }

    async fn webhooks(&self) -> Result<Vec<Webhook>> {
        Ok(self.state().webhooks.values().cloned().collect())
    }

    async fn old_logs(&self, ended_before: Timestamp, limit: usize) -> Result<Vec<Run>> {
        let state = self.state();
        let mut old: Vec<(Timestamp, &Run)> = (state.runs.values())
            .filter(|run| !state.removed_logs.contains(&run.id))
            .filter_map(|run| Some((run.ended_at()?, run)))
            .filter(|(ended_at, _)| *ended_at < ended_before)
            .collect();
        old.sort_by_key(|(ended_at, run)| (*ended_at, run.id));
        let old = old.into_iter().take(limit);
        Ok(old.map(|(_, run)| run.clone()).collect())
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        Ok(self.state().pauses.values().cloned().collect())
    }
}

fn found<T: Clone>(record: Option<&T>, id: impl std::fmt::Display) -> Result<T> {
    record.cloned().ok_or_else(|| Error::not_found(BACKEND, id))
}

fn matches(query: &TaskQuery, task: &Task) -> bool {
    let ticket = |(source, key): &(String, String)| {
        (task.ticket.as_ref()).is_some_and(|ticket| ticket.source == *source && ticket.key == *key)
    };
    (query.ids.as_ref()).is_none_or(|ids| ids.contains(&task.id))
        && (query.states.is_empty() || query.states.contains(&task.state.name()))
        && query.repo.is_none_or(|repo| task.repo == repo)
        && (query.parent).is_none_or(|parent| task.parent() == Some(parent))
        && (query.depends_on).is_none_or(|other| task.depends_on.contains(&other))
        && query.ticket.as_ref().is_none_or(ticket)
}
