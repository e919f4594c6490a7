//! Following a log over a WebSocket, across broken connections and restarts of the server.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use futures_util::StreamExt;
use optio_core::{engine::MAX_LINE, transcript::LogCursor};
use reqwest::{Method, StatusCode, header};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::client::{Client, Path, Refusal, Unreachable};
use crate::api::log::LogEntryView;

/// How long a broken connection is tried again, from its break on.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait before the next try.
const PAUSE: Duration = Duration::from_millis(500);
/// A server that is there says something at least this often.
const SILENCE: Duration = Duration::from_secs(60);

/// The longest message that is taken, in bytes. One entry can be a whole line of an agent and all that was read in it,
/// each with its odd characters spelled as up to seven.
const LONGEST: usize = 16 * MAX_LINE;

/// A log that is followed.
#[derive(Debug)]
pub(crate) struct Follower<'c> {
    place: Place<'c>,
    socket: Option<Socket>,
}

type Socket = WebSocketStream<reqwest::Upgraded>;

/// Where a reader is: in which log, and behind which entry.
#[derive(Debug)]
struct Place<'c> {
    client: &'c Client,
    task: String,
    cursor: LogCursor,
}

impl<'c> Follower<'c> {
    /// Follows a log from a cursor on.
    ///
    /// # Errors
    /// There is no such task, or no server.
    pub(crate) async fn start(client: &'c Client, task: &str, cursor: LogCursor) -> Result<Self> {
        let place = Place {
            client,
            task: task.to_owned(),
            cursor,
        };
        let socket = Some(place.connect().await?);
        Ok(Self { place, socket })
    }

    /// The next entries; none once the task has ended and all was given. A connection that breaks is made again, and
    /// goes on behind the last entry that was given.
    ///
    /// # Errors
    /// The server is gone for a minute, or refuses.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<LogEntryView>>> {
        loop {
            let mut socket = match self.socket.take() {
                Some(socket) => socket,
                None => self.place.connect_again().await?,
            };
            match tokio::time::timeout(SILENCE, socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => {
                    let entries: Vec<LogEntryView> = serde_json::from_str(&text)
                        .map_err(|error| anyhow!("the server streams in a shape that this program does not know ({error}): use the same version of both"))?;
                    self.socket = Some(socket);
                    if let Some(last) = entries.last() {
                        self.place.cursor = last.cursor;
                        return Ok(Some(entries));
                    }
                }
                Ok(Some(Ok(Message::Close(Some(frame))))) => match frame.code {
                    CloseCode::Normal => return Ok(None),
                    CloseCode::Error => bail!("{}", frame.reason),
                    _ => {}
                },
                Ok(Some(Ok(Message::Close(None)) | Err(_)) | None) | Err(_) => {}
                Ok(Some(Ok(_))) => self.socket = Some(socket),
            }
        }
    }
}

impl Place<'_> {
    async fn connect_again(&self) -> Result<Socket> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.connect().await {
                Err(error) if can_pass(&error) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await
                }
                result => return result,
            }
        }
    }

    async fn connect(&self) -> Result<Socket> {
        let key = generate_key();
        let path = Path::of(&["ws", "logs", &self.task]).with("after", self.cursor);
        let request = self
            .client
            .request(Method::GET, &path)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key);
        let response = self.client.send(request).await?;
        let accepted = response
            .headers()
            .get(header::SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|accept| *accept == *derive_accept_key(key.as_bytes()));
        if response.status() != StatusCode::SWITCHING_PROTOCOLS || !accepted {
            bail!(
                "{} does not speak WebSocket: is there a proxy in between that does not?",
                self.client.server()
            );
        }
        let stream = response.upgrade().await?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(LONGEST))
            .max_frame_size(Some(LONGEST));
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(limits)).await)
    }
}

/// Whether trying again may help: the server is away, or about to come or go.
pub(super) fn can_pass(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<Refusal>();
    error.is::<Unreachable>()
        || refused.is_some_and(|refusal| matches!(refusal.status.as_u16(), 502..=504))
}
