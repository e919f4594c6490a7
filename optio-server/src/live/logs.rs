//! `/ws/logs/{taskId}?after=CURSOR`: the log of a task from a cursor on, and then as it grows.
//!
//! Each message is a JSON array of entries, the same as in `/api/tasks/{id}/logs`. When the task has ended and all was
//! sent, the server closes with code 1000; when the server stops, with 1012: go on behind the last cursor later.

use std::time::Duration;

use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    },
    response::Response,
};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use optio_core::engine::LogFollower;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::{
    api::{
        Path, Query, find_task,
        log::{LogEntryView, cursor},
    },
    app::App,
    error::ApiError,
};

/// A message is sent once it is this long, in bytes; one entry is never split.
const MESSAGE: usize = 256 << 10;
/// How long a client may take to accept a message. One that is slower comes back with its cursor.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a silent stream is kept alive: proxies cut what is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// From where on.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowQuery {
    /// Entries behind this cursor; all if none.
    after: Option<String>,
}

pub(crate) async fn follow(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<FollowQuery>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    // everything that can be wrong is answered as HTTP, before the upgrade
    let id = find_task(&app.optio, &id).await?;
    let log = app
        .optio
        .follow_log(id, cursor(query.after.as_deref())?)
        .await?;
    let upgrade = upgrade.map_err(|rejection| {
        ApiError::new(
            rejection.status(),
            "bad_request",
            "this address speaks WebSocket: /api/tasks/{id}/logs gives pages",
        )
    })?;
    let (stopping, streams) = (app.stopping.clone(), app.streams.clone());
    Ok(upgrade.on_upgrade(move |socket| streams.track_future(stream(socket, log, stopping))))
}

/// Streams a log until it or the client or the server ends. Holds up nobody but itself.
async fn stream(socket: WebSocket, mut log: LogFollower, stopping: CancellationToken) {
    let (mut sink, mut incoming) = socket.split();
    let gone = async {
        // pings are answered by being read; whatever else a client says is not for us
        while let Some(Ok(message)) = incoming.next().await {
            if matches!(message, Message::Close(_)) {
                break;
            }
        }
    };
    let send = async {
        let end = loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => break (close_code::RESTART, "the server is stopping"),
                entries = log.next() => match entries {
                    Ok(Some(entries)) => {
                        for message in messages(entries.into_iter().map(LogEntryView::from)) {
                            if !sent(&mut sink, Message::text(message)).await {
                                return;
                            }
                        }
                    }
                    Ok(None) => break (close_code::NORMAL, "the task has ended"),
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "a log cannot be followed any more");
                        break (close_code::ERROR, "the log cannot be read");
                    }
                },
                () = tokio::time::sleep(HEARTBEAT) => {
                    if !sent(&mut sink, Message::Ping(bytes())).await {
                        return;
                    }
                }
            }
        };
        let (code, reason) = end;
        if sent(
            &mut sink,
            Message::Close(Some(CloseFrame {
                code,
                reason: reason.into(),
            })),
        )
        .await
        {
            // the client's own close frame ends the connection in order; it need not come
            tokio::time::sleep(PATIENCE).await;
        }
    };
    let send = async {
        tokio::select! {
            () = send => {}
            () = async { stopping.cancelled().await; tokio::time::sleep(Duration::from_secs(1)).await } => {}
        }
    };
    tokio::select! {
        () = gone => {}
        () = send => {}
    }
}

fn bytes() -> axum::body::Bytes {
    axum::body::Bytes::new()
}

/// Whether the client took it in time.
async fn sent(sink: &mut SplitSink<WebSocket, Message>, message: Message) -> bool {
    matches!(
        tokio::time::timeout(PATIENCE, sink.send(message)).await,
        Ok(Ok(()))
    )
}

/// Puts entries together to messages of a bounded length.
fn messages(entries: impl Iterator<Item = LogEntryView>) -> Vec<String> {
    let mut messages = Vec::new();
    let mut open = String::new();
    for entry in entries {
        let Ok(entry) = serde_json::to_string(&entry) else {
            continue;
        };
        if !open.is_empty() && open.len() + entry.len() > MESSAGE {
            messages.push(std::mem::take(&mut open) + "]");
        }
        open.push(if open.is_empty() { '[' } else { ',' });
        open.push_str(&entry);
    }
    if !open.is_empty() {
        messages.push(open + "]");
    }
    messages
}
