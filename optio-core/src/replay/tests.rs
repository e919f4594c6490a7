//! Replays of records as they are, of records that somebody changed, and of records of another policy.

use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::{
    conformance::sample::{at, audit, failure, task_id, workspace_id},
    repo::{AttemptLimits, RepoSettings},
    scheduling::{Budgets, Place, Spent},
    task::{Attempts, StateName},
};

/// One record of each policy but that of pull requests, whose stories are told by the engine.
fn records() -> Vec<DecisionRecord> {
    let now = at(1);
    let seen = [
        Seen::Failure(SeenFailure {
            failure: failure(),
            attempts: Attempts::default(),
            limits: AttemptLimits::default(),
            now,
            jitter: u64::MAX,
            account: None,
        }),
        Seen::Places(SeenPlaces {
            settings: RepoSettings::default(),
            places: vec![Place {
                workspace: workspace_id(1),
                ordinal: 0,
                runs: 0,
            }],
            last: None,
        }),
        Seen::Dependencies(SeenDependencies {
            states: vec![
                (task_id(1), Some(StateName::Running)),
                (task_id(2), Some(StateName::Completed)),
            ],
        }),
        Seen::Spending(SeenSpending {
            budgets: Budgets {
                task: Some("1.10".parse().unwrap()),
                ..Budgets::default()
            },
            spent: Spent {
                task: "1.100001".parse().unwrap(),
                ..Spent::default()
            },
            now,
        }),
    ];
    seen.iter().map(Seen::record).collect()
}

/// The record, written to a file and read again.
fn through_text(record: &DecisionRecord) -> DecisionRecord {
    serde_json::from_str(&serde_json::to_string(record).unwrap()).unwrap()
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Differs { differences } => {
            let rows = differences
                .iter()
                .map(|one| format!("{}: {} -> {}", one.what, one.then, one.now));
            rows.collect::<Vec<_>>().join("\n")
        }
        other => serde_json::to_string(other).unwrap(),
    }
}

#[test]
fn what_was_recorded_is_said_again() {
    for record in records() {
        assert_eq!(
            replay_decision(&through_text(&record)),
            Outcome::Same,
            "{record:?}"
        );
    }
}

#[test]
fn rules_and_actions_are_those_of_the_policies() {
    let rows: Vec<String> = records()
        .iter()
        .map(|record| format!("{} {} {}", record.kind, record.rule, record.action))
        .collect();
    assert_snapshot!(rows.join("\n"), @r#"
    after_failure try_again {"try_again":{"attempts":{"ci":0,"conflict":0,"failures":0,"free":0,"review":0},"notBefore":"2025-01-01T00:08:20.123456Z"}}
    placement use {"use":"ws_01j0000001e008000000000001"}
    dependencies waiting {"waiting":["task_01j0000001e008000000000001"]}
    budget used_up {"limit":1.1,"renewsAt":null,"scope":"task","spent":1.100001}
    "#);
}

#[test]
fn another_verdict_is_told_with_all_that_differs() {
    let mut record = records().remove(0);
    record.rule = "give_up".to_owned();
    record.action = json!({"try_again": {"attempts": {"failures": 2, "mood": null}, "notBefore": record.action["try_again"]["notBefore"]}});
    assert_snapshot!(told(&replay_decision(&record)), @r#"
    rule: "give_up" -> "try_again"
    action.try_again.attempts.failures: 2 -> 0
    action.try_again.attempts.ci: null -> 0
    action.try_again.attempts.conflict: null -> 0
    action.try_again.attempts.free: null -> 0
    action.try_again.attempts.review: null -> 0
    "#);
}

#[test]
fn a_snapshot_that_was_changed_is_not_believed() {
    for mut record in records() {
        let Some(snapshot) = record.snapshot.as_mut().and_then(Value::as_object_mut) else {
            panic!("a snapshot is an object");
        };
        snapshot.insert("more".to_owned(), json!(1));
        assert!(
            matches!(replay_decision(&record), Outcome::Altered { .. }),
            "{record:?}"
        );
    }
}

#[test]
fn a_line_that_points_at_another_snapshot_is_not_believed() {
    let mut line = audit(1, "enqueued");
    assert_eq!(replay(&line)[0].outcome, Outcome::Same);
    line.digest = Some(SnapshotDigest::of(&json!("another")));
    assert!(matches!(replay(&line)[0].outcome, Outcome::Altered { .. }));
}

#[test]
fn a_snapshot_that_policy_cannot_read_any_more_says_why() {
    let verdict = Verdict {
        rule: "use".to_owned(),
        action: Value::Null,
    };
    let record = DecisionRecord::new(DecisionKind::Placement, json!({"places": []}), verdict);
    assert_snapshot!(told(&replay_decision(&record)), @r#"{"outcome":"unreadable","why":"missing field `settings`"}"#);
    let unknown: DecisionKind = serde_json::from_str("\"astrology\"").unwrap();
    let record = DecisionRecord {
        kind: unknown,
        ..record
    };
    assert_snapshot!(told(&replay_decision(&record)), @r#"{"outcome":"unreadable","why":"this version has no such policy"}"#);
}

#[test]
fn a_transition_that_the_states_refuse_differs() {
    let mut line = audit(1, "placed");
    line.decisions.clear();
    assert_snapshot!(told(&replay(&line)[0].outcome), @r#"to: "queued" -> null"#);
    line.event = "failed".to_owned();
    assert_snapshot!(told(&replay(&line)[0].outcome), @r#"to: "queued" -> "failed""#);
}

#[test]
fn lines_from_before_there_were_decisions_are_read() {
    let line = json!({
        "task": task_id(1), "at": at(1), "from": "pending", "to": "queued", "event": "enqueued", "actor": "api",
        "rule": "submitted", "detail": null
    });
    let line: Audit = serde_json::from_value(line).unwrap();
    assert_eq!((&line.digest, line.decisions.len()), (&None, 0));
    assert_eq!(replay(&line).len(), 1);
    assert_eq!(replay(&line)[0].outcome, Outcome::Same);
}
