//! The contract of [`EventBus`], on a bus that nothing disturbs.

use std::time::Duration;

use super::{Subject, sample, soon};
use crate::event_bus::{EventBus, Hint, Subscription};

/// One test per clause of the [`EventBus`] contract; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! event_bus_conformance {
    (#[$test:meta] $make:expr) => {
        $crate::conformance_tests! {
            #[$test] event_bus: $crate::event_bus::EventBus, $make, [
                a_hint_reaches_everybody_who_listens
                nobody_has_to_listen
                a_subscription_gets_what_is_published_after_it_was_made
                waiting_for_a_hint_can_be_given_up_without_losing_it
                who_falls_behind_is_told_and_slows_nobody
            ]
        }
    };
    ($make:expr) => {
        $crate::event_bus_conformance! { #[tokio::test] $make }
    };
}

type Bus = Subject<dyn EventBus>;

fn hint(n: u64) -> Hint {
    Hint::Task {
        task: sample::task_id(n),
    }
}

async fn listen(bus: &Bus) -> Box<dyn Subscription> {
    bus.port().subscribe().await.expect("subscribe")
}

async fn next(subscription: &mut Box<dyn Subscription>) -> Hint {
    soon("a hint", subscription.next()).await.expect("next")
}

/// Every subscriber gets every hint, of each kind, in its order.
pub async fn a_hint_reaches_everybody_who_listens(bus: &Bus) {
    let mut listeners = [listen(bus).await, listen(bus).await];
    let hints = [
        hint(1),
        Hint::Log {
            task: sample::task_id(2),
        },
        Hint::PullRequest {
            repo: sample::repo_id(3),
            number: crate::pull_request::PrNumber(4),
        },
        Hint::Outbox,
        Hint::Missed,
    ];
    for hint in hints {
        bus.port().publish(hint).await.expect("publish");
    }
    for listener in &mut listeners {
        for hint in hints {
            assert_eq!(next(listener).await, hint);
        }
    }
}

/// Publishing without subscribers, or after one has gone, is no error.
pub async fn nobody_has_to_listen(bus: &Bus) {
    bus.port().publish(hint(1)).await.expect("publish");
    let gone = listen(bus).await;
    let mut stays = listen(bus).await;
    drop(gone);
    bus.port().publish(hint(2)).await.expect("publish");
    let mut heard = next(&mut stays).await;
    // what was on its way when somebody subscribed may still arrive
    if heard == hint(1) {
        heard = next(&mut stays).await;
    }
    assert_eq!(heard, hint(2));
}

/// What is published once `subscribe` has returned arrives, even if nobody was waiting for it yet.
pub async fn a_subscription_gets_what_is_published_after_it_was_made(bus: &Bus) {
    for n in 0..20 {
        let mut listener = listen(bus).await;
        bus.port().publish(hint(n)).await.expect("publish");
        assert_eq!(next(&mut listener).await, hint(n));
    }
}

/// `next` is cancel safe.
pub async fn waiting_for_a_hint_can_be_given_up_without_losing_it(bus: &Bus) {
    let mut listener = listen(bus).await;
    let given_up = tokio::time::timeout(Duration::from_millis(5), listener.next()).await;
    assert!(given_up.is_err(), "nothing was published yet");
    bus.port().publish(hint(1)).await.expect("publish");
    assert_eq!(next(&mut listener).await, hint(1));
}

/// A subscriber that does not read holds nobody up, and afterwards knows whether it missed something.
pub async fn who_falls_behind_is_told_and_slows_nobody(bus: &Bus) {
    const MANY: u64 = 5_000;
    let mut slow = listen(bus).await;
    for n in 0..MANY {
        soon("the end of a publish", bus.port().publish(hint(n)))
            .await
            .expect("publish");
    }
    let mut seen = 0;
    while seen < MANY {
        match next(&mut slow).await {
            Hint::Missed => break,
            _ => seen += 1,
        }
    }
    // and it goes on listening
    bus.port().publish(Hint::Outbox).await.expect("publish");
    while next(&mut slow).await != Hint::Outbox {}
}
