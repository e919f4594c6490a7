//! Sends outgoing webhooks over HTTP, signed.
//!
//! The header `X-Optio-Signature` is `t=SECONDS,v1=HEX`, where the second part is HMAC-SHA256 over the seconds, a dot
//! and the raw body, with the webhook's secret. `X-Optio-Delivery` is the same for each try of one message.

use std::time::Duration;

use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use optio_core::{
    Error, Result, Retry,
    webhook::{WebhookDelivery, WebhookSender},
};
use reqwest::{StatusCode, header, redirect};
use sha2::Sha256;

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Our name in errors.
const NAME: &str = "webhook";

/// Sends webhooks over HTTP. Follows no redirect: a receiver is where it was registered.
#[derive(Debug, Clone)]
pub struct HttpWebhooks {
    client: reqwest::Client,
}

impl HttpWebhooks {
    /// A sender with connections of its own.
    ///
    /// # Errors
    /// The machine's certificates cannot be used.
    pub fn new() -> Result<Self> {
        crate::tls::choose();
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("optio/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                Error::unavailable(NAME, "no HTTP client can be made").caused_by(error)
            })?;
        Ok(Self { client })
    }
}

#[async_trait]
impl WebhookSender for HttpWebhooks {
    async fn send(&self, delivery: &WebhookDelivery) -> Result<()> {
        let signature = signature(
            &delivery.webhook.secret,
            delivery.at.as_second(),
            &delivery.body,
        );
        let request = self
            .client
            .post(&delivery.webhook.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("X-Optio-Delivery", delivery.id.to_string())
            .header("X-Optio-Signature", signature)
            .body(delivery.body.clone());
        // the address may hold a secret: it stands in no error
        let response = request.send().await.map_err(|error| {
            let error = error.without_url();
            Error::unavailable(
                NAME,
                format!("{} could not be reached", delivery.webhook.id),
            )
            .caused_by(error)
        })?;
        accepted(delivery, response.status())
    }
}

/// What a receiver's answer means.
fn accepted(delivery: &WebhookDelivery, status: StatusCode) -> Result<()> {
    if status.is_success() {
        return Ok(());
    }
    let later = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        );
    let retry = if later { Retry::Later } else { Retry::Never };
    Err(
        Error::unavailable(NAME, format!("{} answered {status}", delivery.webhook.id))
            .with_retry(retry),
    )
}

/// The value of the signature's header.
fn signature(secret: &str, seconds: i64, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    // a key may have any length, so this is always there
    let digest = mac.map(|mac| {
        mac.chain_update(format!("{seconds}."))
            .chain_update(body)
            .finalize()
            .into_bytes()
    });
    let hex: String = digest
        .iter()
        .flatten()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t={seconds},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_openssl_makes_of_time_dot_body() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 'a secret of some length'
        insta::assert_snapshot!(signature(
            "a secret of some length",
            1_700_000_000,
            r#"{"a":1}"#
        ));
    }
}
