//! A run that this worker holds: everything that is written about it goes through here, under its epoch.
//!
//! Each write also renews the lease. Once somebody else has taken the run over, nothing can be written any more, and
//! whoever works on it here is told to stop.

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Optio, change::Change};
use crate::{
    clock::{Timestamp, later},
    error::{Error, ErrorKind, Result},
    id::{RunId, TaskId},
    run::{Lease, Run, RunOutcome, RunPhase},
    store::{Commit, Write},
    task::Task,
};

/// A run that this worker holds.
#[derive(Debug)]
pub(crate) struct Held {
    engine: Optio,
    /// The run as it is stored. Locked over each commit, so that writes of the same holder do not undo each other.
    run: Mutex<Run>,
    id: RunId,
    task: TaskId,
    lost: CancellationToken,
}

impl Held {
    /// Holds a run that was just stored with our lease.
    pub(crate) fn new(engine: &Optio, run: Run) -> Self {
        Self {
            engine: engine.clone(),
            id: run.id,
            task: run.task,
            run: Mutex::new(run),
            lost: CancellationToken::new(),
        }
    }

    /// Takes over a run whose holder is gone: from now on the old holder can write nothing.
    ///
    /// # Errors
    /// `Conflict` if its lease has not ended, or somebody else was quicker.
    pub(crate) async fn take_over(engine: &Optio, mut run: Run, allowed: TakeOver) -> Result<Self> {
        let now = engine.now();
        if allowed == TakeOver::AfterLease && run.lease.until > now {
            return Err(Error::conflict(
                "optio",
                format!(
                    "{} belongs to {} until {}",
                    run.id, run.lease.holder, run.lease.until
                ),
            ));
        }
        tracing::info!(run = %run.id, task = %run.task, from = %run.lease.holder, "run adopted");
        run.epoch += 1;
        run.lease = engine.new_lease(now);
        engine
            .store()
            .commit(Commit::new().with(Write::TakeOver(run.clone())))
            .await?;
        Ok(Self::new(engine, run))
    }

    pub(crate) fn id(&self) -> RunId {
        self.id
    }

    pub(crate) fn task(&self) -> TaskId {
        self.task
    }

    /// The run as it is stored.
    pub(crate) async fn run(&self) -> Run {
        self.run.lock().await.clone()
    }

    /// Ends when somebody else has taken the run over.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Writes the run after `edit`, with what else `edit` puts into the change.
    ///
    /// # Errors
    /// `Conflict` if the run is lost; see [`lost`](Self::lost).
    pub(crate) async fn update(&self, edit: impl FnOnce(&mut Run, &mut Change<'_>)) -> Result<()> {
        let mut run = self.run.lock().await;
        let mut next = run.clone();
        let mut change = self.engine.change("worker");
        edit(&mut next, &mut change);
        next.lease = self.engine.new_lease(self.engine.now());
        self.write(change, &next).await?;
        *run = next;
        Ok(())
    }

    /// Lets the run go: whoever comes next may take it over at once.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub(crate) async fn let_go(&self) -> Result<()> {
        let mut run = self.run.lock().await;
        let mut next = run.clone();
        next.lease.until = self.engine.now();
        self.write(self.engine.change("worker"), &next).await?;
        *run = next;
        Ok(())
    }

    /// Writes the run together with its task; again with a fresh task as long as somebody else changes that meanwhile.
    ///
    /// # Errors
    /// As [`update`](Self::update), and those of `edit`.
    pub(crate) async fn update_with_task(
        &self,
        edit: impl Fn(&mut Run, &mut Task, &mut Change<'_>) -> Result<()> + Sync,
    ) -> Result<Task> {
        let mut run = self.run.lock().await;
        let mut races = 0;
        loop {
            let mut task = self.engine.store().task(self.task).await?;
            let mut next = run.clone();
            let mut change = self.engine.change("worker");
            edit(&mut next, &mut task, &mut change)?;
            next.lease = self.engine.new_lease(self.engine.now());
            match self.write(change, &next).await {
                Ok(()) => {
                    *run = next;
                    task.version += 1;
                    return Ok(task);
                }
                Err(error)
                    if error.kind() == ErrorKind::Conflict
                        && races < super::MAX_RACES
                        && !self.lost.is_cancelled() =>
                {
                    races += 1
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends the run: its outcome, what it has used, and what follows for its task, in one commit. What it has used is
    /// added to the task and, for a review, to the task that is reviewed.
    ///
    /// # Errors
    /// As [`update_with_task`](Self::update_with_task).
    pub(crate) async fn end(
        &self,
        outcome: &RunOutcome,
        follow: impl Fn(&Run, &mut Task, &mut Change<'_>) -> Result<()> + Sync,
    ) -> Result<()> {
        let mut races = 0;
        loop {
            let parent = match self.engine.store().task(self.task).await?.parent() {
                Some(parent) => Some(self.engine.store().task(parent).await?),
                None => None,
            };
            let ended = self.update_with_task(|run, task, change| {
                let at = self.engine.now();
                run.phase = RunPhase::Ended {
                    outcome: outcome.clone(),
                    at,
                };
                task.usage += run.usage();
                if let Some(mut parent) = parent.clone() {
                    parent.usage += run.usage();
                    change.put_quietly(&parent);
                }
                if let Some(session) = &run.report.session {
                    task.session = Some(session.clone());
                }
                follow(run, task, change)
            });
            match ended.await {
                Ok(_) => return Ok(()),
                // the parent has changed meanwhile
                Err(error)
                    if error.kind() == ErrorKind::Conflict
                        && races < super::MAX_RACES
                        && !self.lost.is_cancelled() =>
                {
                    races += 1
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the store still says that we hold it, asked right before something that cannot be taken back.
    ///
    /// # Errors
    /// `Conflict` if we do not.
    pub(crate) async fn check(&self) -> Result<()> {
        self.update(|_, _| ()).await
    }

    async fn write(&self, mut change: Change<'_>, next: &Run) -> Result<()> {
        change.guard(next);
        change.write(Write::Run(next.clone()));
        match change.commit().await {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let stored = self.engine.store().run(self.id).await?;
                if stored.epoch != next.epoch || !stored.is_live() {
                    tracing::warn!(run = %self.id, task = %self.task, "run lost to another worker");
                    self.lost.cancel();
                }
                Err(error)
            }
            result => result,
        }
    }
}

/// When a run may be taken from its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakeOver {
    /// Once its lease has ended.
    AfterLease,
    /// At once: the holder is known to be gone.
    AtOnce,
}

impl Optio {
    pub(crate) fn new_lease(&self, now: Timestamp) -> Lease {
        Lease {
            holder: self.settings().worker.clone(),
            until: later(now, self.settings().lease),
        }
    }
}
