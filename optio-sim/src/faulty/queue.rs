//! A queue behind a bad line.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use optio_core::{
    Result, Timestamp,
    id::TaskId,
    queue::{Claim, Job, Queue, QueueLimits, Waiting},
    run::WorkerId,
};

use super::Link;

#[derive(Debug)]
pub(crate) struct FaultyQueue {
    pub(crate) inner: Arc<dyn Queue>,
    pub(crate) link: Arc<Link>,
}

#[async_trait]
impl Queue for FaultyQueue {
    async fn push(&self, job: Job) -> Result<()> {
        self.link.call("push", self.inner.push(job)).await
    }

    async fn push_all(&self, jobs: Vec<Job>) -> Result<()> {
        self.link.call("push_all", self.inner.push_all(jobs)).await
    }

    async fn claim(&self, worker: &WorkerId, lease: Duration) -> Result<Option<Claim>> {
        let work = self.inner.claim(worker, lease);
        self.link.call("claim", work).await
    }

    async fn adopt(&self, job: Job, worker: &WorkerId, lease: Duration) -> Result<Claim> {
        let work = self.inner.adopt(job, worker, lease);
        self.link.call("adopt", work).await
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<()> {
        let work = self.inner.renew(claim, lease);
        self.link.call("renew", work).await
    }

    async fn complete(&self, claim: Claim) -> Result<()> {
        self.link.call("complete", self.inner.complete(claim)).await
    }

    async fn complete_and_claim(&self, claim: Claim, lease: Duration) -> Result<Option<Claim>> {
        let work = self.inner.complete_and_claim(claim, lease);
        self.link.call("complete_and_claim", work).await
    }

    async fn release(&self, claim: Claim, not_before: Option<Timestamp>) -> Result<()> {
        let work = self.inner.release(claim, not_before);
        self.link.call("release", work).await
    }

    async fn remove(&self, task: TaskId) -> Result<()> {
        self.link.call("remove", self.inner.remove(task)).await
    }

    async fn reprioritise(&self, task: TaskId, priority: i32) -> Result<()> {
        let work = self.inner.reprioritise(task, priority);
        self.link.call("reprioritise", work).await
    }

    async fn set_limits(&self, limits: QueueLimits) -> Result<()> {
        let work = self.inner.set_limits(limits);
        self.link.call("set_limits", work).await
    }

    async fn changed(&self) -> Result<()> {
        self.link.call("changed", self.inner.changed()).await
    }

    async fn waiting(&self) -> Result<Vec<Waiting>> {
        self.link.call("waiting", self.inner.waiting()).await
    }

    async fn claimed(&self) -> Result<Vec<(TaskId, WorkerId)>> {
        self.link.call("claimed", self.inner.claimed()).await
    }

    async fn missing(&self, tasks: &[TaskId]) -> Result<Vec<TaskId>> {
        self.link.call("missing", self.inner.missing(tasks)).await
    }
}
