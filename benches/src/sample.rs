//! Samples: medians, percentiles, and work that many do at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{task::JoinSet, time::Instant};

/// The middle one; zero if there is none.
#[must_use]
pub fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

/// How long something took, many times.
#[derive(Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// One more.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The latency, in milliseconds, that this share of all (0.5, 0.99) does not exceed.
    #[must_use]
    pub fn percentile(&mut self, share: f64) -> f64 {
        self.0.sort();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list that fits in memory"
        )]
        let at = ((self.0.len() as f64 * share) as usize).min(self.0.len().saturating_sub(1));
        self.0.get(at).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    }
}

impl Extend<Duration> for Latencies {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, more: I) {
        self.0.extend(more);
    }
}

/// Has `workers` do `jobs` jobs, numbered from 0, and says how many per second.
///
/// # Errors
/// The first of a job.
pub async fn drained_by<F: Future<Output = Result<()>> + Send>(
    workers: usize,
    jobs: usize,
    job: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Result<f64> {
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..workers {
        let (next, job) = (Arc::clone(&next), job.clone());
        all.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= jobs {
                    return Ok(());
                }
                job(n).await?;
            }
        });
    }
    while let Some(ended) = all.join_next().await {
        let ended: Result<()> = ended?;
        ended?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let jobs = jobs as f64;
    Ok(jobs / start.elapsed().as_secs_f64())
}
