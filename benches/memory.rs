//! How much memory does an engine hold with ten thousand tasks queued and a hundred at work?
//!
//! Each setting is measured in a process of its own, which is this program started again. The peer is the same process
//! with an engine that has nothing to do. Agents and git are stand-ins in the same memory, so the truth is a little less.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use optio_benches::{
    Better, Folder, Postgres, Redis, Report, Row, Syncs, Target, numbered_repo, resident_mib,
    template,
};
use optio_core::{
    NewTask, Optio, SystemClock,
    engine::{Limits, Ticked},
    memory::{Behaviour, FakeGit, MemoryAgent, MemoryForge, MemoryRuntime, MemoryStore, Step},
    repo::RepoSettings,
};
use optio_local::SqliteStore;
use optio_queue_redis::{RedisEventBus, RedisOptions, RedisQueue};
use optio_store_postgres::{PostgresOptions, PostgresStore};
use tokio_util::sync::CancellationToken;

/// The argument with which this program starts itself, followed by the number of tasks, the store, and for a shared one the
/// addresses of its servers.
const CHILD: &str = "--child";
/// The store and the queue that replicas share.
const SHARED: &str = "shared";
const QUEUED: usize = 10_000;
const RUNNING: u32 = 100;
const REPOS: usize = 200;
const LIMIT_MIB: f64 = 60.0;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, child, tasks, store @ ..] = arguments.as_slice()
        && child == CHILD
    {
        return tokio::runtime::Runtime::new()?.block_on(hold(store, tasks.parse()?));
    }
    let mut report = Report::begin(
        "memory",
        "resident MiB of a process with 10,000 queued tasks, 100 at work",
    )?;
    for (store, name) in [
        ("memory", "store in memory"),
        ("sqlite", "SQLite"),
        (SHARED, "PostgreSQL and Redis"),
    ] {
        let (empty, full) = (measured(store, 0)?, measured(store, QUEUED)?);
        report.row(
            Row::new(name, full, "MiB", Better::Less)
                .against("with no task", empty)
                .target(Target::Value(LIMIT_MIB)),
        );
    }
    report.end()
}

/// Starts the child, waits for its word that it is ready, reads its size and ends it.
fn measured(store: &str, tasks: usize) -> Result<f64> {
    let servers = match store {
        SHARED => Some((Postgres::start(Syncs::Off)?, Redis::start()?)),
        _ => None,
    };
    let urls = servers
        .iter()
        .flat_map(|(postgres, redis)| [postgres.url(), redis.url()]);
    let mut child = Command::new(std::env::current_exe()?)
        .args([CHILD, &tasks.to_string(), store])
        .args(urls)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("the child has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let size = resident_mib(Some(child.id()));
    drop(child.stdin.take()); // its sign to end
    child.wait()?;
    if line.trim() != "ready" {
        bail!("the child did not come up with {tasks} tasks on the store {store}");
    }
    size
}

/// The child: an engine at work, until its input ends.
async fn hold(store: &[String], tasks: usize) -> Result<()> {
    let folder = Folder::new()?;
    let git = FakeGit::new();
    let runtime = MemoryRuntime::new(git.clone());
    runtime.behave(Behaviour::new(|_| vec![Step::say("on it"), Step::Hang]));
    let builder = Optio::builder()
        .runtime(runtime.clone())
        .agent(MemoryAgent::new())
        .forge(MemoryForge::new(git.clone(), Arc::new(SystemClock)))
        .limits(Limits::default().with_global(RUNNING));
    let store: Vec<&str> = store.iter().map(String::as_str).collect();
    let optio = match store.as_slice() {
        [_, postgres, redis] => {
            let redis = optio_queue_redis::Redis::connect(redis, RedisOptions::default()).await?;
            builder
                .store(PostgresStore::connect(postgres, PostgresOptions::default()).await?)
                .queue(RedisQueue::new(&redis, Arc::new(SystemClock)))
                .event_bus(RedisEventBus::new(&redis))
        }
        ["sqlite"] => builder.store(SqliteStore::open(folder.join("optio.db")).await?),
        _ => builder.store(MemoryStore::new()),
    }
    .build()?;
    let template = template().await?;
    let mut repos = Vec::new();
    for n in 0..REPOS {
        let url = numbered_repo(&template.repo, n)?.url;
        git.add_remote(&url, "main", &[("README.md", "# The shop\n")]);
        repos.push(optio.add_repo(url, RepoSettings::default()).await?.id);
    }
    for (n, repo) in (0..tasks).zip(repos.iter().cycle()) {
        let wish = NewTask::new(*repo, format!("Task {n}")).with_body(template.task.body.clone());
        optio.submit(wish).await?;
    }
    while optio.tick_relay().await? == Ticked::Worked {}
    let shutdown = CancellationToken::new();
    let workers = tokio::spawn({
        let (optio, shutdown) = (optio.clone(), shutdown.clone());
        async move { optio.run(shutdown).await }
    });
    let wanted = tasks.min(RUNNING as usize);
    // nothing tells how many agents are at work: asked until all are
    while runtime.processes().len() < wanted {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    say_ready();
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    shutdown.cancel();
    workers.await??;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the parent waits for this line")]
fn say_ready() {
    println!("ready");
}
