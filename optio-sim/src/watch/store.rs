//! A store that holds every commit against the invariants.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use optio_core::{
    Result, Timestamp,
    account::Pause,
    id::{RepoId, RunId, TaskId},
    money::Usd,
    pull_request::PrState,
    repo::{Repo, RepoUrl},
    run::{Run, RunPhase, WorkerId},
    schedule::Schedule,
    store::{Audit, Commit, OutboxEntry, RunQuery, Sharing, Store, TaskQuery, Write},
    task::{Completion, StateName, Task, TaskState},
    transcript::{LogCursor, LogEntry},
    webhook::Webhook,
    workspace::Workspace,
};

use super::{Ledger, law, ledger::Book};

#[derive(Debug)]
pub(crate) struct WatchedStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) ledger: Arc<Ledger>,
}

/// What a commit broke.
type Broken = (&'static str, String);

#[async_trait]
impl Store for WatchedStore {
    async fn commit(&self, commit: Commit) -> Result<()> {
        let done = self.inner.commit(commit.clone()).await;
        match &done {
            Ok(()) => self.ledger.committed(&commit),
            Err(error) => self.ledger.note(|| format!("refused: {error}")),
        }
        done
    }

    fn sharing(&self) -> Sharing {
        self.inner.sharing()
    }

    async fn task(&self, id: TaskId) -> Result<Task> {
        self.inner.task(id).await
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<Vec<Task>> {
        self.inner.tasks(query).await
    }

    async fn count_tasks(&self) -> Result<Vec<(StateName, u64)>> {
        self.inner.count_tasks().await
    }

    async fn run(&self, id: RunId) -> Result<Run> {
        self.inner.run(id).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>> {
        self.inner.runs(query).await
    }

    async fn repo(&self, id: RepoId) -> Result<Repo> {
        self.inner.repo(id).await
    }

    async fn repo_by_url(&self, url: &RepoUrl) -> Result<Option<Repo>> {
        self.inner.repo_by_url(url).await
    }

    async fn repos(&self) -> Result<Vec<Repo>> {
        self.inner.repos().await
    }

    async fn workspaces(&self) -> Result<Vec<Workspace>> {
        self.inner.workspaces().await
    }

    async fn history(&self, task: TaskId) -> Result<Vec<Audit>> {
        self.inner.history(task).await
    }

    async fn log(&self, task: TaskId, after: LogCursor, limit: usize) -> Result<Vec<LogEntry>> {
        self.inner.log(task, after, limit).await
    }

    async fn log_tail(&self, task: TaskId, limit: usize) -> Result<Vec<LogEntry>> {
        self.inner.log_tail(task, limit).await
    }

    async fn spent(&self, repo: Option<RepoId>, since: Timestamp) -> Result<Usd> {
        self.inner.spent(repo, since).await
    }

    async fn claim_outbox(
        &self,
        now: Timestamp,
        claimed_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxEntry>> {
        self.inner.claim_outbox(now, claimed_until, limit).await
    }

    async fn lease(
        &self,
        name: &str,
        holder: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool> {
        self.inner.lease(name, holder, now, until).await
    }

    async fn schedules(&self) -> Result<Vec<Schedule>> {
        self.inner.schedules().await
    }

    async fn webhooks(&self) -> Result<Vec<Webhook>> {
        self.inner.webhooks().await
    }

    async fn old_logs(&self, ended_before: Timestamp, limit: usize) -> Result<Vec<Run>> {
        self.inner.old_logs(ended_before, limit).await
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        self.inner.pauses().await
    }
}

impl Ledger {
    /// Holds a commit that was made against the invariants, and keeps it.
    fn committed(&self, commit: &Commit) {
        let mut broken: Vec<Broken> = Vec::new();
        let mut audits: BTreeMap<TaskId, Vec<&Audit>> = BTreeMap::new();
        for write in &commit.writes {
            if let Write::Audit(audit) = write {
                audits.entry(audit.task).or_default().push(audit);
                self.note(|| audited(audit));
            }
        }
        for write in &commit.writes {
            let mut book = self.book();
            match write {
                Write::Task(task) => {
                    let lines = audits.get(&task.id).map_or(&[][..], Vec::as_slice);
                    broken.extend(book.task(task, lines));
                }
                Write::NewRun(run) => {
                    broken.extend(book.new_run(run));
                    let started = book.accounts.start(run);
                    broken.extend(started.map(|how| ("a paused account starts nothing", how)));
                    drop(book);
                    self.note(|| {
                        format!("{} placed for {} in {}", run.id, run.task, run.workspace)
                    });
                }
                Write::Run(run) | Write::TakeOver(run) => {
                    let takes = matches!(write, Write::TakeOver(_));
                    let stored = book.runs.get(&run.id).cloned();
                    let before = stored.as_ref().map(|run| run.phase.name());
                    let run = &match stored.filter(|_| takes) {
                        Some(stored) => Run {
                            epoch: run.epoch,
                            lease: run.lease.clone(),
                            ..stored
                        },
                        None => run.clone(),
                    };
                    broken.extend(book.run(run, if takes { 1 } else { 0 }));
                    drop(book);
                    if takes {
                        self.note(|| {
                            format!(
                                "{} taken over by {}, epoch {}",
                                run.id, run.lease.holder, run.epoch
                            )
                        });
                    }
                    if before != Some(run.phase.name()) {
                        self.note(|| format!("{} is {}{}", run.id, run.phase.name(), outcome(run)));
                    }
                    if !run.is_live() {
                        broken.extend(self.still_alive(run));
                    }
                }
                Write::Log(task, entries) => {
                    let ends = commit.writes.iter().any(|write| {
                        matches!(write, Write::Run(run) if run.task == *task
                            && entries.last().is_some_and(|last| last.cursor == LogCursor { run: run.number, seq: run.progress.seq }))
                    });
                    if !ends {
                        broken.push((
                            "log and offset are one",
                            format!("log of {task} without the offset that it covers"),
                        ));
                    }
                    book.logs.write(*task, entries);
                }
                Write::RemoveLog(removed) => {
                    let run = book.runs.get(&removed.run).cloned();
                    let now = self.facts.clock.now();
                    let early = book.logs.remove(removed, run.as_ref(), now);
                    broken.extend(early.map(|how| ("logs are kept for their time", how)));
                    drop(book);
                    self.note(|| format!("log of {} removed", removed.run));
                }
                Write::Pause(pause) => {
                    book.accounts.pause(pause);
                    drop(book);
                    self.note(|| pause.to_string());
                }
                Write::Lift(account, until) => {
                    book.accounts.lift(account, *until);
                    drop(book);
                    self.note(|| format!("the account {account} is not paused any more"));
                }
                Write::Repo(repo) => {
                    book.repos.insert(repo.id, repo.clone());
                }
                _ => {}
            }
        }
        for (id, _) in audits {
            broken.extend(self.completed_is_merged(id));
        }
        for (invariant, detail) in broken {
            self.broke(invariant, detail);
        }
    }

    /// Of a run that has ended no process is alive.
    fn still_alive(&self, run: &Run) -> Option<Broken> {
        let alive = self.facts.runtime.processes();
        alive.iter().any(|live| live.run == run.id).then(|| {
            (
                "an ended run has no process",
                format!("the agent of {} is still at work", run.id),
            )
        })
    }

    /// What is completed is merged, by the forge's word.
    fn completed_is_merged(&self, id: TaskId) -> Option<Broken> {
        let task = self.book().tasks.get(&id).cloned()?;
        let TaskState::Completed {
            how: Completion::Merged { commit },
            ..
        } = &task.state
        else {
            return None;
        };
        let url = self.url(task.repo)?;
        let number = task.pull_request.as_ref().map(|it| it.number);
        let merged = self.facts.forge.pull_requests(&url).iter().any(|seen| {
            Some(seen.number) == number
                && seen.state
                    == (PrState::Merged {
                        commit: commit.clone(),
                    })
        });
        (!merged).then(|| {
            (
                "completed is merged",
                format!("{id} is completed and not merged as {commit}"),
            )
        })
    }
}

impl Book {
    fn task(&mut self, task: &Task, audits: &[&Audit]) -> Option<Broken> {
        let before = self.tasks.insert(task.id, task.clone());
        let id = task.id;
        let mut at = before.as_ref().map(|before| before.state.name());
        for audit in audits {
            if audit.from != at {
                let detail = format!(
                    "{id} is {at:?}, and its history goes on from {:?}",
                    audit.from
                );
                return Some(("history is whole", detail));
            }
            if let Some(from) = audit.from
                && !self.law.allows(from, &audit.event, audit.to)
            {
                let detail = format!("{id} went from {from} to {} by {}", audit.to, audit.event);
                return Some(("no illegal state", detail));
            }
            at = Some(audit.to);
        }
        if at != Some(task.state.name()) {
            let detail = format!(
                "{id} is {} without a line in its history",
                task.state.name()
            );
            return Some(("history is whole", detail));
        }
        let before = before?;
        if before.usage.cost > task.usage.cost || before.runs > task.runs {
            let detail = format!("{id}: {} after {}", task.usage.cost, before.usage.cost);
            return Some(("costs never shrink", detail));
        }
        None
    }

    fn new_run(&mut self, run: &Run) -> Option<Broken> {
        let live: Vec<&Run> = self.runs.values().filter(|run| run.is_live()).collect();
        if let Some(other) = live.iter().find(|other| other.task == run.task) {
            let detail = format!(
                "{} is placed while {} of {} is live",
                run.id, other.id, run.task
            );
            return Some(("one live run for each task", detail));
        }
        let capacity = self
            .repos
            .get(&run.repo)
            .map_or(0, |repo| repo.settings.capacity());
        let here = live.iter().filter(|other| other.repo == run.repo).count();
        let each = (self.repos.get(&run.repo)).map_or(0, |repo| repo.settings.max_agents_per_pod);
        let beside = live.iter().filter(|other| other.workspace == run.workspace);
        let broken = [
            (beside.count(), each, "its workspace"),
            (here, capacity, "its repository"),
            (live.len(), self.global, "the fleet"),
        ]
        .into_iter()
        .find_map(|(live, limit, of)| {
            let held = u32::try_from(live).unwrap_or(u32::MAX) + 1;
            (held > limit).then(|| {
                let detail = format!("{} is run {held} of {limit} of {of}", run.id);
                ("limits are kept", detail)
            })
        });
        self.runs.insert(run.id, run.clone());
        broken
    }

    fn run(&mut self, run: &Run, step: u64) -> Option<Broken> {
        let Some(before) = self.runs.insert(run.id, run.clone()) else {
            return Some(("runs are placed", format!("{} was never placed", run.id)));
        };
        if before.epoch + step != run.epoch || !before.is_live() {
            let detail = format!(
                "{} is written in epoch {} by {}; it is in epoch {} and {}",
                run.id,
                run.epoch,
                run.lease.holder,
                before.epoch,
                before.phase.name()
            );
            return Some(("only its holder writes about a run", detail));
        }
        if !law::allows_phase(&before.phase, &run.phase) {
            let detail = format!(
                "{} went from {} to {}",
                run.id,
                before.phase.name(),
                run.phase.name()
            );
            return Some(("no illegal phase", detail));
        }
        let (was, is) = (before.progress, run.progress);
        if was.stdout > is.stdout || was.stderr > is.stderr || was.seq > is.seq {
            let detail = format!("{} was read to {was:?} and is read to {is:?}", run.id);
            return Some(("what was read stays read", detail));
        }
        if before.usage().cost > run.usage().cost {
            let detail = format!(
                "{}: {} after {}",
                run.id,
                run.usage().cost,
                before.usage().cost
            );
            return Some(("costs never shrink", detail));
        }
        if let RunPhase::Ended { .. } = run.phase
            && let Some(task) = self.tasks.get(&run.task)
            && task.state.run() == Some(run.id)
        {
            let detail = format!("{} has ended and {} is still at it", run.id, task.id);
            return Some(("a run's end moves its task", detail));
        }
        None
    }
}

fn audited(audit: &Audit) -> String {
    let from = audit.from.map_or("new", StateName::as_str);
    let detail = audit.detail.as_deref().unwrap_or_default();
    format!(
        "{}: {from} -> {} by {} ({}, {}) {detail}",
        audit.task, audit.to, audit.event, audit.rule, audit.actor
    )
}

fn outcome(run: &Run) -> String {
    run.outcome().map_or_else(String::new, |outcome| {
        let mut text = format!(": {outcome:?}");
        if let Some((cut, _)) = text.char_indices().nth(300) {
            text.truncate(cut);
        }
        text
    })
}
