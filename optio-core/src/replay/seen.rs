//! What each policy is shown, as values that can be kept and shown to it again.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    account::AccountName,
    clock::Timestamp,
    decision::{DecisionKind, DecisionRecord, Verdict},
    failure::Failure,
    id::{TaskId, WorkspaceId},
    pull_request::PullRequest,
    reconcile::{PrSnapshot, SeenReview, reconcile_pull_request},
    repo::{AttemptLimits, RepoSettings},
    scheduling::{
        AfterFailure, Budgets, Exceeded, Place, Placement, Spent, after_failure, exceeded,
        pause_end, place,
    },
    task::{Attempts, DependencyVerdict, StateName, Task, dependencies},
};

/// All that one of the policies is shown.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Seen {
    /// A pull request and its task.
    PullRequest(Box<SeenPullRequest>),
    /// A failed run.
    Failure(SeenFailure),
    /// The workspaces of a repository.
    Places(SeenPlaces),
    /// The states of those that a task depends on.
    Dependencies(SeenDependencies),
    /// Budgets, and what was spent of them.
    Spending(SeenSpending),
}

/// [`PrSnapshot`] and the moment, owned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenPullRequest {
    /// The task of the pull request.
    pub task: Task,
    /// Its repository's settings.
    pub settings: RepoSettings,
    /// The pull request, or why it could not be read.
    pub pull_request: Result<PullRequest, String>,
    /// The review subtasks of the task, oldest first.
    pub reviews: Vec<SeenReview>,
    /// The moment.
    pub now: Timestamp,
}

/// What [`after_failure`] is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenFailure {
    /// Why the run failed.
    pub failure: Failure,
    /// What the task has been through.
    pub attempts: Attempts,
    /// How much of that is allowed.
    pub limits: AttemptLimits,
    /// The moment.
    pub now: Timestamp,
    /// The random number that spreads what failed together.
    pub jitter: u64,
    /// The account of the run, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountName>,
}

/// What [`place`] is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenPlaces {
    /// The repository's settings.
    pub settings: RepoSettings,
    /// Its workspaces that take runs.
    pub places: Vec<Place>,
    /// The workspace of the task's last run.
    pub last: Option<WorkspaceId>,
}

/// What [`dependencies`] is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenDependencies {
    /// Each with its state; none where it does not exist.
    pub states: Vec<(TaskId, Option<StateName>)>,
}

/// What [`exceeded`] is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenSpending {
    /// What may be spent.
    pub budgets: Budgets,
    /// What was spent.
    pub spent: Spent,
    /// The moment.
    pub now: Timestamp,
}

impl SeenPullRequest {
    /// A snapshot and its moment, owned.
    #[must_use]
    pub fn new(seen: &PrSnapshot<'_>, now: Timestamp) -> Self {
        Self {
            task: seen.task.clone(),
            settings: seen.settings.clone(),
            pull_request: seen.pull_request.cloned().map_err(str::to_owned),
            reviews: seen.reviews.to_vec(),
            now,
        }
    }

    /// The snapshot again.
    #[must_use]
    pub fn snapshot(&self) -> PrSnapshot<'_> {
        PrSnapshot {
            task: &self.task,
            settings: &self.settings,
            pull_request: self.pull_request.as_ref().map_err(String::as_str),
            reviews: &self.reviews,
        }
    }
}

impl SeenFailure {
    /// What follows.
    #[must_use]
    pub fn decide(&self) -> AfterFailure {
        if self.account.is_some() && pause_end(&self.failure).is_some() {
            // the pause of its account holds it back, for as long as that lasts
            return AfterFailure::TryAgain {
                not_before: self.now,
                attempts: self.attempts,
            };
        }
        after_failure(
            &self.failure,
            self.attempts,
            self.limits,
            self.now,
            self.jitter,
        )
    }
}

impl SeenPlaces {
    /// Where the run goes.
    #[must_use]
    pub fn decide(&self) -> Placement {
        place(&self.settings, &self.places, self.last)
    }
}

impl SeenDependencies {
    /// What they mean.
    #[must_use]
    pub fn decide(&self) -> DependencyVerdict {
        dependencies(
            self.states
                .iter()
                .map(|(task, state)| (*task, state.as_ref())),
        )
    }
}

impl SeenSpending {
    /// The budget that is used up, if one is.
    #[must_use]
    pub fn decide(&self) -> Option<Exceeded> {
        exceeded(self.budgets, self.spent, self.now)
    }
}

impl Seen {
    /// Reads a snapshot that was recorded.
    ///
    /// # Errors
    /// It does not hold what today's policy needs.
    pub fn read(kind: DecisionKind, snapshot: &Value) -> Result<Self, serde_json::Error> {
        Ok(match kind {
            DecisionKind::PullRequest => Self::PullRequest(Deserialize::deserialize(snapshot)?),
            DecisionKind::AfterFailure => Self::Failure(Deserialize::deserialize(snapshot)?),
            DecisionKind::Placement => Self::Places(Deserialize::deserialize(snapshot)?),
            DecisionKind::Dependencies => Self::Dependencies(Deserialize::deserialize(snapshot)?),
            DecisionKind::Budget => Self::Spending(Deserialize::deserialize(snapshot)?),
            DecisionKind::Other => {
                return Err(serde::de::Error::custom("this version has no such policy"));
            }
        })
    }

    /// Which policy it is for.
    #[must_use]
    pub fn kind(&self) -> DecisionKind {
        match self {
            Self::PullRequest(_) => DecisionKind::PullRequest,
            Self::Failure(_) => DecisionKind::AfterFailure,
            Self::Places(_) => DecisionKind::Placement,
            Self::Dependencies(_) => DecisionKind::Dependencies,
            Self::Spending(_) => DecisionKind::Budget,
        }
    }

    /// What today's policy says of it.
    #[must_use]
    pub fn decide(&self) -> Verdict {
        match self {
            Self::PullRequest(seen) => {
                let decision = reconcile_pull_request(&seen.snapshot(), seen.now);
                let action = json(&decision.action);
                Verdict {
                    rule: decision.rule.to_owned(),
                    action: json!({ "do": action, "notes": decision.notes }),
                }
            }
            Self::Failure(seen) => by_name(&seen.decide()),
            Self::Places(seen) => by_name(&seen.decide()),
            Self::Dependencies(seen) => by_name(&seen.decide()),
            Self::Spending(seen) => match seen.decide() {
                Some(over) => Verdict {
                    rule: "used_up".to_owned(),
                    action: json(&over),
                },
                None => Verdict {
                    rule: "within".to_owned(),
                    action: Value::Null,
                },
            },
        }
    }

    /// It and what today's policy says of it, to be kept.
    #[must_use]
    pub fn record(&self) -> DecisionRecord {
        let snapshot = match self {
            Self::PullRequest(seen) => json(seen),
            Self::Failure(seen) => json(seen),
            Self::Places(seen) => json(seen),
            Self::Dependencies(seen) => json(seen),
            Self::Spending(seen) => json(seen),
        };
        DecisionRecord::new(self.kind(), snapshot, self.decide())
    }
}

/// The verdict of a policy whose rules have no names but those of its answers.
fn by_name(answer: &impl Serialize) -> Verdict {
    let action = json(answer);
    let name = match &action {
        Value::String(name) => Some(name.clone()),
        Value::Object(fields) => fields.keys().next().cloned(),
        _ => None,
    };
    Verdict {
        rule: name.unwrap_or_default(),
        action,
    }
}

/// Our values have text for keys and no way to refuse, which is all that could go wrong here.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
