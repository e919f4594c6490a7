//! Who checks what: every open pull request's head once, a few at a time, and nobody has to ask for the end of it.
//!
//! Nothing about a running check is on the disk but who runs it, where processes share the forge. If this process dies, its checks are started again by the next look at
//! their pull requests, after what was left of them has been taken away.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use optio_core::{
    Clock, Error, Result,
    clock::later,
    event_bus::{EventBus, Hint},
    id::RepoId,
    pull_request::{Checks, CommitId, FailedCheck, PrNumber},
};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    NAME,
    check::{Check, Plan, Scratch},
    records::{CheckRecord, Records},
    repository::Bare,
};
use crate::runtime::LocalRuntime;

/// How long a check that could not be run, for no fault of the commit, is left alone.
const BACKOFF: Duration = Duration::from_secs(30);

/// How long a commit is ours to check if we give no sign of life.
const CLAIM: Duration = Duration::from_secs(30);

/// The checks of this process.
#[derive(Debug)]
pub(super) struct Ci {
    pub(super) runtime: Arc<LocalRuntime>,
    pub(super) records: Records,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) bus: Option<Arc<dyn EventBus>>,
    /// Who we are to other processes; none if there can be none.
    pub(super) owner: Option<String>,
    pub(super) limit: Duration,
    pub(super) permits: Arc<Semaphore>,
    pub(super) flights: Mutex<HashMap<Key, Flight>>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// What is checked, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) repository: String,
    pub(super) commit: CommitId,
    pub(super) command: String,
}

/// Who wants to know.
pub(super) type Watcher = (RepoId, PrNumber);

/// A check that has no result yet.
#[derive(Debug)]
pub(super) enum Flight {
    /// It waits for its turn, or runs.
    Running {
        watchers: BTreeSet<Watcher>,
        cancel: CancellationToken,
    },
    /// It could not be run; it is tried again after a while.
    Broken { reason: String, until: Instant },
}

impl Key {
    pub(super) fn new(bare: &Bare, commit: &CommitId, plan: &Plan) -> Self {
        Self {
            repository: bare.key.clone(),
            commit: commit.clone(),
            command: plan.name().to_owned(),
        }
    }
}

