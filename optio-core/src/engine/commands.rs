//! What people and programs ask of Optio: submit, cancel, retry, reorder; repositories, schedules, webhooks.
//!
//! Every command checks all of its input before it writes anything, and writes it in one commit.

use std::collections::{BTreeMap, BTreeSet};

use super::{Optio, change::Because, retry_conflicts};
use crate::{
    error::{Error, ErrorKind, Result},
    event_bus::Hint,
    id::{RepoId, ScheduleId, TaskId, WebhookId},
    pull_request::CommitId,
    repo::{Repo, RepoSettings, RepoUrl},
    run::RunKind,
    schedule::{CronLine, Schedule},
    store::{TaskQuery, Write},
    task::{
        Attempts, Blocking, Briefing, CycleError, DEFAULT_PRIORITY, DependencyVerdict, NextRun,
        StateName, Task, TaskEvent, TaskRole, TaskState, TicketRef, check_acyclic, dependencies,
    },
    webhook::Webhook,
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

/// A change to a repository. What is none stays as it is.
#[derive(Debug, Clone, Default)]
pub struct RepoPatch {
    /// Its settings.
    pub settings: Option<RepoSettings>,
    /// The branch that pull requests are merged into.
    pub default_branch: Option<String>,
}

/// A wish for a schedule.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// When.
    pub cron: CronLine,
    /// The repository of its tasks.
    pub repo: RepoId,
    /// The title of its tasks.
    pub title: String,
    /// The body of its tasks.
    pub body: String,
    /// The priority of its tasks.
    pub priority: i32,
}

