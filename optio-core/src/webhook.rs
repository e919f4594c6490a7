//! Outgoing webhooks: who is told what, and what they are sent.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    error::Result,
    id::{OutboxId, WebhookId},
    task::StateName,
};

/// Somebody who wants to be told when tasks change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Its key.
    pub id: WebhookId,
    /// Where it is sent to.
    pub url: String,
    /// With what it is signed: HMAC-SHA256 over timestamp, a dot and the raw body.
    pub secret: String,
    /// The states that it is told of; all of them if empty.
    pub states: Vec<StateName>,
    /// Counts the changes of this record.
    pub version: u64,
}

impl Webhook {
    /// Whether it wants to hear of a task that entered `state`.
    #[must_use]
    pub fn wants(&self, state: StateName) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }
}

/// One message to one subscriber. The same one may arrive more than once: its id is the receiver's idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookDelivery {
    /// The outbox entry it comes from.
    pub id: OutboxId,
    /// Who gets it.
    pub webhook: Webhook,
    /// When it is sent.
    pub at: Timestamp,
    /// The JSON body, byte for byte as it is to be signed and sent.
    pub body: String,
}

/// Sends outgoing webhooks.
///
/// An error with [`Retry::Never`](crate::error::Retry::Never) gives the message up; any other is tried again later.
#[async_trait]
pub trait WebhookSender: fmt::Debug + Send + Sync + 'static {
    /// Sends one message and waits for the receiver to accept it.
    async fn send(&self, delivery: &WebhookDelivery) -> Result<()>;
}
