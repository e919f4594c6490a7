//! The slot of the queue that a task is worked on in: kept while it is, and given back or passed on afterwards.

use std::{convert::Infallible, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Timestamp, later},
    engine::Optio,
    error::ErrorKind,
    queue::Claim,
};

/// What becomes of a slot when its task has left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// It is free for whoever comes.
    GiveBack,
    /// Its next task is taken in the same step.
    PassOn,
}

/// How a task leaves its slot.
pub(super) enum Leave {
    /// For good, as far as this slot knows.
    Done(Claim),
    /// Its entry waits again, for so long.
    Later(Claim, Duration),
    /// Its entry waits again, until then.
    Until(Claim, Timestamp),
}

impl Optio {
    /// Keeps a claim for as long as it is polled; ends when the claim is lost.
    pub(super) async fn keep(&self, claim: &Claim) {
        let lease = self.settings().lease;
        let mut losses = self.inner.queue_losses.subscribe();
        loop {
            tokio::select! {
                biased;
                // the sender lives as long as we do
                _ = losses.changed() => {}
                () = tokio::time::sleep(lease / 3) => {}
            }
            match self.queue().renew(claim, lease).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    tracing::warn!(task = %claim.job().task, "slot in the queue lost");
                    return;
                }
                Err(error) => {
                    tracing::warn!(task = %claim.job().task, %error, "slot in the queue not renewed")
                }
            }
        }
    }

    /// Keeps the slot of a run at work, for as long as it is polled. Losing it does not end the run, for its lease in the
    /// store decides: the slot is taken again, so that the queue counts what is at work.
    pub(super) async fn keep_slot(&self, claim: &mut Claim) -> Infallible {
        let (worker, lease) = (&self.settings().worker, self.settings().lease);
        loop {
            self.keep(claim).await;
            match self.queue().adopt(claim.job().clone(), worker, lease).await {
                Ok(again) => *claim = again,
                Err(error) => {
                    tracing::warn!(task = %claim.job().task, %error, "slot not taken again yet")
                }
            }
        }
    }

    /// Gives a slot back, or passes it on to the next task; that is then its claim.
    pub(super) async fn leave(
        &self,
        left: Leave,
        slot: Slot,
        shutdown: &CancellationToken,
    ) -> Option<Claim> {
        match left {
            Leave::Later(claim, wait) => {
                let not_before = (wait > Duration::ZERO).then(|| later(self.now(), wait));
                self.release(claim, not_before).await;
            }
            Leave::Until(claim, at) => self.release(claim, Some(at)).await,
            Leave::Done(claim) if slot == Slot::GiveBack || shutdown.is_cancelled() => {
                self.complete(claim).await;
            }
            Leave::Done(claim) => return self.complete_and_claim(claim).await,
        }
        None
    }

    async fn complete(&self, claim: Claim) {
        let task = claim.job().task;
        match self.queue().complete(claim).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => {
                tracing::warn!(%task, %error, "slot not given back; it comes back when its lease ends")
            }
        }
    }

    async fn complete_and_claim(&self, claim: Claim) -> Option<Claim> {
        let (task, lease) = (claim.job().task, self.settings().lease);
        match self.queue().complete_and_claim(claim, lease).await {
            Ok(next) => next,
            Err(error) if error.kind() == ErrorKind::Conflict => None,
            Err(error) => {
                tracing::warn!(%task, %error, "slot not passed on; it comes back when its lease ends");
                None
            }
        }
    }

    async fn release(&self, claim: Claim, not_before: Option<Timestamp>) {
        let task = claim.job().task;
        match self.queue().release(claim, not_before).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => {
                tracing::warn!(%task, %error, "slot not released; it comes back when its lease ends")
            }
        }
    }
}