impl Ci {
    /// What the check says about a commit. Starts it if it has no result and is not at work.
    pub(super) async fn verdict(
        self: &Arc<Self>,
        bare: &Arc<Bare>,
        commit: &CommitId,
        plan: Plan,
        watcher: Watcher,
    ) -> Result<Checks> {
        let known = self.records.check(&bare.key, commit, plan.name()).await?;
        if let Some(record) = known {
            return Ok(verdict(record));
        }
        if self.stop.is_cancelled() {
            let reason = "the forge is shutting down".to_owned();
            return Ok(Checks::Unknown { reason });
        }
        let key = Key::new(bare, commit, &plan);
        if !self.flights().contains_key(&key) && !self.claim(&key).await? {
            // another process checks it, and tells everybody when it has
            return Ok(Checks::Pending);
        }
        let cancel = self.stop.child_token();
        match self.flights().entry(key.clone()) {
            Entry::Occupied(mut entry) => match entry.get_mut() {
                Flight::Running { watchers, .. } => {
                    watchers.insert(watcher);
                    return Ok(Checks::Pending);
                }
                Flight::Broken { reason, until } if Instant::now() < *until => {
                    let reason = reason.clone();
                    return Ok(Checks::Unknown { reason });
                }
                broken @ Flight::Broken { .. } => *broken = running(watcher, &cancel),
            },
            Entry::Vacant(entry) => {
                entry.insert(running(watcher, &cancel));
            }
        }
        let check = Check {
            bare: Arc::clone(bare),
            commit: commit.clone(),
            plan,
            limit: self.limit,
        };
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            let ended = tokio::select! {
                ended = this.fly(&check, watcher.0, &cancel) => ended,
                never = this.keep(&key) => match never {},
            };
            this.land(&key, ended).await;
        });
        Ok(Checks::Pending)
    }

    /// Ends checks that this pull request has started and nobody wants any more: all but `wanted`.
    pub(super) fn abandon(&self, repository: &str, watcher: Watcher, wanted: Option<&Key>) {
        for (key, flight) in &mut *self.flights() {
            let Flight::Running { watchers, cancel } = flight else {
                continue;
            };
            let left = key.repository == repository
                && Some(key) != wanted
                && watchers.remove(&watcher)
                && watchers.is_empty();
            if left {
                cancel.cancel();
            }
        }
    }

    /// Kills all running checks and waits until they are gone. None is started any more.
    pub(super) async fn shut_down(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Tells everybody that there is something new to see of a pull request.
    pub(super) async fn tell(&self, (repo, number): Watcher) {
        if let Some(bus) = &self.bus
            && let Err(error) = bus.publish(Hint::PullRequest { repo, number }).await
        {
            tracing::debug!(%repo, %number, %error, "a hint could not be sent");
        }
    }

    /// Runs a check and records what it said. None if it was cancelled.
    async fn fly(
        &self,
        check: &Check,
        repo: RepoId,
        cancel: &CancellationToken,
    ) -> Option<Result<()>> {
        let permits = Arc::clone(&self.permits);
        let permit = cancel
            .run_until_cancelled(permits.acquire_owned())
            .await?
            .map_err(|error| Error::unavailable(NAME, error.to_string()));
        let _permit = match permit {
            Ok(permit) => permit,
            Err(error) => return Some(Err(error)),
        };
        let known = self.known(check).await;
        if !matches!(known, Ok(false)) {
            return Some(known.map(|_| ()));
        }
        let scratch = Scratch::new(Arc::clone(&self.runtime), &*self.clock);
        let ended = cancel
            .run_until_cancelled(async {
                scratch.prepare(check, repo).await?;
                scratch.run(check).await
            })
            .await;
        // before anything is told: nothing of a check is alive once there is a word on it
        if let Err(error) = scratch.remove().await {
            tracing::warn!(commit = %check.commit, %error, "what a check left could not be removed");
        }
        let record = match ended? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        tracing::info!(commit = %check.commit, command = record.command, conclusion = record.conclusion, exit = record.exit, "commit checked");
        let (repository, at) = (&check.bare.key, self.clock.now());
        Some(
            self.records
                .judged(repository, &check.commit, &record, at)
                .await,
        )
    }

    /// Whether it was recorded between the look that started this one and now.
    async fn known(&self, check: &Check) -> Result<bool> {
        let (repository, command) = (&check.bare.key, check.plan.name());
        let known = self.records.check(repository, &check.commit, command);
        Ok(known.await?.is_some())
    }

    /// Takes or keeps the right to check a commit; false if another process has it.
    async fn claim(&self, key: &Key) -> Result<bool> {
        let Some(owner) = &self.owner else {
            return Ok(true);
        };
        let now = self.clock.now();
        let until = later(now, CLAIM);
        self.records.claim_check(key, owner, now, until).await
    }

    /// Keeps that right for as long as it is polled. Whoever loses it goes on all the same: the first word counts.
    async fn keep(&self, key: &Key) -> Infallible {
        loop {
            tokio::time::sleep(CLAIM / 3).await;
            if let Err(error) = self.claim(key).await {
                tracing::warn!(commit = %key.commit, %error, "the claim to check a commit was not renewed");
            }
        }
    }

    /// Makes room for another try, and wakes those who wait.
    async fn land(&self, key: &Key, ended: Option<Result<()>>) {
        let flight = {
            let mut flights = self.flights();
            let flight = flights.remove(key);
            if let Some(Err(error)) = &ended {
                tracing::warn!(commit = %key.commit, %error, "a commit could not be checked");
                let broken = Flight::Broken {
                    reason: format!("the check could not be run: {}", error.message()),
                    until: Instant::now() + BACKOFF,
                };
                flights.insert(key.clone(), broken);
            }
            flight
        };
        if let Some(owner) = &self.owner
            && let Err(error) = self.records.release_check(key, owner).await
        {
            tracing::debug!(commit = %key.commit, %error, "a claim was not released; it ends by itself");
        }
        // of a cancelled check only those are left who came too late to be noticed
        if let Some(Flight::Running { watchers, .. }) = flight {
            for watcher in watchers {
                self.tell(watcher).await;
            }
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Key, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn running(watcher: Watcher, cancel: &CancellationToken) -> Flight {
    Flight::Running {
        watchers: BTreeSet::from([watcher]),
        cancel: cancel.clone(),
    }
}

/// A recorded judgement as the port says it.
pub(super) fn verdict(record: CheckRecord) -> Checks {
    if record.conclusion == "success" {
        return Checks::Passed;
    }
    let mut log_tail = record.log_tail;
    if !log_tail.is_empty() {
        log_tail.push('\n');
    }
    log_tail.push_str(&record.exit);
    Checks::Failed {
        failed: vec![FailedCheck {
            name: record.command,
            conclusion: record.conclusion,
            step: None,
            log_tail,
            url: None,
        }],
    }
}
