//! Which tasks' pull requests are looked at: all that wait for something, and the failed ones in turn.

use std::sync::{Mutex, PoisonError};

use super::Optio;
use crate::{
    error::Result,
    failure::FailureClass,
    id::{RepoId, TaskId},
    pull_request::PrNumber,
    store::{TaskOrder, TaskQuery},
    task::{StateName, Task, TaskRole, TaskState},
};

/// The states of tasks whose pull requests wait for something.
const WAITING: [StateName; 2] = [StateName::PrOpened, StateName::NeedsAttention];

/// How many failed tasks are read at once. Somebody may still merge what they left open, but of those there are ever more.
const FAILED_AT_ONCE: usize = 200;

/// How far failed tasks were read; the first one is next if none.
#[derive(Debug, Default)]
pub(crate) struct FailedInTurn(Mutex<Option<TaskId>>);

impl FailedInTurn {
    fn query(&self) -> TaskQuery {
        TaskQuery {
            after: *self.0.lock().unwrap_or_else(PoisonError::into_inner),
            limit: Some(FAILED_AT_ONCE),
            ..TaskQuery::in_states([StateName::Failed])
        }
    }

    fn read(&self, tasks: &[Task]) {
        let last = tasks.last().filter(|_| tasks.len() == FAILED_AT_ONCE);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last.map(|task| task.id);
    }
}

impl Optio {
    /// Tasks whose pull requests wait for something.
    pub(super) async fn waiting_pull_requests(&self) -> Result<Vec<Task>> {
        self.watched(&TaskQuery::in_states(WAITING)).await
    }

    /// The next failed tasks whose pull requests may still be merged: each call goes on where the last one ended.
    pub(super) async fn next_failed_pull_requests(&self) -> Result<Vec<Task>> {
        let turn = &self.inner.failed_in_turn;
        let mut tasks = self.store().tasks(&turn.query()).await?;
        turn.read(&tasks);
        tasks.retain(is_watched);
        Ok(tasks)
    }

    /// The tasks of one pull request; of failed ones that are not among the latest of their repository the turn will come.
    pub(super) async fn watchers_of(&self, repo: RepoId, number: PrNumber) -> Result<Vec<Task>> {
        let mut tasks = self
            .watched(&TaskQuery {
                repo: Some(repo),
                ..TaskQuery::in_states(WAITING)
            })
            .await?;
        let latest = TaskQuery {
            repo: Some(repo),
            order: TaskOrder::Descending,
            limit: Some(FAILED_AT_ONCE),
            ..TaskQuery::in_states([StateName::Failed])
        };
        tasks.extend(self.watched(&latest).await?);
        tasks.retain(|task| {
            let known = task.pull_request.as_ref();
            known.is_some_and(|known| known.number == number)
        });
        Ok(tasks)
    }

    async fn watched(&self, query: &TaskQuery) -> Result<Vec<Task>> {
        let mut tasks = self.store().tasks(query).await?;
        tasks.retain(is_watched);
        Ok(tasks)
    }
}

/// Whether anything can still become of a task's pull request. One that was closed is not asked for again.
pub(super) fn is_watched(task: &Task) -> bool {
    task.role == TaskRole::Coding
        && task.pull_request.is_some()
        && match &task.state {
            TaskState::PrOpened { .. } | TaskState::NeedsAttention { .. } => true,
            TaskState::Failed { failure, .. } => failure.class != FailureClass::PrClosed,
            _ => false,
        }
}
