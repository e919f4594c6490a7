//! Steering tasks: cancel, retry, reorder; one or many.

use super::may_wait;
use crate::{
    engine::{Optio, change::Because},
    error::{Error, ErrorKind, Result},
    event_bus::Hint,
    id::{RepoId, TaskId},
    run::RunKind,
    store::TaskQuery,
    task::{Attempts, Briefing, DependencyVerdict, NextRun, StateName, Task, TaskEvent, TaskState},
};

impl Optio {
    /// Cancels a task in any live state. Its agent, if one is at work, is stopped; its work is saved.
    ///
    /// The task is `cancelled` at once; that no process of it is left is true when its run has ended.
    ///
    /// # Errors
    /// It has ended already, or does not exist.
    pub async fn cancel(&self, id: TaskId) -> Result<Task> {
        let task = self
            .retry_conflicts(|| async {
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

    /// Tries a failed or cancelled task again, from a clean worktree; or a task that needs a person's attention, where it
    /// stands.
    ///
    /// # Errors
    /// It is in another state, or does not exist.
    pub async fn retry(&self, id: TaskId) -> Result<Task> {
        self.retry_conflicts(|| async {
            let mut task = self.store().task(id).await?;
            let mut change = self.change("api");
            let briefing = match &task.state {
                TaskState::Failed { failure, .. } => Briefing {
                    previous_attempt: Some(failure.to_string()),
                    ..Briefing::default()
                },
                _ => Briefing::default(),
            };
            match task.state.name() {
                StateName::Failed | StateName::Cancelled => {
                    let kind = if task.parent().is_some() {
                        RunKind::Review
                    } else if task.runs == 0 {
                        RunKind::First
                    } else {
                        RunKind::Retry
                    };
                    let seen = self.seen_dependencies(&task).await?;
                    let event = match seen.decide() {
                        DependencyVerdict::Ready => TaskEvent::Retried {
                            next: NextRun {
                                kind,
                                cause: None,
                                briefing,
                            },
                        },
                        _ => TaskEvent::Blocked,
                    };
                    task.handled.clear();
                    let because = Because::of_dependencies("retried", seen);
                    change.apply(&mut task, event, because)?;
                }
                StateName::NeedsAttention => {
                    // what was tried may be tried again, with all attempts
                    task.handled.clear();
                    task.attempts = Attempts::default();
                    change.apply(&mut task, TaskEvent::Watched, "retried")?;
                }
                state => {
                    return Err(Error::invalid(
                        "optio",
                        format!(
                            "{id} is {state}: only a failed, cancelled or needs_attention \
                             task can be retried"
                        ),
                    ));
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
        let task = self
            .retry_conflicts(|| async {
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
        may_wait(self.queue().reprioritise(id, priority).await);
        Ok(task)
    }
}
