//! The contract of the queue, and what several handles see of each other.

use std::{collections::BTreeMap, time::Duration};

use optio_core::{
    conformance::sample::{job, worker},
    queue::{Claim, Queue, QueueLimits},
};
use optio_queue_redis::RedisQueue;

use crate::server::{self, TestServer, soon};

const LEASE: Duration = Duration::from_secs(600);

optio_core::queue_conformance!(
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    server::queue().await
);

async fn next(queue: RedisQueue) -> Claim {
    loop {
        queue.changed().await.expect("changed");
        let claim = queue.claim(&worker("waiter"), LEASE).await;
        if let Some(claim) = claim.expect("claim") {
            return claim;
        }
    }
}

#[tokio::test]
async fn a_change_made_by_another_process_wakes_who_waits() {
    let server = TestServer::shared();
    let (here, there) = (server.queue().await, server.queue().await);
    let limits = QueueLimits {
        global: 1,
        per_repo: 1,
        repos: BTreeMap::new(),
    };
    there.set_limits(limits).await.expect("limits");
    let waits = tokio::spawn(next(here));
    there.push(job(1, 1)).await.expect("push");
    let claim = soon("the push of another", waits).await.expect("waiter");
    assert_eq!(claim.job(), &job(1, 1));

    there.push(job(2, 1)).await.expect("push");
    let waits = tokio::spawn(next(server.queue().await));
    there.complete(claim).await.expect("complete");
    let claim = soon("the slot of another", waits).await.expect("waiter");
    assert_eq!(claim.job(), &job(2, 1));
}

#[tokio::test]
async fn installations_with_different_prefixes_share_nothing() {
    let server = TestServer::private();
    let other = TestServer::shared();
    let (here, there) = (server.queue().await, other.queue().await);
    here.push(job(1, 1)).await.expect("push");
    let claim = there.claim(&worker("a"), LEASE).await.expect("claim");
    assert_eq!(claim, None);
}

#[tokio::test]
async fn nothing_is_left_of_what_is_done() {
    let server = TestServer::private();
    let queue = server.queue().await;
    for n in 0..10 {
        queue.push(job(n, n % 3)).await.expect("push");
        let claim = queue.claim(&worker("a"), LEASE).await.expect("claim");
        queue.complete(claim.expect("one")).await.expect("complete");
    }
    let mut admin = server.admin().await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut admin)
        .await
        .expect("keys");
    assert_eq!(keys.len(), 1, "only the count of changes: {keys:?}");
}

#[tokio::test]
async fn an_entry_that_the_server_has_evicted_comes_back_with_the_next_push() {
    let server = TestServer::private();
    let queue = server.queue().await;
    queue.push(job(1, 1)).await.expect("push");
    let mut admin = server.admin().await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*entries")
        .query_async(&mut admin)
        .await
        .expect("keys");
    let gone: u32 = redis::cmd("DEL")
        .arg(&keys)
        .query_async(&mut admin)
        .await
        .expect("delete");
    assert_eq!(gone, 1);
    let claim = queue.claim(&worker("a"), LEASE).await.expect("claim");
    assert_eq!(claim, None);
    queue.push(job(1, 1)).await.expect("push again");
    let claim = queue.claim(&worker("a"), LEASE).await.expect("claim");
    assert_eq!(claim.expect("an entry").job(), &job(1, 1));
}
