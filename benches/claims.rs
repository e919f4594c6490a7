//! Does a claim cost more, the more tasks wait?
//!
//! Tasks of 200 repositories wait, two of each may be at work, a hundred in all, so most repositories are full at any
//! time. Each claim is preceded by the end of an earlier one. The limit is a bare sorted set of the same size: take the
//! first, put another one in.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use optio_benches::{
    Better, Folder, Latencies, Report, Row, Target, fresh_task, jobs, median, numbered_repo,
    repo_ids, template,
};
use optio_core::{
    Clock, SystemClock,
    id::RepoId,
    memory::MemoryQueue,
    queue::{Job, Queue, QueueLimits},
    run::WorkerId,
    scheduling::{Rank, rank},
    store::{Commit, Store, TaskQuery, Write},
    task::{NextRun, StateName, TaskEvent},
};
use optio_local::SqliteStore;
use tokio::time::Instant;

const REPOS: usize = 200;
const SLOTS: u32 = 100;
const SAMPLES: usize = 5_000;
const REPEATS: usize = 3;
const LEASE: Duration = Duration::from_secs(600);

#[tokio::main]
async fn main() -> Result<()> {
    let mut report = Report::begin(
        "claims",
        "what a claim costs when many tasks of 200 repositories wait",
    )?;
    let repos = repo_ids(REPOS);
    let mut few = None;
    for count in [1_000, 10_000, 100_000] {
        let (mut p50, mut p99, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            let jobs = jobs(&repos, count).await?;
            bare.push(sorted_set(&jobs).percentile(0.5) * 1e3);
            let mut claims = claims(jobs).await?;
            p50.push(claims.percentile(0.5) * 1e3);
            p99.push(claims.percentile(0.99) * 1e3);
        }
        let (p50, p99) = (median(p50), median(p99));
        report.row(
            Row::new(format!("{count} waiting, p50"), p50, "µs", Better::Less)
                .against("bare sorted set", median(bare)),
        );
        let row = Row::new(format!("{count} waiting, p99"), p99, "µs", Better::Less);
        report.row(match few {
            None => row,
            Some(few) => row
                .against("with 1000 waiting", few)
                .target(Target::Ratio(3.0)),
        });
        few.get_or_insert(p99);
    }
    report.row(Row::millis(
        "10000 waiting, all of them with the reasons why",
        listing(&repos).await?,
    ));
    report.row(Row::millis(
        "10000 waiting, queue rebuilt from SQLite",
        rebuilt(10_000).await?,
    ));
    report.end()
}

async fn filled(jobs: Vec<Job>) -> Result<MemoryQueue> {
    let queue = MemoryQueue::new(Arc::new(SystemClock));
    queue
        .set_limits(QueueLimits {
            global: SLOTS,
            per_repo: 2,
            ..QueueLimits::default()
        })
        .await?;
    for job in jobs {
        queue.push(job).await?;
    }
    Ok(queue)
}

/// Claims with every slot but one taken; what ended is pushed again, so that as many wait all the time.
async fn claims(jobs: Vec<Job>) -> Result<Latencies> {
    let queue = filled(jobs).await?;
    let worker = WorkerId("bench".to_owned());
    let mut held = VecDeque::new();
    while let Some(claim) = queue.claim(&worker, LEASE).await? {
        held.push_back(claim);
    }
    let mut latencies = Latencies::default();
    for _ in 0..SAMPLES {
        let claim = held.pop_front().context("nothing is claimed")?;
        let job = claim.job().clone();
        queue.complete(claim).await?;
        queue.push(job).await?;
        let start = Instant::now();
        let claim = queue.claim(&worker, LEASE).await?;
        latencies.add(start.elapsed());
        held.push_back(claim.context("a slot is free and nothing was claimed")?);
    }
    Ok(latencies)
}

fn sorted_set(jobs: &[Job]) -> Latencies {
    let ranks = jobs
        .iter()
        .map(|job| rank(job.priority, job.since, job.task));
    let mut set: BTreeSet<Rank> = ranks.collect();
    let mut latencies = Latencies::default();
    for _ in 0..SAMPLES {
        let start = Instant::now();
        let first = set.pop_first();
        latencies.add(start.elapsed());
        set.extend(first.map(|rank| Rank {
            score: rank.score + 60_000,
            ..rank
        }));
    }
    latencies
}

async fn listing(repos: &[RepoId]) -> Result<f64> {
    let queue = filled(jobs(repos, 10_000).await?).await?;
    let mut samples = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        queue.waiting().await?;
        samples.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(samples))
}

/// What a restart does: every queued task is read and pushed.
async fn rebuilt(count: usize) -> Result<f64> {
    let folder = Folder::new()?;
    let store = SqliteStore::open(folder.join("optio.db")).await?;
    let template = template().await?;
    let mut commit = Commit::new();
    for n in 0..REPOS {
        commit = commit.with(Write::Repo(numbered_repo(&template.repo, n)?));
    }
    for _ in 0..count {
        let mut task = fresh_task(&template.task);
        let next = NextRun::first();
        task.apply(TaskEvent::Enqueued { next }, SystemClock.now())?;
        commit = commit.with(Write::Task(task));
    }
    store.commit(commit).await?;
    let mut samples = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        let queue = MemoryQueue::new(Arc::new(SystemClock));
        for task in store
            .tasks(&TaskQuery::in_states([StateName::Queued]))
            .await?
        {
            queue
                .push(Job {
                    task: task.id,
                    repo: task.repo,
                    priority: task.priority,
                    since: task.updated_at,
                    not_before: None,
                })
                .await?;
        }
        samples.push(start.elapsed().as_secs_f64() * 1e3);
    }
    store.close().await;
    Ok(median(samples))
}
