//! What becomes of the queue when its server is emptied, disturbed, stopped and started.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use nix::sys::signal::{Signal, kill};
use optio_core::{
    SystemClock,
    conformance::sample::{self, job, worker},
    error::ErrorKind,
    queue::{Queue, QueueLimits},
};
use optio_queue_redis::{Redis, RedisOptions, RedisQueue};

use crate::{
    server::{TestServer, soon},
    way::Way,
};

const LEASE: Duration = Duration::from_secs(600);

async fn order(server: &TestServer, command: &str) {
    let mut words = command.split(' ');
    let mut order = redis::cmd(words.next().expect("a word"));
    words.for_each(|word| {
        order.arg(word);
    });
    let mut admin = server.admin().await;
    let done = order.exec_async(&mut admin).await;
    done.expect("the order");
}

/// Until the queue answers again; callers do the same.
async fn until_back(queue: &RedisQueue) {
    soon("the end of the outage", async {
        while queue.claimed().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn queue_at(url: &str, options: RedisOptions) -> RedisQueue {
    let redis = Redis::connect(url, options).await;
    RedisQueue::new(&redis.expect("the server"), Arc::new(SystemClock))
}

/// It waits for no answer for longer than a moment.
async fn impatient_queue_at(url: &str) -> RedisQueue {
    let moment = Duration::from_millis(200);
    queue_at(url, RedisOptions::default().with_response_timeout(moment)).await
}

fn limits() -> QueueLimits {
    QueueLimits {
        global: 1,
        per_repo: 1,
        repos: BTreeMap::new(),
    }
}

#[tokio::test]
async fn a_queue_that_was_emptied_works_again() {
    let server = TestServer::private();
    let queue = server.queue().await;
    queue.set_limits(limits()).await.expect("limits");
    queue.push(job(1, 1)).await.expect("push");
    let lost = queue.claim(&worker("a"), LEASE).await.expect("claim");
    let lost = lost.expect("an entry");

    queue.push(job(3, 3)).await.expect("push");
    let stranger = server.queue().await;
    order(&server, "FLUSHALL").await;
    order(&server, "SCRIPT FLUSH").await;
    let renewed = queue.renew(&lost, LEASE).await;
    assert_eq!(renewed.expect_err("lost").kind(), ErrorKind::Conflict);
    let adopted = queue.adopt(job(1, 1), &worker("a"), LEASE).await;
    let adopted = adopted.expect("adopt");
    let done = queue.complete(lost).await;
    assert_eq!(done.expect_err("lost").kind(), ErrorKind::Conflict);

    // nothing is handed out under limits that nobody has set
    queue.push(job(2, 2)).await.expect("push");
    for _ in 0..2 {
        let told = queue.claim(&worker("b"), LEASE).await;
        assert_eq!(told.expect_err("lost").kind(), ErrorKind::NotFound);
        let told = soon("the error", queue.changed()).await;
        assert_eq!(told.expect_err("lost").kind(), ErrorKind::NotFound);
    }
    queue.set_limits(limits()).await.expect("limits");
    let ids = [1, 2, 3].map(sample::task_id);
    let missing = queue.missing(&ids).await.expect("missing");
    assert_eq!(missing, [sample::task_id(3)]);
    // who never set limits, and so never handed anything out, has nothing to make good
    let claim = stranger.claim(&worker("c"), LEASE).await;
    assert_eq!(claim.expect("claim"), None);
    assert_eq!(queue.claim(&worker("b"), LEASE).await.expect("claim"), None);
    queue.complete(adopted).await.expect("complete");
    let next = queue.claim(&worker("b"), LEASE).await.expect("claim");
    assert_eq!(next.expect("an entry").job(), &job(2, 2));
}

#[tokio::test]
async fn each_replica_is_told_of_a_loss_also_while_it_waits() {
    let server = TestServer::private();
    let (here, there) = (server.queue().await, server.queue().await);
    for queue in [&here, &there] {
        queue.set_limits(limits()).await.expect("limits");
    }
    order(&server, "FLUSHALL").await;
    // nothing happens besides: both look by themselves
    for queue in [&here, &there] {
        let told = soon("the error", queue.changed()).await;
        assert_eq!(told.expect_err("lost").kind(), ErrorKind::NotFound);
        // and what one of them makes good, the other one still has to hear of
        queue.set_limits(limits()).await.expect("limits");
    }
    here.push(job(1, 1)).await.expect("push");
    for queue in [&here, &there] {
        soon("a change", queue.changed()).await.expect("changed");
    }
}

#[tokio::test]
async fn a_slot_whose_answer_is_lost_is_given_back() {
    let server = TestServer::private();
    let (queue, other) = (server.queue().await, server.queue().await);
    queue.set_limits(limits()).await.expect("limits");
    queue.push(job(1, 1)).await.expect("push");
    let claim = queue.claim(&worker("a"), LEASE).await.expect("claim");
    order(&server, "CLIENT KILL TYPE normal SKIPME yes").await;
    let passed = queue.complete_and_claim(claim.expect("an entry"), LEASE);
    // it may have been cut before or after it was done; the slot is free either way
    let _ = soon("an answer", passed).await;
    other.push(job(2, 1)).await.expect("push");
    let claim = other.claim(&worker("b"), LEASE).await.expect("claim");
    assert_eq!(claim.expect("the slot").job(), &job(2, 1));
}

#[tokio::test]
async fn who_waits_while_the_queue_is_emptied_is_woken_by_the_next_push() {
    let server = TestServer::private();
    let queue = server.queue().await;
    let other = server.queue().await;
    let waits = tokio::spawn(async move { queue.changed().await });
    order(&server, "FLUSHALL").await;
    other.push(job(1, 1)).await.expect("push");
    soon("the push", waits)
        .await
        .expect("waiter")
        .expect("changed");
}

#[tokio::test]
async fn a_connection_that_is_cut_comes_back_and_no_change_is_missed() {
    let server = TestServer::private();
    let (queue, other) = (server.queue().await, server.queue().await);
    for n in 0..10 {
        let waits = tokio::spawn({
            let queue = server.queue().await;
            async move {
                // a look that falls into the cut may fail, as any call may; the engine asks again
                while queue.changed().await.is_err() {}
            }
        });
        order(&server, "CLIENT KILL TYPE pubsub").await;
        order(&server, "CLIENT KILL TYPE normal SKIPME no").await;
        other.push(job(n, n)).await.expect("push");
        soon("a change after the cut", waits).await.expect("waiter");
        order(&server, "CLIENT KILL TYPE normal SKIPME no").await;
        queue
            .waiting()
            .await
            .expect("waiting, over a new connection");
        let claim = loop {
            // a claim is not asked for twice by itself: its answer may have been on the way
            if let Ok(claim) = queue.claim(&worker("a"), LEASE).await {
                break claim;
            }
        };
        let claim = claim.expect("an entry");
        queue.complete(claim).await.expect("complete");
    }
}

#[tokio::test]
async fn a_server_that_is_away_fails_calls_soon_and_is_used_again_when_it_is_back() {
    let mut server = TestServer::private();
    let queue = server.queue().await;
    queue.push(job(1, 1)).await.expect("push");
    let waits = tokio::spawn({
        let queue = server.queue().await;
        async move {
            // the wait ends with an error, and the engine asks again after a pause
            while queue.changed().await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    soon("the first look", waits).await.expect("waiter");

    server.kill();
    for _ in 0..3 {
        let refused = soon("an error", queue.push(job(2, 1))).await;
        assert_eq!(refused.expect_err("away").kind(), ErrorKind::Unavailable);
        let refused = soon("an error", queue.claim(&worker("a"), LEASE)).await;
        assert_eq!(refused.expect_err("away").kind(), ErrorKind::Unavailable);
        let refused = soon("an error", queue.changed()).await;
        assert_eq!(refused.expect_err("away").kind(), ErrorKind::Unavailable);
    }

    server.start();
    until_back(&queue).await;
    assert_eq!(queue.waiting().await.expect("waiting"), []);
    let other = server.queue().await;
    let (changed, ()) = soon("a change after the outage", async {
        tokio::join!(queue.changed(), async {
            other.push(job(3, 1)).await.expect("push");
        })
    })
    .await;
    changed.expect("changed");
    let claim = queue.claim(&worker("a"), LEASE).await.expect("claim");
    assert_eq!(claim.expect("an entry").job(), &job(3, 1));
}

#[tokio::test]
async fn a_wait_ends_with_an_error_when_the_server_goes_away() {
    let mut server = TestServer::private();
    let queue = server.queue().await;
    let waits = tokio::spawn(async move { queue.changed().await });
    // so that it waits by now, or finds no server at its first look: either way it has to be told
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    server.kill();
    let told = soon("the error", waits).await.expect("waiter");
    assert_eq!(told.expect_err("away").kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_server_that_does_not_answer_holds_nobody_up() {
    let mut server = TestServer::private();
    let queue = impatient_queue_at(&server.url()).await;
    kill(server.pid(), Signal::SIGSTOP).expect("stop");
    let refused = soon("an error", queue.push(job(1, 1))).await;
    assert_eq!(refused.expect_err("stopped").kind(), ErrorKind::Unavailable);
    kill(server.pid(), Signal::SIGCONT).expect("go on");
    until_back(&queue).await;
    queue.push(job(2, 1)).await.expect("push");
}

/// The system itself would wait for a sign of life of such a connection, for a quarter of an hour.
#[tokio::test]
async fn a_connection_that_falls_silent_is_replaced() {
    let server = TestServer::private();
    let way = Way::to(&server.url()).await;
    let queue = impatient_queue_at(way.url()).await;
    for _ in 0..2 {
        until_back(&queue).await;
        way.fall_silent();
        let lost = soon("an error", queue.claimed()).await;
        assert_eq!(lost.expect_err("silent").kind(), ErrorKind::Unavailable);
    }
    until_back(&queue).await;
    queue.push(job(1, 1)).await.expect("push");
}

/// It goes on to answer, and to refuse whatever would change it.
#[tokio::test]
async fn a_server_that_another_one_has_replaced_is_not_asked_for_long() {
    let (old, new) = (TestServer::private(), TestServer::private());
    let way = Way::to(&old.url()).await;
    let queue = queue_at(way.url(), RedisOptions::default()).await;
    queue.push(job(1, 1)).await.expect("push");
    order(&old, "REPLICAOF 127.0.0.1 1").await;
    way.lead_to(&new.url());
    let refused = queue.push(job(2, 1)).await;
    assert_eq!(refused.expect_err("deposed").kind(), ErrorKind::Unavailable);
    queue.push(job(3, 1)).await.expect("push");
    assert_eq!(queue.waiting().await.expect("waiting").len(), 1);
}

#[tokio::test]
async fn what_cannot_be_connected_to_says_why() {
    let kind = async |url: &str| {
        let redis = Redis::connect(url, RedisOptions::default()).await;
        redis.expect_err("no server").kind()
    };
    assert_eq!(kind("http://localhost").await, ErrorKind::Invalid);
    assert_eq!(
        kind("redis+unix:///nowhere/at/all.sock").await,
        ErrorKind::Unavailable
    );
    let server = TestServer::private();
    order(&server, "CONFIG SET requirepass secret").await;
    assert_eq!(kind(&server.url()).await, ErrorKind::Denied);
}
