//! How fast does the queue on Redis hand out tasks, and does it cost more, the more of them wait?
//!
//! Tasks of 200 repositories wait; the limit of each repository and the limit of all are checked at every claim. Workers
//! in flight take a task, do nothing, and pass their slot on. The peers do nothing with their jobs either and have no
//! limits to check: BullMQ on the same Redis, and graphile-worker on a PostgreSQL whose commits wait for no disk. The limit
//! is `redis-benchmark` setting keys.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use optio_benches::{
    Latencies, NodePeer, Postgres, Redis, Report, Row, Syncs, Target, drained_by, jobs, median,
    redis_benchmark, repo_ids,
};
use optio_core::{
    SystemClock,
    id::TaskId,
    queue::{Job, Queue, QueueLimits},
    run::WorkerId,
};
use optio_queue_redis::RedisQueue;
use tokio::{task::JoinSet, time::Instant};

const REPOS: usize = 200;
const LEASE: Duration = Duration::from_secs(600);
const REPEATS: usize = 3;
/// Workers in flight, and how many tasks are enough to measure that.
const SIZES: [(usize, usize); 3] = [(1, 10_000), (10, 30_000), (100, 60_000)];

#[tokio::main]
async fn main() -> Result<()> {
    let mut report = Report::begin(
        "dispatch",
        "tasks per second through the queue on Redis, and what a claim costs",
    )?;
    let server = Redis::start()?;
    let mut measured = Measured::default();
    let peers = NodePeer::install();
    if let Err(error) = &peers {
        report.remark(format!(
            "BullMQ and graphile-worker are left out: {error:#}"
        ));
    }
    let peers = peers.ok();
    let postgres = match &peers {
        Some(_) => Some(Postgres::start(Syncs::Off)?),
        None => None,
    };
    for _ in 0..REPEATS {
        // in turns, so that what else the machine does meets all of them
        for (workers, tasks) in SIZES {
            let rate = drained(&fresh(&server, 1_000, 5).await?, workers, tasks).await?;
            measured.add(format!("drained {workers}"), rate);
        }
        let queue = fresh(&server, 1_000, 5).await?;
        measured.add("enqueued 1", enqueued(&queue, 1, 5_000).await?);
        measured.add("enqueued 100", enqueued(&queue, 100, 30_000).await?);
        measured.add("enqueued bulk", enqueued_at_once(&queue, 60_000).await?);
        if let Some(peers) = &peers {
            measured.add_all("bullmq", peers.measure("bullmq.mjs", &[server.url()])?);
        }
        if let (Some(peers), Some(postgres)) = (&peers, &postgres) {
            measured.add_all(
                "graphile",
                peers.measure("graphile.mjs", &[postgres.url()])?,
            );
        }
        if let Some(limit) = redis_benchmark(&server, 100, &["SET", "k__rand_int__", "value"])? {
            measured.add("redis-benchmark", limit);
        }
    }
    drop(postgres);
    throughput(&mut report, &measured);
    for count in [10_000, 100_000] {
        let mut cost = with_waiting(&server, count).await?;
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let what = format!("claim, {count} waiting, {name}");
            report.row(Row::millis(what, cost.claims.percentile(share)));
        }
        let what = format!("the place of one of {count}, with the reason why");
        report.row(Row::millis(what, cost.positions.percentile(0.5)));
        let what = format!("all of {count} compared with the store's");
        report.row(Row::millis(what, cost.compared));
        let what = format!("all of {count} listed with the reasons why");
        report.row(Row::millis(what, cost.listed));
    }
    report.end()
}

fn throughput(report: &mut Report, measured: &Measured) {
    let limit = measured.median("redis-benchmark");
    for (workers, _) in SIZES {
        let Some(ours) = measured.median(&format!("drained {workers}")) else {
            continue;
        };
        let what = format!("claimed and completed, {workers} in flight");
        let row = Row::rate(what, ours, "tasks/s");
        let peer = measured.median(&format!("bullmq drained_{workers}"));
        report.row(match peer {
            Some(peer) if workers == 100 => {
                row.against("BullMQ 5", peer).target(Target::Ratio(1.0))
            }
            Some(peer) => row.against("BullMQ 5", peer),
            None => row,
        });
        if workers == 100 {
            for (name, peer) in [
                ("graphile-worker", "graphile drained_100"),
                ("graphile-worker, local queue", "graphile drained_100_local"),
            ] {
                if let Some(peer) = measured.median(peer) {
                    let what = format!("the same, beside {name}");
                    report.row(Row::rate(what, ours, "tasks/s").against(name, peer));
                }
            }
            if let Some(limit) = limit {
                let what = "the same, beside the server's limit";
                report.row(Row::rate(what, ours, "tasks/s").against("SET", limit));
            }
        }
    }
    for (what, ours, peer, target) in [
        (
            "enqueued, 1 in flight",
            "enqueued 1",
            "bullmq enqueued_1",
            None,
        ),
        (
            "enqueued, 100 in flight",
            "enqueued 100",
            "bullmq enqueued_100",
            Some(15_000.0),
        ),
        (
            "enqueued in bulk",
            "enqueued bulk",
            "bullmq enqueued_bulk",
            Some(60_000.0),
        ),
    ] {
        let Some(ours) = measured.median(ours) else {
            continue;
        };
        let mut row = Row::rate(what, ours, "tasks/s");
        if let Some(peer) = measured.median(peer) {
            row = row.against("BullMQ 5", peer);
        }
        if let Some(target) = target {
            row = row.target(Target::Value(target));
        }
        report.row(row);
    }
}

