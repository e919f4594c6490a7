//! The order of the queue: priority, then age, with aging so that nothing waits for ever.

use std::{cmp::Ordering, time::Duration};

use crate::{clock::Timestamp, id::TaskId};

/// Waiting this long is worth one step of priority.
pub const AGING_STEP: Duration = Duration::from_secs(60);

/// A place in the order: smaller goes first. It does not change while a task waits, so a queue can keep it as a
/// sorted key: with aging, of two waiting tasks the better one stays the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// Priority and age in one number: the moment it joined, moved later by a step for each point of priority.
    pub score: i64,
    /// Settles ties: the older id.
    pub task: TaskId,
}

/// The rank of a task with this priority (lower first) that joined the queue at `since`.
#[must_use]
pub fn rank(priority: i32, since: Timestamp, task: TaskId) -> Rank {
    let step = i64::try_from(AGING_STEP.as_millis()).unwrap_or(i64::MAX);
    Rank {
        score: since
            .as_millisecond()
            .saturating_add(i64::from(priority).saturating_mul(step)),
        task,
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.score, self.task).cmp(&(other.score, other.task))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
