//! PostgreSQL as the store of Optio: any number of replicas work on one state, and any of them may die at any moment.
//!
//! - `schema`: the tables and how older ones become the present ones;
//! - `cell`, `record`: records as rows, checked when they are read back;
//! - `op`, `statement`: a commit as steps, and the statements that carry many of them out at once;
//! - `batch`, `place`, `transaction`, `lane`, `writer`: the one task of a process that writes, in batches that share a transaction;
//! - `log`: logs as rows, a batch each;
//! - `query`, `claim`: the reads, claims and leases, on connections of their own that the writer never blocks;
//! - `options`, `connect`, `error`: how to get there, and what can go wrong; `inspect`: whether a database will do.
//!
//! Nothing depends on `LISTEN` and `NOTIFY`, and none are sent: hints travel by the event bus, which replicas have besides,
//! and a hint that is lost only makes a look later.
//!
//! It needs PostgreSQL 14 or newer, and a connection that keeps its session: behind a pooler, in its session mode.
//!
//! ```no_run
//! # async fn open() -> optio_core::Result<()> {
//! use optio_store_postgres::{PostgresOptions, PostgresStore};
//!
//! let options = PostgresOptions::default();
//! let store = PostgresStore::connect("postgres://optio@db.example/optio?sslmode=verify-full", options).await?;
//! # store.close().await;
//! # Ok(())
//! # }
//! ```

mod error;
mod cell;
mod record;
mod schema;
mod op;
mod statement;
mod query;
mod claim;
mod log;
mod batch;
mod place;
mod transaction;
mod lane;
mod writer;
mod options;
mod connect;
mod pool;
mod inspect;
#[cfg(test)]
mod tests;

use std::sync::Mutex;

use async_trait::async_trait;
use tokio::{sync::mpsc, task::JoinHandle};
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
    pool::Pool,
    record::Record,
    writer::{Job, gone},
};

pub use self::{
    inspect::{Examination, Rights, SchemaVersion},
    options::{Migrations, PostgresOptions},
};

/// How this backend calls itself in errors.
const BACKEND: &str = "postgres";

/// A [`Store`] in one PostgreSQL database, for any number of processes.
///
/// Commits are durable when they return: those that arrive together share one transaction, and each still succeeds or
/// fails by itself. Reads go on beside them. Calls need a tokio runtime with timers.
#[derive(Debug)]
pub struct PostgresStore {
    readers: Pool,
    jobs: mpsc::Sender<Job>,
    closing: CancellationToken,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl PostgresStore {
    async fn one<R: Record>(&self, id: Cell, name: impl ToString + Send) -> Result<R> {
        let found = query::one::<R>(id).records(&self.readers).await?;
        found
            .into_iter()
            .next()
            .ok_or_else(|| Error::not_found(BACKEND, name.to_string()))
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn sharing(&self) -> Sharing {
        Sharing::Shared
    }

    async fn commit(&self, commit: Commit) -> Result<()> {
        let ops = op::plan(commit)?;
        if ops.is_empty() {
            return Ok(());
        }
        let (job, answer) = Job::new(ops);
        self.jobs.send(job).await.map_err(gone)?;
        answer.await.map_err(gone)?
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
        let mut page = Vec::new();
        for row in log::behind(task, after, limit).rows(&self.readers).await? {
            let entries = log::entries(task, &row)?.into_iter();
            page.extend(entries.filter(|entry| entry.cursor > after));
        }
        page.truncate(limit);
        Ok(page)
    }

    async fn log_tail(&self, task: TaskId, limit: usize) -> Result<Vec<LogEntry>> {
        let rows = log::tail(task, limit).rows(&self.readers).await?;
        let mut tail = Vec::new();
        for row in rows.iter().rev() {
            tail.extend(log::entries(task, row)?);
        }
        tail.drain(..tail.len().saturating_sub(limit));
        Ok(tail)
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
        if limit == 0 {
            return Ok(Vec::new());
        }
        claim::claim(&self.readers, now, claimed_until, limit).await
    }

    async fn lease(
        &self,
        name: &str,
        holder: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool> {
        claim::lease(&self.readers, name, holder, now, until).await
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
