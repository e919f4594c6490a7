//! The queue in Redis. Each call is a step of a script, which is atomic; `state.lua` says what is kept, and `batch` which
//! steps go together.
//!
//! A claim looks at a few sorted sets however much waits: what is due, by rank, in each repository, and the best of each
//! repository that has a free slot. Full repositories are not among those, so they are not looked at.
//!
//! # Time
//! Leases and delays end by the server's clock, the only one that all replicas share. A lease is sent as a length. A
//! moment (`not_before`) becomes a length by the clock of the replica that sends it, so a server whose clock is wrong
//! does no harm; a moment that one replica made and another one sends is off by as much as their two clocks differ. The
//! order of entries goes by `since` alone, the clock of who made the task. Leases and delays that are over are ended by
//! whoever calls next; whoever waits for a change calls when the next of them is over.
//!
//! # Loss
//! If an answer to `claim` is lost on its way, nobody holds that claim, and its slot is free again when the lease ends.
//! If the server lost everything, the generation that was made with the limits is gone or another one: each handle that
//! had set limits is told so, by its next claim or within [`look`](crate::RedisOptions::look) while it waits. The limits
//! and the entries come back from the store, by the engine.

mod batch;
mod entry;
mod scripts;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use optio_core::{
    clock::{Clock, Timestamp},
    error::{Error, ErrorKind, Result},
    id::TaskId,
    queue::{Claim, Job, Position, Queue, QueueLimits, Waiting},
    run::WorkerId,
};
use redis::{Script, ScriptInvocation};
use tokio::sync::watch;

use self::{
    batch::{Answer, Batches, LANES, Step, TOGETHER, Twice},
    entry::Entry,
};
use crate::{
    connect::Redis,
    error::BACKEND,
    listener::{Heard, Listener},
};

/// How often another priority is tried again when the entry was replaced meanwhile.
const MAX_RACES: usize = 16;

/// A [`Queue`] that many processes share.
pub struct RedisQueue {
    redis: Redis,
    batches: Batches,
    clock: Arc<dyn Clock>,
    keys: String,
    /// Goes up when there may be something new.
    wakes: watch::Sender<u64>,
    /// The generation of the queue for which this handle has set limits; empty if it has set none.
    generation: Mutex<String>,
    _listener: Listener,
}

impl RedisQueue {
    /// The queue on this server. `clock` is the one by which the caller's moments go. Needs a runtime of tokio around it.
    #[must_use]
    pub fn new(redis: &Redis, clock: Arc<dyn Clock>) -> Self {
        let keys = redis.options().tag();
        let wakes = watch::Sender::new(0);
        let listener = Listener::start(redis, format!("{keys}wake"), {
            let wakes = wakes.clone();
            // a lost connection is a reason to look as well: what was said meanwhile is not heard
            move |_: Heard| wakes.send_modify(|wakes| *wakes += 1)
        });
        Self {
            redis: redis.clone(),
            batches: Batches::start(redis, &keys),
            clock,
            keys,
            wakes,
            generation: Mutex::default(),
            _listener: listener,
        }
    }

    fn script<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        script.key(self.keys.as_str())
    }

    /// Carries out a step whose answer is whether the claim still held.
    async fn with_claim(&self, claim: &Claim, step: Step) -> Result<()> {
        match self.batches.one(step, Twice::Harmless).await? {
            Answer::Done => Ok(()),
            Answer::Void => Err(void(claim)),
            other => Err(failed(other)),
        }
    }

    fn generation(&self) -> String {
        self.generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What came of a step that claims.
    fn claimed(answer: Answer, worker: &WorkerId, token: u64) -> Result<Option<Claim>> {
        match answer {
            Answer::Job(job) => Ok(Some(Claim::new(entry::job(&job)?, worker.clone(), token))),
            Answer::Nothing => Ok(None),
            Answer::Lost => Err(lost()),
            other => Err(failed(other)),
        }
    }
}

/// The task and the token of a claim, by which a step finds it.
fn names(claim: &Claim) -> [String; 2] {
    [claim.job().task.to_string(), claim.token().to_string()]
}

/// The error of a step that did not work.
fn failed(answer: Answer) -> Error {
    match answer {
        Answer::Failed(reason) => Error::unavailable(BACKEND, reason),
        other => Error::corrupt(
            BACKEND,
            format!("the server answers {other:?} out of place"),
        ),
    }
}

