//! Watchdogs: they end a run that takes too long, is stalled, has spent what it may, or is done and does not end.

use std::time::Duration;

use tokio::time::Instant;

use super::{Trouble, follow::WATCH, reader::Reader};
use crate::{
    clock::{Timestamp, elapsed},
    engine::{Optio, held::Held},
    repo::Repo,
    run::{Run, RunPhase, StopReason},
    runtime::RunStatus,
};

/// How long an agent that has said its closing word may be silent and idle before it is ended. What it left running in the
/// background may still lead to something.
const LINGER: Duration = Duration::from_secs(5 * 60);

impl Optio {
    /// Whether the run has to be stopped, and why.
    pub(super) async fn watch(
        &self,
        held: &Held,
        watchdog: &mut Watchdog<'_>,
        reader: &Reader,
    ) -> Result<Option<StopReason>, Trouble> {
        let run = held.run().await;
        let RunPhase::Spawned { stopping, .. } = &run.phase else {
            return Ok(None);
        };
        if let Some(reason) = stopping {
            return Ok(Some(reason.clone())); // it was to be stopped already: see to it
        }
        let settings = &watchdog.repo.settings;
        if watchdog.at_work.elapsed() >= settings.run_timeout() {
            return Ok(Some(StopReason::TimedOut));
        }
        if let Some(last_read) = reader.last_read {
            watchdog.silent.restart(last_read);
        }
        if watchdog.silent.elapsed() >= WATCH {
            // silent: perhaps it works all the same, in a long build, say
            let (mut at_work, mut compared) = (false, true);
            let status = self.runtime().status(run.workspace, run.id).await?;
            if let RunStatus::Running {
                activity: Some(activity),
            } = status
            {
                let before = watchdog.activity.replace(activity);
                at_work = before.is_some_and(|before| activity > before);
                compared = before.is_some();
            }
            if at_work {
                watchdog.silent.restart(Instant::now());
                let now = self.now();
                held.update(|run, _| run.heard_at = now).await?;
            } else if compared && reader.is_done() && watchdog.silent.elapsed() >= LINGER {
                return Ok(Some(StopReason::Lingering));
            } else if compared && watchdog.silent.elapsed() >= settings.silence() {
                return Ok(Some(StopReason::Stalled));
            }
        }
        let task = self.store().task(run.task).await?;
        let over = self.over_budget(&task, watchdog.repo).await?;
        Ok(over.map(|over| StopReason::Failing(over.failure())))
    }
}

pub(super) struct Watchdog<'a> {
    repo: &'a Repo,
    activity: Option<u64>,
    /// How long the agent is at work.
    at_work: Span,
    /// How long it has been silent.
    silent: Span,
}

impl<'a> Watchdog<'a> {
    pub(super) fn new(repo: &'a Repo, run: &Run, now: Timestamp) -> Self {
        let began = match &run.phase {
            RunPhase::Spawned { at, .. } => *at,
            _ => now,
        };
        Self {
            repo,
            activity: None,
            at_work: Span::since(began, now),
            silent: Span::since(run.heard_at, now),
        }
    }
}

/// A time that goes on. What passes while we watch is measured by a clock that nobody sets: an agent must not be ended
/// because the machine's clock was. Only what passed before is told by the clock.
struct Span {
    before: Duration,
    from: Instant,
}

impl Span {
    fn since(began: Timestamp, now: Timestamp) -> Self {
        Self {
            before: elapsed(began, now),
            from: Instant::now(),
        }
    }

    fn elapsed(&self) -> Duration {
        self.before.saturating_add(self.from.elapsed())
    }

    /// Begins again at this moment, unless it began later.
    fn restart(&mut self, at: Instant) {
        if at > self.from {
            (self.before, self.from) = (Duration::ZERO, at);
        }
    }
}
