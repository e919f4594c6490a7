//! Hints within one process.

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::{
    error::{Error, Result},
    event_bus::{EventBus, Hint, Subscription},
};

const BACKEND: &str = "memory bus";

/// Hints that a subscriber may fall behind before it gets [`Hint::Missed`].
const BACKLOG: usize = 1024;

/// An [`EventBus`] within one process.
#[derive(Debug)]
pub struct MemoryBus {
    sender: broadcast::Sender<Hint>,
}

impl MemoryBus {
    /// A bus without subscribers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sender: broadcast::Sender::new(BACKLOG),
        }
    }
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl EventBus for MemoryBus {
    async fn publish(&self, hint: Hint) -> Result<()> {
        // an error means that nobody listens, which is fine
        let _ = self.sender.send(hint);
        Ok(())
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>> {
        Ok(Box::new(MemorySubscription {
            receiver: self.sender.subscribe(),
        }))
    }
}

#[derive(Debug)]
struct MemorySubscription {
    receiver: broadcast::Receiver<Hint>,
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn next(&mut self) -> Result<Hint> {
        match self.receiver.recv().await {
            Ok(hint) => Ok(hint),
            Err(broadcast::error::RecvError::Lagged(_)) => Ok(Hint::Missed),
            Err(broadcast::error::RecvError::Closed) => {
                Err(Error::unavailable(BACKEND, "the bus is gone"))
            }
        }
    }
}
