//! The relay: delivers what follows from a commit, at least once: to the queue, to whoever listens, to webhooks, to
//! tickets; and moves on what waited for the task.

mod batch;

use std::{sync::Arc, time::Duration};

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use self::batch::{Batch, Outcome};
use super::{Optio, task_worker::Ticked};
use crate::{
    clock::later,
    error::{Error, ErrorKind, Result, Retry},
    event_bus::Hint,
    id::{OutboxId, TaskId, WebhookId},
    store::{Commit, OutboxEntry, OutboxMessage, TaskQuery, Write},
    task::{Completion, StateName, Task, TaskState},
    tickets::TicketOutcome,
    webhook::{Webhook, WebhookDelivery},
};

/// How many entries are taken at once.
const BATCH: usize = 100;
/// How often a message to the outside is tried before it is given up: with the waits between, about a day.
const MAX_ATTEMPTS: u32 = 20;

impl Optio {
    /// Delivers what is due.
    ///
    /// # Errors
    /// The store failed. An entry that cannot be delivered is put off and does not keep the others.
    pub async fn tick_relay(&self) -> Result<Ticked> {
        let now = self.now();
        let ours_until = later(now, self.settings().lease * 2);
        let entries = self.store().claim_outbox(now, ours_until, BATCH).await?;
        if entries.is_empty() {
            return Ok(Ticked::Idle);
        }
        let batch = self.begin_batch(&entries).await;
        let mut done = Commit::new();
        for entry in &entries {
            done = done.with(match self.deliver(entry, &batch).await {
                Ok(()) => Write::Delivered(entry.id),
                Err(error) => self.put_off(entry, &error),
            });
        }
        self.store().commit(done).await?;
        Ok(Ticked::Worked)
    }

    fn put_off(&self, entry: &OutboxEntry, error: &Error) -> Write {
        let outside = matches!(
            entry.message,
            OutboxMessage::Webhook { .. } | OutboxMessage::Ticket { .. }
        );
        if outside && (error.retry() == Retry::Never || entry.attempts >= MAX_ATTEMPTS) {
            tracing::warn!(outbox = %entry.id, attempts = entry.attempts, %error, "message given up");
            return Write::Delivered(entry.id);
        }
        let wait = Duration::from_secs(1) * 2_u32.saturating_pow(entry.attempts.min(12));
        tracing::warn!(outbox = %entry.id, attempts = entry.attempts, %error, "message put off");
        Write::Postponed(
            entry.id,
            later(self.now(), wait.min(Duration::from_secs(3600))),
        )
    }

