//! Scheduling, as pure functions: how much may be at work, what comes first, where it runs, when it is tried again,
//! and what it may cost.

mod budget;
mod order;
mod placement;
mod retry;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::{
    budget::{BudgetScope, Budgets, Exceeded, Spent, exceeded, today},
    order::{AGING_STEP, Rank, rank},
    placement::{Place, Placement, place},
    retry::{AfterFailure, after_failure},
};
use crate::{clock::Timestamp, money::Usd};

/// Why a task that wants to run does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum WaitReason {
    /// Nothing holds it back: a worker takes it at its next look.
    Ready,
    /// The fleet works at its limit.
    GlobalLimit {
        /// How many are at work.
        at_work: u32,
        /// How many may be.
        limit: u32,
    },
    /// Its repository works at its limit.
    RepoLimit {
        /// How many of the repository are at work.
        at_work: u32,
        /// How many may be.
        limit: u32,
    },
    /// It may not start before a moment: a backoff, or a rate limit.
    NotBefore {
        /// The moment.
        until: Timestamp,
    },
    /// An earlier run of the same task has not ended yet.
    OwnRun,
    /// A budget is used up.
    Budget {
        /// What was spent.
        spent: Usd,
        /// What may be.
        limit: Usd,
    },
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("nothing holds it back: a worker is about to take it"),
            Self::GlobalLimit { at_work, limit } => {
                write!(
                    f,
                    "{at_work} tasks are at work and {limit} may be (OPTIO_MAX_CONCURRENT)"
                )
            }
            Self::RepoLimit { at_work, limit } => {
                write!(
                    f,
                    "{at_work} tasks of its repository are at work and {limit} may be (maxConcurrentTasks, or its workspaces are full)"
                )
            }
            Self::NotBefore { until } => write!(f, "it may not start before {until}"),
            Self::OwnRun => f.write_str("an earlier run of it has not ended yet"),
            Self::Budget { spent, limit } => write!(f, "{spent} of a budget of {limit} are spent"),
        }
    }
}
