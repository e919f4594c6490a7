//! Bugs that are planted to see them found: each takes one guard away, in a decorator that only the simulation has.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use optio_core::{
    Result, Timestamp,
    account::Pause,
    clock::Clock,
    failure::ExitStatus,
    forge::{Forge, GitCredentials, MergeRequest, NewPullRequest, RepositoryFacts},
    id::{RepoId, RunId, TaskId, WorkspaceId},
    money::Usd,
    pull_request::{Checks, CommitId, PrNumber, PullRequest, ReviewReport},
    queue::{Claim, Job, Queue, QueueLimits, Waiting},
    repo::{Repo, RepoUrl},
    run::{Run, WorkerId},
    runtime::{
        Command, ExecOptions, ExecOutput, Input, ObservedWorkspace, Output, OutputOffset,
        RunStatus, Runtime, WorkspaceSpec,
    },
    schedule::Schedule,
    store::{Audit, Commit, OnlyLive, OutboxEntry, RunQuery, Sharing, Store, TaskQuery, Write},
    task::{StateName, Task},
    transcript::{LogCursor, LogEntry},
    webhook::Webhook,
    workspace::{Workspace, WorkspacePath},
};

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The store does not look at the epoch of who writes about a run.
    NoFence,
    /// The slot of a run is released before the run has ended, and whoever takes it finds no live run of a task that is
    /// queued again.
    SecondRun,
    /// Work is said to be saved and is not.
    NoRescue,
    /// Checks that the forge does not tell count as green.
    UnknownIsGreen,
    /// Logs count as old as soon as their runs have ended.
    EarlyRemoval,
}

impl Sabotage {
    /// Every planted bug.
    pub const ALL: [Self; 5] = [
        Self::NoFence,
        Self::SecondRun,
        Self::NoRescue,
        Self::UnknownIsGreen,
        Self::EarlyRemoval,
    ];
}

/// A store without one of its guards.
#[derive(Debug)]
pub(crate) struct SabotagedStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sabotage: Sabotage,
}

#[async_trait]
impl Store for SabotagedStore {
    async fn commit(&self, mut commit: Commit) -> Result<()> {
        if self.sabotage == Sabotage::NoFence {
            for guard in &mut commit.guards {
                guard.epoch = self.inner.run(guard.run).await?.epoch;
            }
            for write in &mut commit.writes {
                if let Write::Run(run) = write {
                    run.epoch = self.inner.run(run.id).await?.epoch;
                }
            }
        }
        self.inner.commit(commit).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>> {
        let mut runs = self.inner.runs(query).await?;
        if self.sabotage == Sabotage::SecondRun && query.only_live == OnlyLive::Yes {
            let queued = self
                .inner
                .tasks(&TaskQuery::in_states([StateName::Queued]))
                .await?;
            let queued: Vec<TaskId> = queued.iter().map(|task| task.id).collect();
            let now = self.clock.now();
            // those whose worker is gone stay in sight: they have to be adopted, or nothing ever ends
            runs.retain(|run| run.lease.until <= now || !queued.contains(&run.task));
        }
        Ok(runs)
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
        let ended_before = match self.sabotage {
            Sabotage::EarlyRemoval => Timestamp::MAX,
            _ => ended_before,
        };
        self.inner.old_logs(ended_before, limit).await
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        self.inner.pauses().await
    }
}

/// A queue in which a slot ends with its first lease, whoever is at work in it.
#[derive(Debug)]
pub(crate) struct SabotagedQueue {
    pub(crate) inner: Arc<dyn Queue>,
}

#[async_trait]
impl Queue for SabotagedQueue {
    async fn renew(&self, _claim: &Claim, _lease: Duration) -> Result<()> {
        Ok(())
    }

    async fn push(&self, job: Job) -> Result<()> {
        self.inner.push(job).await
    }

    async fn push_all(&self, jobs: Vec<Job>) -> Result<()> {
        self.inner.push_all(jobs).await
    }

    async fn claim(&self, worker: &WorkerId, lease: Duration) -> Result<Option<Claim>> {
        self.inner.claim(worker, lease).await
    }

    async fn adopt(&self, job: Job, worker: &WorkerId, lease: Duration) -> Result<Claim> {
        self.inner.adopt(job, worker, lease).await
    }

    async fn complete(&self, claim: Claim) -> Result<()> {
        self.inner.complete(claim).await
    }

    async fn complete_and_claim(&self, claim: Claim, lease: Duration) -> Result<Option<Claim>> {
        self.inner.complete_and_claim(claim, lease).await
    }

    async fn release(&self, claim: Claim, not_before: Option<Timestamp>) -> Result<()> {
        self.inner.release(claim, not_before).await
    }

    async fn remove(&self, task: TaskId) -> Result<()> {
        self.inner.remove(task).await
    }

    async fn reprioritise(&self, task: TaskId, priority: i32) -> Result<()> {
        self.inner.reprioritise(task, priority).await
    }

