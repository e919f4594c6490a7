//! Whole engines at work whose agents have little to do, and what is seen of their slots.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Result, bail};
use async_trait::async_trait;
use optio_core::{
    Clock, NewTask, Optio, SystemClock, Timestamp,
    agent::Agent,
    engine::{Limits, Ports, Settings, Ticked},
    event_bus::EventBus,
    id::TaskId,
    memory::{Behaviour, FakeGit, MemoryAgent, MemoryForge, MemoryRuntime, diligent},
    queue::{Claim, Job, Queue, QueueLimits, Waiting},
    repo::RepoSettings,
    run::WorkerId,
    store::{RunQuery, Store},
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{Latencies, numbered_repo, template};

/// What one replica works on.
#[derive(Debug, Clone)]
pub struct Backends {
    /// State.
    pub store: Arc<dyn Store>,
    /// Dispatch.
    pub queue: Arc<dyn Queue>,
    /// Hints.
    pub bus: Arc<dyn EventBus>,
}

/// How much there is to do.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// How many tasks are at work at once.
    pub slots: u32,
    /// Repositories.
    pub repos: usize,
    /// Tasks.
    pub tasks: usize,
}

/// Replicas with tasks that wait for them.
#[derive(Debug)]
pub struct Fleet {
    replicas: Vec<Optio>,
    seen: Seen,
    tasks: usize,
}

/// What was seen of a fleet.
#[derive(Debug)]
pub struct Worked {
    /// From a slot that was given up to the next claim.
    pub claimed: Latencies,
    /// From a slot that was given up to the next agent that started.
    pub started: Latencies,
    /// Runs per second.
    pub rate: f64,
}

impl Fleet {
    /// Submits the tasks and delivers them to the queue.
    ///
    /// # Errors
    /// A backend failed.
    pub async fn start(backends: Vec<Backends>, size: Size) -> Result<Self> {
        let git = FakeGit::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let agent: Arc<dyn Agent> = Arc::new(MemoryAgent::new());
        let (runtime, seen) = (MemoryRuntime::new(git.clone()), Seen::default());
        runtime.behave({
            let seen = seen.clone();
            Behaviour::new(move |run| {
                seen.started();
                diligent(run)
            })
        });
        let forge = MemoryForge::new(git.clone(), Arc::clone(&clock));
        let replica = |(n, backends): (usize, Backends)| {
            let ports = Ports {
                store: backends.store,
                queue: Arc::new(WatchedQueue {
                    queue: backends.queue,
                    seen: seen.clone(),
                }),
                runtime: Arc::new(runtime.clone()),
                agents: [("memory".to_owned(), Arc::clone(&agent))].into(),
                forges: vec![Arc::new(forge.clone())],
                tickets: Vec::new(),
                bus: backends.bus,
                webhooks: None,
                clock: Arc::clone(&clock),
            };
            let mut settings = Settings::new(WorkerId(format!("bench-{n}")));
            settings.limits = Limits::default().with_global(size.slots);
            Optio::new(ports, settings)
        };
        let replicas: Vec<Optio> = backends.into_iter().enumerate().map(replica).collect();
        let [first, ..] = replicas.as_slice() else {
            bail!("a fleet needs a replica");
        };
        let template = template().await?;
        let settings = RepoSettings {
            max_concurrent_tasks: size.slots,
            max_pod_instances: 10,
            max_agents_per_pod: 10,
            ..RepoSettings::default()
        };
        for n in 0..size.repos {
            let url = numbered_repo(&template.repo, n)?.url;
            git.add_remote(&url, "main", &[("README.md", "# The shop\n")]);
            let repo = first.add_repo(url, settings.clone()).await?;
            for _ in 0..size.tasks / size.repos {
                let wish = NewTask::new(repo.id, "Fix the flaky login test");
                first.submit(wish).await?;
            }
        }
        while first.tick_relay().await? == Ticked::Worked {}
        Ok(Self {
            replicas,
            seen,
            tasks: size.tasks / size.repos * size.repos,
        })
    }

