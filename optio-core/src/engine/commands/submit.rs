//! Taking tasks in, and what they wait for.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    engine::{Optio, change::Because},
    error::{Error, ErrorKind, Result},
    failure::{Failure, FailureClass},
    id::{RepoId, TaskId},
    money::Usage,
    replay::SeenDependencies,
    store::Write,
    task::{
        Attempts, CycleError, DEFAULT_PRIORITY, DependencyVerdict, NextRun, StateName, Task,
        TaskEvent, TaskRole, TaskState, TicketRef, check_acyclic,
    },
};

/// A wish for a task.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewTask {
    /// The repository that it is about.
    pub repo: RepoId,
    /// One line.
    pub title: String,
    /// The whole wish, in Markdown.
    pub body: String,
    /// Lower runs first.
    pub priority: i32,
    /// The agent; the repository's if none.
    pub agent: Option<String>,
    /// The model; the repository's if none.
    pub model: Option<String>,
    /// Tasks that must be completed first.
    pub depends_on: Vec<TaskId>,
    /// The ticket that it comes from. A ticket has one task.
    pub ticket: Option<TicketRef>,
}

impl NewTask {
    /// A wish with a title and nothing else.
    #[must_use]
    pub fn new(repo: RepoId, title: impl Into<String>) -> Self {
        Self {
            repo,
            title: title.into(),
            body: String::new(),
            priority: DEFAULT_PRIORITY,
            agent: None,
            model: None,
            depends_on: Vec::new(),
            ticket: None,
        }
    }

    /// The same with the whole text of the wish.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// The same with a priority. Lower runs first.
    #[must_use]
    pub fn with_priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// The same with a task that must be completed first.
    #[must_use]
    pub fn after(mut self, task: TaskId) -> Self {
        self.depends_on.push(task);
        self
    }

    /// The same with an agent.
    #[must_use]
    pub fn with_agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = Some(agent.into());
        self
    }
}

impl Optio {
    /// Takes a task in. It is queued at once, or waits for the tasks that it depends on.
    ///
    /// # Errors
    /// The repository or a dependency does not exist, there is no such agent, the title is empty; `Conflict` if the ticket
    /// has a task already. Nothing is written then.
    pub async fn submit(&self, new: NewTask) -> Result<Task> {
        self.submit_as("api", new).await
    }

    pub(crate) async fn submit_as(&self, actor: &'static str, new: NewTask) -> Result<Task> {
        let title = new.title.split_whitespace().collect::<Vec<_>>().join(" ");
        if title.is_empty() {
            return Err(Error::invalid("optio", "a task needs a title"));
        }
        let repo = self.store().repo(new.repo).await?;
        let id = TaskId::generate(self.clock());
        let depends_on: Vec<TaskId> = new
            .depends_on
            .iter()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        self.refuse_cycles(id, &depends_on).await?;
        let now = self.now();
        let mut task = Task {
            id,
            repo: repo.id,
            branch: branch_name(&title, id),
            title,
            body: new.body,
            priority: new.priority,
            agent: new.agent,
            model: new.model,
            role: TaskRole::Coding,
            depends_on,
            ticket: new.ticket,
            state: TaskState::Pending,
            pull_request: None,
            worktree: None,
            last_workspace: None,
            session: None,
            runs: 0,
            attempts: Attempts::default(),
            handled: Vec::new(),
            last_green: None,
            messages: Vec::new(),
            last_message: 0,
            usage: Usage::default(),
            created_at: now,
            updated_at: now,
            version: 0,
        };
        self.agent_for(&task, &repo)?;
        let mut change = self.change(actor);
        if let Some(ticket) = &task.ticket {
            change.write(Write::TicketIsNew {
                source: ticket.source.clone(),
                key: ticket.key.clone(),
            });
        }
        change.created(&task, "submitted");
        let (event, because) = self.first_step(&task, "submitted").await?;
        change.apply(&mut task, event, because)?;
        change.put(&task);
        change.commit().await?;
        task.version = 1;
        Ok(task)
    }

