//! A run that this worker holds: everything that is written about it goes through here, under its epoch.
//!
//! Each write also renews the lease. Once somebody else has taken the run over, nothing can be written any more, and
//! whoever works on it here is told to stop.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Optio, change::Change};
use crate::{
    clock::{Timestamp, elapsed, later},
    error::{Error, ErrorKind, Result},
    id::{RunId, TaskId},
    run::{Lease, Run, RunOutcome, RunPhase},
    store::{Commit, Write},
    task::Task,
};

/// A run that this worker holds. Clones are the same hold.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    engine: Optio,
    /// Locked over each commit, so that writes of the same holder do not undo each other.
    known: Arc<Mutex<Known>>,
    id: RunId,
    task: TaskId,
    lost: CancellationToken,
}

/// What is known of the run as it is stored.
#[derive(Debug)]
struct Known {
    run: Run,
    certainty: Certainty,
    /// Its task as we have stored it last: mostly nobody else has written it since, and it need not be read again.
    task: Option<Task>,
}

/// Whether the store's answer to the last write has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certainty {
    /// It has: the run is stored just so.
    Sure,
    /// It has not: the write was carried out, or was not. The store has to be asked before anything else is written, for
    /// what is written from an old copy takes back what was stored since.
    Unsure,
}

impl Held {
    /// Holds a run that was just stored with our lease.
    pub(crate) fn new(engine: &Optio, run: Run) -> Self {
        Self {
            engine: engine.clone(),
            id: run.id,
            task: run.task,
            known: Arc::new(Mutex::new(Known {
                run,
                certainty: Certainty::Sure,
                task: None,
            })),
            lost: CancellationToken::new(),
        }
    }

    /// Takes over a run whose holder is gone: from now on the old holder can write nothing.
    ///
    /// # Errors
    /// `Conflict` if its lease has not ended, or somebody else was quicker.
    pub(crate) async fn take_over(engine: &Optio, run: RunId, allowed: TakeOver) -> Result<Self> {
        let run = engine.store().run(run).await?;
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
        let taken = Run {
            epoch: run.epoch + 1,
            lease: engine.new_lease(now),
            ..run
        };
        let epoch = taken.epoch;
        let id = taken.id;
        engine
            .store()
            .commit(Commit::new().with(Write::TakeOver(taken)))
            .await?;
        // its old holder may have written once more before it was fenced off
        let run = engine.store().run(id).await?;
        if run.epoch != epoch {
            return Err(Error::conflict(
                "optio",
                format!("{id} was taken over again by {}", run.lease.holder),
            ));
        }
        Ok(Self::new(engine, run))
    }

    pub(crate) fn engine(&self) -> &Optio {
        &self.engine
    }

    pub(crate) fn id(&self) -> RunId {
        self.id
    }

    pub(crate) fn task(&self) -> TaskId {
        self.task
    }

    /// The run as it is stored, as far as is known.
    pub(crate) async fn run(&self) -> Run {
        self.known.lock().await.run.clone()
    }

    /// The run as it is stored, for sure.
    ///
    /// # Errors
    /// The store had to be asked and did not answer; or the run is lost.
    pub(crate) async fn sure_run(&self) -> Result<Run> {
        let mut known = self.known.lock().await;
        self.make_sure(&mut known).await?;
        Ok(known.run.clone())
    }

    async fn make_sure(&self, known: &mut Known) -> Result<()> {
        if known.certainty == Certainty::Unsure {
            let stored = self.engine.store().run(self.id).await?;
            if stored.epoch != known.run.epoch {
                self.lose();
                return Err(Error::conflict(
                    "optio",
                    format!("{} belongs to {}", self.id, stored.lease.holder),
                ));
            }
            known.run = stored;
            known.certainty = Certainty::Sure;
        }
        Ok(())
    }

    fn lose(&self) {
        tracing::warn!(run = %self.id, task = %self.task, "run lost to another worker");
        self.lost.cancel();
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
        let mut known = self.known.lock().await;
        self.make_sure(&mut known).await?;
        let mut next = known.run.clone();
        let mut change = self.engine.change("worker");
        edit(&mut next, &mut change);
        next.lease = self.engine.new_lease(self.engine.now());
        self.write(change, &mut known, next).await
    }

