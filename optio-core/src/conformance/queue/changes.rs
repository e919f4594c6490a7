//! Waiting for changes: nobody sleeps while there is something to claim.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{LEASE, Queue, SHORT};
use crate::{
    conformance::{
        sample::{self, job, worker},
        soon,
    },
    queue::{Claim, Job},
};

/// Push, completed, released, removed, a limit: whoever waits looks again and finds what it may claim.
pub async fn every_change_that_frees_work_wakes_who_waits(queue: &Queue) {
    let port = queue.port();
    queue.limit(1, 1).await;

    let waits = waiter(queue).await;
    queue.push(job(1, 1)).await;
    let claim = waits.claim("a push").await;

    queue.push(job(2, 1)).await;
    let waits = waiter(queue).await;
    port.complete(claim).await.expect("complete");
    let claim = waits.claim("a completed claim").await;

    queue.push(job(3, 1)).await;
    let waits = waiter(queue).await;
    let until = queue.moment_in(LEASE);
    port.release(claim, Some(until)).await.expect("release");
    let claim = waits.claim("a released claim").await;
    assert_eq!(claim.job().task, sample::task_id(3));

    queue.push(job(4, 1)).await;
    let waits = waiter(queue).await;
    queue.limit(2, 2).await;
    let claim = waits.claim("a raised limit").await;
    assert_eq!(claim.job().task, sample::task_id(4));
}

/// By itself.
pub async fn the_end_of_a_delay_wakes_who_waits(queue: &Queue) {
    let delayed = |n, by| Job {
        not_before: Some(queue.moment_in(by)),
        ..job(n, 1)
    };
    queue.push(delayed(1, SHORT)).await;
    let waits = waiter(queue).await;
    let _claim = waits.claim("the end of a delay").await;

    // also if somebody was waiting for a later one already
    queue.push(delayed(2, LEASE)).await;
    let waits = waiter(queue).await;
    queue.push(delayed(3, SHORT)).await;
    let claim = waits.claim("the end of a shorter delay").await;
    assert_eq!(claim.job().task, sample::task_id(3));
}

/// By itself.
pub async fn the_end_of_a_lease_wakes_who_waits(queue: &Queue) {
    queue.limit(1, 1).await;
    queue.push(job(1, 1)).await;
    let _lost = queue.claim_for("a", SHORT).await.expect("a claim");
    let waits = waiter(queue).await;
    let claim = waits.claim("the end of a lease").await;

    // also if the lease was made shorter while somebody waited for its end
    let waits = waiter(queue).await;
    let renewed = queue.port().renew(&claim, SHORT).await;
    renewed.expect("renew");
    let _claim = waits.claim("the end of a shorter lease").await;
}

/// Between the claim that found nothing and the wait.
pub async fn a_change_before_the_wait_began_counts(queue: &Queue) {
    assert!(queue.claim("a").await.is_none());
    queue.push(job(1, 1)).await;
    soon("a change of before", queue.port().changed())
        .await
        .expect("changed");
    assert!(queue.claim("a").await.is_some());
}

/// What another caller of the same handle has seen is not seen by this one.
pub async fn a_change_between_the_looks_of_two_counts_for_both(queue: &Queue) {
    queue.limit(9, 9).await;
    assert!(queue.claim("a").await.is_none());
    queue.push(job(1, 1)).await;
    queue.push(job(2, 1)).await;
    let _claim = queue.take("b").await;
    // there is one left, and "a" has not looked since
    soon("a change that somebody else saw", queue.port().changed())
        .await
        .expect("changed");
    assert_eq!(queue.take("a").await.job(), &job(2, 1));
}

/// A fleet of workers that sleep whenever there is nothing to claim gets through everything, whether they pass their
/// slots on or give them back.
pub async fn nobody_sleeps_while_there_is_work(queue: &Queue) {
    const JOBS: u64 = 60;
    queue.limit(3, 2).await;
    let done = Arc::new(AtomicU64::new(0));
    let mut fleet = tokio::task::JoinSet::new();
    for n in 0..6 {
        let (queue, done) = (queue.shared(), Arc::clone(&done));
        fleet.spawn(async move {
            let me = worker(&format!("worker {n}"));
            loop {
                match queue.claim(&me, LEASE).await.expect("claim") {
                    Some(claim) => {
                        let mut next = Some(claim);
                        while let Some(claim) = next.take() {
                            tokio::task::yield_now().await;
                            if n % 2 == 0 {
                                let passed = queue.complete_and_claim(claim, LEASE).await;
                                next = passed.expect("complete_and_claim");
                            } else {
                                queue.complete(claim).await.expect("complete");
                            }
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    None => queue.changed().await.expect("changed"),
                }
            }
        });
    }
    for n in 0..JOBS {
        queue.push(job(n, n % 5)).await;
        tokio::task::yield_now().await;
    }
    soon("the end of all work", async {
        while done.load(Ordering::Relaxed) < JOBS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    fleet.shutdown().await;
    assert_eq!(done.load(Ordering::Relaxed), JOBS);
}

/// A worker that found nothing and waits for a change.
async fn waiter(queue: &Queue) -> Waiter {
    assert!(
        queue.claim("waiter").await.is_none(),
        "nothing to claim yet"
    );
    let port = queue.shared();
    let waits = tokio::spawn(async move {
        loop {
            port.changed().await.expect("changed");
            let claim = port.claim(&worker("waiter"), LEASE).await.expect("claim");
            if let Some(claim) = claim {
                return claim;
            }
        }
    });
    // let it fall asleep; if it has not yet, the change before its wait counts all the same
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    Waiter(waits)
}

struct Waiter(tokio::task::JoinHandle<Claim>);

impl Waiter {
    async fn claim(self, woken_by: &str) -> Claim {
        soon(woken_by, self.0).await.expect("the waiter")
    }
}