    /// What a pending or waiting task does next, by what has become of those it depends on; and why.
    pub(crate) async fn first_step(
        &self,
        task: &Task,
        rule: &'static str,
    ) -> Result<(TaskEvent, Because)> {
        let next = NextRun::first();
        let seen = self.seen_dependencies(task).await?;
        let event = match seen.decide() {
            DependencyVerdict::Ready => TaskEvent::Enqueued { next },
            DependencyVerdict::Waiting(_) => TaskEvent::Blocked,
            DependencyVerdict::Broken(broken, state) => TaskEvent::Failed {
                failure: Failure::new(FailureClass::DependencyFailed)
                    .with_detail(format!("{broken} has {state}")),
            },
        };
        Ok((event, Because::of_dependencies(rule, seen)))
    }

    /// The tasks that a task depends on, as they are.
    pub(crate) async fn seen_dependencies(&self, task: &Task) -> Result<SeenDependencies> {
        let mut states = Vec::with_capacity(task.depends_on.len());
        for &dependency in &task.depends_on {
            let state = match self.store().task(dependency).await {
                Ok(found) => Some(found.state.name()),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            states.push((dependency, state));
        }
        Ok(SeenDependencies { states })
    }

    /// Adds dependencies to a task that is not at work yet.
    ///
    /// # Errors
    /// They would make a cycle, which is named; one does not exist; the task has already been started.
    pub async fn add_dependencies(&self, id: TaskId, more: &[TaskId]) -> Result<Task> {
        self.retry_conflicts(|| async {
            let mut task = self.store().task(id).await?;
            if !matches!(
                task.state.name(),
                StateName::Pending | StateName::WaitingOnDeps | StateName::Queued
            ) {
                return Err(Error::invalid(
                    "optio",
                    format!(
                        "{id} is {}: only a task that was not started can wait for others",
                        task.state.name()
                    ),
                ));
            }
            let all: BTreeSet<TaskId> = task.depends_on.iter().chain(more).copied().collect();
            task.depends_on = all.into_iter().collect();
            self.refuse_cycles(id, &task.depends_on).await?;
            let mut change = self.change("api");
            if task.state.name() == StateName::Queued {
                let seen = self.seen_dependencies(&task).await?;
                if seen.decide() != DependencyVerdict::Ready {
                    let because = Because::of_dependencies("dependencies_added", seen);
                    change.apply(&mut task, TaskEvent::Blocked, because)?;
                }
            }
            change.put(&task);
            change.commit().await?;
            task.version += 1;
            Ok(task)
        })
        .await
    }

    async fn refuse_cycles(&self, id: TaskId, depends_on: &[TaskId]) -> Result<()> {
        let mut edges = BTreeMap::from([(id, depends_on.to_vec())]);
        let mut open: Vec<TaskId> = depends_on.to_vec();
        while let Some(next) = open.pop() {
            if edges.contains_key(&next) {
                continue;
            }
            let task = self
                .store()
                .task(next)
                .await
                .map_err(|error| match error.kind() {
                    ErrorKind::NotFound => {
                        Error::not_found("optio", format!("{next}, which the task is to wait for,"))
                    }
                    _ => error,
                })?;
            open.extend(task.depends_on.iter().copied());
            edges.insert(next, task.depends_on);
        }
        check_acyclic(&edges).map_err(|cycle: CycleError| {
            Error::invalid("optio", cycle.to_string()).caused_by(cycle)
        })
    }
}

/// `optio/fix-the-flaky-login-test-k2m4p6r8`: readable, and unique by its end.
fn branch_name(title: &str, id: TaskId) -> String {
    let words: String = title
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter.to_ascii_lowercase()
            } else {
                ' '
            }
        })
        .collect();
    let mut slug = String::new();
    for word in words.split_whitespace() {
        if slug.len() + word.len() > 40 {
            break;
        }
        if !slug.is_empty() {
            slug.push('-');
        }
        slug.push_str(word);
    }
    if slug.is_empty() {
        format!("optio/{}", id.short())
    } else {
        format!("optio/{slug}-{}", id.short())
    }
}
