//! `/healthz` and `/readyz`: whether the process lives, and whether it can serve. Anybody may ask; nothing secret is told.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use crate::{app::App, error::ApiError};

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the server is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HealthView {
    /// `ok`.
    pub status: String,
    /// The server's version.
    pub version: String,
}

impl HealthView {
    fn ok() -> Json<Self> {
        Json(Self {
            status: "ok".to_owned(),
            version: crate::VERSION.to_owned(),
        })
    }
}

/// The process lives. Asks nothing else: a database that is away must not get the server restarted.
pub(crate) async fn live() -> Json<HealthView> {
    HealthView::ok()
}

/// The store answers, and the server is not about to stop.
pub(crate) async fn ready(State(app): State<App>) -> Result<Json<HealthView>, ApiError> {
    let unready =
        |message: String| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
    if app.stopping.is_cancelled() {
        return Err(unready("the server is stopping".to_owned()));
    }
    match tokio::time::timeout(PATIENCE, app.optio.store().count_tasks()).await {
        Ok(Ok(_)) => Ok(HealthView::ok()),
        Ok(Err(error)) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the store does not answer"
            );
            Err(unready(
                "the store does not answer: the server's log says why".to_owned(),
            ))
        }
        Err(_) => Err(unready(format!(
            "the store did not answer within {} s",
            PATIENCE.as_secs()
        ))),
    }
}
