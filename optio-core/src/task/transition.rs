//! The one function that moves a task from state to state.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{AttentionReason, Completion, NextRun, StateName, TaskState};
use crate::{
    clock::Timestamp,
    failure::Failure,
    id::{RunId, WorkspaceId},
    pull_request::PullRequestRef,
    run::RunKind,
};

/// Something that happened to a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum TaskEvent {
    /// It has to wait for other tasks.
    Blocked,
    /// A run of it is wanted: the first, or one that resumes the agent.
    Enqueued {
        /// What the run is to do.
        next: NextRun,
    },
    /// A run has a place in a workspace.
    Placed {
        /// The run.
        run: RunId,
        /// The workspace.
        workspace: WorkspaceId,
    },
    /// The run's agent has been started.
    Started,
    /// The run did not work out and another one will: not a failure of the task.
    Requeued {
        /// What the next run is to do.
        next: NextRun,
        /// It may not start before this moment.
        not_before: Option<Timestamp>,
        /// Why, for people.
        hold: Option<String>,
    },
    /// Its pull request is open.
    PrFound {
        /// Which.
        pull_request: PullRequestRef,
    },
    /// Something must change before the pull request can be merged.
    AttentionNeeded {
        /// What.
        reason: AttentionReason,
    },
    /// It is done.
    Completed {
        /// The fact that makes it so.
        how: Completion,
    },
    /// It has failed for good.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Somebody cancelled it.
    Cancelled,
    /// Somebody wants it tried again.
    Retried {
        /// What the next run is to do.
        next: NextRun,
    },
    /// It is watched again: the cause of the attention it needed is gone, or somebody says that it is.
    Watched,
}

impl TaskEvent {
    /// Its name, in `snake_case`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Enqueued { .. } => "enqueued",
            Self::Placed { .. } => "placed",
            Self::Started => "started",
            Self::Requeued { .. } => "requeued",
            Self::PrFound { .. } => "pr_found",
            Self::AttentionNeeded { .. } => "attention_needed",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Retried { .. } => "retried",
            Self::Watched => "watched",
        }
    }
}

/// An event that cannot happen in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a {from} task cannot take the event {event}")]
pub struct InvalidTransition {
    /// The state.
    pub from: StateName,
    /// The event's name.
    pub event: &'static str,
}

impl TaskState {
    /// The state after `event`.
    ///
    /// # Errors
    /// The event cannot happen in this state.
    pub fn apply(self, event: TaskEvent, now: Timestamp) -> Result<Self, InvalidTransition> {
        use TaskEvent as E;
        Ok(match (self, event) {
            (Self::Pending, E::Blocked) => Self::WaitingOnDeps,
            // a queued one, when it was given something more to wait for. What any other run is about would be lost
            (Self::Queued { next, .. }, E::Blocked) if next.kind == RunKind::First => {
                Self::WaitingOnDeps
            }
            (
                Self::Pending
                | Self::WaitingOnDeps
                | Self::NeedsAttention { .. }
                | Self::PrOpened { .. },
                E::Enqueued { next },
            ) => Self::Queued {
                next,
                since: now,
                not_before: None,
                hold: None,
            },
            (Self::Queued { next, .. }, E::Placed { run, .. }) => Self::Provisioning { run, next },
            (Self::Provisioning { run, next }, E::Started) => Self::Running { run, next },
            (
                Self::Provisioning { .. } | Self::Running { .. } | Self::Queued { .. },
                E::Requeued {
                    next,
                    not_before,
                    hold,
                },
            ) => Self::Queued {
                next,
                since: now,
                not_before,
                hold,
            },
            // a run that was adopted may find the pull request before it was seen to start
            (Self::Provisioning { .. } | Self::Running { .. }, E::PrFound { .. }) => {
                Self::PrOpened { since: now }
            }
            (
                Self::PrOpened { .. } | Self::NeedsAttention { .. } | Self::Running { .. },
                E::AttentionNeeded { reason },
            ) => Self::NeedsAttention { reason, since: now },
            (Self::NeedsAttention { .. }, E::Watched) => Self::PrOpened { since: now },
            // merged elsewhere counts from wherever the task is, once it has a pull request; a review is done while running
            (
                Self::PrOpened { .. }
                | Self::NeedsAttention { .. }
                | Self::Failed { .. }
                | Self::Queued { .. }
                | Self::Provisioning { .. }
                | Self::Running { .. },
                E::Completed { how },
            ) => Self::Completed { how, at: now },
            (from, E::Failed { failure }) if !from.is_final() => Self::Failed { failure, at: now },
            (from, E::Cancelled) if !from.is_final() => Self::Cancelled { at: now },
            (Self::Failed { .. } | Self::Cancelled { .. }, E::Retried { next }) => Self::Queued {
                next,
                since: now,
                not_before: None,
                hold: None,
            },
            // its dependencies may have been retried too: it waits for them again
            (Self::Failed { .. } | Self::Cancelled { .. }, E::Blocked) => Self::WaitingOnDeps,
            (from, event) => {
                return Err(InvalidTransition {
                    from: from.name(),
                    event: event.name(),
                });
            }
        })
    }
}