/// Rates by name, one for each repetition.
#[derive(Debug, Default)]
struct Measured(BTreeMap<String, Vec<f64>>);

impl Measured {
    fn add(&mut self, name: impl Into<String>, rate: f64) {
        self.0.entry(name.into()).or_default().push(rate);
    }

    fn add_all(&mut self, of: &str, rates: BTreeMap<String, f64>) {
        for (name, rate) in rates {
            self.add(format!("{of} {name}"), rate);
        }
    }

    fn median(&self, name: &str) -> Option<f64> {
        self.0.get(name).cloned().map(median)
    }
}

/// A queue with nothing in it.
async fn fresh(server: &Redis, global: u32, per_repo: u32) -> Result<Arc<RedisQueue>> {
    let queue = RedisQueue::new(&server.connect_apart().await?, Arc::new(SystemClock));
    queue
        .set_limits(QueueLimits {
            global,
            per_repo,
            ..QueueLimits::default()
        })
        .await?;
    Ok(Arc::new(queue))
}

async fn drained(queue: &Arc<RedisQueue>, workers: usize, tasks: usize) -> Result<f64> {
    queue.push_all(jobs(&repo_ids(REPOS), tasks).await?).await?;
    let done = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut fleet = JoinSet::new();
    for n in 0..workers {
        let (queue, done) = (Arc::clone(queue), Arc::clone(&done));
        fleet.spawn(async move {
            let worker = WorkerId(format!("worker-{n}"));
            let mut next = queue.claim(&worker, LEASE).await?;
            while let Some(claim) = next {
                next = queue.complete_and_claim(claim, LEASE).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), optio_core::Error>(())
        });
    }
    while let Some(ended) = fleet.join_next().await {
        ended??;
    }
    let took = start.elapsed();
    ensure!(
        done.load(Ordering::Relaxed) == tasks,
        "not all tasks were handed out"
    );
    Ok(per_second(tasks, took))
}

fn per_second(count: usize, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand")]
    let count = count as f64;
    count / took.as_secs_f64()
}

async fn enqueued(queue: &Arc<RedisQueue>, in_flight: usize, tasks: usize) -> Result<f64> {
    let jobs = Arc::new(jobs(&repo_ids(REPOS), tasks).await?);
    let queue = Arc::clone(queue);
    drained_by(in_flight, tasks, move |n| {
        let (queue, jobs) = (Arc::clone(&queue), Arc::clone(&jobs));
        async move { Ok(queue.push(jobs[n].clone()).await?) }
    })
    .await
}

async fn enqueued_at_once(queue: &RedisQueue, tasks: usize) -> Result<f64> {
    let jobs = jobs(&repo_ids(REPOS), tasks).await?;
    let start = Instant::now();
    queue.push_all(jobs).await?;
    Ok(per_second(tasks, start.elapsed()))
}

/// What is asked of a queue in which much waits. What has no distribution is in milliseconds.
struct Cost {
    claims: Latencies,
    positions: Latencies,
    listed: f64,
    compared: f64,
}

/// Claims with every slot but one taken; what ended is pushed again, so that as many wait all the time.
async fn with_waiting(server: &Redis, count: usize) -> Result<Cost> {
    let queue = fresh(server, 100, 2).await?;
    let entries: Vec<Job> = jobs(&repo_ids(REPOS), count).await?;
    let ids: Vec<TaskId> = entries.iter().map(|job| job.task).collect();
    queue.push_all(entries).await?;
    let worker = WorkerId("bench".to_owned());
    let mut held = VecDeque::new();
    while let Some(claim) = queue.claim(&worker, LEASE).await? {
        held.push_back(claim);
    }
    let mut claims = Latencies::default();
    for _ in 0..5_000 {
        let claim = held.pop_front().context("nothing is claimed")?;
        let job = claim.job().clone();
        queue.complete(claim).await?;
        queue.push(job).await?;
        let start = Instant::now();
        let claim = queue.claim(&worker, LEASE).await?;
        claims.add(start.elapsed());
        held.push_back(claim.context("a slot is free and nothing was claimed")?);
    }
    let mut positions = Latencies::default();
    for id in ids.iter().step_by(count / 500) {
        let start = Instant::now();
        queue.position(*id).await?;
        positions.add(start.elapsed());
    }
    let start = Instant::now();
    ensure!(
        queue.waiting().await?.len() + held.len() == count,
        "entries were lost"
    );
    let listed = start.elapsed();
    let start = Instant::now();
    for ids in ids.chunks(500) {
        ensure!(queue.missing(ids).await?.is_empty(), "entries were lost");
    }
    let compared = start.elapsed();
    Ok(Cost {
        claims,
        positions,
        listed: listed.as_secs_f64() * 1e3,
        compared: compared.as_secs_f64() * 1e3,
    })
}
