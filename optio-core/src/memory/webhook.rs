//! Outgoing webhooks that go nowhere: they are kept, or refused as a test says.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::{
    error::{Error, Result, Retry},
    webhook::{WebhookDelivery, WebhookSender},
};

/// A [`WebhookSender`] that keeps what it was given. Clones are the same sender.
#[derive(Debug, Clone, Default)]
pub struct MemoryWebhooks {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    accepted: Vec<WebhookDelivery>,
    refusals: VecDeque<Retry>,
    tries: u64,
}

impl MemoryWebhooks {
    /// A sender that accepts everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses the next `times` messages; whether to try again is as given.
    pub fn refuse(&self, times: usize, retry: Retry) {
        self.lock()
            .refusals
            .extend(std::iter::repeat_n(retry, times));
    }

    /// What was accepted, in order.
    #[must_use]
    pub fn accepted(&self) -> Vec<WebhookDelivery> {
        self.lock().accepted.clone()
    }

    /// How often it was tried to send something.
    #[must_use]
    pub fn tries(&self) -> u64 {
        self.lock().tries
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl WebhookSender for MemoryWebhooks {
    async fn send(&self, delivery: &WebhookDelivery) -> Result<()> {
        let mut state = self.lock();
        state.tries += 1;
        if let Some(retry) = state.refusals.pop_front() {
            let refused = Error::unavailable("memory webhooks", "the receiver answered 503");
            return Err(refused.with_retry(retry));
        }
        state.accepted.push(delivery.clone());
        Ok(())
    }
}
