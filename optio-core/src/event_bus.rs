//! The port for fan-out: hints to other workers, replicas and browsers that there is something new to read.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    id::{RepoId, TaskId},
    pull_request::PrNumber,
};

/// Spreads hints.
///
/// # Contract
/// - Hints may be lost, doubled or late: each is only a reason to look again, and a slow sweep stands behind each.
/// - A subscription gets what is published after [`subscribe`](Self::subscribe) returned.
/// - A subscriber that falls behind gets [`Hint::Missed`] instead of what it missed; it never slows a publisher.
#[async_trait]
pub trait EventBus: fmt::Debug + Send + Sync + 'static {
    /// Tells everybody. Returns when it is sent, not when it has arrived.
    async fn publish(&self, hint: Hint) -> Result<()>;

    /// Listens from now on.
    async fn subscribe(&self) -> Result<Box<dyn Subscription>>;
}

/// Somebody who listens.
#[async_trait]
pub trait Subscription: fmt::Debug + Send {
    /// The next hint, waiting for it. Cancel safe.
    async fn next(&mut self) -> Result<Hint>;
}

/// That there is something new to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "hint", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Hint {
    /// A task changed.
    Task {
        /// Which.
        task: TaskId,
    },
    /// A task's log grew.
    Log {
        /// Which task's.
        task: TaskId,
    },
    /// Something happened to a pull request: a push, a check, a review.
    PullRequest {
        /// The repository.
        repo: RepoId,
        /// Which.
        number: PrNumber,
    },
    /// The outbox has something to deliver.
    Outbox,
    /// Hints were missed: look at everything.
    Missed,
}
