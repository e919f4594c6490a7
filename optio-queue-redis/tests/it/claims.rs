//! Many entries, many workers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use optio_core::{
    conformance::sample::{self, job, worker},
    queue::{Queue, QueueLimits},
};

use crate::server::{TestServer, soon};

const LEASE: Duration = Duration::from_secs(600);

fn limits(global: u32, per_repo: u32) -> QueueLimits {
    QueueLimits {
        global,
        per_repo,
        repos: BTreeMap::new(),
    }
}

/// Counts beside the queue what is at work.
#[derive(Debug, Default)]
struct Counter {
    at_work: HashMap<optio_core::id::RepoId, u32>,
    done: Vec<optio_core::id::TaskId>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_claim_a_thousand_entries_once_each_and_pass_no_limit() {
    const JOBS: u64 = 1_000;
    let server = TestServer::shared();
    let first = server.queue().await;
    first.set_limits(limits(5, 2)).await.expect("limits");
    for n in 0..JOBS {
        first.push(job(n, n % 7)).await.expect("push");
    }
    let counter = Arc::new(Mutex::new(Counter::default()));
    let mut fleet = tokio::task::JoinSet::new();
    for (name, handle) in [("a", first), ("b", server.queue().await)] {
        let handle = Arc::new(handle);
        for slot in 0..4 {
            let (queue, counter) = (Arc::clone(&handle), Arc::clone(&counter));
            let me = worker(&format!("{name}{slot}"));
            fleet.spawn(async move {
                loop {
                    let Some(claim) = queue.claim(&me, LEASE).await.expect("claim") else {
                        queue.changed().await.expect("changed");
                        continue;
                    };
                    let repo = claim.job().repo;
                    {
                        let mut counter = counter.lock().unwrap();
                        *counter.at_work.entry(repo).or_default() += 1;
                        assert!(counter.at_work[&repo] <= 2, "the limit of a repository");
                        assert!(
                            counter.at_work.values().sum::<u32>() <= 5,
                            "the limit of all"
                        );
                        counter.done.push(claim.job().task);
                    }
                    tokio::task::yield_now().await;
                    *counter.lock().unwrap().at_work.entry(repo).or_default() -= 1;
                    queue.complete(claim).await.expect("complete");
                    if counter.lock().unwrap().done.len() as u64 == JOBS {
                        return;
                    }
                }
            });
        }
    }
    // who completes the last one ends it for all: those that wait have nothing to wait for
    soon("the end of the work", fleet.join_next())
        .await
        .expect("a worker")
        .expect("no limit was passed");
    fleet.shutdown().await;
    let mut done = counter.lock().unwrap().done.clone();
    assert_eq!(done.len() as u64, JOBS);
    done.sort();
    done.dedup();
    assert_eq!(done.len() as u64, JOBS, "nothing was claimed twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_tasks_of_two_hundred_repositories_are_claimed_in_order() {
    let server = TestServer::shared();
    let queue = Arc::new(server.queue().await);
    queue.set_limits(limits(10_000, 5)).await.expect("limits");
    let pushes = (0..16_u64).map(|share| {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move {
            for n in (share..10_000).step_by(16) {
                queue.push(job(n, n % 200)).await.expect("push");
            }
        })
    });
    for push in pushes.collect::<Vec<_>>() {
        push.await.expect("a task of the test");
    }
    assert_eq!(queue.waiting().await.expect("waiting").len(), 10_000);
    let me = worker("a");
    let mut claimed = Vec::new();
    while let Some(claim) = queue.claim(&me, LEASE).await.expect("claim") {
        claimed.push(claim.job().task);
    }
    // the first 5 of each repository are the first tenth of all
    assert_eq!(claimed, (0..1_000).map(sample::task_id).collect::<Vec<_>>());
}
