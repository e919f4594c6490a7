//! Decisions as they are kept: what a policy was shown, what it said, and a digest that binds the two.
//!
//! A record stands in the history of the task that the decision moved. `replay` runs it through today's policy.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The largest snapshot that is kept, in bytes of JSON. Of a larger one only the digest is.
pub const MAX_SNAPSHOT: usize = 256 * 1024;

/// How many bytes of the hash make a digest: enough to tell snapshots apart, short enough to be read out.
const DIGEST_BYTES: usize = 8;

/// A decision of policy, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionRecord {
    /// Which policy decided.
    pub kind: DecisionKind,
    /// The rule that fired.
    pub rule: String,
    /// What it said; null where the snapshot was too large to be kept.
    #[serde(default)]
    pub action: Value,
    /// The digest of the snapshot.
    pub digest: SnapshotDigest,
    /// All that the policy was shown; none where that was more than [`MAX_SNAPSHOT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Value>,
}

/// Which policy decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// What follows from the state of a pull request.
    PullRequest,
    /// What follows from a failed run.
    AfterFailure,
    /// Where a run goes.
    Placement,
    /// What its dependencies mean for a task.
    Dependencies,
    /// Whether a budget is used up.
    Budget,
    /// One that this version does not know: replicas of two versions can share one store.
    #[serde(other)]
    Other,
}

/// What a policy said, and which of its rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The rule that fired.
    pub rule: String,
    /// What is to be done.
    pub action: Value,
}

/// A short hash of a snapshot: the beginning of the SHA-256 of its JSON with sorted keys and no blanks, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnapshotDigest(String);

impl DecisionRecord {
    /// Records what a policy said of a snapshot.
    #[must_use]
    pub fn new(kind: DecisionKind, snapshot: Value, verdict: Verdict) -> Self {
        let digest = SnapshotDigest::of(&snapshot);
        let kept = snapshot.to_string().len() <= MAX_SNAPSHOT;
        Self {
            kind,
            rule: verdict.rule,
            action: if kept { verdict.action } else { Value::Null },
            digest,
            snapshot: kept.then_some(snapshot),
        }
    }
}

impl DecisionKind {
    /// Its name, in `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PullRequest => "pull_request",
            Self::AfterFailure => "after_failure",
            Self::Placement => "placement",
            Self::Dependencies => "dependencies",
            Self::Budget => "budget",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for DecisionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl SnapshotDigest {
    /// The digest of a snapshot. The order of the keys in it does not matter.
    #[must_use]
    pub fn of(snapshot: &Value) -> Self {
        let mut canonical = String::new();
        write_sorted(snapshot, &mut canonical);
        let hash = Sha256::digest(canonical.as_bytes());
        Self(
            hash.iter()
                .take(DIGEST_BYTES)
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SnapshotDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// JSON with sorted keys, whatever order this build of the JSON library keeps them in.
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (n, (key, field)) in fields.into_iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_sorted(field, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write_sorted(item, out);
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict() -> Verdict {
        Verdict {
            rule: "merged".to_owned(),
            action: json!({"action": "complete"}),
        }
    }

    #[test]
    fn a_digest_is_the_same_after_any_way_through_text() {
        let snapshot =
            json!({"b": [1, 2.5, null, true], "a": {"y": "é\n", "x": u64::MAX}, "cost": 0.07});
        // what `printf %s TEXT | sha256sum` says of the sorted text
        insta::assert_snapshot!(SnapshotDigest::of(&snapshot), @"ff2f9f43741cbc20");
        let pretty = serde_json::to_string_pretty(&snapshot).unwrap();
        let read: Value = serde_json::from_str(&pretty).unwrap();
        assert_eq!(SnapshotDigest::of(&read), SnapshotDigest::of(&snapshot));
    }

    #[test]
    fn any_change_is_another_digest() {
        let rows = [
            json!({"a": 1}),
            json!({"a": 2}),
            json!({"b": 1}),
            json!({"a": "1"}),
            json!([1]),
            json!({"a": null}),
            json!({}),
        ];
        for (n, one) in rows.iter().enumerate() {
            for other in &rows[..n] {
                assert_ne!(
                    SnapshotDigest::of(one),
                    SnapshotDigest::of(other),
                    "{one} {other}"
                );
            }
        }
    }

    #[test]
    fn of_a_snapshot_beyond_the_bound_only_the_digest_is_kept() {
        let large = json!({"log": "x".repeat(MAX_SNAPSHOT)});
        let record = DecisionRecord::new(DecisionKind::PullRequest, large.clone(), verdict());
        assert_eq!(record.digest, SnapshotDigest::of(&large));
        assert_eq!((record.snapshot, record.action), (None, Value::Null));
    }
}