    async fn set_limits(&self, limits: QueueLimits) -> Result<()> {
        self.inner.set_limits(limits).await
    }

    async fn changed(&self) -> Result<()> {
        self.inner.changed().await
    }

    async fn waiting(&self) -> Result<Vec<Waiting>> {
        self.inner.waiting().await
    }

    async fn claimed(&self) -> Result<Vec<(TaskId, WorkerId)>> {
        self.inner.claimed().await
    }

    async fn missing(&self, tasks: &[TaskId]) -> Result<Vec<TaskId>> {
        self.inner.missing(tasks).await
    }
}

/// A runtime in which pushes of rescued work succeed and do nothing.
#[derive(Debug)]
pub(crate) struct SabotagedRuntime {
    pub(crate) inner: Arc<dyn Runtime>,
}

#[async_trait]
impl Runtime for SabotagedRuntime {
    async fn exec(
        &self,
        workspace: WorkspaceId,
        command: Command,
        options: ExecOptions,
    ) -> Result<ExecOutput> {
        let mut args = command.args.iter();
        if args.any(|arg| arg.contains(":refs/optio/rescue/")) {
            return Ok(ExecOutput {
                status: ExitStatus::Code(0),
                stdout: Bytes::new(),
                stderr: Bytes::new(),
            });
        }
        self.inner.exec(workspace, command, options).await
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn create(&self, spec: &WorkspaceSpec) -> Result<()> {
        self.inner.create(spec).await
    }

    async fn list(&self) -> Result<Vec<ObservedWorkspace>> {
        self.inner.list().await
    }

    async fn remove(&self, workspace: WorkspaceId) -> Result<()> {
        self.inner.remove(workspace).await
    }

    async fn spawn(&self, workspace: WorkspaceId, run: RunId, command: Command) -> Result<()> {
        self.inner.spawn(workspace, run, command).await
    }

    async fn attach(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        from: OutputOffset,
    ) -> Result<Box<dyn Output>> {
        self.inner.attach(workspace, run, from).await
    }

    async fn feed(&self, workspace: WorkspaceId, run: RunId, input: Input) -> Result<()> {
        self.inner.feed(workspace, run, input).await
    }

    async fn status(&self, workspace: WorkspaceId, run: RunId) -> Result<RunStatus> {
        self.inner.status(workspace, run).await
    }

    async fn kill(&self, workspace: WorkspaceId, run: RunId, grace: Duration) -> Result<()> {
        self.inner.kill(workspace, run, grace).await
    }

    async fn forget(&self, workspace: WorkspaceId, run: RunId) -> Result<()> {
        self.inner.forget(workspace, run).await
    }

    async fn read_file(
        &self,
        workspace: WorkspaceId,
        path: &WorkspacePath,
        limit: usize,
    ) -> Result<Bytes> {
        self.inner.read_file(workspace, path, limit).await
    }

    fn root(&self, workspace: WorkspaceId) -> String {
        self.inner.root(workspace)
    }
}

/// A forge whose silence counts as consent.
#[derive(Debug)]
pub(crate) struct SabotagedForge {
    pub(crate) inner: Arc<dyn Forge>,
}

#[async_trait]
impl Forge for SabotagedForge {
    async fn pull_request(&self, repo: &Repo, number: PrNumber) -> Result<PullRequest> {
        let mut seen = self.inner.pull_request(repo, number).await?;
        if matches!(seen.checks, Checks::Unknown { .. }) {
            seen.checks = Checks::Passed;
        }
        Ok(seen)
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn handles(&self, url: &RepoUrl) -> bool {
        self.inner.handles(url)
    }

    async fn repository(&self, url: &RepoUrl) -> Result<RepositoryFacts> {
        self.inner.repository(url).await
    }

    async fn credentials(&self, repo: &Repo) -> Result<Option<GitCredentials>> {
        self.inner.credentials(repo).await
    }

    async fn find(&self, repo: &Repo, head_branch: &str) -> Result<Option<PullRequest>> {
        self.inner.find(repo, head_branch).await
    }

    async fn open(&self, repo: &Repo, new: &NewPullRequest) -> Result<PullRequest> {
        self.inner.open(repo, new).await
    }

    async fn review(
        &self,
        repo: &Repo,
        number: PrNumber,
        head: &CommitId,
        report: &ReviewReport,
    ) -> Result<()> {
        self.inner.review(repo, number, head, report).await
    }

    async fn merge(
        &self,
        repo: &Repo,
        number: PrNumber,
        request: &MergeRequest,
    ) -> Result<CommitId> {
        self.inner.merge(repo, number, request).await
    }

    async fn comment(&self, repo: &Repo, number: PrNumber, marker: &str, body: &str) -> Result<()> {
        self.inner.comment(repo, number, marker, body).await
    }

    async fn close(&self, repo: &Repo, number: PrNumber) -> Result<()> {
        self.inner.close(repo, number).await
    }
}
