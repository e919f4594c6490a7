//! Periodic work that replicas share. Each share of it belongs to one replica at a time, by a lease in the store; one that
//! gives no sign of life loses its shares when their leases end, and whoever asks next has them. There is no leader.
//!
//! A lease only keeps others from doing the same: what is done under it is guarded by versions as everything is, so a
//! replica that was frozen and does not know yet that it lost a share does no harm.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Optio;
use crate::{
    clock::{Timestamp, elapsed, later},
    error::Result,
    id::TaskId,
    store::Sharing,
};

/// Into how many shares open pull requests are divided: more than there will be replicas, so that none has nothing.
const PULL_REQUEST_SHARES: u8 = 16;

/// A share of the periodic work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Share {
    /// A part of the open pull requests.
    PullRequests(u8),
    /// Looking at health.
    Health,
    /// Asking a ticket source.
    Tickets(&'static str),
}

impl Share {
    /// The one that looks after a task's pull request.
    pub(crate) fn of_pull_request(task: TaskId) -> Self {
        // the last bits of an id are random
        let [.., last] = *task.as_uuid().as_bytes();
        Self::PullRequests(last % PULL_REQUEST_SHARES)
    }

    /// All shares of the open pull requests, in an order that differs from worker to worker: those that start together
    /// do not all ask for the same one first.
    pub(crate) fn all_pull_requests(worker: &str) -> impl Iterator<Item = Self> {
        let first = worker
            .bytes()
            .fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        (0..PULL_REQUEST_SHARES).map(move |nth| {
            Self::PullRequests((first % PULL_REQUEST_SHARES + nth) % PULL_REQUEST_SHARES)
        })
    }

    fn lease(&self) -> String {
        match self {
            Self::PullRequests(number) => format!("pull requests {number}"),
            Self::Health => "health".to_owned(),
            Self::Tickets(source) => format!("tickets of {source}"),
        }
    }
}

/// What this process knows of its shares.
#[derive(Debug, Default)]
pub(crate) struct Shares(Mutex<BTreeMap<Share, Known>>);

/// The answer to the last question for a share, and how long it need not be asked again.
#[derive(Debug, Clone, Copy)]
struct Known {
    ours: bool,
    until: Timestamp,
}

impl Optio {
    /// Whether a share is ours. The store is asked if what is known may not hold much longer.
    ///
    /// # Errors
    /// The store was asked and did not answer.
    pub(crate) async fn has_share(&self, share: &Share) -> Result<bool> {
        let now = self.now();
        let third = self.settings().lease / 3;
        let known = self
            .inner
            .shares
            .of(share)
            .filter(|known| known.until > now);
        match known {
            // a lease that is about to end is renewed first
            Some(Known { ours: true, until }) if elapsed(now, until) < third => {}
            Some(known) => return Ok(known.ours),
            None => {}
        }
        self.ask_for_share(share).await
    }

    /// Takes a share, or keeps it, for another lease. False if somebody else has it.
    ///
    /// # Errors
    /// The store did not answer.
    pub(crate) async fn ask_for_share(&self, share: &Share) -> Result<bool> {
        let (now, lease) = (self.now(), self.settings().lease);
        let until = later(now, lease);
        let ours = match self.store().sharing() {
            Sharing::Exclusive => true,
            Sharing::Shared => {
                let worker = &self.settings().worker;
                self.store()
                    .lease(&share.lease(), worker, now, until)
                    .await?
            }
        };
        // somebody else's lease may end at any moment
        let until = if ours { until } else { later(now, lease / 3) };
        self.inner.shares.learn(share, Known { ours, until });
        Ok(ours)
    }

    /// Gives up all shares, so that others need not wait for the leases to end.
    pub(crate) async fn give_up_shares(&self) {
        if self.store().sharing() == Sharing::Exclusive {
            return;
        }
        let (worker, now) = (&self.settings().worker, self.now());
        for share in self.inner.shares.ours(now) {
            let given_up = self.store().lease(&share.lease(), worker, now, now).await;
            if let Err(error) = given_up {
                tracing::debug!(?share, %error, "a share was not given up; its lease ends by itself");
            }
        }
    }

    /// How often shares have to be kept, for work that is done this often.
    pub(crate) fn keep_every(&self, interval: Duration) -> Duration {
        interval.min(self.settings().lease / 3)
    }
}

impl Shares {
    fn of(&self, share: &Share) -> Option<Known> {
        let shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shares.get(share).copied()
    }

    /// Those that are ours now; nothing is known of any of them afterwards.
    fn ours(&self, now: Timestamp) -> Vec<Share> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *shares)
            .into_iter()
            .filter(|(_, known)| known.ours && known.until > now)
            .map(|(share, _)| share)
            .collect()
    }

    fn learn(&self, share: &Share, known: Known) {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shares.insert(share.clone(), known);
    }
}

/// When something that is done at intervals was done last; whatever the clock is set to meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    interval: Duration,
    last: Option<Instant>,
}

impl Due {
    pub(crate) fn every(interval: Duration) -> Self {
        Self {
            interval,
            last: None,
        }
    }

    /// Whether it is time; then it counts as done. Who looks `every` so often is not a whole look late for being a
    /// little early.
    pub(crate) fn is_now(&mut self, every: Duration) -> bool {
        let now = Instant::now();
        let due = self
            .last
            .is_none_or(|last| now - last + every / 2 >= self.interval);
        if due {
            self.last = Some(now);
        }
        due
    }

    /// It is somebody else's: what we did ourselves says nothing any more.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }
}
