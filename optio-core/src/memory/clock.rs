//! A clock that goes with tokio's timers, so that a paused runtime moves both together.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use crate::clock::{Clock, Timestamp, later, whole_microseconds};

/// The step of `SplitMix64`: its sequence visits every number before it repeats.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// A [`Clock`] that starts at a given moment and goes on with tokio's time; its random numbers follow from a seed.
///
/// Make it on the runtime that it is used on: a paused runtime has a time of its own.
#[derive(Debug)]
pub struct TokioClock {
    start: Timestamp,
    origin: Instant,
    random: AtomicU64,
}

impl TokioClock {
    /// A clock that shows the first moment of 2026, with the random numbers of seed zero.
    #[must_use]
    pub fn new() -> Self {
        Self::seeded(0)
    }

    /// A clock that shows the first moment of 2026, with the random numbers of this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            start: FIRST_OF_2026,
            origin: Instant::now(),
            random: AtomicU64::new(seed),
        }
    }

    /// The same clock, showing `start` at the moment it was made.
    #[must_use]
    pub fn starting_at(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }
}

const FIRST_OF_2026: Timestamp = Timestamp::constant(1_767_225_600, 0);

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        whole_microseconds(later(self.start, self.origin.elapsed()))
    }

    fn random(&self) -> u64 {
        let mut bits = self
            .random
            .fetch_add(GAMMA, Ordering::Relaxed)
            .wrapping_add(GAMMA);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_moves_with_the_timers_of_a_paused_runtime() {
        let clock = TokioClock::new();
        assert_eq!(clock.now().to_string(), "2026-01-01T00:00:00Z");
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.now().to_string(), "2026-01-01T01:00:00Z");
    }

    #[tokio::test]
    async fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let clock = TokioClock::seeded(seed);
            [clock.random(), clock.random(), clock.random()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert_ne!(numbers(7)[0], numbers(7)[1]);
    }
}
