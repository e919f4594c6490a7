//! What the store's values look like where they are stored.

use std::fmt::Write as _;

use insta::assert_snapshot;

use super::*;
use crate::conformance::sample::{audit, outbox, run_id, task_id, webhook_id};

#[test]
fn every_message_of_the_outbox_is_stored_by_these_names() {
    let task = task_id(1);
    let messages = [
        OutboxMessage::SyncQueue { task },
        OutboxMessage::TaskChanged {
            task,
            state: StateName::PrOpened,
        },
        OutboxMessage::Webhook {
            webhook: webhook_id(1),
            body: "{}".to_owned(),
        },
        OutboxMessage::Ticket { task },
    ];
    let mut text = String::new();
    for message in messages {
        let entry = OutboxEntry {
            message,
            ..outbox(1)
        };
        let line = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<OutboxEntry>(&line).unwrap(), entry);
        let _ = writeln!(text, "{line}");
    }
    assert_snapshot!(text);
}

#[test]
fn a_line_of_history_is_read_as_it_was_stored() {
    let line = audit(1, "enqueued");
    let text = serde_json::to_string(&line).unwrap();
    assert_eq!(serde_json::from_str::<Audit>(&text).unwrap(), line);
}

#[test]
fn a_commit_keeps_its_writes_in_their_order_and_all_its_guards() {
    let commit = Commit::new()
        .guarded(run_id(1), 3)
        .with(Write::Delivered(outbox(1).id))
        .with(Write::Audit(audit(1, "a")))
        .guarded(run_id(2), 1);
    assert_eq!(
        commit.guards,
        [
            RunGuard {
                run: run_id(1),
                epoch: 3
            },
            RunGuard {
                run: run_id(2),
                epoch: 1
            }
        ]
    );
    assert!(matches!(
        commit.writes[..],
        [Write::Delivered(_), Write::Audit(_)]
    ));
    assert!(Commit::new().writes.is_empty());
}

#[test]
fn a_query_asks_for_everything_unless_it_says_otherwise() {
    let query = TaskQuery::in_states([StateName::Queued, StateName::Running]);
    assert_eq!(query.states, [StateName::Queued, StateName::Running]);
    assert!(query.repo.is_none() && query.limit.is_none() && query.after.is_none());
    assert_eq!(query.order, TaskOrder::Ascending);
    assert_eq!(RunQuery::default().only_live, OnlyLive::No);
}