    pub(crate) async fn relay(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let woken = self.inner.relay.notified();
            match self.tick_relay().await {
                Ok(Ticked::Worked) => {}
                Ok(Ticked::Idle) => tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return,
                    () = woken => {}
                    () = tokio::time::sleep(self.settings().sweep_interval) => {}
                },
                Err(error) => {
                    tracing::warn!(%error, "outbox could not be delivered");
                    tokio::select! {
                        biased;
                        () = shutdown.cancelled() => return,
                        () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    }
                }
            }
        }
    }

    async fn deliver(&self, entry: &OutboxEntry, batch: &Batch) -> Outcome {
        let delivered = match &entry.message {
            OutboxMessage::SyncQueue { task } => return batch.synced(*task),
            OutboxMessage::TaskChanged { task, state } => {
                let (task, webhooks) = (batch.task(*task)?, batch.webhooks()?);
                self.task_changed(entry.id, task, *state, webhooks).await
            }
            OutboxMessage::Webhook { webhook, body } => {
                self.send_webhook(entry.id, *webhook, body).await
            }
            OutboxMessage::Ticket { task } => self.report_ticket(*task).await,
            OutboxMessage::WakeAccount { account } => self.wake_account(account).await,
        };
        delivered.map_err(Arc::new)
    }

    async fn task_changed(
        &self,
        entry: OutboxId,
        task: &Task,
        state: StateName,
        webhooks: &[Webhook],
    ) -> Result<()> {
        let id = task.id;
        self.hint(Hint::Task { task: id }).await;
        // a review that has ended moves its parent on, which may be looked after by somebody else
        if let Some(parent) = task.parent()
            && state.is_final()
        {
            self.hint(Hint::Task { task: parent }).await;
        }
        self.announce(entry, task, state, webhooks).await?;
        if state.is_final() {
            for waiting in self
                .store()
                .tasks(&TaskQuery {
                    depends_on: Some(id),
                    ..TaskQuery::in_states([StateName::WaitingOnDeps])
                })
                .await?
            {
                self.advance(waiting.id).await?;
            }
            self.clean_up(id).await?;
        }
        Ok(())
    }

    /// One message for each webhook that wants to hear of this state, and one for the ticket; each is delivered by itself.
    async fn announce(
        &self,
        entry: OutboxId,
        task: &Task,
        state: StateName,
        webhooks: &[Webhook],
    ) -> Result<()> {
        let mut change = self.change("relay");
        let mut any = false;
        for webhook in webhooks.iter().filter(|webhook| webhook.wants(state)) {
            let id = derived(entry, &webhook.id.to_string());
            let body = webhook_body(id, task, state);
            let webhook = webhook.id;
            change.follow_up_as(id, OutboxMessage::Webhook { webhook, body });
            any = true;
        }
        let has_source = task.ticket.as_ref().is_some_and(|ticket| {
            self.ports()
                .tickets
                .iter()
                .any(|source| source.name() == ticket.source)
        });
        if has_source && state.is_final() {
            change.follow_up_as(
                derived(entry, "ticket"),
                OutboxMessage::Ticket { task: task.id },
            );
            any = true;
        }
        if !any {
            return Ok(());
        }
        match change.commit().await {
            // the same messages, written before we came back to this entry
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            committed => committed,
        }
    }

    async fn send_webhook(&self, id: OutboxId, webhook: WebhookId, body: &str) -> Result<()> {
        let Some(sender) = &self.ports().webhooks else {
            return Ok(());
        };
        let Some(webhook) = self
            .store()
            .webhooks()
            .await?
            .into_iter()
            .find(|known| known.id == webhook)
        else {
            return Ok(()); // it was removed meanwhile
        };
        sender
            .send(&WebhookDelivery {
                id,
                webhook,
                at: self.now(),
                body: body.to_owned(),
            })
            .await
    }

    async fn report_ticket(&self, id: TaskId) -> Result<()> {
        let task = self.store().task(id).await?;
        let Some(ticket) = &task.ticket else {
            return Ok(());
        };
        let Some(source) = self
            .ports()
            .tickets
            .iter()
            .find(|source| source.name() == ticket.source)
        else {
            return Err(Error::invalid(
                "optio",
                format!("no ticket source is called {}", ticket.source),
            ));
        };
        let link = task
            .pull_request
            .as_ref()
            .map_or_else(String::new, |pull_request| {
                format!(" in {}", pull_request.url)
            });
        let outcome = match &task.state {
            TaskState::Completed {
                how: Completion::Merged { commit },
                ..
            } => TicketOutcome::Completed {
                comment: format!("Done{link}, merged as {}.", commit.short()),
            },
            TaskState::Failed { failure, .. } => TicketOutcome::Stopped {
                comment: format!("Optio could not do this: {failure}. {}", failure.remedy()),
            },
            TaskState::Cancelled { .. } => TicketOutcome::Stopped {
                comment: "The task was cancelled.".to_owned(),
            },
            _ => return Ok(()), // it goes on: there will be another message
        };
        source.report(&ticket.key, &outcome).await
    }

    /// Moves a task on that waited for others, by what has become of them.
    pub(crate) async fn advance(&self, id: TaskId) -> Result<()> {
        self.retry_conflicts(|| async {
            let mut task = self.store().task(id).await?;
            if !matches!(
                task.state.name(),
                StateName::Pending | StateName::WaitingOnDeps
            ) {
                return Ok(());
            }
            let (event, because) = self.first_step(&task, "dependencies_ended").await?;
            if event.name() == "blocked" {
                return Ok(());
            }
            let mut change = self.change("relay");
            change.apply(&mut task, event, because)?;
            change.put(&task);
            change.commit().await
        })
        .await
    }

    /// Takes the worktree of a task away once nobody needs it: its work is merged, or saved. One of a failed task is kept for its retry.
    pub(crate) async fn clean_up(&self, id: TaskId) -> Result<()> {
        let task = self.store().task(id).await?;
        let over = matches!(
            task.state.name(),
            StateName::Completed | StateName::Cancelled
        );
        match &task.worktree {
            Some(worktree) if over && worktree.state != crate::worktree::WorktreeState::Removed => {
                match self.remove_worktree(task).await {
                    // it is tried again by the health monitor
                    Err(error) if error.kind() != ErrorKind::Conflict => {
                        tracing::warn!(task = %id, %error, "worktree not removed yet");
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

/// The id of what follows from an outbox entry for one receiver: the same each time, so that a message which is written
/// again after a crash is the same message to whoever gets it.
fn derived(entry: OutboxId, receiver: &str) -> OutboxId {
    let digest = Sha256::digest(format!("{entry} {receiver}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    OutboxId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

fn webhook_body(entry: OutboxId, task: &Task, state: StateName) -> String {
    json!({
        "event": format!("task.{state}"),
        "delivery": entry,
        "task": {
            "id": task.id,
            "title": task.title,
            "state": state,
            "repo": task.repo,
            "pullRequest": task.pull_request,
            "cost": task.usage.cost,
            "updatedAt": task.updated_at,
        },
    })
    .to_string()
}