    /// Works until every task had its run.
    ///
    /// # Errors
    /// An agent failed, so the numbers mean nothing.
    pub async fn work(self) -> Result<Worked> {
        let shutdown = CancellationToken::new();
        let start = Instant::now();
        let mut at_work = Vec::new();
        for replica in &self.replicas {
            let (replica, shutdown) = (replica.clone(), shutdown.clone());
            at_work.push(tokio::spawn(async move { replica.run(shutdown).await }));
        }
        self.seen.left(self.tasks).await;
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let rate = self.tasks as f64 / start.elapsed().as_secs_f64();
        shutdown.cancel();
        for replica in at_work {
            replica.await??;
        }
        let store = self.replicas[0].store();
        let runs = store.runs(&RunQuery::default()).await?;
        let odd = runs.iter().find(|run| {
            run.outcome()
                .is_none_or(|outcome| outcome.name() != "pushed")
        });
        if let Some(run) = odd {
            bail!("an agent failed: {:?}", run.phase);
        }
        let mut seen = self.seen.look();
        Ok(Worked {
            claimed: std::mem::take(&mut seen.claimed),
            started: std::mem::take(&mut seen.started),
            rate,
        })
    }
}

/// When slots were given up, and when they were taken and put to use again: the one that is free for longest first.
#[derive(Debug, Clone, Default)]
struct Seen {
    slots: Arc<Mutex<Slots>>,
    left: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Slots {
    free: VecDeque<Instant>,
    idle: VecDeque<Instant>,
    claimed: Latencies,
    started: Latencies,
    left: usize,
}

impl Seen {
    fn look(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn freed(&self) {
        let now = Instant::now();
        let mut slots = self.look();
        slots.free.push_back(now);
        slots.idle.push_back(now);
        slots.left += 1;
        self.left.notify_one();
    }

    fn claimed(&self) {
        let mut slots = self.look();
        let freed = slots.free.pop_front();
        slots.claimed.extend(freed.map(|at| at.elapsed()));
    }

    fn started(&self) {
        let mut slots = self.look();
        let freed = slots.idle.pop_front();
        slots.started.extend(freed.map(|at| at.elapsed()));
    }

    /// Waits until so many tasks have left their slots.
    async fn left(&self, tasks: usize) {
        while self.look().left < tasks {
            self.left.notified().await;
        }
    }
}

#[derive(Debug)]
struct WatchedQueue {
    queue: Arc<dyn Queue>,
    seen: Seen,
}

#[async_trait]
impl Queue for WatchedQueue {
    async fn push(&self, job: Job) -> optio_core::Result<()> {
        self.queue.push(job).await
    }

    async fn push_all(&self, jobs: Vec<Job>) -> optio_core::Result<()> {
        self.queue.push_all(jobs).await
    }

    async fn claim(&self, worker: &WorkerId, lease: Duration) -> optio_core::Result<Option<Claim>> {
        let claim = self.queue.claim(worker, lease).await?;
        if claim.is_some() {
            self.seen.claimed();
        }
        Ok(claim)
    }

    async fn adopt(
        &self,
        job: Job,
        worker: &WorkerId,
        lease: Duration,
    ) -> optio_core::Result<Claim> {
        self.queue.adopt(job, worker, lease).await
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> optio_core::Result<()> {
        self.queue.renew(claim, lease).await
    }

    async fn complete(&self, claim: Claim) -> optio_core::Result<()> {
        self.seen.freed();
        self.queue.complete(claim).await
    }

    async fn complete_and_claim(
        &self,
        claim: Claim,
        lease: Duration,
    ) -> optio_core::Result<Option<Claim>> {
        self.seen.freed();
        let next = self.queue.complete_and_claim(claim, lease).await?;
        if next.is_some() {
            self.seen.claimed();
        }
        Ok(next)
    }

    async fn release(&self, claim: Claim, not_before: Option<Timestamp>) -> optio_core::Result<()> {
        self.queue.release(claim, not_before).await
    }

    async fn remove(&self, task: TaskId) -> optio_core::Result<()> {
        self.queue.remove(task).await
    }

    async fn reprioritise(&self, task: TaskId, priority: i32) -> optio_core::Result<()> {
        self.queue.reprioritise(task, priority).await
    }

    async fn set_limits(&self, limits: QueueLimits) -> optio_core::Result<()> {
        self.queue.set_limits(limits).await
    }

    async fn changed(&self) -> optio_core::Result<()> {
        self.queue.changed().await
    }

    async fn waiting(&self) -> optio_core::Result<Vec<Waiting>> {
        self.queue.waiting().await
    }

    async fn claimed(&self) -> optio_core::Result<Vec<(TaskId, WorkerId)>> {
        self.queue.claimed().await
    }

    async fn missing(&self, tasks: &[TaskId]) -> optio_core::Result<Vec<TaskId>> {
        self.queue.missing(tasks).await
    }
}
