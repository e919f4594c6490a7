//! Histories run through today's policy: what was recorded of each decision is shown to it again, and each transition
//! to today's state machine. Pure; the caller brings the lines.
//!
//! ```
//! use optio_core::replay::{Outcome, replay};
//! # fn lines() -> Vec<optio_core::store::Audit> { Vec::new() }
//!
//! for line in lines() {
//!     for step in replay(&line) {
//!         if let Outcome::Differs { differences } = &step.outcome {
//!             println!("{} {}: {} differences", line.at, step.subject, differences.len());
//!         }
//!     }
//! }
//! ```

mod seen;
mod transition;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::{
    seen::{Seen, SeenDependencies, SeenFailure, SeenPlaces, SeenPullRequest, SeenSpending},
    transition::state_after,
};
use crate::{
    decision::{DecisionKind, DecisionRecord, SnapshotDigest, Verdict},
    store::Audit,
};

/// One step of a history, replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// What was replayed.
    pub subject: Subject,
    /// What came of it.
    pub outcome: Outcome,
}

/// What was replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// From a state, by an event, to a state.
    Transition,
    /// What a policy said.
    Decision(DecisionKind),
}

/// What came of a replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Today it would be the same.
    Same,
    /// Today it would be another.
    Differs {
        /// In what. Never empty.
        differences: Vec<Difference>,
    },
    /// The snapshot is not the one whose digest was recorded: the record was changed afterwards.
    Altered {
        /// The digest that was recorded.
        recorded: SnapshotDigest,
        /// That of the snapshot as it is.
        found: SnapshotDigest,
    },
    /// The snapshot was too large to be kept.
    NotKept,
    /// The snapshot does not hold what today's policy needs.
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
}

/// One thing that would be another today.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// What: `rule`, `to`, or a path into the action such as `action.do.head`.
    pub what: String,
    /// What was recorded; null if it was not there.
    pub then: Value,
    /// What it would be; null if it would not be there.
    pub now: Value,
}

/// Replays a line of a history: first its transition, then its decisions in their order.
#[must_use]
pub fn replay(line: &Audit) -> Vec<Replayed> {
    let transition = Replayed {
        subject: Subject::Transition,
        outcome: replay_transition(line),
    };
    let decisions = line.decisions.iter().map(|record| Replayed {
        subject: Subject::Decision(record.kind),
        outcome: replay_decision(record),
    });
    [transition].into_iter().chain(decisions).collect()
}

fn replay_transition(line: &Audit) -> Outcome {
    // what the line was decided from is its last decision: both say by which snapshot
    if let (Some(recorded), Some(last)) = (&line.digest, line.decisions.last())
        && *recorded != last.digest
    {
        return Outcome::Altered {
            recorded: recorded.clone(),
            found: last.digest.clone(),
        };
    }
    let now = state_after(line.from, &line.event);
    if now == Some(line.to) {
        return Outcome::Same;
    }
    Outcome::Differs {
        differences: vec![Difference {
            what: "to".to_owned(),
            then: line.to.as_str().into(),
            now: now.map(|state| state.as_str()).into(),
        }],
    }
}

/// Replays a decision.
#[must_use]
pub fn replay_decision(record: &DecisionRecord) -> Outcome {
    let Some(snapshot) = &record.snapshot else {
        return Outcome::NotKept;
    };
    let found = SnapshotDigest::of(snapshot);
    if found != record.digest {
        return Outcome::Altered {
            recorded: record.digest.clone(),
            found,
        };
    }
    let seen = match Seen::read(record.kind, snapshot) {
        Ok(seen) => seen,
        Err(error) => {
            return Outcome::Unreadable {
                why: error.to_string(),
            };
        }
    };
    let Verdict { rule, action } = seen.decide();
    let mut differences = Vec::new();
    compare(
        "rule",
        &record.rule.as_str().into(),
        &rule.into(),
        &mut differences,
    );
    compare("action", &record.action, &action, &mut differences);
    if differences.is_empty() {
        Outcome::Same
    } else {
        Outcome::Differs { differences }
    }
}

/// Notes what differs, as deep down as both have the same shape. A field that is missing is the same as one that is
/// null, so that a new field of an answer, where it says nothing, makes no difference.
fn compare(what: &str, then: &Value, now: &Value, out: &mut Vec<Difference>) {
    match (then, now) {
        (Value::Object(before), Value::Object(after)) => {
            let missing = |fields: &Map<String, Value>, key: &String| !fields.contains_key(key);
            for (key, then) in before {
                let now = after.get(key).unwrap_or(&Value::Null);
                compare(&format!("{what}.{key}"), then, now, out);
            }
            for (key, now) in after.iter().filter(|(key, _)| missing(before, key)) {
                compare(&format!("{what}.{key}"), &Value::Null, now, out);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (n, (then, now)) in before.iter().zip(after).enumerate() {
                compare(&format!("{what}.{n}"), then, now, out);
            }
        }
        _ if then == now => {}
        _ => out.push(Difference {
            what: what.to_owned(),
            then: then.clone(),
            now: now.clone(),
        }),
    }
}

impl Outcome {
    /// Whether somebody has to look at it: today is not as it was, or the record cannot be trusted.
    #[must_use]
    pub fn is_news(&self) -> bool {
        match self {
            Self::Same | Self::NotKept => false,
            Self::Differs { .. } | Self::Altered { .. } | Self::Unreadable { .. } => true,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transition => f.write_str("transition"),
            Self::Decision(kind) => kind.fmt(f),
        }
    }
}
