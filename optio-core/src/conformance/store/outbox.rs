//! The outbox and leases.

use super::Store;
use crate::{
    account::AccountName,
    conformance::{
        refused,
        sample::{self, HARD_TEXT},
    },
    error::ErrorKind::Conflict,
    store::{OutboxEntry, OutboxMessage, Write},
    task::StateName,
};

/// Not before its time; the try is counted.
pub async fn an_outbox_entry_is_claimed_when_it_is_due(store: &Store) {
    store.put([Write::Outbox(sample::outbox(10))]).await;
    assert_eq!(claim(store, 9, 100).await, []);
    let expected = OutboxEntry {
        attempts: 1,
        ..sample::outbox(10)
    };
    assert_eq!(claim(store, 10, 100).await, [expected]);
    let again = store.write([Write::Outbox(sample::outbox(10))]).await;
    assert_eq!(refused(again), Conflict, "an id is used once");
}

/// Nobody gets it before, and its tries add up.
pub async fn a_claimed_outbox_entry_is_given_out_again_once_the_claim_has_ended(store: &Store) {
    store.put([Write::Outbox(sample::outbox(1))]).await;
    for (attempt, now) in [(1, 10), (2, 20), (3, 30)] {
        let claimed = claim(store, now, now + 10).await;
        let attempts: Vec<_> = claimed.iter().map(|entry| entry.attempts).collect();
        assert_eq!(attempts, [attempt]);
        assert_eq!(claim(store, now + 9, now + 99).await, [], "it is claimed");
    }
}

/// The rest stays for the next claim.
pub async fn outbox_entries_come_oldest_first_and_no_more_than_asked_for(store: &Store) {
    store
        .put([3, 1, 2, 4].map(|n| Write::Outbox(sample::outbox(n))))
        .await;
    let claim_two = async || {
        let claimed = (store.port())
            .claim_outbox(sample::at(3), sample::at(100), 2)
            .await
            .expect("claim_outbox");
        claimed.iter().map(|entry| entry.id).collect::<Vec<_>>()
    };
    assert_eq!(claim_two().await, [1, 2].map(sample::outbox_id));
    assert_eq!(claim_two().await, [3].map(sample::outbox_id));
    assert_eq!(claim_two().await, []);
}

/// For ever; to forget it twice is no error.
pub async fn a_delivered_outbox_entry_is_forgotten(store: &Store) {
    store
        .put([1, 2].map(|n| Write::Outbox(sample::outbox(n))))
        .await;
    assert_eq!(claim(store, 5, 10).await.len(), 2);
    for _ in 0..2 {
        store.put([Write::Delivered(sample::outbox_id(1))]).await;
    }
    store
        .put([Write::Postponed(sample::outbox_id(1), sample::at(0))])
        .await;
    let left: Vec<_> = (claim(store, 50, 60).await.iter())
        .map(|entry| entry.id)
        .collect();
    assert_eq!(left, [sample::outbox_id(2)]);
}

/// Earlier or later than its claim would have ended.
pub async fn a_postponed_outbox_entry_is_due_at_its_new_time(store: &Store) {
    store.put([Write::Outbox(sample::outbox(1))]).await;
    assert_eq!(claim(store, 5, 10).await.len(), 1);
    let postpone = |to| [Write::Postponed(sample::outbox_id(1), sample::at(to))];
    store.put(postpone(30)).await;
    assert_eq!(claim(store, 29, 40).await, []);
    let claimed = claim(store, 30, 100).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].attempts, 2);
    assert_eq!(claimed[0].not_before, sample::at(30));
    store.put(postpone(50)).await;
    assert_eq!(claim(store, 50, 100).await.len(), 1);
}

/// Each kind.
pub async fn every_outbox_message_is_read_back(store: &Store) {
    let task = sample::task_id(1);
    let messages = [
        OutboxMessage::SyncQueue { task },
        OutboxMessage::TaskChanged {
            task,
            state: StateName::PrOpened,
        },
        OutboxMessage::Webhook {
            webhook: sample::webhook_id(1),
            body: HARD_TEXT.to_owned(),
        },
        OutboxMessage::Ticket { task },
        OutboxMessage::WakeAccount {
            account: AccountName::new(HARD_TEXT),
        },
    ];
    let mut entries: Vec<_> = (1..)
        .zip(messages)
        .map(|(n, message)| OutboxEntry {
            message,
            ..sample::outbox(n)
        })
        .collect();
    store.put(entries.iter().cloned().map(Write::Outbox)).await;
    entries.iter_mut().for_each(|entry| entry.attempts = 1);
    assert_eq!(claim(store, 10, 20).await, entries);
}

/// Its holder renews it, or ends it early; others get it from the moment it ends; another name is another lease.
pub async fn a_lease_is_held_by_one_until_it_ends(store: &Store) {
    let lease = async |name: &str, holder: &str, now, until| {
        let holder = sample::worker(holder);
        let lease = (store.port()).lease(name, &holder, sample::at(now), sample::at(until));
        lease.await.expect("lease")
    };
    assert!(lease("sweep", "a", 0, 10).await, "it is free");
    assert!(!lease("sweep", "b", 9, 19).await, "a holds it");
    assert!(lease("other", "b", 9, 19).await, "another name");
    assert!(lease("sweep", "a", 9, 20).await, "a renews it");
    assert!(!lease("sweep", "b", 19, 29).await, "a holds it still");
    assert!(lease("sweep", "b", 20, 30).await, "it has ended");
    assert!(!lease("sweep", "a", 21, 31).await, "b holds it");
    assert!(lease("sweep", "b", 22, 22).await, "b gives it up");
    assert!(lease("sweep", "a", 22, 32).await, "it is free again");
}

async fn claim(store: &Store, now: u64, until: u64) -> Vec<OutboxEntry> {
    let claimed = (store.port()).claim_outbox(sample::at(now), sample::at(until), 100);
    claimed.await.expect("claim_outbox")
}
