//! The task worker: takes tasks from the queue within the limits, and sees each run through to its end.

mod recovery;
mod slot;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use self::recovery::job;
use self::slot::{Leave, Slot};
use super::{
    Optio,
    attempt::{Left, Placed},
    held::{Held, TakeOver},
};
use crate::{
    clock::elapsed,
    error::{ErrorKind, Result},
    id::TaskId,
    queue::Claim,
    run::Run,
    store::{OnlyLive, RunQuery},
    task::{Task, TaskState},
};

/// Whether a tick found something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticked {
    /// It did something: another tick may find more.
    Worked,
    /// There was nothing to do.
    Idle,
}

/// How long to wait before asking a backend again that just failed.
const PAUSE: Duration = Duration::from_secs(1);

/// How long at most a task waits that could not be placed because others were placing theirs all the time.
const CONTENDED: Duration = Duration::from_millis(200);

impl Optio {
    /// Takes the best task that the limits allow and sees its run through to the end, in this call.
    ///
    /// # Errors
    /// The queue could not be asked.
    pub async fn tick_task_worker(&self) -> Result<Ticked> {
        let settings = self.settings();
        match self.queue().claim(&settings.worker, settings.lease).await? {
            Some(claim) => {
                self.attend(claim, Slot::GiveBack, &CancellationToken::new())
                    .await;
                Ok(Ticked::Worked)
            }
            None => Ok(Ticked::Idle),
        }
    }

    /// Works until `shutdown`: takes tasks as slots become free, each in a task of its own. Returns once no run is
    /// followed any more; agents that are at work go on and are adopted by whoever comes next.
    pub(crate) async fn work(&self, shutdown: CancellationToken) {
        // dropped with this future, and with them all that they follow: nothing goes on behind our back
        let mut attending = JoinSet::new();
        self.recover(&mut attending, &shutdown).await;
        let settings = self.settings();
        while !shutdown.is_cancelled() {
            while attending.try_join_next().is_some() {}
            match self.queue().claim(&settings.worker, settings.lease).await {
                Ok(Some(claim)) => {
                    let (engine, shutdown) = (self.clone(), shutdown.clone());
                    attending.spawn(async move { engine.attend_all(claim, &shutdown).await });
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.rebuild_queue(&error, &shutdown).await;
                }
                Ok(None) => {
                    let sweep = tokio::time::sleep(settings.sweep_interval);
                    tokio::select! {
                        biased;
                        () = shutdown.cancelled() => break,
                        () = sweep => {}
                        changed = self.queue().changed() => if let Err(error) = changed
                            && error.kind() != ErrorKind::NotFound
                        {
                            tracing::warn!(%error, "queue does not tell of changes");
                            pause(&shutdown).await;
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "no task could be claimed");
                    pause(&shutdown).await;
                }
            }
        }
        while attending.join_next().await.is_some() {}
    }

    /// Sees claimed tasks through, one after the other in the same slot, until nothing may follow.
    async fn attend_all(&self, claim: Claim, shutdown: &CancellationToken) {
        let mut next = Some(claim);
        while let Some(claim) = next {
            next = Box::pin(self.attend(claim, Slot::PassOn, shutdown)).await;
        }
    }

    /// Sees a claimed task through: a new run if it is queued, the one it has if that lost its worker. Gives what the
    /// slot holds next.
    async fn attend(
        &self,
        claim: Claim,
        slot: Slot,
        shutdown: &CancellationToken,
    ) -> Option<Claim> {
        let id = claim.job().task;
        let left = match self.next_step(id).await {
            Ok(Step::Start(task)) => {
                let keeper = self.keep(&claim);
                let placed = tokio::select! {
                    biased;
                    placed = self.place_run(task) => placed,
                    () = keeper => return None,
                };
                match placed {
                    Ok(Placed::Run(run)) => {
                        let held = Held::new(self, *run);
                        self.drive(claim, &held, shutdown).await
                    }
                    // what became of the task is stored; if it is queued again, the outbox pushes it
                    Ok(Placed::Moved) => Leave::Done(claim),
                    Ok(Placed::Later(at)) => Leave::Until(claim, at),
                    // others place runs in the same workspaces: it has its turn as soon as they have had theirs
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        tracing::debug!(task = %id, %error, "task not placed yet");
                        Leave::Later(claim, self.up_to(CONTENDED))
                    }
                    Err(error) => {
                        tracing::warn!(task = %id, %error, "task could not be placed");
                        Leave::Later(claim, PAUSE * 5)
                    }
                }
            }
            Ok(Step::Adopt(run)) => {
                Box::pin(self.attend_run(claim, run, TakeOver::AfterLease, shutdown)).await
            }
            Ok(Step::Nothing) => Leave::Done(claim),
            Err(error) => {
                tracing::warn!(task = %id, %error, "task could not be read");
                Leave::Later(claim, PAUSE * 5)
            }
        };
        self.leave(left, slot, shutdown).await
    }

    async fn attend_run(
        &self,
        claim: Claim,
        run: Run,
        allowed: TakeOver,
        shutdown: &CancellationToken,
    ) -> Leave {
        let (id, until) = (run.id, run.lease.until);
        match Held::take_over(self, id, allowed).await {
            Ok(held) => self.drive(claim, &held, shutdown).await,
            Err(error) => {
                tracing::debug!(run = %id, %error, "run not adopted");
                let wait = elapsed(self.now(), until).max(PAUSE);
                Leave::Later(claim, wait)
            }
        }
    }

    /// Drives a held run while its slot in the queue is kept.
    async fn drive(&self, claim: Claim, held: &Held, shutdown: &CancellationToken) -> Leave {
        let mut claim = claim;
        let ended = tokio::select! {
            biased;
            ended = self.drive_run(held, shutdown) => ended,
            never = self.keep_slot(&mut claim) => match never {},
        };
        match ended {
            Left::Done | Left::Lost => Leave::Done(claim),
            Left::Detached => {
                let let_go = held.let_go().await;
                if let Err(error) = let_go {
                    tracing::debug!(run = %held.id(), %error, "lease not given up");
                }
                Leave::Later(claim, Duration::ZERO)
            }
        }
    }

    async fn next_step(&self, id: TaskId) -> Result<Step> {
        let live = RunQuery {
            task: Some(id),
            only_live: OnlyLive::Yes,
            ..RunQuery::default()
        };
        let (task, live) = tokio::join!(self.store().task(id), self.store().runs(&live));
        let task = match task {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Step::Nothing),
            task => task?,
        };
        if let Some(run) = live?.into_iter().next() {
            return Ok(Step::Adopt(run));
        }
        Ok(match &task.state {
            TaskState::Queued { not_before, .. }
                if not_before.is_none_or(|moment| moment <= self.now()) =>
            {
                Step::Start(task)
            }
            TaskState::Provisioning { .. } | TaskState::Running { .. } => {
                // its run has ended without a word on what follows: cannot be, for both are one commit
                tracing::error!(task = %id, state = %task.state.name(), "task without its run");
                Step::Nothing
            }
            _ => Step::Nothing,
        })
    }
}

enum Step {
    Start(Task),
    Adopt(Run),
    Nothing,
}

async fn pause(shutdown: &CancellationToken) {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(PAUSE) => {}
    }
}
