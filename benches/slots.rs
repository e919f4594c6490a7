//! How long is a freed slot empty before the next task has it?
//!
//! Once at the queue alone, with one worker that waits; once in a whole engine at work on SQLite, from the moment that a
//! run gives its slot back to the moment that the worker holds the next claim. The limit is the wake-up of a waiting tokio
//! task, measured the same way.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use anyhow::Result;
use optio_benches::{
    Backends, Fleet, Folder, Latencies, Report, Row, Size, Target, Worked, fresh_task, template,
};
use optio_core::{
    Clock, SystemClock,
    memory::{MemoryBus, MemoryQueue},
    queue::{Job, Queue, QueueLimits},
    run::WorkerId,
};
use optio_local::SqliteStore;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

const LEASE: Duration = Duration::from_secs(600);
const SLOTS: u32 = 50;

#[tokio::main]
async fn main() -> Result<()> {
    let mut report = Report::begin("slots", "milliseconds from a freed slot to the next claim")?;
    let mut limit = wake_ups(5_000).await;
    let mut queue = queue_alone(5_000).await?;
    let folder = Folder::new()?;
    let store = Arc::new(SqliteStore::open(folder.join("optio.db")).await?);
    let backends = Backends {
        store: Arc::<SqliteStore>::clone(&store),
        queue: Arc::new(MemoryQueue::new(Arc::new(SystemClock))),
        bus: Arc::new(MemoryBus::new()),
    };
    let size = Size {
        slots: SLOTS,
        repos: 10,
        tasks: 1_000,
    };
    let fleet = Fleet::start(vec![backends], size).await?;
    let Worked {
        claimed: mut engine,
        rate,
        ..
    } = fleet.work().await?;
    store.close().await;
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
