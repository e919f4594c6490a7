//! The two sources of surprise, behind one port: what time it is, and a random number.
//!
//! Everything in Optio that needs either asks a [`Clock`], so a test or a simulation can decide both. Waiting goes
//! through tokio's timers, which a paused runtime moves together with `memory::TokioClock`.

use std::fmt;

/// A moment, in UTC. Kept to whole microseconds by [`Clock::now`], which is what databases keep.
pub use jiff::Timestamp;

/// Time and randomness. Cheap to call; never blocks.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present moment, rounded down to a microsecond so that it survives any store unchanged.
    fn now(&self) -> Timestamp;

    /// 64 random bits: for ids and for jitter, not for secrets.
    fn random(&self) -> u64;
}

/// The machine's own clock and random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that asks the machine"
        )]
        let now = Timestamp::now();
        whole_microseconds(now)
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

/// `at`, rounded down to a microsecond.
pub(crate) fn whole_microseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// The time from `earlier` to `later`; zero if `later` is in fact the earlier one, as after a clock was set back.
#[must_use]
pub fn elapsed(earlier: Timestamp, later: Timestamp) -> std::time::Duration {
    later.duration_since(earlier).try_into().unwrap_or_default()
}

/// `at` moved into the past by `by`; the beginning of time if that lies beyond it.
#[must_use]
pub fn earlier(at: Timestamp, by: std::time::Duration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// `at` moved into the future by `by`; the end of time if that lies beyond it.
#[must_use]
pub fn later(at: Timestamp, by: std::time::Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
