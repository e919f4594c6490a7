//! How long is a freed slot empty before the next task has it?
//!
//! Once at the queue alone, with one worker that waits; once in a whole engine at work on SQLite, from the moment that a
//! run gives its slot back to the moment that the worker holds the next claim. The limit is the wake-up of a waiting tokio
//! task, measured the same way.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, bail};
use async_trait::async_trait;
use optio_benches::{Folder, Latencies, Report, Row, Target, fresh_task, numbered_repo, template};
use optio_core::{
    Clock, NewTask, Optio, SystemClock, Timestamp,
    agent::Agent,
    engine::{Limits, Ports, Settings, Ticked},
    id::TaskId,
    memory::{FakeGit, MemoryAgent, MemoryBus, MemoryForge, MemoryQueue, MemoryRuntime},
    queue::{Claim, Job, Queue, QueueLimits, Waiting},
    repo::RepoSettings,
    run::WorkerId,
    store::{RunQuery, Store},
};
use optio_local::SqliteStore;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

const LEASE: Duration = Duration::from_secs(600);
const SLOTS: u32 = 50;

#[tokio::main]
async fn main() -> Result<()> {
    let mut report = Report::begin("slots", "milliseconds from a freed slot to the next claim")?;
    let mut limit = wake_ups(5_000).await;
    let mut queue = queue_alone(5_000).await?;
    let (mut engine, rate) = Engine::start().await?.drained().await?;
    let (p50, p99) = (limit.percentile(0.5), limit.percentile(0.99));
    let rows = [
        ("queue alone, p50", queue.percentile(0.5), p50, 2.0),
        ("queue alone, p99", queue.percentile(0.99), p99, 20.0),
        (
            "engine on SQLite, 50 slots, p50",
            engine.percentile(0.5),
            p50,
            2.0,
        ),
        (
            "engine on SQLite, 50 slots, p99",
            engine.percentile(0.99),
            p99,
            20.0,
        ),
    ];
    for (what, ours, limit, target) in rows {
        report.row(
            Row::millis(what, ours)
                .against("wake-up of a tokio task", limit)
                .target(Target::Value(target)),
        );
    }
    report.row(Row::rate(
        "engine on SQLite, 50 slots, whole runs",
        rate,
        "runs/s",
    ));
    report.end()
}

/// A task that waits for a `Notify` and answers: from the notice to its being at work.
async fn wake_ups(samples: usize) -> Latencies {
    let notify = Arc::new(Notify::new());
    let (answers, mut answered) = mpsc::channel(1);
    let sleeper = tokio::spawn({
        let notify = Arc::clone(&notify);
        async move {
            loop {
                notify.notified().await;
                if answers.send(Instant::now()).await.is_err() {
                    return;
                }
            }
        }
    });
    let mut latencies = Latencies::default();
    for _ in 0..samples {
        let before = Instant::now();
        notify.notify_one();
        if let Some(at) = answered.recv().await {
            latencies.add(at - before);
        }
    }
    sleeper.abort();
    latencies
}

/// All slots taken, ten thousand entries waiting, and one worker that waits for a slot.
async fn queue_alone(samples: usize) -> Result<Latencies> {
    let queue = Arc::new(MemoryQueue::new(Arc::new(SystemClock)));
    let template = template().await?;
    queue
        .set_limits(QueueLimits {
            global: SLOTS,
            per_repo: SLOTS,
            ..QueueLimits::default()
        })
        .await?;
    for _ in 0..10_000 {
        let task = fresh_task(&template.task);
        queue
            .push(Job {
                task: task.id,
                repo: task.repo,
                priority: task.priority,
                since: SystemClock.now(),
                not_before: None,
            })
            .await?;
    }
    let worker = WorkerId("bench".to_owned());
    let mut held = VecDeque::new();
    while let Some(claim) = queue.claim(&worker, LEASE).await? {
        held.push_back(claim);
    }
    let (claims, mut claimed) = mpsc::channel(1);
    let waiting = tokio::spawn({
        let (queue, worker) = (Arc::clone(&queue), worker.clone());
        async move {
            loop {
                queue.changed().await?;
                if let Some(claim) = queue.claim(&worker, LEASE).await?
                    && claims.send((claim, Instant::now())).await.is_err()
                {
                    return Ok::<(), optio_core::Error>(());
                }
            }
        }
    });
    let mut latencies = Latencies::default();
    for _ in 0..samples {
        let Some(claim) = held.pop_front() else {
            break;
        };
        let before = Instant::now();
        queue.complete(claim).await?;
        let Some((claim, at)) = claimed.recv().await else {
            break;
        };
        latencies.add(at - before);
        held.push_back(claim);
    }
    waiting.abort();
    Ok(latencies)
}

/// A whole engine whose agents have little to do, on a durable store.
struct Engine {
    optio: Optio,
    store: Arc<SqliteStore>,
    watched: WatchedQueue,
    _folder: Folder,
}

