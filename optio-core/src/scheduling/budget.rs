//! What may be spent: by a task, by a repository in a day, by everybody in a day.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    failure::{Failure, FailureClass},
    money::Usd,
};

/// What may be spent. None is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Budgets {
    /// By the task, over all its runs.
    pub task: Option<Usd>,
    /// By the repository, in a day (UTC).
    pub repo_day: Option<Usd>,
    /// By everybody, in a day (UTC).
    pub fleet_day: Option<Usd>,
}

/// What has been spent, in the same three ways. What a run at work has used so far is part of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spent {
    /// By the task.
    pub task: Usd,
    /// By the repository today.
    pub repo_day: Usd,
    /// By everybody today.
    pub fleet_day: Usd,
}

/// A budget that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exceeded {
    /// Which.
    pub scope: BudgetScope,
    /// What was spent.
    pub spent: Usd,
    /// What may be.
    pub limit: Usd,
    /// When there is a new one; none if only a person can raise it.
    pub renews_at: Option<Timestamp>,
}

/// Whose budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// The task's.
    Task,
    /// The repository's for the day.
    RepoDay,
    /// Everybody's for the day.
    FleetDay,
}

impl Exceeded {
    /// What a run fails from that may not spend more: it goes on when there is a new budget, if ever.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let failure = Failure::new(FailureClass::BudgetReached).with_detail(self.to_string());
        match self.renews_at {
            Some(at) => failure.until(at),
            None => failure,
        }
    }
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whose = match self.scope {
            BudgetScope::Task => "the task (maxCostPerTask)",
            BudgetScope::RepoDay => "the repository for today (maxCostPerDay)",
            BudgetScope::FleetDay => "everybody for today (OPTIO_MAX_COST_PER_DAY)",
        };
        write!(
            f,
            "{} of the {} of {whose} are spent",
            self.spent, self.limit
        )
    }
}

/// The first budget that is used up, the task's own first.
#[must_use]
pub fn exceeded(budgets: Budgets, spent: Spent, now: Timestamp) -> Option<Exceeded> {
    let rows = [
        (BudgetScope::Task, budgets.task, spent.task, None),
        (
            BudgetScope::RepoDay,
            budgets.repo_day,
            spent.repo_day,
            Some(tomorrow(now)),
        ),
        (
            BudgetScope::FleetDay,
            budgets.fleet_day,
            spent.fleet_day,
            Some(tomorrow(now)),
        ),
    ];
    rows.into_iter()
        .find_map(|(scope, limit, spent, renews_at)| {
            let limit = limit?;
            (spent >= limit).then_some(Exceeded {
                scope,
                spent,
                limit,
                renews_at,
            })
        })
}

/// The beginning of the day (UTC) of `now`.
#[must_use]
pub fn today(now: Timestamp) -> Timestamp {
    let second = now.as_second();
    Timestamp::from_second(second - second.rem_euclid(86_400)).unwrap_or(now)
}

fn tomorrow(now: Timestamp) -> Timestamp {
    crate::clock::later(today(now), std::time::Duration::from_secs(86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_budget_that_is_used_up_is_named_with_its_renewal() {
        let now: Timestamp = "2026-11-21T13:00:00Z".parse().unwrap();
        let budgets = Budgets {
            task: Some(Usd::from_dollars(5.0)),
            repo_day: Some(Usd::from_dollars(20.0)),
            fleet_day: None,
        };
        assert_eq!(
            exceeded(
                budgets,
                Spent {
                    task: Usd::from_dollars(4.99),
                    ..Spent::default()
                },
                now
            ),
            None
        );
        let task = exceeded(
            budgets,
            Spent {
                task: Usd::from_dollars(5.0),
                repo_day: Usd::from_dollars(25.0),
                ..Spent::default()
            },
            now,
        )
        .unwrap();
        insta::assert_snapshot!(task, @"$5.00 of the $5.00 of the task (maxCostPerTask) are spent");
        let repo = exceeded(
            budgets,
            Spent {
                repo_day: Usd::from_dollars(25.0),
                ..Spent::default()
            },
            now,
        )
        .unwrap();
        assert_eq!(repo.renews_at.unwrap().to_string(), "2026-11-22T00:00:00Z");
    }
}
