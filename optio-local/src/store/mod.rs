//! State in one SQLite file: nothing to install, nothing to run beside Optio, and durable when a commit returns.
//!
//! - `schema`: the tables and how older ones become the present ones;
//! - `cell`, `record`: records as rows, checked when they are read back;
//! - `op`, `statement`: a commit as steps, and the statements that carry many of them out at once;
//! - `writer`: the one task that writes, in batches that share a sync of the disk;
//! - `query`: the reads, on connections of their own that the writer never blocks;
//! - `open`, `lock`, `inspect`, `error`: one process per data folder, and what can go wrong.

mod error;
mod lock;
mod cell;
mod record;
mod schema;
mod op;
mod statement;
mod query;
mod writer;
mod open;
mod inspect;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod full_disk;

use std::sync::Mutex;

use async_trait::async_trait;
use sqlx::SqlitePool;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use optio_core::{
    Error, Result, Timestamp,
    account::Pause,
    id::{RepoId, RunId, TaskId},
    money::Usd,
    repo::{Repo, RepoUrl},
    run::{Run, WorkerId},
    schedule::Schedule,
    store::{Audit, Commit, OutboxEntry, RunQuery, Sharing, Store, TaskQuery},
    task::{StateName, Task},
    transcript::{LogCursor, LogEntry},
    webhook::Webhook,
    workspace::Workspace,
};

use self::{
    cell::Cell,
    record::Record,
    writer::{Claim, Job, Lease, Request, gone},
};

pub use self::inspect::SchemaVersion;

/// How this backend calls itself in errors.
const BACKEND: &str = "sqlite";

/// A [`Store`] in one SQLite database, for one process at a time.
///
/// Commits are durable when they return: those that arrive together share one transaction and one sync of the disk,
/// and each still succeeds or fails by itself. Reads go on beside them. Calls need a tokio runtime with timers.
#[derive(Debug)]
pub struct SqliteStore {
    readers: SqlitePool,
    requests: mpsc::Sender<Request>,
    closing: CancellationToken,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Hands a request to the writer and waits for what comes of it.
    async fn ask<T>(&self, request: Request, answer: oneshot::Receiver<Result<T>>) -> Result<T> {
        self.requests.send(request).await.map_err(gone)?;
        answer.await.map_err(gone)?
    }

    async fn one<R: Record>(&self, id: Cell, name: impl ToString + Send) -> Result<R> {
        let found = query::one::<R>(id).records(&self.readers).await?;
        found
            .into_iter()
            .next()
            .ok_or_else(|| Error::not_found(BACKEND, name.to_string()))
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn sharing(&self) -> Sharing {
        Sharing::Exclusive
    }

    async fn commit(&self, commit: Commit) -> Result<()> {
        let ops = op::plan(commit)?;
        if ops.is_empty() {
            return Ok(());
        }
        let (job, answer) = Job::new(ops);
        self.ask(Request::Commit(job), answer).await
    }

    async fn task(&self, id: TaskId) -> Result<Task> {
        self.one(Cell::Id(id.as_uuid()), id).await
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<Vec<Task>> {
        query::tasks(query).records(&self.readers).await
    }

    async fn count_tasks(&self) -> Result<Vec<(StateName, u64)>> {
        query::count_tasks(&self.readers).await
    }

    async fn run(&self, id: RunId) -> Result<Run> {
        self.one(Cell::Id(id.as_uuid()), id).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>> {
        query::runs(*query).records(&self.readers).await
    }

    async fn repo(&self, id: RepoId) -> Result<Repo> {
        self.one(Cell::Id(id.as_uuid()), id).await
    }

    async fn repo_by_url(&self, url: &RepoUrl) -> Result<Option<Repo>> {
        let found = query::repo_by_url(url).records(&self.readers).await?;
        Ok(found.into_iter().next())
    }

    async fn repos(&self) -> Result<Vec<Repo>> {
        query::all_repos().records(&self.readers).await
    }

    async fn workspaces(&self) -> Result<Vec<Workspace>> {
        query::all_workspaces().records(&self.readers).await
    }

    async fn history(&self, task: TaskId) -> Result<Vec<Audit>> {
        let rows = query::history(task).rows(&self.readers).await?;
        rows.iter().map(|row| query::audit(task, row)).collect()
    }

    async fn log(&self, task: TaskId, after: LogCursor, limit: usize) -> Result<Vec<LogEntry>> {
        let rows = query::log(task, after, limit).rows(&self.readers).await?;
        rows.iter().map(|row| query::log_entry(task, row)).collect()
    }

    async fn log_tail(&self, task: TaskId, limit: usize) -> Result<Vec<LogEntry>> {
        let rows = query::log_tail(task, limit).rows(&self.readers).await?;
        rows.iter()
            .rev()
            .map(|row| query::log_entry(task, row))
            .collect()
    }

    async fn spent(&self, repo: Option<RepoId>, since: Timestamp) -> Result<Usd> {
        query::sum(query::spent(repo, since), &self.readers).await
    }

    async fn claim_outbox(
        &self,
        now: Timestamp,
        claimed_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxEntry>> {
        // most looks find nothing, and those need no sync of the disk
        if limit == 0 || query::any_due(now).rows(&self.readers).await?.is_empty() {
            return Ok(Vec::new());
        }
        let (job, answer) = Job::new(Claim {
            now,
            until: claimed_until,
            limit,
        });
        self.ask(Request::Claim(job), answer).await
    }

    async fn lease(
        &self,
        name: &str,
        holder: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool> {
        let (job, answer) = Job::new(Lease {
            name: name.to_owned(),
            holder: holder.clone(),
            now,
            until,
        });
        self.ask(Request::Lease(job), answer).await
    }

    async fn schedules(&self) -> Result<Vec<Schedule>> {
        query::all_schedules().records(&self.readers).await
    }

    async fn webhooks(&self) -> Result<Vec<Webhook>> {
        query::all_webhooks().records(&self.readers).await
    }

    async fn old_logs(&self, ended_before: Timestamp, limit: usize) -> Result<Vec<Run>> {
        query::old_logs(ended_before, limit)
            .records(&self.readers)
            .await
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        let mut pauses: Vec<Pause> = query::all_pauses().records(&self.readers).await?;
        pauses.sort_unstable_by(|a, b| a.account.cmp(&b.account));
        Ok(pauses)
    }
}
