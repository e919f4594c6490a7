//! `/api/webhooks`: who is told when tasks change. A secret goes in and never comes out.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use optio_core::{id::WebhookId, task::StateName, webhook::Webhook};
use serde::{Deserialize, Serialize};

use super::{Body, Path};
use crate::{app::App, error::ApiError};

/// A webhook, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookView {
    /// Its id.
    pub id: WebhookId,
    /// Where it is sent to.
    pub url: String,
    /// The states that it is told of; all of them if empty.
    pub states: Vec<StateName>,
}

/// All webhooks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WebhookList {
    /// Them.
    pub webhooks: Vec<WebhookView>,
}

/// A webhook to be added.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WebhookRequest {
    url: String,
    secret: String,
    #[serde(default)]
    states: Vec<StateName>,
}

/// The shortest secret that is accepted.
const SHORTEST_SECRET: usize = 16;

pub(crate) async fn list(State(app): State<App>) -> Result<Json<WebhookList>, ApiError> {
    let webhooks = app.optio.store().webhooks().await?;
    Ok(Json(WebhookList {
        webhooks: webhooks.into_iter().map(WebhookView::from).collect(),
    }))
}

pub(crate) async fn create(
    State(app): State<App>,
    Body(wish): Body<WebhookRequest>,
) -> Result<Response, ApiError> {
    if wish.url.parse::<reqwest::Url>().is_err() {
        return Err(ApiError::invalid(format!(
            "{:?} is not an http or https address",
            wish.url
        )));
    }
    if wish.secret.len() < SHORTEST_SECRET {
        return Err(ApiError::invalid(format!(
            "the secret is too short to sign with: expected at least {SHORTEST_SECRET} characters"
        )));
    }
    let webhook = app
        .optio
        .add_webhook(wish.url, wish.secret, wish.states)
        .await?;
    Ok((StatusCode::CREATED, Json(WebhookView::from(webhook))).into_response())
}

pub(crate) async fn remove(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id: WebhookId = id.parse()?;
    if !app
        .optio
        .store()
        .webhooks()
        .await?
        .iter()
        .any(|webhook| webhook.id == id)
    {
        return Err(ApiError::not_found(format!("{id} does not exist")));
    }
    app.optio.remove_webhook(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<Webhook> for WebhookView {
    fn from(webhook: Webhook) -> Self {
        Self {
            id: webhook.id,
            url: webhook.url,
            states: webhook.states,
        }
    }
}
