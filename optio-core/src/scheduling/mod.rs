//! Scheduling, as pure functions: how much may be at work, what comes first, where it runs, when it is tried again,
//! and what it may cost.

mod account;
mod budget;
mod order;
mod placement;
mod retry;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::{
    account::{Admission, Answered, admit, is_over, pause_end},
    budget::{BudgetScope, Budgets, Exceeded, Spent, exceeded, today},
    order::{AGING_STEP, Rank, rank},
    placement::{Place, Placement, place},
    retry::{AfterFailure, after_failure},
};
use crate::{account::AccountName, clock::Timestamp, money::Usd};

/// Why a task that wants to run does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "reason",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
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
    /// No run may use the account that its agent works with.
    AccountPaused {
        /// The account.
        account: AccountName,
        /// Until when; none if until a person resumes it.
        until: Option<Timestamp>,
    },
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
            Self::AccountPaused {
                account,
                until: Some(until),
            } => write!(f, "the account {account} is paused until {until}"),
            Self::AccountPaused {
                account,
                until: None,
            } => write!(f, "the account {account} is paused until it is resumed"),
            Self::Budget { spent, limit } => write!(f, "{spent} of a budget of {limit} are spent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::conformance::sample::at;

    #[test]
    fn every_reason_to_wait_is_a_sentence_and_is_stored() {
        let dollars = Usd::from_dollars;
        let reasons = [
            WaitReason::Ready,
            WaitReason::GlobalLimit {
                at_work: 5,
                limit: 5,
            },
            WaitReason::RepoLimit {
                at_work: 2,
                limit: 2,
            },
            WaitReason::NotBefore { until: at(60) },
            WaitReason::OwnRun,
            WaitReason::AccountPaused {
                account: AccountName::unseen("codex", "workspace"),
                until: Some(at(60)),
            },
            WaitReason::AccountPaused {
                account: AccountName::unseen("codex", "workspace"),
                until: None,
            },
            WaitReason::Budget {
                spent: dollars(5.25),
                limit: dollars(5.0),
            },
        ];
        let lines = reasons.map(|reason| {
            let text = serde_json::to_string(&reason).unwrap();
            assert_eq!(serde_json::from_str::<WaitReason>(&text).unwrap(), reason);
            format!("{reason}\n    {text}")
        });
        assert_snapshot!(lines.join("\n"), @r#"
        nothing holds it back: a worker is about to take it
            {"reason":"ready"}
        5 tasks are at work and 5 may be (OPTIO_MAX_CONCURRENT)
            {"reason":"global_limit","atWork":5,"limit":5}
        2 tasks of its repository are at work and 2 may be (maxConcurrentTasks, or its workspaces are full)
            {"reason":"repo_limit","atWork":2,"limit":2}
        it may not start before 2025-01-01T00:01:00.123456Z
            {"reason":"not_before","until":"2025-01-01T00:01:00.123456Z"}
        an earlier run of it has not ended yet
            {"reason":"own_run"}
        the account codex:workspace is paused until 2025-01-01T00:01:00.123456Z
            {"reason":"account_paused","account":"codex:workspace","until":"2025-01-01T00:01:00.123456Z"}
        the account codex:workspace is paused until it is resumed
            {"reason":"account_paused","account":"codex:workspace","until":null}
        $5.25 of a budget of $5.00 are spent
            {"reason":"budget","spent":5.25,"limit":5.0}
        "#);
    }

    #[test]
    fn every_budget_names_the_setting_that_raises_it() {
        let scopes = [
            BudgetScope::Task,
            BudgetScope::RepoDay,
            BudgetScope::FleetDay,
        ];
        let lines = scopes.map(|scope| {
            let over = Exceeded {
                scope,
                spent: Usd::from_dollars(5.25),
                limit: Usd::from_dollars(5.0),
                renews_at: None,
            };
            over.to_string()
        });
        assert_snapshot!(lines.join("\n"), @r"
        $5.25 of the $5.00 of the task (maxCostPerTask) are spent
        $5.25 of the $5.00 of the repository for today (maxCostPerDay) are spent
        $5.25 of the $5.00 of everybody for today (OPTIO_MAX_COST_PER_DAY) are spent
        ");
    }
}
