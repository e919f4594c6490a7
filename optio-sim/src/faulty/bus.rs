//! A bus that loses, doubles and delays hints.

use std::sync::Arc;

use async_trait::async_trait;
use optio_core::{
    Error, Result,
    event_bus::{EventBus, Hint, Subscription},
};

use super::Link;

#[derive(Debug)]
pub(crate) struct FaultyBus {
    pub(crate) inner: Arc<dyn EventBus>,
    pub(crate) link: Arc<Link>,
}

#[async_trait]
impl EventBus for FaultyBus {
    async fn publish(&self, hint: Hint) -> Result<()> {
        let share = self.link.weather().hints;
        if self.link.dice.hits(share) {
            return Ok(()); // lost
        }
        if self.link.dice.hits(share) {
            self.inner.publish(hint).await?; // doubled
        }
        self.link.call("publish", self.inner.publish(hint)).await
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>> {
        let inner = self.link.call("subscribe", self.inner.subscribe()).await?;
        Ok(Box::new(FaultySubscription {
            inner,
            link: Arc::clone(&self.link),
        }))
    }
}

#[derive(Debug)]
struct FaultySubscription {
    inner: Box<dyn Subscription>,
    link: Arc<Link>,
}

#[async_trait]
impl Subscription for FaultySubscription {
    async fn next(&mut self) -> Result<Hint> {
        loop {
            self.link.gate().await;
            let hint = self.inner.next().await?;
            let share = self.link.weather().hints;
            if self.link.dice.hits(share / 8) {
                return Err(Error::unavailable(
                    "simulation",
                    "the subscription is cut off",
                ));
            }
            if self.link.dice.hits(share / 8) {
                return Ok(Hint::Missed);
            }
            if !self.link.dice.hits(share) {
                return Ok(hint);
            }
        }
    }
}
