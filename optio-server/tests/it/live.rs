//! The log over a WebSocket: replay from any cursor, then what comes; no gap, no duplicate, an end that says why.

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};

use crate::world::World;

/// Everything that a stream says, and how it ends.
async fn read(address: &str) -> (Vec<Value>, u16, String) {
    let (mut socket, _) = connect_async(address.replace("http://", "ws://"))
        .await
        .unwrap();
    let mut entries = Vec::new();
    while let Some(message) = socket.next().await {
        match message.unwrap() {
            Message::Text(text) => {
                entries.extend(serde_json::from_str::<Vec<Value>>(&text).unwrap())
            }
            Message::Close(Some(frame)) => {
                return (entries, frame.code.into(), frame.reason.to_string());
            }
            _ => {}
        }
    }
    panic!("the stream broke off");
}

#[tokio::test]
async fn a_log_is_followed_live_and_replayed_from_any_cursor() {
    let world = World::with_shop().await;
    let address = world.listen().await;
    let id = world.add(json!({"repo": "shop", "title": "One"})).await;
    let live = tokio::spawn({
        let address = format!("{address}/ws/logs/{id}");
        async move { read(&address).await }
    });
    world.work();
    let (live, code, reason) = live.await.unwrap();
    assert_eq!(
        (code, reason.as_str()),
        (CloseCode::Normal.into(), "the task has ended")
    );
    let stored = world
        .get(&format!("/api/tasks/{id}/logs?limit=1000"))
        .await
        .body;
    assert_eq!(Value::Array(live.clone()), stored["entries"]);
    assert!(live.len() > 1);
    for (n, entry) in live.iter().enumerate() {
        let cursor = entry["cursor"].as_str().unwrap();
        let (rest, ..) = read(&format!("{address}/ws/logs/{id}?after={cursor}")).await;
        assert_eq!(rest, live[n + 1..], "behind {cursor}");
    }
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_streams_end() {
    let world = World::with_shop().await;
    let address = world.listen().await;
    let id = world.add(json!({"repo": "shop", "title": "One"})).await;
    let (mut socket, _) = connect_async(format!(
        "{}/ws/logs/{id}",
        address.replace("http://", "ws://")
    ))
    .await
    .unwrap();
    world.app.stopping.cancel();
    let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else {
        panic!("no close frame")
    };
    assert_eq!(frame.code, CloseCode::Restart);
    // the client's answer ends the stream on the server's side too
    assert!(socket.next().await.is_none());
    drop(socket);
    world.app.streams.close();
    world.app.streams.wait().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_before_the_upgrade() {
    let world = World::with_shop().await;
    let id = world.add(json!({"repo": "shop", "title": "One"})).await;
    let rows = [
        "/ws/logs/task_01j1d3pz2dfsfrmtwwfpq8zc4h".to_owned(),
        format!("/ws/logs/{id}?after=x"),
        format!("/ws/logs/{id}"),
    ];
    let mut table = Vec::new();
    for path in rows {
        table.push(world.get(&path).await.refusal());
    }
    insta::assert_snapshot!(table.join("\n"));
}