const REPOS: usize = 10;
const TASKS: usize = 1_000;

impl Engine {
    async fn start() -> Result<Self> {
        let folder = Folder::new()?;
        let store = Arc::new(SqliteStore::open(folder.join("optio.db")).await?);
        let git = FakeGit::new();
        let watched = WatchedQueue::default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let agent: Arc<dyn Agent> = Arc::new(MemoryAgent::new());
        let ports = Ports {
            store: Arc::<SqliteStore>::clone(&store),
            queue: Arc::new(watched.clone()),
            runtime: Arc::new(MemoryRuntime::new(git.clone())),
            agents: [("memory".to_owned(), agent)].into(),
            forges: vec![Arc::new(MemoryForge::new(git.clone(), Arc::clone(&clock)))],
            tickets: Vec::new(),
            bus: Arc::new(MemoryBus::new()),
            webhooks: None,
            clock,
        };
        let mut settings = Settings::new(WorkerId("bench".to_owned()));
        settings.limits = Limits::default().with_global(SLOTS);
        let optio = Optio::new(ports, settings);
        let template = template().await?;
        let settings = RepoSettings {
            max_concurrent_tasks: SLOTS,
            max_pod_instances: 10,
            max_agents_per_pod: 10,
            ..RepoSettings::default()
        };
        for n in 0..REPOS {
            let url = numbered_repo(&template.repo, n)?.url;
            git.add_remote(&url, "main", &[("README.md", "# The shop\n")]);
            let repo = optio.add_repo(url, settings.clone()).await?;
            for _ in 0..TASKS / REPOS {
                let wish = NewTask::new(repo.id, "Fix the flaky login test");
                optio.submit(wish).await?;
            }
        }
        while optio.tick_relay().await? == Ticked::Worked {}
        Ok(Self {
            optio,
            store,
            watched,
            _folder: folder,
        })
    }

    /// Works until every task had its run: how long slots were free, and how many runs there were per second.
    async fn drained(self) -> Result<(Latencies, f64)> {
        let shutdown = CancellationToken::new();
        let workers = tokio::spawn({
            let (optio, shutdown) = (self.optio.clone(), shutdown.clone());
            async move { optio.run(shutdown).await }
        });
        let start = Instant::now();
        self.watched.completed(TASKS).await?;
        #[expect(clippy::cast_precision_loss, reason = "a thousand")]
        let rate = TASKS as f64 / start.elapsed().as_secs_f64();
        shutdown.cancel();
        workers.await??;
        let runs = self.store.runs(&RunQuery::default()).await?;
        let odd = runs.iter().find(|run| {
            run.outcome()
                .is_none_or(|outcome| outcome.name() != "pushed")
        });
        if let Some(run) = odd {
            bail!(
                "an agent failed, so the numbers mean nothing: {:?}",
                run.phase
            );
        }
        self.store.close().await;
        Ok((self.watched.latencies(), rate))
    }
}

/// A queue that notes when slots are given back and when they are taken again: the oldest free slot is taken first.
#[derive(Debug, Clone)]
struct WatchedQueue {
    queue: Arc<MemoryQueue>,
    seen: Arc<Mutex<Seen>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Seen {
    free: VecDeque<Instant>,
    taken: Vec<Duration>,
    completed: usize,
}

impl Default for WatchedQueue {
    fn default() -> Self {
        Self {
            queue: Arc::new(MemoryQueue::new(Arc::new(SystemClock))),
            seen: Arc::default(),
            changed: Arc::default(),
        }
    }
}

impl WatchedQueue {
    fn see<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until so many claims were completed and nothing waits or is claimed.
    async fn completed(&self, tasks: usize) -> Result<()> {
        loop {
            self.changed.notified().await;
            if self.see(|seen| seen.completed) >= tasks
                && self.queue.waiting().await?.is_empty()
                && self.queue.claimed().await?.is_empty()
            {
                return Ok(());
            }
        }
    }

    fn latencies(&self) -> Latencies {
        let mut latencies = Latencies::default();
        latencies.extend(self.see(|seen| std::mem::take(&mut seen.taken)));
        latencies
    }
}

#[async_trait]
impl Queue for WatchedQueue {
    async fn push(&self, job: Job) -> optio_core::Result<()> {
        self.queue.push(job).await
    }

    async fn claim(&self, worker: &WorkerId, lease: Duration) -> optio_core::Result<Option<Claim>> {
        let claim = self.queue.claim(worker, lease).await?;
        if claim.is_some() {
            self.see(|seen| {
                let freed = seen.free.pop_front();
                seen.taken.extend(freed.map(|at| at.elapsed()));
            });
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
        self.see(|seen| {
            seen.free.push_back(Instant::now());
            seen.completed += 1;
        });
        let completed = self.queue.complete(claim).await;
        self.changed.notify_one();
        completed
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
}
