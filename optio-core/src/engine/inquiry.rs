//! What people and programs ask about: why a task waits, and its log from any point on.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;

use super::{Optio, accounts::Held};
use crate::{
    error::Result,
    event_bus::{Hint, Subscription},
    id::TaskId,
    reconcile::{Action, PrSnapshot, reconcile_pull_request},
    scheduling::WaitReason,
    store::{OnlyLive, RunQuery},
    task::{DependencyVerdict, StateName, TaskState},
    transcript::{LogCursor, LogEntry},
};

/// What a task waits for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// Its state.
    pub state: StateName,
    /// What it waits for, in a sentence.
    pub explanation: String,
    /// Its place in the queue, from 1, if it is there.
    pub position: Option<usize>,
    /// What the queue says, if it is there.
    pub reason: Option<WaitReason>,
}

/// How many entries are read at once.
const PAGE: usize = 500;
/// A log is looked at this often though nobody hints at anything new.
const SWEEP: Duration = Duration::from_secs(2);

impl Optio {
    /// What a task waits for, or that it does not.
    ///
    /// # Errors
    /// It does not exist, or a backend failed.
    pub async fn why(&self, id: TaskId) -> Result<Why> {
        let task = self.store().task(id).await?;
        let state = task.state.name();
        let mut why = Why {
            state,
            explanation: String::new(),
            position: None,
            reason: None,
        };
        why.explanation = match &task.state {
            TaskState::Pending => "it is about to be queued".to_owned(),
            TaskState::WaitingOnDeps => match self.seen_dependencies(&task).await?.decide() {
                DependencyVerdict::Waiting(tasks) => {
                    format!(
                        "it waits for {}",
                        tasks
                            .iter()
                            .map(ToString::to_string)
                            .collect::<Vec<_>>()
                            .join(", ")
                    )
                }
                _ => "those it waited for have ended: it is about to go on".to_owned(),
            },
            TaskState::Queued { hold, .. } => {
                let paused = self.held_by_account(&task).await?;
                let position = self.queue().position(id).await?;
                why.position = position.as_ref().map(|position| position.place);
                let by_queue = position.map(|position| position.waiting.why);
                let reason = by_queue
                    .as_ref()
                    .map_or_else(|| "a worker is taking it".to_owned(), ToString::to_string);
                why.reason = paused.as_ref().map(Held::reason).or(by_queue);
                match (paused, hold) {
                    (Some(paused), _) => paused.to_string(),
                    (None, Some(hold)) => format!("{reason}: {hold}"),
                    (None, None) => reason,
                }
            }
            TaskState::Provisioning { run, .. } => format!("{run} is getting its workspace ready"),
            TaskState::Running { run, .. } => {
                let run = self.store().run(*run).await?;
                format!(
                    "{} is at work in {}, last heard of at {}",
                    run.id, run.workspace, run.heard_at
                )
            }
            TaskState::PrOpened { .. } | TaskState::NeedsAttention { .. } => {
                self.why_not_merged(&task).await?
            }
            TaskState::Completed { .. } => "it is done".to_owned(),
            TaskState::Failed { failure, .. } => format!("{failure}; {}", failure.remedy()),
            TaskState::Cancelled { .. } => "it was cancelled; retry it to go on".to_owned(),
        };
        Ok(why)
    }

    async fn why_not_merged(&self, task: &crate::task::Task) -> Result<String> {
        let Some(pull_request) = &task.pull_request else {
            return Ok("its pull request is not known".to_owned());
        };
        let repo = self.store().repo(task.repo).await?;
        let seen = self
            .forge(&repo.url)?
            .pull_request(&repo, pull_request.number)
            .await
            .map_err(|error| error.to_string());
        let reviews = self.seen_reviews(task.id).await?;
        let snapshot = PrSnapshot {
            task,
            settings: &repo.settings,
            pull_request: seen.as_ref().map_err(String::as_str),
            reviews: &reviews,
        };
        let decision = reconcile_pull_request(&snapshot, self.now());
        let number = pull_request.number;
        Ok(match (decision.action, &task.state) {
            (
                _,
                TaskState::NeedsAttention {
                    reason: crate::task::AttentionReason::Person { summary },
                    ..
                },
            ) => summary.clone(),
            (Action::Wait { what_for }, _) => format!("pull request {number} waits for {what_for}"),
            (Action::Nothing { why }, _) => format!("pull request {number}: {why}"),
            (_, _) => format!(
                "pull request {number} is about to be acted on ({})",
                decision.rule
            ),
        })
    }

    /// Follows a task's log from a cursor on: everything that is stored behind it, then everything that comes, without
    /// a gap or a duplicate.
    ///
    /// # Errors
    /// The task does not exist, or a backend failed.
    pub async fn follow_log(&self, task: TaskId, after: LogCursor) -> Result<LogFollower> {
        self.store().task(task).await?;
        // first listen, then read: what comes in between is in both and told apart by the cursor
        let hints = self.ports().bus.subscribe().await?;
        Ok(LogFollower {
            engine: self.clone(),
            task,
            cursor: after,
            hints,
            ready: VecDeque::new(),
        })
    }
}

/// A task's log, being followed.
#[derive(Debug)]
pub struct LogFollower {
    engine: Optio,
    task: TaskId,
    cursor: LogCursor,
    hints: Box<dyn Subscription>,
    ready: VecDeque<Vec<LogEntry>>,
}

impl LogFollower {
    /// The next entries, waiting for them; none once the task has ended and everything was given. Cancel safe.
    ///
    /// # Errors
    /// The store failed. Another call goes on where this one was.
    pub async fn next(&mut self) -> Result<Option<Vec<LogEntry>>> {
        loop {
            if let Some(entries) = self.ready.pop_front() {
                return Ok(Some(entries));
            }
            // asked before the log is read: what is written before the end is seen before the end
            let ended = has_ended(&self.engine, self.task).await?;
            let entries = self
                .engine
                .store()
                .log(self.task, self.cursor, PAGE)
                .await?;
            if let Some(last) = entries.last() {
                self.cursor = last.cursor;
                self.ready.push_back(entries);
            } else if ended {
                return Ok(None);
            } else {
                self.wait().await;
            }
        }
    }

    /// Behind the last entry that was given.
    #[must_use]
    pub fn cursor(&self) -> LogCursor {
        self.cursor
    }

    async fn wait(&mut self) {
        let mine = async {
            loop {
                match self.hints.next().await {
                    Ok(Hint::Task { task } | Hint::Log { task }) if task != self.task => {}
                    Ok(Hint::PullRequest { .. } | Hint::Outbox) => {}
                    // a broken subscription leaves the sweep
                    Err(_) => return std::future::pending().await,
                    Ok(_) => return,
                }
            }
        };
        let _ = tokio::time::timeout(SWEEP, mine).await;
    }
}

/// Whether nothing more comes. Not a method of the follower: what waits must be free to move to another thread, and the
/// subscription may not be looked at from two.
async fn has_ended(engine: &Optio, task: TaskId) -> Result<bool> {
    if !engine.store().task(task).await?.state.is_final() {
        return Ok(false);
    }
    let live = RunQuery {
        task: Some(task),
        only_live: OnlyLive::Yes,
        ..RunQuery::default()
    };
    Ok(engine.store().runs(&live).await?.is_empty())
}
