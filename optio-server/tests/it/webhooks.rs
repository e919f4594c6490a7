//! Outgoing webhooks over real HTTP: what is sent, and what a receiver's answer means.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::State, http::HeaderMap, routing::any};
use optio_core::{
    Clock, SystemClock, Timestamp,
    id::{OutboxId, WebhookId},
    webhook::{Webhook, WebhookDelivery, WebhookSender},
};
use optio_server::webhook_sender::HttpWebhooks;

type Seen = Arc<Mutex<Vec<String>>>;

async fn receive(
    State((seen, status)): State<(Seen, u16)>,
    headers: HeaderMap,
    body: String,
) -> axum::response::Response {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("-")
            .to_owned()
    };
    seen.lock().unwrap().push(format!(
        "{} | {} | {body}",
        header("x-optio-signature"),
        header("content-type")
    ));
    let answer = axum::response::Response::builder()
        .status(status)
        .header("location", "/elsewhere");
    answer.body(axum::body::Body::empty()).unwrap()
}

/// Sends a message to a receiver that answers with this status; what it saw, and what the engine is told.
async fn sent(status: u16) -> (Vec<String>, String) {
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?key=hidden", listener.local_addr().unwrap());
    let receiver = Router::new()
        .fallback(any(receive))
        .with_state((Arc::clone(&seen), status));
    tokio::spawn(async move { axum::serve(listener, receiver).await });
    let result = send(url).await;
    let seen = seen.lock().unwrap().clone();
    (seen, result)
}

async fn send(url: String) -> String {
    let clock: &dyn Clock = &SystemClock;
    let id = WebhookId::generate(clock);
    let webhook = Webhook {
        id,
        url,
        secret: "a secret of some length".into(),
        states: Vec::new(),
        version: 1,
    };
    let delivery = WebhookDelivery {
        id: OutboxId::generate(clock),
        webhook,
        at: Timestamp::from_second(1_700_000_000).unwrap(),
        body: r#"{"a":1}"#.into(),
    };
    match HttpWebhooks::new().unwrap().send(&delivery).await {
        Ok(()) => "accepted".to_owned(),
        Err(error) => format!("{error}, {:?}", error.retry()).replace(&id.to_string(), "[hook]"),
    }
}

#[tokio::test]
async fn a_message_is_signed_over_time_and_raw_body() {
    let (seen, result) = sent(204).await;
    insta::assert_snapshot!(format!("{}\n{result}", seen.join("\n")));
}

#[tokio::test]
async fn answers_decide_whether_it_is_sent_again_and_redirects_are_not_followed() {
    let mut table = Vec::new();
    for status in [200, 302, 400, 408, 410, 429, 500, 503] {
        let (seen, result) = sent(status).await;
        table.push(format!("{status}: {result} after {} request", seen.len()));
    }
    insta::assert_snapshot!(table.join("\n"));
}

#[tokio::test]
async fn a_receiver_that_is_away_is_tried_again_and_its_address_is_not_told() {
    let (_reserved, port) = crate::command_line::nobody_listens();
    let result = send(format!("http://127.0.0.1:{port}/hook?key=hidden")).await;
    insta::assert_snapshot!(result, @"webhook: [hook] could not be reached, Later");
}
