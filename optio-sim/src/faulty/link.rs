//! The line between one replica and its ports: whatever can happen to a call happens here.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use optio_core::{Error, Result};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{dice::Dice, watch::Ledger};

/// How often what happens to a call, of ten thousand calls.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// It fails and has done nothing.
    pub(crate) refused: u32,
    /// It has done its work and fails: the answer is lost.
    pub(crate) unanswered: u32,
    /// Somebody else writes the same record first.
    pub(crate) raced: u32,
    /// It takes its time, before or after its work.
    pub(crate) slow: u32,
    /// The replica dies in it, before or after its work.
    pub(crate) deadly: u32,
    /// A hint is lost, doubled or late.
    pub(crate) hints: u32,
}

/// The longest that a slow call takes before its work: less than a third of a lease, on which the engine counts.
const SLOW: u64 = 8_000;

/// One replica's line to its ports.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) dice: Dice,
    pub(crate) ledger: Arc<Ledger>,
    weather: Mutex<Weather>,
    frozen: AtomicBool,
    /// Wakes in the order in which calls have come, which a `watch` does not.
    thawed: Notify,
    dead: CancellationToken,
}

enum Fate {
    Well,
    Refused,
    Unanswered,
    Slow { before: Duration, after: Duration },
    DiesBefore,
    DiesAfter,
}

impl Link {
    pub(crate) fn new(name: String, dice: Dice, weather: Weather, ledger: Arc<Ledger>) -> Self {
        Self {
            name,
            dice,
            ledger,
            weather: Mutex::new(weather),
            frozen: AtomicBool::new(false),
            thawed: Notify::new(),
            dead: CancellationToken::new(),
        }
    }

    /// Ends when the replica is to die.
    pub(crate) async fn death(&self) {
        self.dead.cancelled().await;
    }

    pub(crate) fn kill(&self) {
        self.dead.cancel();
    }

    /// From now on no call of this replica comes to an end.
    pub(crate) fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    pub(crate) fn thaw(&self) {
        self.frozen.store(false, Ordering::Relaxed);
        self.thawed.notify_waiters();
    }

    pub(crate) fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    fn fate(&self) -> Fate {
        let weather = self.weather();
        let mut throw = u32::try_from(self.dice.below(10_000)).unwrap_or(0);
        let mut falls = |share: u32| {
            let hit = throw < share;
            throw = throw.saturating_sub(share);
            hit
        };
        if falls(weather.refused) {
            Fate::Refused
        } else if falls(weather.unanswered) {
            Fate::Unanswered
        } else if falls(weather.slow) {
            Fate::Slow {
                before: self.dice.millis(0, SLOW),
                after: self.dice.millis(0, SLOW),
            }
        } else if falls(weather.deadly) {
            if self.dice.hits(5_000) {
                Fate::DiesBefore
            } else {
                Fate::DiesAfter
            }
        } else {
            Fate::Well
        }
    }

    /// Whether somebody else is to write the same record first.
    pub(crate) fn is_raced(&self) -> bool {
        self.dice.hits(self.weather().raced)
    }

    /// Makes a call and lets happen to it what is to happen.
    pub(crate) async fn call<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        if self.frozen.load(Ordering::Relaxed) {
            // the engine's timers go on while its calls do not: what it would not have begun had it been stopped whole,
            // as a process is, is not made
            self.gate().await;
            self.note(what, "not sent");
            return Err(Error::unavailable(
                "simulation",
                format!("{what} was not sent"),
            ));
        }
        self.gate().await;
        match self.fate() {
            Fate::Well => {
                let answer = work.await;
                self.gate().await;
                answer
            }
            Fate::Refused => {
                self.note(what, "refused");
                Err(Error::unavailable(
                    "simulation",
                    format!("{what} is refused"),
                ))
            }
            Fate::Unanswered => {
                let done = work.await;
                self.note(what, "unanswered");
                done?;
                self.gate().await;
                Err(Error::unavailable(
                    "simulation",
                    format!("{what} is not answered"),
                ))
            }
            Fate::Slow { before, after } => {
                tokio::time::sleep(before).await;
                let answer = work.await;
                tokio::time::sleep(after).await;
                self.gate().await;
                answer
            }
            Fate::DiesBefore => {
                self.note(what, "dies before its work");
                self.kill();
                std::future::pending().await
            }
            Fate::DiesAfter => {
                let _ = work.await;
                self.note(what, "dies after its work");
                self.kill();
                std::future::pending().await
            }
        }
    }

    /// Waits while the replica is frozen; for ever once it is dead.
    pub(crate) async fn gate(&self) {
        loop {
            let mut thawed = pin!(self.thawed.notified());
            thawed.as_mut().enable();
            if !self.frozen.load(Ordering::Relaxed) {
                break;
            }
            thawed.await;
        }
        if self.dead.is_cancelled() {
            std::future::pending().await
        }
    }

    fn note(&self, what: &str, fate: &str) {
        self.ledger.note(|| format!("{}: {what} {fate}", self.name));
    }
}
