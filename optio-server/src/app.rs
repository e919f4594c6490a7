//! What all requests share.

use std::sync::Arc;

use optio_core::{engine::Optio, secret::Secret};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::doctor::Doctor;

/// What all requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// The engine.
    pub optio: Optio,
    /// What callers have to show; nothing if none.
    pub token: Option<Secret>,
    /// Examines what the server needs.
    pub doctor: Arc<Doctor>,
    /// Cancelled when the server is to stop: whoever waits or streams comes to an end.
    pub stopping: CancellationToken,
    /// WebSockets, which outlive their requests.
    pub streams: TaskTracker,
}

impl App {
    /// The shared part of a server on this engine. Without a token everybody who reaches it may do everything.
    #[must_use]
    pub fn new(optio: Optio, doctor: Doctor) -> Self {
        Self {
            optio,
            token: None,
            doctor: Arc::new(doctor),
            stopping: CancellationToken::new(),
            streams: TaskTracker::new(),
        }
    }

    /// The same, for callers who show this token.
    #[must_use]
    pub fn with_token(mut self, token: Option<Secret>) -> Self {
        self.token = token;
        self
    }
}
