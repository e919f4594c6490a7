//! How many no-op tasks per second live their whole life, each step of it durable?
//!
//! A life is five commits: created, queued, provisioning, running, completed; each writes the task and a line of its
//! history. Ours goes through the store's port. The peer has the writes of the reference shape (`postgres.rs`): an UPDATE, an
//! INSERT and two publishes, each awaited by itself. The limit is a plain row committed at the same durability, alone.

use std::{fs::File, io::Write as _, path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use optio_benches::{
    Folder, Follows, Report, Row, Target, Template, completed, drained_by, fresh_task, median,
    template, transition,
};
use optio_core::{
    Clock, SystemClock,
    clock::later,
    event_bus::{EventBus, Hint},
    memory::{MemoryBus, MemoryStore},
    store::{Commit, Store, Write},
};
use optio_local::SqliteStore;
use sqlx::{
    ConnectOptions as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Commits in a life.
const STEPS: f64 = 5.0;
const REPEATS: usize = 3;
/// How many at once, and how many tasks are enough to measure that.
const SIZES: [(usize, usize); 4] = [(1, 200), (10, 2_000), (100, 6_000), (500, 10_000)];

#[tokio::main]
async fn main() -> Result<()> {
    let mut report = Report::begin(
        "lifecycle",
        "no-op tasks per second from created to completed, five durable commits each",
    )?;
    let template = template().await?;
    let mut memory = Vec::new();
    for _ in 0..REPEATS {
        memory.push(lives(Arc::new(MemoryStore::new()), &template, 100, 20_000).await?);
    }
    report.row(Row::rate(
        "in memory, 100 in flight",
        median(memory),
        "tasks/s",
    ));

    let (mut plain, mut reference, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
    let mut ours: Vec<(usize, Vec<f64>)> = Vec::new();
    let mut delivered = Vec::new();
    for _ in 0..REPEATS {
        // in turns, so that what else the machine does meets all of them
        let folder = Folder::new()?;
        for (place, (in_flight, tasks)) in SIZES.into_iter().enumerate() {
            let store = SqliteStore::open(folder.join(format!("{in_flight}.db"))).await?;
            let store = Arc::new(store);
            let rate = lives(
                Arc::<SqliteStore>::clone(&store),
                &template,
                in_flight,
                tasks,
            )
            .await?;
            store.close().await;
            if ours.len() == place {
                ours.push((in_flight, Vec::new()));
            }
            ours[place].1.push(rate);
        }
        let store = Arc::new(SqliteStore::open(folder.join("delivered.db")).await?);
        delivered.push(delivered_lives(&store, &template, 100, 3_000).await?);
        store.close().await;
        reference.push(reference_lives(&folder.join("reference.db"), &template, 100, 600).await?);
        plain.push(commits(&folder.join("plain.db"), 1_000).await? / STEPS);
        syncs.push(sync_rate(&folder.join("sync"))?);
    }
    let (reference, plain) = (median(reference), median(plain));
    for (in_flight, rates) in ours {
        let row = Row::rate(
            format!("SQLite, {in_flight} in flight"),
            median(rates),
            "tasks/s",
        );
        report.row(match in_flight {
            1 => row.against("at one plain commit for each step", plain),
            10 => row.against("writes of the reference shape", reference),
            _ => row
                .against("writes of the reference shape", reference)
                .target(Target::Value(5_000.0)),
        });
    }
    report.row(
        Row::rate(
            "SQLite, 100 in flight, outbox delivered",
            median(delivered),
            "tasks/s",
        )
        .against("writes of the reference shape", reference),
    );
    // stored with the others: where the disk was busy, so were they
    report.row(Row::rate(
        "the disk alone, 4 KiB each",
        median(syncs),
        "syncs/s",
    ));
    report.remark("durability is FULL everywhere");
    report.end()
}

/// Ours: the task and its history in each commit.
async fn lives(
    store: Arc<dyn Store>,
    template: &Template,
    in_flight: usize,
    tasks: usize,
) -> Result<f64> {
    let template = Arc::new(template.clone());
    drained_by(in_flight, tasks, move |_| {
        let (store, template) = (Arc::clone(&store), Arc::clone(&template));
        async move { live(&*store, &template, Follows::Nothing).await }
    })
    .await
}

async fn live(store: &dyn Store, template: &Template, follows: Follows) -> Result<()> {
    let mut task = fresh_task(&template.task);
    store
        .commit(transition(&mut task, &template.audit, follows))
        .await?;
    for event in completed() {
        task.apply(event, SystemClock.now())?;
        store
            .commit(transition(&mut task, &template.audit, follows))
            .await?;
    }
    Ok(())
}

/// Ours with all that the engine does: every change leaves two messages, and a relay delivers them.
async fn delivered_lives(
    store: &Arc<SqliteStore>,
    template: &Template,
    in_flight: usize,
    tasks: usize,
) -> Result<f64> {
    let written = CancellationToken::new();
    let relay = tokio::spawn(relay(Arc::clone(store), written.clone()));
    let start = Instant::now();
    let (shared, template) = (Arc::clone(store), Arc::new(template.clone()));
    drained_by(in_flight, tasks, move |_| {
        let (store, template) = (Arc::clone(&shared), Arc::clone(&template));
        async move { live(&*store, &template, Follows::Deliveries).await }
    })
    .await?;
    written.cancel();
    relay.await??;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let tasks = tasks as f64;
    Ok(tasks / start.elapsed().as_secs_f64())
}

/// Delivers as the engine's relay does, until nothing is left.
async fn relay(store: Arc<SqliteStore>, written: CancellationToken) -> Result<()> {
    let bus = MemoryBus::new();
    loop {
        let last = written.is_cancelled();
        let now = SystemClock.now();
        let until = later(now, Duration::from_secs(60));
        let entries = store.claim_outbox(now, until, 100).await?;
        if entries.is_empty() {
            if last {
                return Ok(());
            }
            tokio::task::yield_now().await;
            continue;
        }
        let mut done = Commit::new();
        for entry in entries {
            bus.publish(Hint::Outbox).await?;
            done = done.with(Write::Delivered(entry.id));
        }
        store.commit(done).await?;
    }
}

/// The writes of the reference shape: each statement a transaction of its own, each publish awaited.
async fn reference_lives(
    path: &Path,
    template: &Template,
    in_flight: usize,
    tasks: usize,
) -> Result<f64> {
    let pool = open(path).await?;
    sqlx::query("CREATE TABLE tasks (id BLOB PRIMARY KEY, state TEXT, body TEXT)")
        .execute(&pool)
        .await?;
    sqlx::query("CREATE TABLE events (n INTEGER PRIMARY KEY, task BLOB, body TEXT)")
        .execute(&pool)
        .await?;
    let bus = Arc::new(MemoryBus::new());
    let template = Arc::new(template.clone());
    let rate = drained_by(in_flight, tasks, move |_| {
        let (pool, bus, template) = (pool.clone(), Arc::clone(&bus), Arc::clone(&template));
        async move {
            let mut task = fresh_task(&template.task);
            let id = task.id.as_uuid().as_bytes().to_vec();
            sqlx::query("INSERT INTO tasks VALUES (?, ?, ?)")
                .bind(&id)
                .bind(task.state.name().as_str())
                .bind(serde_json::to_string(&task)?)
                .execute(&pool)
                .await?;
            for event in completed() {
                task.apply(event.clone(), SystemClock.now())?;
                sqlx::query("UPDATE tasks SET state = ?, body = ? WHERE id = ?")
                    .bind(task.state.name().as_str())
                    .bind(serde_json::to_string(&task)?)
                    .bind(&id)
                    .execute(&pool)
                    .await?;
                sqlx::query("INSERT INTO events (task, body) VALUES (?, ?)")
                    .bind(&id)
                    .bind(serde_json::to_string(&event)?)
                    .execute(&pool)
                    .await?;
                for _ in 0..2 {
                    bus.publish(Hint::Task { task: task.id }).await?;
                }
            }
            Ok(())
        }
    })
    .await?;
    Ok(rate)
}

/// How many plain one-row transactions per second a database takes from one writer.
async fn commits(path: &Path, count: usize) -> Result<f64> {
    let pool = open(path).await?;
    sqlx::query("CREATE TABLE t (n INTEGER PRIMARY KEY, body TEXT)")
        .execute(&pool)
        .await?;
    let body = "x".repeat(200);
    let insert = async || {
        let insert = sqlx::query("INSERT INTO t (body) VALUES (?)").bind(&body);
        insert.execute(&pool).await.map(drop)
    };
    insert().await?;
    let start = Instant::now();
    for _ in 0..count {
        insert().await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let rate = count as f64 / start.elapsed().as_secs_f64();
    pool.close().await;
    Ok(rate)
}

async fn open(path: &Path) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(300));
    Ok(pool.connect_with(options).await?)
}

/// How often per second 4 KiB reach the disk.
fn sync_rate(path: &Path) -> Result<f64> {
    let mut file = File::create(path)?;
    let page = [7_u8; 4096];
    let start = Instant::now();
    for _ in 0..500 {
        file.write_all(&page)?;
        file.sync_data()?;
    }
    Ok(500.0 / start.elapsed().as_secs_f64())
}
