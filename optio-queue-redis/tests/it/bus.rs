//! The contract of the bus, and what becomes of hints when a connection is lost.

use optio_core::{
    conformance::sample,
    event_bus::{EventBus, Hint, Subscription},
};

use crate::server::{self, TestServer, soon};

optio_core::event_bus_conformance!(
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    server::bus().await
);

fn hint(n: u64) -> Hint {
    Hint::Task {
        task: sample::task_id(n),
    }
}

async fn next(subscription: &mut Box<dyn Subscription>) -> Hint {
    soon("a hint", subscription.next()).await.expect("next")
}

async fn cut(server: &TestServer) {
    let mut admin = server.admin().await;
    let cut = redis::cmd("CLIENT")
        .arg(&["KILL", "TYPE", "pubsub"])
        .exec_async(&mut admin)
        .await;
    cut.expect("the cut");
}

#[tokio::test]
async fn hints_reach_other_processes() {
    let server = TestServer::shared();
    let (here, there) = (server.bus().await, server.bus().await);
    let mut listener = here.subscribe().await.expect("subscribe");
    there.publish(hint(1)).await.expect("publish");
    assert_eq!(next(&mut listener).await, hint(1));
}

#[tokio::test]
async fn each_subscriber_is_told_once_that_a_lost_connection_missed_something() {
    let server = TestServer::private();
    let bus = server.bus().await;
    let mut listeners = [
        bus.subscribe().await.expect("subscribe"),
        bus.subscribe().await.expect("subscribe"),
    ];
    for n in 0..3 {
        cut(&server).await;
        for listener in &mut listeners {
            assert_eq!(next(listener).await, Hint::Missed);
        }
        bus.publish(hint(n)).await.expect("publish");
        for listener in &mut listeners {
            assert_eq!(next(listener).await, hint(n));
        }
    }
}

#[tokio::test]
async fn the_bus_comes_back_with_its_server() {
    let mut server = TestServer::private();
    let bus = server.bus().await;
    let mut before = bus.subscribe().await.expect("subscribe");
    server.kill();
    let refused = soon("an error", bus.publish(hint(1))).await;
    let kind = refused.expect_err("away").kind();
    assert_eq!(kind, optio_core::error::ErrorKind::Unavailable);
    server.start();
    assert_eq!(next(&mut before).await, Hint::Missed);
    let mut after = bus.subscribe().await.expect("subscribe");
    bus.publish(hint(2)).await.expect("publish");
    assert_eq!(next(&mut before).await, hint(2));
    assert_eq!(next(&mut after).await, hint(2));
}

#[tokio::test]
async fn who_subscribes_during_an_outage_is_told_when_it_is_over() {
    let mut server = TestServer::private();
    let bus = server.bus().await;
    let _ = bus.subscribe().await.expect("subscribe");
    server.kill();
    let mut during = soon("a subscription", async {
        // until the loss is known, a subscription is one of those that existed before it
        bus.subscribe().await.expect("subscribe")
    })
    .await;
    server.start();
    assert_eq!(next(&mut during).await, Hint::Missed);
}

#[tokio::test]
async fn what_is_no_hint_is_passed_over() {
    let server = TestServer::private();
    let bus = server.bus().await;
    let mut listener = bus.subscribe().await.expect("subscribe");
    let mut admin = server.admin().await;
    let channels: Vec<String> = redis::cmd("PUBSUB")
        .arg("CHANNELS")
        .query_async(&mut admin)
        .await
        .expect("channels");
    for text in ["", "\"?\"", r#"{"hint":"from_the_future"}"#] {
        let publish = redis::cmd("PUBLISH")
            .arg(&channels[0])
            .arg(text)
            .exec_async(&mut admin)
            .await;
        publish.expect("publish");
    }
    bus.publish(hint(1)).await.expect("publish");
    assert_eq!(next(&mut listener).await, hint(1));
}