    /// Lets the run go: whoever comes next may take it over at once.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub(crate) async fn let_go(&self) -> Result<()> {
        let mut known = self.known.lock().await;
        self.make_sure(&mut known).await?;
        let mut next = known.run.clone();
        next.lease.until = self.engine.now();
        self.write(self.engine.change("worker"), &mut known, next)
            .await
    }

    /// Writes the run together with its task; again with a fresh task as long as somebody else has changed that.
    ///
    /// # Errors
    /// As [`update`](Self::update), and those of `edit`.
    pub(crate) async fn update_with_task(
        &self,
        edit: impl Fn(&mut Run, &mut Task, &mut Change<'_>) -> Result<()> + Sync,
    ) -> Result<Task> {
        self.engine
            .retry_conflicts_until(&self.lost, || self.try_with_task(&edit))
            .await
    }

    async fn try_with_task(
        &self,
        edit: impl Fn(&mut Run, &mut Task, &mut Change<'_>) -> Result<()> + Sync,
    ) -> Result<Task> {
        let mut known = self.known.lock().await;
        self.make_sure(&mut known).await?;
        // taken: if this fails for whatever reason, the next try reads it again
        let before = known.task.take();
        let edited = before.and_then(|task| self.edited(&known.run, task, &edit).ok());
        let (next, mut task, change) = match edited {
            Some(edited) => edited,
            None => {
                let task = self.engine.store().task(self.task).await?;
                self.edited(&known.run, task, &edit)?
            }
        };
        self.write(change, &mut known, next).await?;
        task.version += 1;
        known.task = Some(task.clone());
        Ok(task)
    }

    fn edited(
        &self,
        run: &Run,
        mut task: Task,
        edit: impl Fn(&mut Run, &mut Task, &mut Change<'_>) -> Result<()>,
    ) -> Result<(Run, Task, Change<'_>)> {
        let (mut next, mut change) = (run.clone(), self.engine.change("worker"));
        edit(&mut next, &mut task, &mut change)?;
        next.lease = self.engine.new_lease(self.engine.now());
        Ok((next, task, change))
    }

    /// The run's task as far as we know it: somebody else may have changed it since, which the next write finds out.
    async fn known_task(&self) -> Result<Task> {
        let mut known = self.known.lock().await;
        if let Some(task) = &known.task {
            return Ok(task.clone());
        }
        let task = self.engine.store().task(self.task).await?;
        known.task = Some(task.clone());
        Ok(task)
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
        let attempt = || async {
            let parent = match self.known_task().await?.parent() {
                Some(parent) => Some(self.engine.store().task(parent).await?),
                None => None,
            };
            self.try_with_task(|run, task, change| {
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
            })
            .await
        };
        self.engine
            .retry_conflicts_until(&self.lost, attempt)
            .await
            .map(drop)
    }

    /// Whether the store still says that we hold it, asked right before something that cannot be taken back.
    ///
    /// # Errors
    /// `Conflict` if we do not.
    pub(crate) async fn check(&self) -> Result<()> {
        self.update(|_, _| ()).await
    }

    /// Makes sure that the run stays ours for at least a third of a lease, the longest that a call may be on its way.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub(crate) async fn stand(&self) -> Result<()> {
        let left = {
            let known = self.known.lock().await;
            match known.certainty {
                Certainty::Sure => elapsed(self.engine.now(), known.run.lease.until),
                Certainty::Unsure => std::time::Duration::ZERO,
            }
        };
        if left >= self.engine.settings().lease / 3 {
            return Ok(());
        }
        self.check().await
    }

    async fn write(&self, mut change: Change<'_>, known: &mut Known, next: Run) -> Result<()> {
        change.guard(&next);
        change.write(Write::Run(next.clone()));
        // whoever drops us in the middle knows as little as one who gets no answer
        known.certainty = Certainty::Unsure;
        match change.commit().await {
            Ok(()) => {
                known.run = next;
                known.certainty = Certainty::Sure;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                // nothing was written. What we know may have been old: of a write whose answer nobody waited for
                let stored = self.engine.store().run(self.id).await?;
                known.certainty = Certainty::Sure;
                if stored.epoch == next.epoch && stored.is_live() {
                    known.run = stored;
                } else {
                    self.lose(); // and write on under our own epoch, which is refused
                }
                Err(error)
            }
            Err(error) => Err(error),
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
