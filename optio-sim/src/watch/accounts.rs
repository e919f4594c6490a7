//! Paused accounts: nothing is started that works with one.

use std::collections::BTreeMap;

use optio_core::{
    account::{AccountName, Pause, PauseEnd},
    run::Run,
};
use tokio::time::Instant;

/// How long a call may be on its way: a run that was placed by then may not have seen the pause.
const SLOW: std::time::Duration = std::time::Duration::from_secs(30);

/// The most replicas that there are.
const REPLICAS: u32 = 3;

/// The pauses that are stored.
#[derive(Debug, Default)]
pub(super) struct Accounts(BTreeMap<AccountName, Known>);

#[derive(Debug)]
struct Known {
    pause: Pause,
    since: Instant,
    /// How many runs were placed all the same.
    started: u32,
}

impl Accounts {
    pub(super) fn pause(&mut self, pause: &Pause) {
        let known = self.0.get(&pause.account);
        if known.is_none_or(|known| known.pause.until < pause.until) {
            let known = Known {
                pause: pause.clone(),
                since: Instant::now(),
                started: 0,
            };
            self.0.insert(pause.account.clone(), known);
        }
    }

    pub(super) fn lift(&mut self, account: &AccountName, until: PauseEnd) {
        let known = self.0.get(account);
        if known.is_some_and(|known| known.pause.until == until) {
            self.0.remove(account);
        }
    }

    /// A run is placed. Each replica may be at it when the pause is stored, and be frozen for long before its commit.
    pub(super) fn start(&mut self, run: &Run) -> Option<String> {
        let known = self.0.get_mut(run.account.as_ref()?)?;
        let paused = known.pause.until > PauseEnd::At(run.started_at);
        if !paused || known.since.elapsed() < SLOW {
            return None;
        }
        known.started += 1;
        (known.started > REPLICAS).then(|| format!("{} is placed although {}", run.id, known.pause))
    }
}