/// The error of a server that has lost everything.
fn lost() -> Error {
    Error::new(
        ErrorKind::NotFound,
        BACKEND,
        "the server has lost the queue: set the limits and push again",
    )
}

fn void(claim: &Claim) -> Error {
    let (worker, task) = (claim.worker(), claim.job().task);
    Error::conflict(BACKEND, format!("the claim of {worker} on {task} is lost"))
}

#[async_trait]
impl Queue for RedisQueue {
    async fn push(&self, job: Job) -> Result<()> {
        self.push_all(vec![job]).await
    }

    /// Some hundred in each script, for the server does nothing else meanwhile; the next one is on its way by then. Of a
    /// task that is in there twice either entry may stay.
    async fn push_all(&self, mut jobs: Vec<Job>) -> Result<()> {
        // what a script does once for each repository is half the work if each entry is of another one
        jobs.sort_by_key(|job| job.repo);
        let now = self.clock.now();
        let push = async |jobs: &[Job]| {
            let mut steps = Vec::with_capacity(jobs.len());
            for job in jobs {
                steps.push(Entry::new(job, now)?.push(job.task));
            }
            let answers = self.batches.all(steps, Twice::Harmless).await?;
            match answers.into_iter().find(|answer| *answer != Answer::Done) {
                Some(answer) => Err(failed(answer)),
                None => Ok(()),
            }
        };
        let scripts = stream::iter(jobs.chunks(TOGETHER)).map(push);
        scripts.buffered(LANES).try_collect().await
    }

    async fn claim(&self, worker: &WorkerId, lease: Duration) -> Result<Option<Claim>> {
        let token = self.clock.random();
        let values = [
            worker.0.clone(),
            token.to_string(),
            millis(lease).to_string(),
            self.generation(),
        ];
        let step = Step::new("claim", values);
        let answer = self.batches.one(step, Twice::Harmful).await?;
        Self::claimed(answer, worker, token)
    }

    async fn complete_and_claim(&self, claim: Claim, lease: Duration) -> Result<Option<Claim>> {
        let token = self.clock.random();
        let [task, held_by] = names(&claim);
        let values = [
            task,
            held_by,
            claim.worker().0.clone(),
            token.to_string(),
            millis(lease).to_string(),
            self.generation(),
        ];
        let step = Step::new("next", values);
        match self.batches.one(step, Twice::Harmful).await {
            Ok(Answer::Void) => Err(void(&claim)),
            Ok(answer) => Self::claimed(answer, claim.worker(), token),
            // its answer may have been on the way, so it is not asked again; giving the slot back is
            Err(error) => match self.complete(claim).await {
                Ok(()) => Ok(None),
                Err(_) => Err(error),
            },
        }
    }

