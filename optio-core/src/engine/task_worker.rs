//! The task worker: takes tasks from the queue within the limits, and sees each run through to its end.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Optio,
    attempt::Placed,
    held::{Held, TakeOver},
};
use crate::{
    clock::{Timestamp, later},
    error::{Error, ErrorKind, Result},
    id::TaskId,
    queue::{Claim, Job},
    run::Run,
    store::{OnlyLive, RunQuery, Sharing, TaskQuery},
    task::{StateName, Task, TaskState},
};

/// Whether a tick found something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticked {
    /// It did something: another tick may find more.
    Worked,
    /// There was nothing to do.
    Idle,
}

/// How many queued tasks are compared with the queue in one step.
const SYNCED_AT_ONCE: usize = 500;

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

    /// At the start: the limits and the queue's entries come from the store, and runs without a worker are adopted.
    async fn recover(&self, attending: &mut JoinSet<()>, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            let recovered: Result<()> = async {
                self.push_limits().await?;
                self.sync_queue().await?;
                self.wake_all_accounts().await?;
                self.adopt_runs(attending, shutdown).await
            }
            .await;
            match recovered {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "could not recover yet");
                    pause(shutdown).await;
                }
            }
        }
    }

    /// The queue has lost everything: slots that are held are taken again, and the limits and entries come from the
    /// store. If that fails, the next claim is told of the loss once more.
    async fn rebuild_queue(&self, loss: &Error, shutdown: &CancellationToken) {
        tracing::warn!(error = %loss, "the queue is rebuilt from the store");
        self.inner.queue_losses.send_modify(|losses| *losses += 1);
        let rebuilt: Result<()> = async {
            self.push_limits().await?;
            self.sync_queue().await
        }
        .await;
        if let Err(error) = rebuilt {
            tracing::warn!(%error, "the queue could not be rebuilt yet");
            pause(shutdown).await;
        }
    }

    /// Adopts every run whose worker is gone: at once where nobody else shares the store, else once its lease has ended.
    pub(crate) async fn adopt_runs(
        &self,
        attending: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) -> Result<()> {
        for run in self
            .store()
            .runs(&RunQuery {
                only_live: OnlyLive::Yes,
                ..RunQuery::default()
            })
            .await?
        {
            // alone on the store, whoever held it before us is gone; our own and other replicas' runs are lost once
            // nobody renews their lease
            let ours = run.lease.holder == self.settings().worker;
            let allowed = match self.store().sharing() {
                Sharing::Exclusive if !ours => TakeOver::AtOnce,
                Sharing::Exclusive | Sharing::Shared => TakeOver::AfterLease,
            };
            if allowed == TakeOver::AfterLease && run.lease.until > self.now() {
                continue;
            }
            let task = self.store().task(run.task).await?;
            let worker = &self.settings().worker;
            let claim = match self
                .queue()
                .adopt(job(&task), worker, self.settings().lease)
                .await
            {
                Ok(claim) => claim,
                Err(error) if error.kind() == ErrorKind::Conflict => continue, // somebody is at it
                Err(error) => return Err(error),
            };
            let (engine, shutdown) = (self.clone(), shutdown.clone());
            attending.spawn(async move {
                let left = engine.attend_run(claim, run, allowed, &shutdown).await;
                if let Some(next) = engine.leave(left, Slot::PassOn, &shutdown).await {
                    engine.attend_all(next, &shutdown).await;
                }
            });
        }
        Ok(())
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
                let wait = crate::clock::elapsed(self.now(), until).max(PAUSE);
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
            super::attempt::Left::Done | super::attempt::Left::Lost => Leave::Done(claim),
            super::attempt::Left::Detached => {
                let let_go = held.let_go().await;
                if let Err(error) = let_go {
                    tracing::debug!(run = %held.id(), %error, "lease not given up");
                }
                Leave::Later(claim, Duration::ZERO)
            }
        }
    }

    /// Gives a slot back, or passes it on to the next task; that is then its claim.
    async fn leave(&self, left: Leave, slot: Slot, shutdown: &CancellationToken) -> Option<Claim> {
        match left {
            Leave::Later(claim, wait) => {
                let not_before = (wait > Duration::ZERO).then(|| later(self.now(), wait));
                self.release(claim, not_before).await;
            }
            Leave::Until(claim, at) => self.release(claim, Some(at)).await,
            Leave::Done(claim) if slot == Slot::GiveBack || shutdown.is_cancelled() => {
                self.complete(claim).await;
            }
            Leave::Done(claim) => return self.complete_and_claim(claim).await,
        }
        None
    }

    /// Keeps a claim for as long as it is polled; ends when the claim is lost.
    async fn keep(&self, claim: &Claim) {
        let lease = self.settings().lease;
        let mut losses = self.inner.queue_losses.subscribe();
        loop {
            tokio::select! {
                biased;
                // the sender lives as long as we do
                _ = losses.changed() => {}
                () = tokio::time::sleep(lease / 3) => {}
            }
            match self.queue().renew(claim, lease).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    tracing::warn!(task = %claim.job().task, "slot in the queue lost");
                    return;
                }
                Err(error) => {
                    tracing::warn!(task = %claim.job().task, %error, "slot in the queue not renewed")
                }
            }
        }
    }

    /// Keeps the slot of a run at work, for as long as it is polled. Losing it does not end the run, for its lease in the
    /// store decides: the slot is taken again, so that the queue counts what is at work.
    async fn keep_slot(&self, claim: &mut Claim) -> Infallible {
        let (worker, lease) = (&self.settings().worker, self.settings().lease);
        loop {
            self.keep(claim).await;
            match self.queue().adopt(claim.job().clone(), worker, lease).await {
                Ok(again) => *claim = again,
                Err(error) => {
                    tracing::warn!(task = %claim.job().task, %error, "slot not taken again yet")
                }
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

    async fn complete(&self, claim: Claim) {
        let task = claim.job().task;
        match self.queue().complete(claim).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => {
                tracing::warn!(%task, %error, "slot not given back; it comes back when its lease ends")
            }
        }
    }

    async fn complete_and_claim(&self, claim: Claim) -> Option<Claim> {
        let (task, lease) = (claim.job().task, self.settings().lease);
        match self.queue().complete_and_claim(claim, lease).await {
            Ok(next) => next,
            Err(error) if error.kind() == ErrorKind::Conflict => None,
            Err(error) => {
                tracing::warn!(%task, %error, "slot not passed on; it comes back when its lease ends");
                None
            }
        }
    }

    async fn release(&self, claim: Claim, not_before: Option<Timestamp>) {
        let task = claim.job().task;
        match self.queue().release(claim, not_before).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => {
                tracing::warn!(%task, %error, "slot not released; it comes back when its lease ends")
            }
        }
    }

    /// Makes the queue agree with the store: what is queued is in it. What is in it and not queued goes when it is
    /// claimed. Page by page, so that it takes little memory however much is queued.
    pub(crate) async fn sync_queue(&self) -> Result<()> {
        let mut page = TaskQuery {
            limit: Some(SYNCED_AT_ONCE),
            ..TaskQuery::in_states([StateName::Queued])
        };
        loop {
            let queued = self.store().tasks(&page).await?;
            page.after = queued.last().map(|task| task.id);
            let ids: Vec<TaskId> = queued.iter().map(|task| task.id).collect();
            let missing = self.queue().missing(&ids).await?;
            if !missing.is_empty() {
                let missing: BTreeSet<TaskId> = missing.into_iter().collect();
                let lost = queued.iter().filter(|task| missing.contains(&task.id));
                self.queue().push_all(lost.map(job).collect()).await?;
            }
            if queued.len() < SYNCED_AT_ONCE {
                return Ok(());
            }
        }
    }
}

/// What becomes of a slot when its task has left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// It is free for whoever comes.
    GiveBack,
    /// Its next task is taken in the same step.
    PassOn,
}

/// How a task leaves its slot.
enum Leave {
    /// For good, as far as this slot knows.
    Done(Claim),
    /// Its entry waits again, for so long.
    Later(Claim, Duration),
    /// Its entry waits again, until then.
    Until(Claim, Timestamp),
}

enum Step {
    Start(Task),
    Adopt(Run),
    Nothing,
}

/// A task's entry in the queue.
pub(crate) fn job(task: &Task) -> Job {
    let (since, not_before) = match &task.state {
        TaskState::Queued {
            since, not_before, ..
        } => (*since, *not_before),
        _ => (task.updated_at, None),
    };
    Job {
        task: task.id,
        repo: task.repo,
        priority: task.priority,
        since,
        not_before,
    }
}

async fn pause(shutdown: &CancellationToken) {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(PAUSE) => {}
    }
}
