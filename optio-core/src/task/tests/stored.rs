//! What is stored stays readable: the JSON of every state, event and record, field by field.

use std::fmt::Write as _;

use insta::{assert_json_snapshot, assert_snapshot};
use serde::{Serialize, de::DeserializeOwned};

use super::*;
use crate::{conformance::sample, worktree::WorktreeState};

/// One line of JSON, after it was read back as the same value.
fn stored<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *value);
    text
}

#[test]
fn every_state() {
    let mut text = String::new();
    for state in states() {
        let _ = writeln!(text, "{}", stored(&state));
    }
    assert_snapshot!(text);
}

#[test]
fn every_event() {
    let mut text = String::new();
    for event in events() {
        let _ = writeln!(text, "{}", stored(&event));
    }
    assert_snapshot!(text);
}

#[test]
fn a_whole_task() {
    let task = Task {
        agent: Some("claude-code".to_owned()),
        role: TaskRole::Review {
            parent: sample::task_id(8),
            blocks_parent: Blocking::BlocksParent,
            head: commit_id(1),
        },
        depends_on: vec![sample::task_id(2)],
        ticket: Some(TicketRef {
            source: "github".to_owned(),
            key: "acme/shop#4".to_owned(),
            url: None,
        }),
        state: TaskState::Queued {
            next: sample::resume(),
            since: at(1),
            not_before: Some(at(2)),
            hold: Some("the rate limit resets then".to_owned()),
        },
        pull_request: Some(pull_request()),
        worktree: Some(Worktree {
            workspace: workspace_id(1),
            path: crate::workspace::WorkspacePath::root()
                .child("worktrees")
                .child("task"),
            state: WorktreeState::Preserved,
            since: at(3),
        }),
        session: Some(SessionId("s-1".to_owned())),
        handled: vec![cause(CauseKind::Ci, 1)],
        last_green: Some(commit_id(2)),
        ..task(1)
    };
    stored(&task);
    assert_json_snapshot!(task);
}

#[test]
fn what_was_stored_before_a_field_was_added_is_still_read() {
    let next: NextRun = serde_json::from_str(r#"{"kind":"resume-ci","cause":null}"#).unwrap();
    assert_eq!(next.briefing, Briefing::default());
    let attempts: Attempts = serde_json::from_str(r#"{"ci":2}"#).unwrap();
    assert_eq!(
        attempts,
        Attempts {
            ci: 2,
            ..Attempts::default()
        }
    );
}
