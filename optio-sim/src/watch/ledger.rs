//! The ledger: what has happened so far, and the first invariant that was broken.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use optio_core::{
    Clock,
    engine::Settings,
    id::{RepoId, RunId, TaskId},
    memory::{FakeGit, MemoryForge, MemoryQueue, MemoryRuntime},
    pull_request::CommitId,
    repo::{Repo, RepoUrl},
    run::Run,
    task::Task,
    transcript::LogEntry,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{accounts::Accounts, law::Law, logs::Logs, work::Work};

/// How many of the last events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trail {
    /// Enough to see what led to a violation.
    Last60,
    /// The whole story, commands of git included.
    All,
}

/// The world as it is, behind all ports.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) git: FakeGit,
    pub(crate) runtime: MemoryRuntime,
    pub(crate) forge: MemoryForge,
    pub(crate) queue: Arc<MemoryQueue>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// An invariant that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// How.
    pub detail: String,
    /// What happened last, the latest event at the end.
    pub trail: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "broken: {}", self.invariant)?;
        writeln!(f, "  {}", self.detail)?;
        writeln!(f, "the last {} events:", self.trail.len())?;
        for event in &self.trail {
            writeln!(f, "  {event}")?;
        }
        Ok(())
    }
}

/// What has happened so far.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) facts: Facts,
    begun: Instant,
    book: Mutex<Book>,
    broken: CancellationToken,
}

#[derive(Debug)]
pub(crate) struct Book {
    keep: Trail,
    trail: VecDeque<String>,
    events: u64,
    digest: DefaultHasher,
    violation: Option<Violation>,
    pub(super) law: Law,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) repos: BTreeMap<RepoId, Repo>,
    pub(super) work: Work,
    pub(super) accounts: Accounts,
    pub(super) logs: Logs,
    /// Heads that the forge called fit to be merged.
    pub(super) green: BTreeSet<CommitId>,
    pub(super) global: u32,
}

impl Ledger {
    pub(crate) fn new(facts: Facts, settings: &Settings, keep: Trail) -> Self {
        Self {
            facts,
            begun: Instant::now(),
            book: Mutex::new(Book {
                keep,
                trail: VecDeque::new(),
                events: 0,
                digest: DefaultHasher::new(),
                violation: None,
                law: Law::new(),
                tasks: BTreeMap::new(),
                runs: BTreeMap::new(),
                repos: BTreeMap::new(),
                work: Work::default(),
                accounts: Accounts::default(),
                logs: Logs::new(settings.log_retention),
                green: BTreeSet::new(),
                global: settings.limits.global,
            }),
            broken: CancellationToken::new(),
        }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an event down.
    pub(crate) fn note(&self, event: impl FnOnce() -> String) {
        let at = self.begun.elapsed().as_millis();
        let line = format!("{:>9}.{:03} {}", at / 1000, at % 1000, event());
        let mut book = self.book();
        line.hash(&mut book.digest);
        book.events += 1;
        if book.keep == Trail::Last60 && book.trail.len() == 60 {
            book.trail.pop_front();
        }
        book.trail.push_back(line);
    }

    /// Writes down what only somebody who looks at the whole story wants to know.
    pub(crate) fn detail(&self, event: impl FnOnce() -> String) {
        let at = self.begun.elapsed().as_millis();
        let mut book = self.book();
        if book.keep == Trail::All {
            let line = format!("{:>9}.{:03}   {}", at / 1000, at % 1000, event());
            book.trail.push_back(line);
        }
    }

    /// The events that were kept.
    pub(crate) fn trail(&self) -> Vec<String> {
        self.book().trail.iter().cloned().collect()
    }

    /// Writes down that an invariant was broken. The first one counts.
    pub(crate) fn broke(&self, invariant: &'static str, detail: impl std::fmt::Display) {
        let at = self.begun.elapsed().as_millis();
        let mut book = self.book();
        if book.violation.is_none() {
            let detail = format!("at {}.{:03}: {detail}", at / 1000, at % 1000);
            let trail = book.trail.iter().cloned().collect();
            book.violation = Some(Violation {
                invariant,
                detail,
                trail,
            });
        }
        drop(book);
        self.broken.cancel();
    }

    /// Ends when an invariant was broken.
    pub(crate) async fn broken(&self) {
        self.broken.cancelled().await;
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.book().violation.clone()
    }

    /// How many events there were, and a number that differs if any of them does.
    pub(crate) fn digest(&self) -> (u64, u64) {
        let book = self.book();
        (book.events, book.digest.finish())
    }

    /// The tasks as they are stored.
    pub(crate) fn tasks(&self) -> Vec<Task> {
        self.book().tasks.values().cloned().collect()
    }

    /// The runs as they are stored.
    pub(crate) fn runs(&self) -> Vec<Run> {
        self.book().runs.values().cloned().collect()
    }

    /// The log of a task as it was written.
    pub(crate) fn written_log(&self, task: TaskId) -> Vec<LogEntry> {
        self.book().logs.written(task)
    }

    /// The log of a task as it is to be read.
    pub(crate) fn left_log(&self, task: TaskId) -> Vec<LogEntry> {
        self.book().logs.left(task)
    }

    /// The repositories as they are stored.
    pub(crate) fn repos(&self) -> Vec<Repo> {
        self.book().repos.values().cloned().collect()
    }

    /// The address of a repository.
    pub(crate) fn url(&self, repo: RepoId) -> Option<RepoUrl> {
        self.book().repos.get(&repo).map(|repo| repo.url.clone())
    }

    /// An agent is about to write these files, each of a path that nobody else ever writes.
    pub(crate) fn plan_work(&self, paths: impl IntoIterator<Item = String>) {
        self.book().work.plan(paths);
    }

    /// Before something that may destroy files: what is there now is to be there afterwards.
    pub(crate) fn take_stock(&self) {
        self.book().work.take_stock(&self.facts.git);
    }

    /// After it.
    pub(crate) fn check_stock(&self, after: &dyn Fn() -> String) {
        let lost = self.book().work.missing(&self.facts.git);
        if !lost.is_empty() {
            let detail = format!("{} is nowhere any more after {}", lost.join(", "), after());
            self.broke("no work is lost", detail);
        }
    }

    /// A workspace is about to be lost: what is there alone cannot be had any more.
    pub(crate) fn write_off(&self) {
        self.book().work.write_off(&self.facts.git);
    }
}
