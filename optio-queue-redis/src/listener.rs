//! A connection of its own that listens to one channel, for as long as its handle lives.

use std::time::Duration;

use futures_util::StreamExt;
use redis::{Client, Msg, aio::PubSub};
use tokio::{task::JoinHandle, time::timeout};

use crate::connect::Redis;

/// The shortest and the longest pause before the next try to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// What a listener hears.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It listens from now on; what was said before may be lost.
    Connected,
    /// Something was said.
    Message(Msg),
    /// It does not listen any more, and tries to.
    Lost,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Listener(JoinHandle<()>);

impl Listener {
    /// Listens to a channel and passes on what is heard. Connects anew for ever, with a pause that grows.
    pub(crate) fn start(
        redis: &Redis,
        channel: String,
        hear: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Self {
        let ear = Ear {
            client: redis.client().clone(),
            channel,
            wait: redis.options().connect_timeout + redis.options().response_timeout,
            heartbeat: redis.options().heartbeat,
        };
        Self(tokio::spawn(async move {
            let mut pause = PAUSES.0;
            loop {
                match ear.connect().await {
                    Ok(connection) => {
                        hear(Heard::Connected);
                        pause = PAUSES.0;
                        ear.listen(connection, &hear).await;
                        hear(Heard::Lost);
                    }
                    Err(reason) => {
                        tracing::debug!(
                            channel = ear.channel,
                            reason,
                            "redis cannot be listened to"
                        );
                    }
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Ear {
    client: Client,
    channel: String,
    wait: Duration,
    heartbeat: Duration,
}

impl Ear {
    async fn connect(&self) -> Result<PubSub, String> {
        let connect = async {
            let mut connection = self.client.get_async_pubsub().await?;
            connection.subscribe(&self.channel).await?;
            redis::RedisResult::Ok(connection)
        };
        match timeout(self.wait, connect).await {
            Ok(connected) => connected.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {:?}", self.wait)),
        }
    }

    /// Returns when the connection is lost.
    async fn listen(&self, connection: PubSub, hear: &(impl Fn(Heard) + Sync)) {
        let (mut sink, mut messages) = connection.split();
        loop {
            match timeout(self.heartbeat, messages.next()).await {
                Ok(Some(message)) => hear(Heard::Message(message)),
                Ok(None) => return,
                // silence: a connection that died without a word would stay silent for ever
                Err(_) => {
                    let ping = async {
                        tokio::select! {
                            biased;
                            answer = sink.ping::<redis::Value>() => answer.is_ok().then_some(None),
                            message = messages.next() => message.map(Some),
                        }
                    };
                    match timeout(self.wait, ping).await {
                        Ok(Some(None)) => {}
                        Ok(Some(Some(message))) => hear(Heard::Message(message)),
                        Ok(None) | Err(_) => return,
                    }
                }
            }
        }
    }
}
