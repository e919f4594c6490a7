//! One attempt of an agent at a task: placed, prepared, followed, settled. Each step leaves in the store what the next
//! one needs, so that any worker can go on after any crash.

mod end;
mod follow;
mod messages;
mod place;
mod prepare;
mod reader;
mod rescue;
mod settle;
mod watchdog;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(crate) use self::place::Placed;
use super::{Optio, held::Held};
use crate::{
    classify::{Evidence, classify},
    error::{Error, Result, Retry},
    failure::Failure,
    run::{RunPhase, StopReason},
};

/// How the work on a run ended here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// The run has ended.
    Done,
    /// We are shutting down; the agent works on.
    Detached,
    /// Somebody else has taken it over.
    Lost,
}

/// What keeps a step from being done.
#[derive(Debug)]
enum Trouble {
    /// The run has failed.
    Failure(Box<Failure>),
    /// A git was killed under us. The step can be done again; if that happens all the time, it is a failure.
    Killed(Box<Failure>),
    /// Nobody wants the run any more.
    Unwanted,
    /// The backend that holds our state failed, or the run is lost: that says nothing about the run.
    Backend(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Backend(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failure(Box::new(failure))
    }
}

/// How often a step of a run is done again because a git was killed.
const SPARE_STEPS: u32 = 3;
/// How long to wait before a step is done again whose backend failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Optio {
    /// Drives a run from whatever phase it is in to its end.
    pub(crate) async fn drive_run(&self, held: &Held, shutdown: &CancellationToken) -> Left {
        let mut spare = SPARE_STEPS;
        loop {
            let step = tokio::select! {
                biased;
                () = held.lost().cancelled() => return Left::Lost,
                step = Box::pin(self.next_phase(held, &mut spare, shutdown)) => step,
                () = keep(held, self.settings().lease / 3) => return Left::Lost,
            };
            match step {
                Ok(Some(left)) => return left,
                Ok(None) => spare = SPARE_STEPS,
                Err(error) => {
                    if held.lost().is_cancelled() {
                        return Left::Lost;
                    }
                    tracing::warn!(run = %held.id(), task = %held.task(), %error, "run held up");
                    tokio::select! {
                        biased;
                        () = shutdown.cancelled() => return Left::Detached,
                        () = held.lost().cancelled() => return Left::Lost,
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
    }

    async fn next_phase(
        &self,
        held: &Held,
        spare: &mut u32,
        shutdown: &CancellationToken,
    ) -> Result<Option<Left>> {
        let run = held.sure_run().await?;
        let result = match run.phase {
            RunPhase::Preparing => tokio::select! {
                biased;
                prepared = self.prepare(held) => prepared,
                () = self.until_unwanted(run.task, run.id) => Err(Trouble::Unwanted),
                () = shutdown.cancelled() => return Ok(Some(Left::Detached)),
            },
            RunPhase::Spawned { .. } => match self.follow(held, shutdown).await {
                Ok(follow::Followed::Exited) => Ok(()),
                Ok(follow::Followed::Detached) => return Ok(Some(Left::Detached)),
                Err(trouble) => Err(trouble),
            },
            RunPhase::Exited { .. } => self.settle(held).await,
            RunPhase::Ended { .. } => return Ok(Some(Left::Done)),
        };
        match result {
            Ok(()) => Ok(None),
            Err(Trouble::Backend(error)) => Err(error),
            Err(Trouble::Killed(failure)) if *spare > 0 => {
                *spare -= 1;
                Err(Error::unavailable("git", failure.to_string()))
            }
            Err(Trouble::Failure(failure) | Trouble::Killed(failure)) => {
                self.end_failed(held, *failure).await.map(|()| None)
            }
            Err(Trouble::Unwanted) => self.end_cancelled(held).await.map(|()| None),
        }
    }

    /// What an error of the runtime or the forge means for the run.
    fn failed(&self, error: &Error) -> Trouble {
        let text = self.masker().mask(&error.to_string()).into_owned();
        let mut failure = classify(&Evidence::engine(text.clone()), self.now());
        if failure.class == crate::failure::FailureClass::Unknown && error.retry() == Retry::Later {
            failure = failure.with_retry(crate::failure::RetryAdvice::Free);
        }
        failure.into()
    }

    fn git_failed(&self, error: &super::git::GitError) -> Trouble {
        let failure = error.failure(self.now());
        if error.is_killed() {
            return Trouble::Killed(Box::new(failure));
        }
        failure.into()
    }
}

/// Renews the lease for as long as it is polled; ends when the run is lost.
async fn keep(held: &Held, every: Duration) {
    while !held.lost().is_cancelled() {
        tokio::time::sleep(every).await;
        if let Err(error) = held.check().await {
            tracing::warn!(run = %held.id(), task = %held.task(), %error, "lease not renewed");
        }
    }
}

/// What a run fails from that the engine ended early.
fn stopped(reason: StopReason) -> Failure {
    use crate::failure::FailureClass;
    match reason {
        StopReason::Cancelled => FailureClass::Interrupted.into(),
        StopReason::TimedOut => FailureClass::TimedOut.into(),
        StopReason::Stalled => FailureClass::Stalled.into(),
        StopReason::Failing(failure) => failure,
        // it was done; whoever settles it knows
        StopReason::Lingering => FailureClass::Stalled.into(),
    }
}
