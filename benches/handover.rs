//! How long is a freed slot empty before the next task has it, on Redis and over replicas?
//!
//! Once at the queue alone: a worker passes its slot on, and a slot that one replica gives back is taken by another one
//! that waits. Once in whole engines on PostgreSQL and Redis, from the moment that a run gives up its slot to the next
//! claim, and to the moment that the next agent is started, whichever replica does it. The limit is a round trip to
//! Redis.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use optio_benches::{
    Backends, Better, Fleet, Latencies, Postgres, Redis, Report, Row, Size, Syncs, Target, Worked,
    jobs, repo_ids,
};
use optio_core::{
    SystemClock,
    queue::{Queue, QueueLimits},
    run::WorkerId,
};
use optio_queue_redis::{RedisEventBus, RedisQueue};
use optio_store_postgres::PostgresStore;
use tokio::{sync::mpsc, time::Instant};

const LEASE: Duration = Duration::from_secs(600);
const SLOTS: u32 = 50;
const SAMPLES: usize = 3_000;

#[tokio::main]
async fn main() -> Result<()> {
    let mut report = Report::begin(
        "handover",
        "milliseconds from a freed slot to its next task, on Redis and over replicas",
    )?;
    let redis = Redis::start()?;
    let (here, there) = (queue(&redis).await?, queue(&redis).await?);
    here.set_limits(QueueLimits {
        global: SLOTS,
        per_repo: SLOTS,
        ..QueueLimits::default()
    })
    .await?;
    here.push_all(jobs(&repo_ids(200), 20_000).await?).await?;
    let mut way = round_trips(&here).await?;
    let mut same = passed_on(&here).await?;
    let mut other = taken_elsewhere(&here, there).await?;
    let (p50, p99) = (way.percentile(0.5), way.percentile(0.99));
    for (what, ours, limit, target) in [
        (
            "queue alone, same replica, p50",
            same.percentile(0.5),
            p50,
            2.0,
        ),
        (
            "queue alone, same replica, p99",
            same.percentile(0.99),
            p99,
            20.0,
        ),
        (
            "queue alone, other replica, p50",
            other.percentile(0.5),
            p50,
            10.0,
        ),
        (
            "queue alone, other replica, p99",
            other.percentile(0.99),
            p99,
            50.0,
        ),
    ] {
        report.row(
            Row::millis(what, ours)
                .against("a round trip to Redis", limit)
                .target(Target::Value(target)),
        );
    }
    for replicas in [1, 3] {
        // a server each, so that nothing of the one is left for the other
        let (postgres, redis) = (Postgres::start(Syncs::Disk)?, Redis::start()?);
        let (mut worked, transactions) = engines(&postgres, &redis, replicas).await?;
        for (what, ours, target) in [
            ("freed to claimed, p50", worked.claimed.percentile(0.5), 2.0),
            (
                "freed to claimed, p99",
                worked.claimed.percentile(0.99),
                20.0,
            ),
            (
                "freed to agent started, p50",
                worked.started.percentile(0.5),
                50.0,
            ),
        ] {
            let what = format!("{replicas} engines, {SLOTS} slots, {what}");
            report.row(Row::millis(what, ours).target(Target::Value(target)));
        }
        let what = format!("{replicas} engines, {SLOTS} slots, whole runs");
        report.row(Row::rate(what, worked.rate, "runs/s"));
        let what = format!("{replicas} engines, {SLOTS} slots, reads and commits of a run");
        report.row(Row::new(what, transactions, "transactions", Better::Less));
    }
    report.end()
}

async fn queue(redis: &Redis) -> Result<Arc<RedisQueue>> {
    let queue = RedisQueue::new(&redis.connect().await?, Arc::new(SystemClock));
    Ok(Arc::new(queue))
}

/// The cheapest question that the queue can be asked.
async fn round_trips(queue: &RedisQueue) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    let nobody = jobs(&repo_ids(1), 1).await?[0].task;
    for _ in 0..SAMPLES {
        let start = Instant::now();
        queue.missing(&[nobody]).await?;
        latencies.add(start.elapsed());
    }
    Ok(latencies)
}

async fn passed_on(queue: &RedisQueue) -> Result<Latencies> {
    let worker = WorkerId("here".to_owned());
    let mut held = VecDeque::new();
    while let Some(claim) = queue.claim(&worker, LEASE).await? {
        held.push_back(claim);
    }
    let mut latencies = Latencies::default();
    for _ in 0..SAMPLES {
        let claim = held.pop_front().context("nothing is claimed")?;
        let start = Instant::now();
        let next = queue.complete_and_claim(claim, LEASE).await?;
        latencies.add(start.elapsed());
        held.push_back(next.context("nothing follows")?);
    }
    for claim in held {
        queue.release(claim, None).await?;
    }
    Ok(latencies)
}

/// One replica holds all slots and gives them back; another one waits for them.
async fn taken_elsewhere(here: &RedisQueue, there: Arc<RedisQueue>) -> Result<Latencies> {
    let mut held = VecDeque::new();
    let worker = WorkerId("here".to_owned());
    while let Some(claim) = here.claim(&worker, LEASE).await? {
        held.push_back(claim);
    }
    let (claims, mut claimed) = mpsc::channel(1);
    let waiting = tokio::spawn(async move {
        let worker = WorkerId("there".to_owned());
        loop {
            there.changed().await?;
            if let Some(claim) = there.claim(&worker, LEASE).await?
                && claims.send((claim, Instant::now())).await.is_err()
            {
                return Ok::<(), optio_core::Error>(());
            }
        }
    });
    let mut latencies = Latencies::default();
    for _ in 0..SAMPLES {
        let claim = held.pop_front().context("nothing is claimed")?;
        // so that it waits: it is asleep before the slot is given back, as it would be
        tokio::time::sleep(Duration::from_micros(200)).await;
        let start = Instant::now();
        here.complete(claim).await?;
        let (claim, at) = claimed.recv().await.context("the other one is gone")?;
        latencies.add(at.saturating_duration_since(start));
        held.push_back(claim);
    }
    waiting.abort();
    Ok(latencies)
}

/// What was seen of whole engines, and how many transactions the database has carried out for each run.
async fn engines(postgres: &Postgres, redis: &Redis, replicas: usize) -> Result<(Worked, f64)> {
    let mut backends = Vec::new();
    let mut stores: Vec<Arc<PostgresStore>> = Vec::new();
    for _ in 0..replicas {
        let connection = redis.connect().await?;
        let store = Arc::new(postgres.store().await?);
        backends.push(Backends {
            store: Arc::<PostgresStore>::clone(&store),
            queue: Arc::new(RedisQueue::new(&connection, Arc::new(SystemClock))),
            bus: Arc::new(RedisEventBus::new(&connection)),
        });
        stores.push(store);
    }
    let size = Size {
        slots: SLOTS,
        repos: 10,
        tasks: 1_000,
    };
    let fleet = Fleet::start(backends, size).await?;
    let before = postgres.transactions().await?;
    let worked = fleet.work().await?;
    for store in stores {
        store.close().await;
    }
    let since = postgres.transactions().await? - before;
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand")]
    let for_each = since as f64 / size.tasks as f64;
    Ok((worked, for_each))
}
