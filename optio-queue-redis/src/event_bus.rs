//! Hints to other replicas, by publish and subscribe. Hints are JSON; what is not a hint of ours is passed over.

use async_trait::async_trait;
use optio_core::{
    error::{Error, Result},
    event_bus::{EventBus, Hint, Subscription},
};
use tokio::sync::{broadcast, watch};

use crate::{
    connect::Redis,
    error::{BACKEND, corrupt},
    listener::{Heard, Listener},
};

/// Hints that a subscriber may fall behind before it gets [`Hint::Missed`].
const BACKLOG: usize = 1024;

/// An [`EventBus`] between processes. One connection listens for all subscriptions of a handle. When it was lost and is
/// back, each of them gets [`Hint::Missed`] once.
#[derive(Debug)]
pub struct RedisEventBus {
    redis: Redis,
    channel: String,
    hints: broadcast::Sender<Hint>,
    connected: watch::Receiver<bool>,
    _listener: Listener,
}

impl RedisEventBus {
    /// The bus on this server. Needs a runtime of tokio around it.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        let channel = format!("{}hints", redis.options().tag());
        let hints = broadcast::Sender::new(BACKLOG);
        let (is_connected, connected) = watch::channel(false);
        let listener = Listener::start(redis, channel.clone(), {
            let hints = hints.clone();
            move |heard| {
                // an error in sending means that nobody listens, which is fine
                match heard {
                    Heard::Connected => {
                        // whoever subscribed while nothing could be heard has missed it
                        let _ = hints.send(Hint::Missed);
                        is_connected.send_replace(true);
                    }
                    Heard::Message(message) => {
                        match serde_json::from_slice(message.get_payload_bytes()) {
                            Ok(hint) => {
                                let _ = hints.send(hint);
                            }
                            // a newer replica may know hints that this one does not
                            Err(error) => tracing::debug!(%error, "hint not understood"),
                        }
                    }
                    Heard::Lost => {
                        is_connected.send_replace(false);
                    }
                }
            }
        });
        Self {
            redis: redis.clone(),
            channel,
            hints,
            connected,
            _listener: listener,
        }
    }
}

#[async_trait]
impl EventBus for RedisEventBus {
    async fn publish(&self, hint: Hint) -> Result<()> {
        let text = serde_json::to_string(&hint).map_err(|error| corrupt("a hint", error))?;
        self.redis
            .query(redis::cmd("PUBLISH").arg(&self.channel).arg(text))
            .await
    }

    /// Waits until the connection listens. If it does not within the time to connect, the subscription is given all the
    /// same and gets [`Hint::Missed`] once it does.
    async fn subscribe(&self) -> Result<Box<dyn Subscription>> {
        let mut connected = self.connected.clone();
        let listens = connected.wait_for(|connected| *connected);
        let _ = tokio::time::timeout(self.redis.options().connect_timeout, listens).await;
        Ok(Box::new(RedisSubscription {
            hints: self.hints.subscribe(),
        }))
    }
}

#[derive(Debug)]
struct RedisSubscription {
    hints: broadcast::Receiver<Hint>,
}

#[async_trait]
impl Subscription for RedisSubscription {
    async fn next(&mut self) -> Result<Hint> {
        match self.hints.recv().await {
            Ok(hint) => Ok(hint),
            Err(broadcast::error::RecvError::Lagged(_)) => Ok(Hint::Missed),
            Err(broadcast::error::RecvError::Closed) => {
                Err(Error::unavailable(BACKEND, "the bus is gone"))
            }
        }
    }
}
