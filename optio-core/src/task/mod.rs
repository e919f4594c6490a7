//! Tasks: what a user wants done, and how far it has come.
//!
//! [`TaskState`] holds what is known only in that state; [`Task::apply`] is the one way from a state to the next.
//! What outlives a state (the pull request, the worktree, what has been spent) is a field of the [`Task`].

mod dependency;
mod message;
mod state;
mod transition;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::{
    dependency::{CycleError, DependencyVerdict, check_acyclic, dependencies},
    message::{MAX_MESSAGE, Message},
    state::{AttentionReason, Completion, StateName, TaskState},
    transition::{InvalidTransition, TaskEvent},
};
use crate::{
    clock::Timestamp,
    failure::FailureClass,
    id::{RepoId, TaskId, WorkspaceId},
    money::Usage,
    pull_request::{CommitId, PullRequestRef},
    run::RunKind,
    transcript::SessionId,
    worktree::Worktree,
};

/// The priority of a task that names none. Lower runs first.
pub const DEFAULT_PRIORITY: i32 = 100;

/// What a user wants done.
///
/// It is written at each step, so what is empty is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its key.
    pub id: TaskId,
    /// The repository it is about.
    pub repo: RepoId,
    /// One line for lists and for the pull request.
    pub title: String,
    /// The whole wish, in Markdown.
    pub body: String,
    /// Lower runs first.
    pub priority: i32,
    /// The agent, by name; the repository's if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The model; the repository's if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it is: work on code, or a review of another task's pull request.
    pub role: TaskRole,
    /// Tasks that must be completed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TaskId>,
    /// The ticket it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketRef>,
    /// How far it is.
    pub state: TaskState,
    /// The branch of its work.
    pub branch: String,
    /// The pull request of its branch, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequestRef>,
    /// Its worktree, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worktree: Option<Worktree>,
    /// The workspace of its last run: where its worktree and the tools it installed are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_workspace: Option<WorkspaceId>,
    /// The agent's session, to resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// How many runs it has had.
    pub runs: u32,
    /// How often each cause has started a run since that cause was last gone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attempts: Attempts,
    /// What a run was already started for: nothing starts a second one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handled: Vec<Cause>,
    /// The last commit of its branch whose checks passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_green: Option<CommitId>,
    /// What its runs have used, added up. Those of its review subtasks are counted with them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub usage: Usage,
    /// What people have said to its agent and no run that did its work has heard, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// The number of the last message that anybody has sent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub last_message: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Counts the changes of this record; the store refuses to overwrite a newer one.
    pub version: u64,
}

/// Whether there is nothing in it that is worth writing.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a task is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "role",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum TaskRole {
    /// It changes code and ends as a merged pull request.
    Coding,
    /// It reviews the pull request of its parent.
    Review {
        /// The task whose pull request is reviewed.
        parent: TaskId,
        /// Whether the parent waits for it.
        blocks_parent: Blocking,
        /// The commit to be reviewed.
        head: CommitId,
    },
}

/// Whether a parent waits for its subtask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocking {
    /// The parent does not advance before this is done.
    BlocksParent,
    /// The parent goes on.
    Independent,
}

/// The ticket that a task came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TicketRef {
    /// The ticket source, by name.
    pub source: String,
    /// Its key there.
    pub key: String,
    /// Where a person can look at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What the next run of a task is to do. It is stored with the task and with nothing else, so it cannot be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextRun {
    /// Why it runs.
    pub kind: RunKind,
    /// What set it off, where something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What the agent is told about it: failing checks, review comments, files in conflict, an earlier failure.
    #[serde(default, skip_serializing_if = "is_default")]
    pub briefing: Briefing,
}

impl NextRun {
    /// The first run of a task.
    #[must_use]
    pub fn first() -> Self {
        Self {
            kind: RunKind::First,
            cause: None,
            briefing: Briefing::default(),
        }
    }
}

/// What the agent is told about the cause of its run, as finished text for the prompt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Briefing {
    /// The failing checks with their logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci_failures: Option<String>,
    /// What reviewers wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_comments: Option<String>,
    /// The files in conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict_files: Option<String>,
    /// How an earlier attempt ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_attempt: Option<String>,
}

/// What may start another run, bound to the commits that it is about: one cause starts one run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// What kind.
    pub kind: CauseKind,
    /// The head commit it was seen on.
    pub head: CommitId,
    /// What else tells it from others on the same head: the reviews' ids, the base commit of a conflict.
    pub mark: String,
}

/// What kind of cause starts another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// Checks failed.
    Ci,
    /// Changes were requested.
    Review,
    /// Head and base conflict.
    Conflict,
}

/// How often each cause has started a run since that cause was last gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attempts {
    /// Runs in a row that failed by the agent's own doing.
    pub failures: u32,
    /// Runs in a row that the infrastructure failed; they are not charged, they only lengthen the wait.
    pub free: u32,
    /// Resumes for red checks since the last green commit.
    pub ci: u32,
    /// Resumes for requested changes.
    pub review: u32,
    /// Resumes for conflicts since the branch was last clean.
    pub conflict: u32,
}

impl Attempts {
    /// The count of one cause.
    #[must_use]
    pub fn of(&self, kind: CauseKind) -> u32 {
        match kind {
            CauseKind::Ci => self.ci,
            CauseKind::Review => self.review,
            CauseKind::Conflict => self.conflict,
        }
    }

    /// Counts one more resume of a cause.
    pub fn count(&mut self, kind: CauseKind) {
        match kind {
            CauseKind::Ci => self.ci += 1,
            CauseKind::Review => self.review += 1,
            CauseKind::Conflict => self.conflict += 1,
        }
    }
}

impl Task {
    /// Moves the task on by one event; the state and everything that follows from it in this record.
    ///
    /// # Errors
    /// The event cannot happen in the present state. The task is unchanged.
    pub fn apply(&mut self, event: TaskEvent, now: Timestamp) -> Result<(), InvalidTransition> {
        let next = self.state.clone().apply(event.clone(), now)?;
        match event {
            TaskEvent::Enqueued { next } => {
                if let Some(cause) = next.cause {
                    self.attempts.count(cause.kind);
                    if !self.has_handled(&cause) {
                        self.handled.push(cause);
                    }
                }
            }
            TaskEvent::Placed { workspace, .. } => {
                self.last_workspace = Some(workspace);
                self.runs += 1;
            }
            TaskEvent::PrFound { pull_request } => {
                self.pull_request = Some(pull_request);
                self.attempts.failures = 0;
                self.attempts.free = 0;
            }
            TaskEvent::Retried { .. } => self.begin_anew(),
            // a retry too, only that it has to wait
            TaskEvent::Blocked if self.state.is_final() => self.begin_anew(),
            _ => {}
        }
        self.state = next;
        self.updated_at = now;
        Ok(())
    }

    /// Whoever retries a task gives it all attempts again, and what was tried may be tried again.
    fn begin_anew(&mut self) {
        self.attempts = Attempts::default();
        self.handled.clear();
        // a pull request that was closed is not opened again: the next run opens another one
        if let TaskState::Failed { failure, .. } = &self.state
            && failure.class == FailureClass::PrClosed
        {
            self.pull_request = None;
        }
    }

    /// The task whose pull request this one reviews.
    #[must_use]
    pub fn parent(&self) -> Option<TaskId> {
        match self.role {
            TaskRole::Review { parent, .. } => Some(parent),
            TaskRole::Coding => None,
        }
    }

    /// Whether a run was already started for this cause.
    #[must_use]
    pub fn has_handled(&self, cause: &Cause) -> bool {
        self.handled.contains(cause)
    }
}