impl Optio {
    /// Takes a task in. It is queued at once, or waits for the tasks that it depends on.
    ///
    /// # Errors
    /// The repository or a dependency does not exist, there is no such agent, the title is empty. Nothing is written then.
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
            usage: crate::money::Usage::default(),
            created_at: now,
            updated_at: now,
            version: 0,
        };
        self.agent_for(&task, &repo)?;
        let mut change = self.change(actor);
        change.created(&task, "submitted");
        let event = self.first_step(&task).await?;
        change.apply(&mut task, event, "submitted")?;
        change.put(&task);
        change.commit().await?;
        task.version = 1;
        Ok(task)
    }

    /// What a pending or waiting task does next, by what has become of those it depends on.
    pub(crate) async fn first_step(&self, task: &Task) -> Result<TaskEvent> {
        let next = NextRun::first();
        Ok(match self.dependency_verdict(task).await? {
            DependencyVerdict::Ready => TaskEvent::Enqueued { next },
            DependencyVerdict::Waiting(_) => TaskEvent::Blocked,
            DependencyVerdict::Broken(broken, state) => TaskEvent::Failed {
                failure: crate::failure::Failure::new(
                    crate::failure::FailureClass::DependencyFailed,
                )
                .with_detail(format!("{broken} has {state}")),
            },
        })
    }

    pub(crate) async fn dependency_verdict(&self, task: &Task) -> Result<DependencyVerdict> {
        let mut states = Vec::with_capacity(task.depends_on.len());
        for &dependency in &task.depends_on {
            let state = match self.store().task(dependency).await {
                Ok(found) => Some(found.state.name()),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            states.push((dependency, state));
        }
        Ok(dependencies(
            states.iter().map(|(task, state)| (*task, state.as_ref())),
        ))
    }

    /// Adds dependencies to a task that is not at work yet.
    ///
    /// # Errors
    /// They would make a cycle, which is named; one does not exist; the task has already been started.
    pub async fn add_dependencies(&self, id: TaskId, more: &[TaskId]) -> Result<Task> {
        retry_conflicts(|| async {
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
            if task.state.name() == StateName::Queued
                && self.dependency_verdict(&task).await? != DependencyVerdict::Ready
            {
                change.apply(&mut task, TaskEvent::Blocked, "dependencies_added")?;
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

    /// Cancels a task in any live state. Its agent, if one is at work, is stopped; its work is saved.
    ///
    /// The task is `cancelled` at once; that no process of it is left is true when its run has ended.
    ///
    /// # Errors
    /// It has ended already, or does not exist.
    pub async fn cancel(&self, id: TaskId) -> Result<Task> {
        let task = retry_conflicts(|| async {
            let mut task = self.store().task(id).await?;
            if task.state.is_final() {
                return Err(Error::invalid(
                    "optio",
                    format!("{id} is {} already", task.state.name()),
                ));
            }
            let mut change = self.change("api");
            change.apply(&mut task, TaskEvent::Cancelled, "cancelled")?;
            change.put(&task);
            change.commit().await?;
            task.version += 1;
            Ok(task)
        })
        .await?;
        self.hint(Hint::Task { task: id }).await;
        for review in self
            .store()
            .tasks(&TaskQuery {
                parent: Some(id),
                ..TaskQuery::default()
            })
            .await?
        {
            if !review.state.is_final() {
                Box::pin(self.cancel(review.id)).await?;
            }
        }
        Ok(task)
    }

    /// Tries a failed or cancelled task again, from a clean worktree; or a task that needs a person's attention, where it stands.
    ///
    /// # Errors
    /// It is in another state, or does not exist.
    pub async fn retry(&self, id: TaskId) -> Result<Task> {
        retry_conflicts(|| async {
            let mut task = self.store().task(id).await?;
            let mut change = self.change("api");
            let briefing = match &task.state {
                TaskState::Failed { failure, .. } => Briefing { previous_attempt: Some(failure.to_string()), ..Briefing::default() },
                _ => Briefing::default(),
            };
            match task.state.name() {
                StateName::Failed | StateName::Cancelled => {
                    let kind = if task.parent().is_some() { RunKind::Review } else if task.runs == 0 { RunKind::First } else { RunKind::Retry };
                    let event = match self.dependency_verdict(&task).await? {
                        DependencyVerdict::Ready => TaskEvent::Retried { next: NextRun { kind, cause: None, briefing } },
                        _ => TaskEvent::Blocked,
                    };
                    task.handled.clear();
                    change.apply(&mut task, event, "retried")?;
                }
                StateName::NeedsAttention => {
                    // what was tried may be tried again, with all attempts
                    task.handled.clear();
                    task.attempts = Attempts::default();
                    change.apply(&mut task, TaskEvent::Watched, "retried")?;
                }
                state => {
                    return Err(Error::invalid("optio", format!("{id} is {state}: only a failed, cancelled or needs_attention task can be retried")));
                }
            }
            change.put(&task);
            change.commit().await?;
            task.version += 1;
            Ok(task)
        })
        .await
    }

    /// Retries every failed task; of one repository, or all. Returns those that were.
    ///
    /// # Errors
    /// A backend failed; those before it were retried.
    pub async fn retry_failed(&self, repo: Option<RepoId>) -> Result<Vec<TaskId>> {
        let failed = self
            .store()
            .tasks(&TaskQuery {
                repo,
                ..TaskQuery::in_states([StateName::Failed])
            })
            .await?;
        self.each(failed, |id| async move { self.retry(id).await })
            .await
    }

    /// Cancels every task that has not ended; of one repository, or all. Returns those that were.
    ///
    /// # Errors
    /// A backend failed; those before it were cancelled.
    pub async fn cancel_active(&self, repo: Option<RepoId>) -> Result<Vec<TaskId>> {
        let live = StateName::ALL.into_iter().filter(|state| !state.is_final());
        let active = self
            .store()
            .tasks(&TaskQuery {
                repo,
                ..TaskQuery::in_states(live)
            })
            .await?;
        self.each(active, |id| async move { self.cancel(id).await })
            .await
    }

    async fn each<F: Future<Output = Result<Task>>>(
        &self,
        tasks: Vec<Task>,
        act: impl Fn(TaskId) -> F,
    ) -> Result<Vec<TaskId>> {
        let mut done = Vec::new();
        for task in tasks {
            match act(task.id).await {
                Ok(_) => done.push(task.id),
                // it has moved on by itself meanwhile
                Err(error) if error.kind() == ErrorKind::Invalid => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Gives a task another priority. Lower runs first.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn reprioritise(&self, id: TaskId, priority: i32) -> Result<Task> {
        let task = retry_conflicts(|| async {
            let mut task = self.store().task(id).await?;
            task.priority = priority;
            task.updated_at = self.now();
            let mut change = self.change("api");
            change.put(&task);
            change.commit().await?;
            task.version += 1;
            Ok(task)
        })
        .await?;
        self.queue().reprioritise(id, priority).await?;
        Ok(task)
    }

    /// Starts the review agent on a task's pull request, whatever `reviewTrigger` says. The task waits for it.
    ///
    /// # Errors
    /// The task has no open pull request, or a review of its head is there already.
    pub async fn start_review(&self, id: TaskId) -> Result<Task> {
        let task = self.store().task(id).await?;
        let Some(pull_request) = task.pull_request.clone().filter(|_| {
            matches!(
                task.state.name(),
                StateName::PrOpened | StateName::NeedsAttention
            )
        }) else {
            return Err(Error::invalid(
                "optio",
                format!(
                    "{id} is {}: only a task with an open pull request can be reviewed",
                    task.state.name()
                ),
            ));
        };
        let repo = self.store().repo(task.repo).await?;
        let seen = self
            .forge(&repo.url)?
            .pull_request(&repo, pull_request.number)
            .await?;
        self.spawn_review("api", task, &repo, seen.head).await
    }

    /// Makes the review subtask of a task, for one commit.
    pub(crate) async fn spawn_review(
        &self,
        actor: &'static str,
        mut parent: Task,
        repo: &Repo,
        head: CommitId,
    ) -> Result<Task> {
        let known = self
            .store()
            .tasks(&TaskQuery {
                parent: Some(parent.id),
                ..TaskQuery::default()
            })
            .await?;
        let same = known.iter().any(|review| {
            matches!(&review.role, TaskRole::Review { head: of, .. } if *of == head)
                && !matches!(
                    review.state.name(),
                    StateName::Failed | StateName::Cancelled
                )
        });
        if same {
            return Err(Error::invalid(
                "optio",
                format!("a review of {} is there already", head.short()),
            ));
        }
        let now = self.now();
        let id = TaskId::generate(self.clock());
        let mut review = Task {
            id,
            title: format!("Review: {}", parent.title),
            body: parent.body.clone(),
            // a review unblocks work that is nearly done: it goes before its parent's siblings
            priority: parent.priority.saturating_sub(1),
            model: repo
                .settings
                .review_model
                .clone()
                .or_else(|| parent.model.clone()),
            role: TaskRole::Review {
                parent: parent.id,
                blocks_parent: Blocking::BlocksParent,
                head,
            },
            depends_on: Vec::new(),
            ticket: None,
            state: TaskState::Pending,
            pull_request: parent.pull_request.clone(),
            worktree: None,
            session: None,
            runs: 0,
            attempts: Attempts::default(),
            handled: Vec::new(),
            last_green: None,
            usage: crate::money::Usage::default(),
            created_at: now,
            updated_at: now,
            version: 0,
            ..parent.clone()
        };
        let mut change = self.change(actor);
        change.created(
            &review,
            Because::detailed("review_wanted", format!("of {}", parent.id)),
        );
        change.apply(
            &mut review,
            TaskEvent::Enqueued {
                next: NextRun {
                    kind: RunKind::Review,
                    cause: None,
                    briefing: Briefing::default(),
                },
            },
            "review_wanted",
        )?;
        change.put(&review);
        // the parent's version makes it one review, however many watchers want it
        parent.updated_at = now;
        change.put_quietly(&parent);
        change.commit().await?;
        review.version = 1;
        Ok(review)
    }

    /// Adds a repository. The forge is asked whether it is there.
    ///
    /// # Errors
    /// No forge handles it, it does not exist or cannot be reached, it was added before, a setting is out of range.
    pub async fn add_repo(&self, url: RepoUrl, settings: RepoSettings) -> Result<Repo> {
        settings
            .check()
            .map_err(|error| Error::invalid("optio", error.to_string()))?;
        self.check_agent(&settings)?;
        if let Some(known) = self.store().repo_by_url(&url).await? {
            return Err(Error::conflict(
                "optio",
                format!("{url} was added before, as {}", known.id),
            )
            .with_retry(crate::Retry::Never));
        }
        let facts = self.forge(&url)?.repository(&url).await?;
        let mut repo = Repo {
            id: RepoId::generate(self.clock()),
            url,
            default_branch: facts.default_branch,
            settings,
            created_at: self.now(),
            version: 0,
        };
        let mut change = self.change("api");
        change.write(Write::Repo(repo.clone()));
        change.commit().await?;
        repo.version = 1;
        self.push_limits().await?;
        Ok(repo)
    }

    /// Changes a repository.
    ///
    /// # Errors
    /// It does not exist, or a setting is out of range; nothing is changed then.
    pub async fn update_repo(&self, id: RepoId, patch: RepoPatch) -> Result<Repo> {
        if let Some(settings) = &patch.settings {
            settings
                .check()
                .map_err(|error| Error::invalid("optio", error.to_string()))?;
            self.check_agent(settings)?;
        }
        let repo = retry_conflicts(|| async {
            let mut repo = self.store().repo(id).await?;
            repo.settings = patch.settings.clone().unwrap_or(repo.settings);
            repo.default_branch = patch.default_branch.clone().unwrap_or(repo.default_branch);
            let mut change = self.change("api");
            change.write(Write::Repo(repo.clone()));
            change.commit().await?;
            repo.version += 1;
            Ok(repo)
        })
        .await?;
        self.push_limits().await?;
        Ok(repo)
    }

    fn check_agent(&self, settings: &RepoSettings) -> Result<()> {
        let agents = &self.ports().agents;
        match &settings.agent {
            Some(name) if !agents.contains_key(name) => {
                let known = agents
                    .keys()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ");
                Err(Error::invalid(
                    "optio",
                    format!("there is no agent called {name:?}: choose one of {known}"),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Adds a schedule.
    ///
    /// # Errors
    /// The repository does not exist, the title is empty, or the line never comes round.
    pub async fn add_schedule(&self, new: NewSchedule) -> Result<Schedule> {
        self.store().repo(new.repo).await?;
        if new.title.trim().is_empty() {
            return Err(Error::invalid(
                "optio",
                "the tasks of a schedule need a title",
            ));
        }
        let next_at = new.cron.next_after(self.now());
        if next_at.is_none() {
            return Err(Error::invalid(
                "optio",
                format!("{:?} never comes round", new.cron.line()),
            ));
        }
        let mut schedule = Schedule {
            id: ScheduleId::generate(self.clock()),
            cron: new.cron,
            repo: new.repo,
            title: new.title,
            body: new.body,
            priority: new.priority,
            paused: false,
            next_at,
            last_at: None,
            version: 0,
        };
        let mut change = self.change("api");
        change.write(Write::Schedule(schedule.clone()));
        change.commit().await?;
        schedule.version = 1;
        Ok(schedule)
    }

    /// Removes a schedule. No error if there is none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_schedule(&self, id: ScheduleId) -> Result<()> {
        let mut change = self.change("api");
        change.write(Write::ForgetSchedule(id));
        change.commit().await
    }

    /// Adds an outgoing webhook, told of tasks that enter one of these states; of all if none is named.
    ///
    /// # Errors
    /// The address is not http or https, or nothing is set up to send webhooks.
    pub async fn add_webhook(
        &self,
        url: String,
        secret: String,
        states: Vec<StateName>,
    ) -> Result<Webhook> {
        if self.ports().webhooks.is_none() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "optio",
                "nothing is set up to send webhooks",
            ));
        }
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(Error::invalid(
                "optio",
                format!("{url:?} is not an http or https address"),
            ));
        }
        if secret.is_empty() {
            return Err(Error::invalid(
                "optio",
                "a webhook needs a secret, with which its messages are signed",
            ));
        }
        let mut webhook = Webhook {
            id: WebhookId::generate(self.clock()),
            url,
            secret,
            states,
            version: 0,
        };
        let mut change = self.change("api");
        change.write(Write::Webhook(webhook.clone()));
        change.commit().await?;
        webhook.version = 1;
        Ok(webhook)
    }

    /// Removes an outgoing webhook. No error if there is none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_webhook(&self, id: WebhookId) -> Result<()> {
        let mut change = self.change("api");
        change.write(Write::ForgetWebhook(id));
        change.commit().await
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
