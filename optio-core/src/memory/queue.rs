//! The queue in memory: what is due is sorted by rank within each repository, and the repositories that have a free slot
//! by their best entry, so a claim looks at one entry however many wait.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::Notify, time::Instant};

use crate::{
    clock::{Clock, Timestamp, elapsed},
    error::{Error, ErrorKind, Result},
    id::{RepoId, TaskId},
    queue::{Claim, Job, Queue, QueueLimits, Waiting},
    run::WorkerId,
    scheduling::{Rank, WaitReason, rank},
};

const BACKEND: &str = "memory queue";

/// A [`Queue`] that lasts as long as the process.
#[derive(Debug)]
pub struct MemoryQueue {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    notify: Notify,
}

impl MemoryQueue {
    /// An empty queue with the default limits. Its delays end by this clock. Its leases end by tokio's timers, so that
    /// nobody loses a claim because the clock was set.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::default(),
            notify: Notify::new(),
        }
    }

    /// Loses everything, entries, claims and limits, and wakes nobody: as when a server of queues is emptied. Whoever asks
    /// next is told, until limits are set again.
    pub fn lose(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State {
            last_token: state.last_token,
            was_limited: state.was_limited,
            lost: state.was_limited,
            ..State::default()
        };
    }

    /// Brings the state up to the present moment, acts on it, and wakes whoever waits if there is something in it for
    /// them: something to claim, or an earlier moment to look again.
    fn act<T>(&self, act: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let (now, timer) = (self.clock.now(), Instant::now());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (changes, deadline) = (state.changes, state.wait(now, timer));
        state.advance(now, timer);
        let done = act(&mut state, now);
        let sooner = match (state.wait(now, timer), deadline) {
            (Some(new), Some(old)) => new < old,
            (new, old) => new.is_some() && old.is_none(),
        };
        let wake = sooner || state.changes != changes;
        drop(state);
        if wake {
            self.notify.notify_waiters();
        }
        done
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn push(&self, job: Job) -> Result<()> {
        self.act(|state, now| state.enter(job, now));
        Ok(())
    }

    async fn push_all(&self, jobs: Vec<Job>) -> Result<()> {
        self.act(|state, now| {
            for job in jobs {
                state.enter(job, now);
            }
        });
        Ok(())
    }

    async fn claim(&self, worker: &WorkerId, lease: Duration) -> Result<Option<Claim>> {
        self.act(|state, _| {
            state.is_there()?;
            Ok(state.claim_best(worker, lease))
        })
    }

    async fn complete_and_claim(&self, claim: Claim, lease: Duration) -> Result<Option<Claim>> {
        self.act(|state, now| {
            state.is_there()?;
            state.check(&claim)?;
            let changes = state.changes;
            let task = claim.job().task;
            state.let_go(task);
            state.settle(task, now);
            let next = state.claim_best(claim.worker(), lease);
            if state.best().is_none() {
                state.changes = changes; // there is nothing in it for those who wait
            }
            Ok(next)
        })
    }

    async fn adopt(&self, job: Job, worker: &WorkerId, lease: Duration) -> Result<Claim> {
        self.act(|state, _| {
            if let Some(held) = state.claims.get(&job.task) {
                if held.worker != *worker {
                    let message = format!("{} is claimed by {}", job.task, held.worker);
                    return Err(Error::conflict(BACKEND, message));
                }
                state.let_go(job.task);
            }
            state.take(job.task);
            Ok(state.hold(job, worker, Instant::now() + lease))
        })
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<()> {
        self.act(|state, _| {
            state.check(claim)?;
            state.extend(claim.job().task, Instant::now() + lease);
            Ok(())
        })
    }

    async fn complete(&self, claim: Claim) -> Result<()> {
        self.act(|state, now| {
            state.check(&claim)?;
            state.let_go(claim.job().task);
            state.settle(claim.job().task, now);
            Ok(())
        })
    }

    async fn release(&self, claim: Claim, not_before: Option<Timestamp>) -> Result<()> {
        self.act(|state, now| {
            state.check(&claim)?;
            if let Some(held) = state.let_go(claim.job().task) {
                state.wait_again(Job { not_before, ..held }, now);
            }
            Ok(())
        })
    }

    async fn remove(&self, task: TaskId) -> Result<()> {
        self.act(|state, _| {
            if state.take(task).is_some() {
                state.changes += 1;
            }
        });
        Ok(())
    }

    async fn reprioritise(&self, task: TaskId, priority: i32) -> Result<()> {
        self.act(|state, now| {
            if let Some(job) = state.take(task) {
                state.enter(Job { priority, ..job }, now);
            }
        });
        Ok(())
    }

    async fn set_limits(&self, limits: QueueLimits) -> Result<()> {
        self.act(|state, _| state.limit(limits));
        Ok(())
    }

    async fn changed(&self) -> Result<()> {
        let mut seen = None;
        loop {
            // listening begins before the look, so that nothing falls between the two
            let mut notified = pin!(self.notify.notified());
            notified.as_mut().enable();
            let (done, wait) = self.act(|state, now| {
                state.is_there()?;
                let done =
                    state.best().is_some() || *seen.get_or_insert(state.changes) != state.changes;
                Ok::<_, Error>((done, state.wait(now, Instant::now())))
            })?;
            if done {
                return Ok(());
            }
            match wait {
                None => notified.await,
                // never zero: a clock that lags behind the timers must not make this spin
                Some(wait) => tokio::select! {
                    biased;
                    () = notified => {}
                    () = tokio::time::sleep(wait.max(Duration::from_millis(1))) => {}
                },
            }
        }
    }

    async fn waiting(&self) -> Result<Vec<Waiting>> {
        Ok(self.act(|state, now| state.waiting(now)))
    }

    async fn claimed(&self) -> Result<Vec<(TaskId, WorkerId)>> {
        let mut claimed: Vec<_> = self.act(|state, _| {
            let claims = state.claims.iter();
            claims
                .map(|(task, held)| (*task, held.worker.clone()))
                .collect()
        });
        claimed.sort();
        Ok(claimed)
    }

    async fn missing(&self, tasks: &[TaskId]) -> Result<Vec<TaskId>> {
        Ok(self.act(|state, _| {
            let there = |task| state.entries.contains_key(task) || state.claims.contains_key(task);
            tasks.iter().filter(|task| !there(task)).copied().collect()
        }))
    }
}

#[derive(Debug, Default)]
struct State {
    limits: QueueLimits,
    /// Everything that waits. An entry is in `due`, in `delayed`, or stands behind a claim on its own task.
    entries: HashMap<TaskId, Job>,
    due: HashMap<RepoId, BTreeSet<Rank>>,
    delayed: BTreeSet<(Timestamp, TaskId)>,
    /// The best due entry of each repository that has a free slot.
    heads: BTreeMap<Rank, RepoId>,
    head_of: HashMap<RepoId, Rank>,
    claims: HashMap<TaskId, Held>,
    leases: BTreeSet<(Instant, TaskId)>,
    at_work: HashMap<RepoId, u32>,
    last_token: u64,
    /// Counts the changes that may let somebody claim.
    changes: u64,
    /// Somebody has set limits.
    was_limited: bool,
    /// Everything was lost, and nobody has set limits since.
    lost: bool,
}

#[derive(Debug)]
struct Held {
    job: Job,
    worker: WorkerId,
    token: u64,
    until: Instant,
}

impl State {
    /// Ends the leases and delays that are over.
    fn advance(&mut self, now: Timestamp, timer: Instant) {
        while let Some(&(at, task)) = self.delayed.first()
            && at <= now
        {
            self.delayed.pop_first();
            self.settle(task, now);
        }
        while let Some(&(until, task)) = self.leases.first()
            && until <= timer
        {
            if let Some(job) = self.let_go(task) {
                self.wait_again(job, now);
            } else {
                self.leases.pop_first();
            }
        }
    }

    /// How long until time alone changes something.
    fn wait(&self, now: Timestamp, timer: Instant) -> Option<Duration> {
        let delay = self.delayed.first().map(|(at, _)| elapsed(now, *at));
        let lease = self.leases.first();
        let lease = lease.map(|(at, _)| at.saturating_duration_since(timer));
        delay.into_iter().chain(lease).min()
    }

    /// Refuses while what was lost was not made good.
    fn is_there(&self) -> Result<()> {
        if self.lost {
            let message = "the queue has lost what it held: set the limits and push again";
            return Err(Error::new(ErrorKind::NotFound, BACKEND, message));
        }
        Ok(())
    }

    fn claim_best(&mut self, worker: &WorkerId, lease: Duration) -> Option<Claim> {
        let task = self.best()?;
        let job = self.take(task)?;
        Some(self.hold(job, worker, Instant::now() + lease))
    }

    /// The entry that is next, if the limits allow one.
    fn best(&self) -> Option<TaskId> {
        let room = self.total_at_work() < self.limits.global;
        room.then(|| self.heads.first_key_value().map(|(rank, _)| rank.task))?
    }

    /// Puts an entry in, in place of an older one.
    fn enter(&mut self, job: Job, now: Timestamp) {
        let task = job.task;
        self.take(task);
        self.entries.insert(task, job);
        self.settle(task, now);
    }

    /// Puts an entry back, unless a newer one was pushed meanwhile.
    fn wait_again(&mut self, job: Job, now: Timestamp) {
        let task = job.task;
        self.entries.entry(task).or_insert(job);
        self.settle(task, now);
    }

    /// Finds the place of an entry that is in none.
    fn settle(&mut self, task: TaskId, now: Timestamp) {
        self.changes += 1;
        let Some(job) = self.entries.get(&task) else {
            return;
        };
        if self.claims.contains_key(&task) {
            return; // it stands behind the claim
        }
        let repo = job.repo;
        match job.not_before {
            Some(at) if at > now => {
                self.delayed.insert((at, task));
            }
            _ => {
                self.due.entry(repo).or_default().insert(rank_of(job));
                self.refresh(repo);
            }
        }
    }

    /// Takes a waiting entry out.
    fn take(&mut self, task: TaskId) -> Option<Job> {
        let job = self.entries.remove(&task)?;
        if let Some(at) = job.not_before {
            self.delayed.remove(&(at, task));
        }
        if let Some(due) = self.due.get_mut(&job.repo) {
            due.remove(&rank_of(&job));
            if due.is_empty() {
                self.due.remove(&job.repo);
            }
        }
        self.refresh(job.repo);
        Some(job)
    }

    /// Takes a slot.
    fn hold(&mut self, job: Job, worker: &WorkerId, until: Instant) -> Claim {
        self.last_token += 1;
        let (task, repo, token) = (job.task, job.repo, self.last_token);
        let held = Held {
            job: job.clone(),
            worker: worker.clone(),
            token,
            until,
        };
        self.claims.insert(task, held);
        self.leases.insert((until, task));
        *self.at_work.entry(repo).or_default() += 1;
        self.refresh(repo);
        Claim::new(job, worker.clone(), token)
    }

    /// Gives a slot back.
    fn let_go(&mut self, task: TaskId) -> Option<Job> {
        let held = self.claims.remove(&task)?;
        self.changes += 1;
        self.leases.remove(&(held.until, task));
        let repo = held.job.repo;
        if let Some(count) = self.at_work.get_mut(&repo) {
            *count -= 1;
            if *count == 0 {
                self.at_work.remove(&repo);
            }
        }
        self.refresh(repo);
        Some(held.job)
    }

    fn extend(&mut self, task: TaskId, until: Instant) {
        if let Some(held) = self.claims.get_mut(&task) {
            self.leases.remove(&(held.until, task));
            held.until = until;
            self.leases.insert((until, task));
        }
    }

    fn check(&self, claim: &Claim) -> Result<()> {
        let task = claim.job().task;
        match self.claims.get(&task) {
            Some(held) if held.token == claim.token() => Ok(()),
            _ => Err(Error::conflict(
                BACKEND,
                format!("the claim of {} on {task} is lost", claim.worker()),
            )),
        }
    }

    fn limit(&mut self, limits: QueueLimits) {
        self.limits = limits;
        (self.was_limited, self.lost) = (true, false);
        self.changes += 1;
        let repos: Vec<_> = self.due.keys().copied().collect();
        for repo in repos {
            self.refresh(repo);
        }
    }

    /// Makes `heads` agree with what is due and at work in a repository.
    fn refresh(&mut self, repo: RepoId) {
        let head = (self.due.get(&repo))
            .filter(|_| self.at_work_in(repo) < self.limits.of(repo))
            .and_then(BTreeSet::first)
            .copied();
        let before = match head {
            Some(head) => self.head_of.insert(repo, head),
            None => self.head_of.remove(&repo),
        };
        if let Some(before) = before {
            self.heads.remove(&before);
        }
        if let Some(head) = head {
            self.heads.insert(head, repo);
        }
    }

    fn total_at_work(&self) -> u32 {
        u32::try_from(self.claims.len()).unwrap_or(u32::MAX)
    }

    fn at_work_in(&self, repo: RepoId) -> u32 {
        self.at_work.get(&repo).copied().unwrap_or(0)
    }

    fn waiting(&self, now: Timestamp) -> Vec<Waiting> {
        let mut jobs: Vec<_> = self.entries.values().collect();
        // what is due comes first, by rank; then what has to wait, by its moment
        jobs.sort_by_key(|job| (job.not_before.filter(|at| *at > now), rank_of(job)));
        jobs.into_iter()
            .map(|job| Waiting {
                job: job.clone(),
                why: self.why(job, now),
            })
            .collect()
    }

    fn why(&self, job: &Job, now: Timestamp) -> WaitReason {
        let (total, global) = (self.total_at_work(), self.limits.global);
        let (at_work, limit) = (self.at_work_in(job.repo), self.limits.of(job.repo));
        match job.not_before {
            Some(until) if until > now => WaitReason::NotBefore { until },
            _ if self.claims.contains_key(&job.task) => WaitReason::OwnRun,
            _ if total >= global => WaitReason::GlobalLimit {
                at_work: total,
                limit: global,
            },
            _ if at_work >= limit => WaitReason::RepoLimit { at_work, limit },
            _ => WaitReason::Ready,
        }
    }
}

fn rank_of(job: &Job) -> Rank {
    rank(job.priority, job.since, job.task)
}
