//! What the store knows and the queue, or a worker, has lost: limits and entries are given to the queue again, and runs
//! without a worker are adopted.

use std::collections::BTreeSet;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{pause, slot::Slot};
use crate::{
    engine::{Optio, held::TakeOver},
    error::{Error, ErrorKind, Result},
    id::TaskId,
    queue::Job,
    store::{OnlyLive, RunQuery, Sharing, TaskQuery},
    task::{StateName, Task, TaskState},
};

/// How many queued tasks are compared with the queue in one step.
const SYNCED_AT_ONCE: usize = 500;

impl Optio {
    /// At the start: the limits and the queue's entries come from the store, and runs without a worker are adopted.
    pub(super) async fn recover(&self, attending: &mut JoinSet<()>, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            let recovered: Result<()> = async {
                self.push_limits().await?;
                self.sync_queue().await?;
                self.wake_all_accounts().await?;
                self.adopt_runs(attending, shutdown).await
            }
            .await;
            match recovered {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "could not recover yet");
                    pause(shutdown).await;
                }
            }
        }
    }

    /// The queue has lost everything: slots that are held are taken again, and the limits and entries come from the
    /// store. If that fails, the next claim is told of the loss once more.
    pub(super) async fn rebuild_queue(&self, loss: &Error, shutdown: &CancellationToken) {
        tracing::warn!(error = %loss, "the queue is rebuilt from the store");
        self.inner.queue_losses.send_modify(|losses| *losses += 1);
        let rebuilt: Result<()> = async {
            self.push_limits().await?;
            self.sync_queue().await
        }
        .await;
        if let Err(error) = rebuilt {
            tracing::warn!(%error, "the queue could not be rebuilt yet");
            pause(shutdown).await;
        }
    }

    /// Adopts every run whose worker is gone: at once where nobody else shares the store, else once its lease has ended.
    pub(crate) async fn adopt_runs(
        &self,
        attending: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) -> Result<()> {
        for run in self
            .store()
            .runs(&RunQuery {
                only_live: OnlyLive::Yes,
                ..RunQuery::default()
            })
            .await?
        {
            // alone on the store, whoever held it before us is gone; our own and other replicas' runs are lost once
            // nobody renews their lease
            let ours = run.lease.holder == self.settings().worker;
            let allowed = match self.store().sharing() {
                Sharing::Exclusive if !ours => TakeOver::AtOnce,
                Sharing::Exclusive | Sharing::Shared => TakeOver::AfterLease,
            };
            if allowed == TakeOver::AfterLease && run.lease.until > self.now() {
                continue;
            }
            let task = self.store().task(run.task).await?;
            let worker = &self.settings().worker;
            let claim = match self
                .queue()
                .adopt(job(&task), worker, self.settings().lease)
                .await
            {
                Ok(claim) => claim,
                Err(error) if error.kind() == ErrorKind::Conflict => continue, // somebody is at it
                Err(error) => return Err(error),
            };
            let (engine, shutdown) = (self.clone(), shutdown.clone());
            attending.spawn(async move {
                let left = engine.attend_run(claim, run, allowed, &shutdown).await;
                if let Some(next) = engine.leave(left, Slot::PassOn, &shutdown).await {
                    engine.attend_all(next, &shutdown).await;
                }
            });
        }
        Ok(())
    }

    /// Makes the queue agree with the store: what is queued is in it. What is in it and not queued goes when it is
    /// claimed. Page by page, so that it takes little memory however much is queued.
    pub(crate) async fn sync_queue(&self) -> Result<()> {
        let mut page = TaskQuery {
            limit: Some(SYNCED_AT_ONCE),
            ..TaskQuery::in_states([StateName::Queued])
        };
        loop {
            let queued = self.store().tasks(&page).await?;
            page.after = queued.last().map(|task| task.id);
            let ids: Vec<TaskId> = queued.iter().map(|task| task.id).collect();
            let missing = self.queue().missing(&ids).await?;
            if !missing.is_empty() {
                let missing: BTreeSet<TaskId> = missing.into_iter().collect();
                let lost = queued.iter().filter(|task| missing.contains(&task.id));
                self.queue().push_all(lost.map(job).collect()).await?;
            }
            if queued.len() < SYNCED_AT_ONCE {
                return Ok(());
            }
        }
    }
}

/// A task's entry in the queue.
pub(crate) fn job(task: &Task) -> Job {
    let (since, not_before) = match &task.state {
        TaskState::Queued {
            since, not_before, ..
        } => (*since, *not_before),
        _ => (task.updated_at, None),
    };
    Job {
        task: task.id,
        repo: task.repo,
        priority: task.priority,
        since,
        not_before,
    }
}
