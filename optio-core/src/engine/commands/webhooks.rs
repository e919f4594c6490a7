//! Outgoing webhooks: adding and removing them.

use crate::{
    engine::Optio,
    error::{Error, ErrorKind, Result},
    id::WebhookId,
    store::Write,
    task::StateName,
    webhook::Webhook,
};

impl Optio {
    /// Adds an outgoing webhook, told of tasks that enter one of these states; of all if none is named.
    ///
    /// # Errors
    /// The address is not http or https, or nothing is set up to send webhooks.
    pub async fn add_webhook(
        &self,
        url: String,
        secret: String,
        states: Vec<StateName>,
    ) -> Result<Webhook> {
        if self.ports().webhooks.is_none() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "optio",
                "nothing is set up to send webhooks",
            ));
        }
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(Error::invalid(
                "optio",
                format!("{url:?} is not an http or https address"),
            ));
        }
        if secret.is_empty() {
            return Err(Error::invalid(
                "optio",
                "a webhook needs a secret, with which its messages are signed",
            ));
        }
        let mut webhook = Webhook {
            id: WebhookId::generate(self.clock()),
            url,
            secret,
            states,
            version: 0,
        };
        let mut change = self.change("api");
        change.write(Write::Webhook(webhook.clone()));
        change.commit().await?;
        webhook.version = 1;
        Ok(webhook)
    }

    /// Removes an outgoing webhook. No error if there is none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_webhook(&self, id: WebhookId) -> Result<()> {
        let mut change = self.change("api");
        change.write(Write::ForgetWebhook(id));
        change.commit().await
    }
}
