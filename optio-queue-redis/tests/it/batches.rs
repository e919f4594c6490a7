//! Calls that come together: they share a script, and each has its own answer.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use optio_core::{
    conformance::sample::{job, worker},
    queue::{Queue, QueueLimits},
};

use tokio::task::JoinSet;

use crate::server::TestServer;

const LEASE: Duration = Duration::from_secs(600);

#[tokio::test]
async fn calls_that_come_together_share_scripts() {
    let server = TestServer::private();
    let queue = server.queue().await;
    let mut admin = server.admin().await;
    queue.push(job(0, 0)).await.expect("push");
    let before = scripts_run(&mut admin).await;
    // nothing is answered before all have asked
    client(&mut admin, &["PAUSE", "60000", "WRITE"]).await;
    let queue = Arc::new(queue);
    let mut calls = JoinSet::new();
    for n in 1..=100 {
        let queue = Arc::clone(&queue);
        calls.spawn(async move { queue.push(job(n, n % 3)).await });
    }
    for _ in 0..calls.len() {
        tokio::task::yield_now().await;
    }
    client(&mut admin, &["UNPAUSE"]).await;
    for pushed in calls.join_all().await {
        pushed.expect("push");
    }
    let run = scripts_run(&mut admin).await - before;
    assert!(run <= 10, "100 calls at once took {run} scripts");
    assert_eq!(queue.waiting().await.expect("waiting").len(), 101);
}

/// Tells the server how to treat its clients.
async fn client(admin: &mut redis::aio::MultiplexedConnection, words: &[&str]) {
    let told = redis::cmd("CLIENT").arg(words).exec_async(admin).await;
    told.expect("CLIENT");
}

/// How many scripts the server has run.
async fn scripts_run(admin: &mut redis::aio::MultiplexedConnection) -> u64 {
    let info: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(admin)
        .await
        .expect("info");
    let line = info.lines().find(|line| line.contains("cmdstat_evalsha:"));
    let count = line.and_then(|line| line.split("calls=").nth(1)?.split(',').next());
    count.map_or(0, |count| count.parse().expect("a number"))
}

#[tokio::test]
async fn of_many_that_claim_at_once_as_many_get_something_as_the_limits_allow() {
    let server = TestServer::shared();
    let queue = server.queue().await;
    let limits = QueueLimits {
        global: 10,
        per_repo: 4,
        ..QueueLimits::default()
    };
    queue.set_limits(limits).await.expect("limits");
    queue
        .push_all((0..40).map(|n| job(n, n % 5)).collect())
        .await
        .expect("push");
    let me = worker("a");
    let lost = queue.claim(&me, Duration::ZERO).await.expect("claim");
    let claims = join_all((0..30).map(|_| queue.claim(&me, LEASE))).await;
    let claims = claims.into_iter().map(|claim| claim.expect("claim"));
    let claims: Vec<_> = claims.flatten().collect();
    assert_eq!(claims.len(), 10);

    // one that is lost among others that hold
    let (late, next) = tokio::join!(
        queue.complete(lost.expect("an entry")),
        join_all(
            claims
                .into_iter()
                .map(|claim| queue.complete_and_claim(claim, LEASE))
        )
    );
    late.expect_err("its lease is over");
    let next: Vec<_> = next.into_iter().map(|claim| claim.expect("next")).collect();
    assert_eq!(next.iter().flatten().count(), 10);
    assert_eq!(queue.claimed().await.expect("claimed").len(), 10);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_fails_the_call_that_meets_it_and_no_other() {
    let server = TestServer::private();
    let queue = server.queue().await;
    let mut admin = server.admin().await;
    queue.push(job(1, 1)).await.expect("push");
    queue.push(job(2, 2)).await.expect("push");
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*entries")
        .query_async(&mut admin)
        .await
        .expect("keys");
    let damaged = job(1, 1).task.to_string();
    redis::cmd("HSET")
        .arg(&keys[0])
        .arg(&damaged)
        .arg("scribble")
        .exec_async(&mut admin)
        .await
        .expect("damage");
    let me = worker("a");
    let (first, second, third) = tokio::join!(
        queue.claim(&me, LEASE),
        queue.claim(&me, LEASE),
        queue.push(job(3, 3))
    );
    first.expect_err("it cannot be read");
    assert_eq!(
        second.expect("claim").expect("an entry").job(),
        &job(2, 2),
        "the next one is claimed"
    );
    third.expect("push");
    assert_eq!(
        queue
            .claim(&me, LEASE)
            .await
            .expect("claim")
            .map(|claim| claim.job().clone()),
        Some(job(3, 3))
    );
}
