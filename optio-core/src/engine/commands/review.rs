//! Review subtasks: by hand, or because the PR watcher wants one.

use crate::{
    decision::DecisionRecord,
    engine::Optio,
    engine::change::Because,
    error::{Error, Result},
    id::TaskId,
    money::Usage,
    pull_request::CommitId,
    repo::Repo,
    run::RunKind,
    store::TaskQuery,
    task::{
        Attempts, Blocking, Briefing, NextRun, StateName, Task, TaskEvent, TaskRole, TaskState,
    },
};

/// A review that somebody wants.
#[derive(Debug)]
pub(crate) struct ReviewWanted {
    /// Who: `api`, or a worker.
    pub(crate) actor: &'static str,
    /// Of which commit.
    pub(crate) head: CommitId,
    /// What policy said, if it was asked.
    pub(crate) decision: Option<DecisionRecord>,
}

impl Optio {
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
        let wanted = ReviewWanted {
            actor: "api",
            head: seen.head,
            decision: None,
        };
        self.spawn_review(task, &repo, wanted).await
    }

    /// Makes the review subtask of a task, for one commit.
    pub(crate) async fn spawn_review(
        &self,
        mut parent: Task,
        repo: &Repo,
        wanted: ReviewWanted,
    ) -> Result<Task> {
        let ReviewWanted {
            actor,
            head,
            decision,
        } = wanted;
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
            messages: Vec::new(),
            last_message: 0,
            usage: Usage::default(),
            created_at: now,
            updated_at: now,
            version: 0,
            ..parent.clone()
        };
        let mut change = self.change(actor);
        change.created(
            &review,
            Because::detailed("review_wanted", format!("of {}", parent.id))
                .follows(decision.as_ref()),
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
            Because::from("review_wanted").decided(decision),
        )?;
        change.put(&review);
        // the parent's version makes it one review, however many watchers want it
        parent.updated_at = now;
        change.put_quietly(&parent);
        change.commit().await?;
        review.version = 1;
        Ok(review)
    }
}
