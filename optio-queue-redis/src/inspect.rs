//! Looking at a server: whether it will do, and how far away it is.

use std::time::Duration;

use optio_core::{
    Clock as _, SystemClock, Timestamp,
    clock::{elapsed, later},
    error::{ErrorKind, Result},
};

use crate::connect::{Redis, field};

/// How often the way to the server is measured; the quickest counts.
const ROUNDS: usize = 5;

/// What was found about a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Examination {
    /// Its name and version.
    pub server: String,
    /// How long a question and its answer take.
    pub round_trip: Duration,
    /// How far the server's clock is from ours, either way.
    pub skew: Duration,
    /// What it does when memory is short, if its memory is limited and it says so.
    pub eviction: Option<String>,
    /// A command that we need and may not use.
    pub forbidden: Option<String>,
}

impl Redis {
    /// Looks at the server. Writes one key of ours for a moment.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if it does not answer.
    pub async fn examine(&self) -> Result<Examination> {
        let (round_trip, skew) = self.clock_of().await?;
        let info: String = self.query(&redis::cmd("INFO")).await.unwrap_or_default();
        let limited = field(&info, "maxmemory").is_some_and(|limit| limit != "0");
        Ok(Examination {
            server: self.version().to_owned(),
            round_trip,
            skew,
            eviction: field(&info, "maxmemory_policy")
                .filter(|_| limited)
                .map(str::to_owned),
            forbidden: self.forbidden().await?,
        })
    }

    async fn clock_of(&self) -> Result<(Duration, Duration)> {
        let mut best: Option<(Duration, Duration)> = None;
        for _ in 0..ROUNDS {
            let begun = tokio::time::Instant::now();
            let (seconds, micros): (i64, i64) = self.query(&redis::cmd("TIME")).await?;
            let took = begun.elapsed();
            let theirs = Timestamp::from_microsecond(seconds * 1_000_000 + micros)
                .map_err(|error| crate::error::corrupt("the time of the server", error))?;
            // it was asked about half of the way ago
            let ours = later(theirs, took / 2);
            let now = SystemClock.now();
            let skew = elapsed(ours, now).max(elapsed(now, ours));
            if best.is_none_or(|(quickest, _)| took < quickest) {
                best = Some((took, skew));
            }
        }
        Ok(best.unwrap_or_default())
    }

    /// Does once what the queue and the bus do all the time.
    async fn forbidden(&self) -> Result<Option<String>> {
        let key = format!("{}doctor", self.options().tag());
        let channel = format!("{}hints", self.options().tag());
        let mut script = redis::cmd("EVAL");
        script
            .arg("redis.call('SET', KEYS[1], '1', 'PX', 1000) redis.call('ZADD', KEYS[2], 1, 'a') return redis.call('DEL', KEYS[1], KEYS[2])")
            .arg(2)
            .arg(&key)
            .arg(format!("{key}:order"));
        let mut publish = redis::cmd("PUBLISH");
        // not a hint: nobody is woken by it
        publish.arg(channel).arg("doctor");
        for command in [script, publish] {
            match self.query::<i64>(&command).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Denied => {
                    return Ok(Some(error.message().to_owned()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
