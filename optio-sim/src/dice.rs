//! Seeded randomness: the same seed throws the same numbers for ever, whatever the version of any crate.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of random numbers (`SplitMix64`).
#[derive(Debug)]
pub(crate) struct Dice {
    state: AtomicU64,
}

impl Dice {
    /// The stream of a seed for one purpose: streams of different purposes do not disturb each other.
    pub(crate) fn new(seed: u64, purpose: impl Hash) -> Self {
        let mut hash = DefaultHasher::new();
        (seed, purpose).hash(&mut hash);
        Self {
            state: AtomicU64::new(hash.finish()),
        }
    }

    pub(crate) fn next(&self) -> u64 {
        let mut bits = self
            .state
            .fetch_add(GAMMA, Ordering::Relaxed)
            .wrapping_add(GAMMA);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from 0 to `end`, without `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A number of this range, both ends included.
    pub(crate) fn within(&self, low: u32, high: u32) -> u32 {
        low + u32::try_from(self.below(u64::from(high - low) + 1)).unwrap_or(0)
    }

    /// True this often of ten thousand times.
    pub(crate) fn hits(&self, of_ten_thousand: u32) -> bool {
        self.below(10_000) < u64::from(of_ten_thousand)
    }

    /// A time of this range, in milliseconds.
    pub(crate) fn millis(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(low + self.below(high - low + 1))
    }

    /// One of these; none if there is none.
    pub(crate) fn pick<'t, T>(&self, of: &'t [T]) -> Option<&'t T> {
        let index = usize::try_from(self.below(of.len() as u64)).ok()?;
        of.get(index)
    }
}