    async fn adopt(&self, job: Job, worker: &WorkerId, lease: Duration) -> Result<Claim> {
        let token = self.clock.random();
        let mut script = self.script(&scripts::ADOPT);
        script.arg(job.task.to_string());
        Entry::new(&job, self.clock.now())?.push_to(&mut script);
        script
            .arg(&worker.0)
            .arg(token.to_string())
            .arg(millis(lease));
        let holder: Option<String> = self.redis.run_again(&script).await?;
        match holder {
            None => Ok(Claim::new(job, worker.clone(), token)),
            Some(holder) => Err(Error::conflict(
                BACKEND,
                format!("{} is claimed by {holder}", job.task),
            )),
        }
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<()> {
        let [task, token] = names(claim);
        let values = [task, token, millis(lease).to_string()];
        self.with_claim(claim, Step::new("renew", values)).await
    }

    async fn complete(&self, claim: Claim) -> Result<()> {
        let step = Step::new("complete", names(&claim));
        self.with_claim(&claim, step).await
    }

    async fn release(&self, claim: Claim, not_before: Option<Timestamp>) -> Result<()> {
        let job = Job {
            not_before,
            ..claim.job().clone()
        };
        let step = Entry::new(&job, self.clock.now())?.release(&claim);
        self.with_claim(&claim, step).await
    }

    async fn remove(&self, task: TaskId) -> Result<()> {
        let mut script = self.script(&scripts::REMOVE);
        script.arg(task.to_string());
        self.redis.run_again(&script).await
    }

    async fn reprioritise(&self, task: TaskId, priority: i32) -> Result<()> {
        let task = task.to_string();
        let mut read = redis::cmd("HGET");
        read.arg(format!("{}entries", self.keys)).arg(&task);
        for _ in 0..MAX_RACES {
            let Some(entry) = self.redis.query::<Option<String>>(&read).await? else {
                return Ok(());
            };
            let (_, job) = entry::parts(&entry)?;
            let job = Job { priority, ..job };
            let mut script = self.script(&scripts::REPRIORITISE);
            script
                .arg(&task)
                .arg(&entry)
                .arg(entry::score(&job))
                .arg(entry::text(&job)?);
            if self.redis.run_again::<u8>(&script).await? == 1 {
                return Ok(());
            }
        }
        Err(Error::conflict(
            BACKEND,
            format!("the entry of {task} is replaced again and again"),
        ))
    }

    async fn set_limits(&self, limits: QueueLimits) -> Result<()> {
        let mut script = self.script(&scripts::LIMIT);
        script.arg(limits.global).arg(limits.per_repo);
        for (repo, limit) in &limits.repos {
            script.arg(repo.to_string()).arg(*limit);
        }
        let generation: String = self.redis.run_again(&script).await?;
        *self
            .generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = generation;
        Ok(())
    }

    /// Looks first, then waits to be told, or until the next lease or delay is over.
    async fn changed(&self) -> Result<()> {
        // from now on: a wake-up between the look and the wait is not lost
        let mut wakes = self.wakes.subscribe();
        let mut seen = None;
        loop {
            wakes.borrow_and_update();
            let mut script = self.script(&scripts::LOOK);
            script.arg(self.generation());
            let (ready, changes, wait): (u8, String, i64) = self.redis.run_again(&script).await?;
            if ready == 2 {
                return Err(lost());
            }
            if ready == 1 || *seen.get_or_insert_with(|| changes.clone()) != changes {
                return Ok(());
            }
            let look = self.redis.options().look;
            let wait = u64::try_from(wait).map_or(look, |wait| {
                // never zero: a timer that is too early must not make this spin
                Duration::from_millis(wait + 1).min(look)
            });
            tokio::select! {
                // the sender lives as long as this handle
                _ = wakes.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Reads the whole queue in one step: for people and for the sweep, not for each look of a worker.
    async fn waiting(&self) -> Result<Vec<Waiting>> {
        let script = self.script(&scripts::WAITING);
        entry::waiting(&self.redis.run_again(&script).await?)
    }

    /// Reads what stands at the same place, and counts the rest: a few steps for each repository.
    async fn position(&self, task: TaskId) -> Result<Option<Position>> {
        let mut script = self.script(&scripts::POSITION);
        script.arg(task.to_string());
        let found: Option<entry::Found> = self.redis.run_again(&script).await?;
        found.as_ref().map(entry::position).transpose()
    }

    async fn claimed(&self) -> Result<Vec<(TaskId, WorkerId)>> {
        let script = self.script(&scripts::CLAIMED);
        let holders: Vec<(String, String)> = self.redis.run_again(&script).await?;
        let mut claimed = Vec::with_capacity(holders.len());
        for (task, worker) in holders {
            claimed.push((entry::task(&task)?, WorkerId(worker)));
        }
        claimed.sort();
        Ok(claimed)
    }

    async fn missing(&self, tasks: &[TaskId]) -> Result<Vec<TaskId>> {
        let mut missing = Vec::new();
        for tasks in tasks.chunks(TOGETHER) {
            let mut script = self.script(&scripts::MISSING);
            for task in tasks {
                script.arg(task.to_string());
            }
            let answer: Vec<String> = self.redis.run_again(&script).await?;
            for text in answer {
                missing.push(entry::task(&text)?);
            }
        }
        Ok(missing)
    }
}

impl fmt::Debug for RedisQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisQueue")
            .field("redis", &self.redis)
            .finish_non_exhaustive()
    }
}

/// A length in whole milliseconds, which the scripts count in.
fn millis(length: Duration) -> u64 {
    // a hundred years: beyond that, moments would not fit into the server's numbers
    let longest = Duration::from_secs(100 * 366 * 86_400);
    u64::try_from(length.min(longest).as_millis()).unwrap_or(u64::MAX)
}
