//! An entry as the scripts keep it, and what is read back.

use std::collections::{HashMap, HashSet};

use optio_core::{
    clock::{Timestamp, elapsed},
    error::{Error, Result},
    id::TaskId,
    queue::{Claim, Job, Position, Waiting},
    scheduling::{Rank, WaitReason, rank},
};
use redis::ScriptInvocation;

use super::{batch::Step, names};
use crate::error::{BACKEND, corrupt};

/// An entry on its way to a script.
pub(super) struct Entry {
    repo: String,
    score: i64,
    delay: u128,
    job: String,
}

impl Entry {
    /// The moment until which it waits becomes a delay from `now`, the caller's time, so that a clock of the server that
    /// differs from it does not matter.
    pub(super) fn new(job: &Job, now: Timestamp) -> Result<Self> {
        let delay = job
            .not_before
            .map_or(0, |at| elapsed(now, at).as_micros().div_ceil(1000));
        Ok(Self {
            repo: job.repo.to_string(),
            score: score(job),
            delay,
            job: text(job)?,
        })
    }

    /// The step that puts it into the queue.
    pub(super) fn push(self, task: TaskId) -> Step {
        let [repo, score, delay, job] = self.values();
        Step::new("push", [task.to_string(), repo, score, delay, job])
    }

    /// The step that gives a slot back and lets it wait again.
    pub(super) fn release(self, claim: &Claim) -> Step {
        let [repo, score, delay, job] = self.values();
        let [task, token] = names(claim);
        Step::new("release", [task, token, repo, score, delay, job])
    }

    fn values(self) -> [String; 4] {
        let (score, delay) = (self.score.to_string(), self.delay.to_string());
        [self.repo, score, delay, self.job]
    }

    pub(super) fn push_to(&self, script: &mut ScriptInvocation<'_>) {
        let delay = self.delay.to_string();
        script
            .arg(&self.repo)
            .arg(self.score)
            .arg(delay)
            .arg(&self.job);
    }
}

pub(super) fn score(job: &Job) -> i64 {
    rank(job.priority, job.since, job.task).score
}

pub(super) fn text(job: &Job) -> Result<String> {
    serde_json::to_string(job).map_err(|error| corrupt("an entry", error))
}

pub(super) fn job(text: &str) -> Result<Job> {
    serde_json::from_str(text).map_err(|error| corrupt("an entry of the queue", error))
}

pub(super) fn task(text: &str) -> Result<TaskId> {
    text.parse()
        .map_err(|error| corrupt("a task of the queue", error))
}

/// The moment (in ms of the server's clock; 0 if any) until which a kept entry waits, and its job.
pub(super) fn parts(entry: &str) -> Result<(i64, Job)> {
    let mut parts = entry.splitn(4, '|');
    let (due, text) = (parts.nth(2), parts.next());
    match (due.and_then(|due| due.parse().ok()), text) {
        (Some(due), Some(text)) => Ok((due, job(text)?)),
        _ => Err(Error::corrupt(
            BACKEND,
            format!("an entry of the queue cannot be read: {entry}"),
        )),
    }
}

/// What `waiting.lua` answers.
pub(super) type Seen = (
    i64,
    u32,
    u32,
    u32,
    HashMap<String, String>,
    Vec<(String, u32, String)>,
    HashSet<String>,
);

/// Everything that waits, what is due first, by rank; then what has to wait, by its moment. With the reasons.
pub(super) fn waiting(seen: &Seen) -> Result<Vec<Waiting>> {
    let (now, claims, global, per_repo, entries, counts, held) = seen;
    let counts: HashMap<&str, (u32, Option<u32>)> = counts
        .iter()
        .map(|(repo, working, limit)| (repo.as_str(), (*working, limit.parse().ok())))
        .collect();
    let mut waiting = Vec::with_capacity(entries.len());
    for (task, entry) in entries {
        let (due, job) = parts(entry)?;
        let of_repo = counts.get(job.repo.to_string().as_str());
        let (working, limit) = of_repo.copied().unwrap_or_default();
        let slots = Slots {
            all: (*claims, *global),
            of_repo: (working, limit.unwrap_or(*per_repo)),
        };
        let why = slots.why(&job, due > *now, held.contains(task));
        waiting.push((due, Waiting { job, why }));
    }
    waiting.sort_by_key(|(due, Waiting { job, .. })| order(*due, job, *now));
    Ok(waiting.into_iter().map(|(_, waiting)| waiting).collect())
}

/// What `position.lua` answers about an entry.
pub(super) type Found = (
    i64,
    u32,
    u32,
    u32,
    String,
    u32,
    String,
    bool,
    usize,
    Vec<String>,
);

/// Where an entry stands among all that [`waiting`] lists.
pub(super) fn position(found: &Found) -> Result<Position> {
    let (now, claims, global, per_repo, entry, working, limit, held, before, beside) = found;
    let (due, job) = parts(entry)?;
    let ours = order(due, &job, *now);
    let mut place = before + 1;
    for other in beside {
        let (due, job) = parts(other)?;
        place += usize::from(order(due, &job, *now) < ours);
    }
    let slots = Slots {
        all: (*claims, *global),
        of_repo: (*working, limit.parse().unwrap_or(*per_repo)),
    };
    let why = slots.why(&job, due > *now, *held);
    Ok(Position {
        place,
        waiting: Waiting { job, why },
    })
}

/// What is due goes by rank, the rest after it by its moment.
fn order(due: i64, job: &Job, now: i64) -> (i64, Rank) {
    (due.max(now), rank(job.priority, job.since, job.task))
}

/// How many slots are taken, and how many there are.
struct Slots {
    all: (u32, u32),
    of_repo: (u32, u32),
}

impl Slots {
    /// Why an entry waits.
    fn why(&self, job: &Job, delayed: bool, behind_its_claim: bool) -> WaitReason {
        match job.not_before {
            Some(until) if delayed => WaitReason::NotBefore { until },
            _ if behind_its_claim => WaitReason::OwnRun,
            _ if self.all.0 >= self.all.1 => WaitReason::GlobalLimit {
                at_work: self.all.0,
                limit: self.all.1,
            },
            _ if self.of_repo.0 >= self.of_repo.1 => WaitReason::RepoLimit {
                at_work: self.of_repo.0,
                limit: self.of_repo.1,
            },
            _ => WaitReason::Ready,
        }
    }
}
