//! The ten states of a task, each with the data that exists only in it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::NextRun;
use crate::{
    clock::Timestamp,
    failure::Failure,
    id::RunId,
    pull_request::{CommitId, ReviewReport},
};

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "name",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum TaskState {
    /// Created, not queued yet.
    Pending,
    /// Blocked by tasks that must be completed first.
    WaitingOnDeps,
    /// Waits for capacity.
    Queued {
        /// What its run is to do.
        next: NextRun,
        /// When it joined the queue; its age counts from here.
        since: Timestamp,
        /// It may not start before this moment: a backoff, or a limit that resets then.
        #[serde(skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
        /// Why it has to wait until then, for people.
        #[serde(skip_serializing_if = "Option::is_none")]
        hold: Option<String>,
    },
    /// A workspace is being found or made for it.
    Provisioning {
        /// The run that this is for.
        run: RunId,
        /// What the run is to do.
        next: NextRun,
    },
    /// An agent is at work.
    Running {
        /// The run.
        run: RunId,
        /// What the run is to do.
        next: NextRun,
    },
    /// Something must change before its pull request can be merged: the agent is resumed, or a person is asked.
    NeedsAttention {
        /// What.
        reason: AttentionReason,
        /// When that was seen.
        since: Timestamp,
    },
    /// Its pull request is open and watched.
    PrOpened {
        /// When the watch began.
        since: Timestamp,
    },
    /// Done.
    Completed {
        /// What makes it done.
        how: Completion,
        /// When.
        at: Timestamp,
    },
    /// It failed for good, unless somebody retries it.
    Failed {
        /// Why.
        failure: Failure,
        /// When.
        at: Timestamp,
    },
    /// Somebody cancelled it.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

/// What must change before a pull request can be merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum AttentionReason {
    /// Its checks failed.
    CiFailed,
    /// A review requested changes.
    ChangesRequested,
    /// It conflicts with its base.
    Conflict,
    /// Optio has done what it may; a person has to decide.
    Person {
        /// What happened and what can be done, in a sentence or two.
        summary: String,
    },
}

/// What makes a task done: a fact, never an agent's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Completion {
    /// Its pull request is in the base branch.
    Merged {
        /// The commit that brought it there.
        commit: CommitId,
    },
    /// Its review was given.
    Reviewed {
        /// The commit that was reviewed.
        head: CommitId,
        /// The review.
        report: ReviewReport,
    },
}

/// The name of a state, without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "each is the name of a state of TaskState, and documented there"
)]
pub enum StateName {
    Pending,
    WaitingOnDeps,
    Queued,
    Provisioning,
    Running,
    NeedsAttention,
    PrOpened,
    Completed,
    Failed,
    Cancelled,
}

/// Text that is not the name of a state.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not a task state: expected one of pending, waiting_on_deps, queued, provisioning, running, needs_attention, pr_opened, completed, failed, cancelled"
)]
pub struct ParseStateError(String);

impl StateName {
    /// Every state, in the order of a task's life.
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::WaitingOnDeps,
        Self::Queued,
        Self::Provisioning,
        Self::Running,
        Self::NeedsAttention,
        Self::PrOpened,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The name as written in every interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::WaitingOnDeps => "waiting_on_deps",
            Self::Queued => "queued",
            Self::Provisioning => "provisioning",
            Self::Running => "running",
            Self::NeedsAttention => "needs_attention",
            Self::PrOpened => "pr_opened",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to a task in this state by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for StateName {
    type Err = ParseStateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or_else(|| ParseStateError(text.to_owned()))
    }
}

impl TaskState {
    /// The state's name.
    #[must_use]
    pub fn name(&self) -> StateName {
        match self {
            Self::Pending => StateName::Pending,
            Self::WaitingOnDeps => StateName::WaitingOnDeps,
            Self::Queued { .. } => StateName::Queued,
            Self::Provisioning { .. } => StateName::Provisioning,
            Self::Running { .. } => StateName::Running,
            Self::NeedsAttention { .. } => StateName::NeedsAttention,
            Self::PrOpened { .. } => StateName::PrOpened,
            Self::Completed { .. } => StateName::Completed,
            Self::Failed { .. } => StateName::Failed,
            Self::Cancelled { .. } => StateName::Cancelled,
        }
    }

    /// Whether nothing more happens to the task by itself.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.name().is_final()
    }

    /// The run that holds the task's worktree, if one does.
    #[must_use]
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Provisioning { run, .. } | Self::Running { run, .. } => Some(*run),
            _ => None,
        }
    }
}
