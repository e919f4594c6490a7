//! A store behind a bad line.

use std::sync::Arc;

use async_trait::async_trait;
use optio_core::{
    Result, Timestamp,
    account::Pause,
    id::{RepoId, RunId, TaskId},
    money::Usd,
    repo::{Repo, RepoUrl},
    run::{Run, WorkerId},
    schedule::Schedule,
    store::{Audit, Commit, OutboxEntry, RunQuery, Sharing, Store, TaskQuery, Write},
    task::{StateName, Task},
    transcript::{LogCursor, LogEntry},
    webhook::Webhook,
    workspace::Workspace,
};

use super::Link;

#[derive(Debug)]
pub(crate) struct FaultyStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) link: Arc<Link>,
}

impl FaultyStore {
    /// Somebody else writes one of the tasks that a commit is about to write.
    async fn race(&self, commit: &Commit) {
        let task = commit.writes.iter().find_map(|write| match write {
            Write::Task(task) if task.version > 0 => Some(task.id),
            _ => None,
        });
        if let Some(id) = task
            && let Ok(task) = self.inner.task(id).await
        {
            self.link
                .ledger
                .note(|| format!("{}: somebody else writes {id} first", self.link.name));
            let _ = self
                .inner
                .commit(Commit::new().with(Write::Task(task)))
                .await;
        }
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn sharing(&self) -> Sharing {
        self.inner.sharing()
    }

    async fn commit(&self, commit: Commit) -> Result<()> {
        if self.link.is_raced() {
            self.race(&commit).await;
        }
        self.link.call("commit", self.inner.commit(commit)).await
    }

    async fn task(&self, id: TaskId) -> Result<Task> {
        self.link.call("task", self.inner.task(id)).await
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<Vec<Task>> {
        self.link.call("tasks", self.inner.tasks(query)).await
    }

    async fn count_tasks(&self) -> Result<Vec<(StateName, u64)>> {
        self.link
            .call("count_tasks", self.inner.count_tasks())
            .await
    }

    async fn run(&self, id: RunId) -> Result<Run> {
        self.link.call("run", self.inner.run(id)).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>> {
        self.link.call("runs", self.inner.runs(query)).await
    }

    async fn repo(&self, id: RepoId) -> Result<Repo> {
        self.link.call("repo", self.inner.repo(id)).await
    }

    async fn repo_by_url(&self, url: &RepoUrl) -> Result<Option<Repo>> {
        self.link
            .call("repo_by_url", self.inner.repo_by_url(url))
            .await
    }

    async fn repos(&self) -> Result<Vec<Repo>> {
        self.link.call("repos", self.inner.repos()).await
    }

    async fn workspaces(&self) -> Result<Vec<Workspace>> {
        self.link.call("workspaces", self.inner.workspaces()).await
    }

    async fn history(&self, task: TaskId) -> Result<Vec<Audit>> {
        self.link.call("history", self.inner.history(task)).await
    }

    async fn log(&self, task: TaskId, after: LogCursor, limit: usize) -> Result<Vec<LogEntry>> {
        let work = self.inner.log(task, after, limit);
        self.link.call("log", work).await
    }

    async fn log_tail(&self, task: TaskId, limit: usize) -> Result<Vec<LogEntry>> {
        let work = self.inner.log_tail(task, limit);
        self.link.call("log_tail", work).await
    }

    async fn spent(&self, repo: Option<RepoId>, since: Timestamp) -> Result<Usd> {
        self.link.call("spent", self.inner.spent(repo, since)).await
    }

    async fn claim_outbox(
        &self,
        now: Timestamp,
        claimed_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxEntry>> {
        let work = self.inner.claim_outbox(now, claimed_until, limit);
        self.link.call("claim_outbox", work).await
    }

    async fn lease(
        &self,
        name: &str,
        holder: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool> {
        let work = self.inner.lease(name, holder, now, until);
        self.link.call("lease", work).await
    }

    async fn schedules(&self) -> Result<Vec<Schedule>> {
        self.link.call("schedules", self.inner.schedules()).await
    }

    async fn webhooks(&self) -> Result<Vec<Webhook>> {
        self.link.call("webhooks", self.inner.webhooks()).await
    }

    async fn old_logs(&self, ended_before: Timestamp, limit: usize) -> Result<Vec<Run>> {
        let work = self.inner.old_logs(ended_before, limit);
        self.link.call("old_logs", work).await
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        self.link.call("pauses", self.inner.pauses()).await
    }
}
