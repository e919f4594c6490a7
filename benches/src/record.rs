//! Records to work on: tasks as the engine makes them, and their way from state to state.

use std::sync::Arc;

use anyhow::{Context, Result};
use optio_core::{
    NewTask, Optio, SystemClock,
    id::{OutboxId, RepoId, RunId, TaskId, WorkspaceId},
    memory::{FakeGit, MemoryAgent, MemoryForge, MemoryRuntime},
    pull_request::CommitId,
    repo::{Repo, RepoSettings},
    store::{Audit, Commit, OutboxEntry, OutboxMessage, Write},
    task::{Completion, NextRun, Task, TaskEvent, TaskState},
};

/// Records as an engine stores them, to make others like them.
#[derive(Debug, Clone)]
pub struct Template {
    /// A repository.
    pub repo: Repo,
    /// A task of it.
    pub task: Task,
    /// A line of the task's history.
    pub audit: Audit,
}

/// Has an engine make them.
///
/// # Errors
/// The engine cannot be built: a mistake in this function.
pub async fn template() -> Result<Template> {
    let git = FakeGit::new();
    let url = "https://memory.test/acme/shop".parse()?;
    git.add_remote(&url, "main", &[("README.md", "# The shop\n")]);
    let optio = Optio::builder()
        .runtime(MemoryRuntime::new(git.clone()))
        .agent(MemoryAgent::new())
        .forge(MemoryForge::new(git, Arc::new(SystemClock)))
        .build()?;
    let repo = optio.add_repo(url, RepoSettings::default()).await?;
    let wish = NewTask::new(repo.id, "Fix the flaky login test").with_body(
        "The test `login_expires` fails about once in twenty runs, with a timeout. Find out why and mend the cause.",
    );
    let task = optio.submit(wish).await?;
    let mut history = optio.store().history(task.id).await?;
    let audit = history.pop().context("a new task has no history")?;
    Ok(Template { repo, task, audit })
}

/// A repository like `template`, with a key and an address of its own.
///
/// # Errors
/// None in fact.
pub fn numbered_repo(template: &Repo, n: usize) -> Result<Repo> {
    Ok(Repo {
        id: RepoId::generate(&SystemClock),
        url: format!("https://memory.test/acme/shop-{n}").parse()?,
        version: 0,
        ..template.clone()
    })
}

/// A task like `template` that was not stored yet and has done nothing.
#[must_use]
pub fn fresh_task(template: &Task) -> Task {
    Task {
        id: TaskId::generate(&SystemClock),
        state: TaskState::Pending,
        version: 0,
        ..template.clone()
    }
}

/// The events that take a new task to its end, in order.
#[must_use]
pub fn completed() -> [TaskEvent; 4] {
    let commit = CommitId::new("0f".repeat(20));
    [
        TaskEvent::Enqueued {
            next: NextRun::first(),
        },
        TaskEvent::Placed {
            run: RunId::generate(&SystemClock),
            workspace: WorkspaceId::generate(&SystemClock),
        },
        TaskEvent::Started,
        TaskEvent::Completed {
            how: Completion::Merged { commit },
        },
    ]
}

/// Whether a change brings with it what the engine has delivered afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// Only the task and its history.
    Nothing,
    /// The outbox entries for the queue and for whoever listens, too.
    Deliveries,
}

/// Writes a task as it is now, with its line in the history. The task is then what the store will hold.
pub fn transition(task: &mut Task, audit: &Audit, follows: Follows) -> Commit {
    let (id, at, state) = (task.id, task.updated_at, task.state.name());
    let mut commit = Commit::new()
        .with(Write::Audit(Audit {
            task: id,
            at,
            to: state,
            event: state.as_str().to_owned(),
            ..audit.clone()
        }))
        .with(Write::Task(task.clone()));
    task.version += 1;
    if follows == Follows::Deliveries {
        let messages = [
            OutboxMessage::SyncQueue { task: id },
            OutboxMessage::TaskChanged { task: id, state },
        ];
        for message in messages {
            commit = commit.with(Write::Outbox(OutboxEntry {
                id: OutboxId::generate(&SystemClock),
                message,
                at,
                not_before: at,
                attempts: 0,
            }));
        }
    }
    commit
}
