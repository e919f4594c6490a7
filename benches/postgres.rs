//! How many no-op tasks per second live their whole life on PostgreSQL and Redis, each step of it durable?
//!
//! A life is five commits (created, queued, provisioning, running, completed), each of a task and a line of its history;
//! between them the task is pushed, claimed and completed in the queue. Peers do the same five steps in the same run and on
//! the same servers. One has a transaction of its own for each step, as careful systems do. The other is the reference
//! shape, as such systems on Node are mostly written: each step reads the task, to see whether it may be taken, and is then
//! an UPDATE, an INSERT and two publishes, each awaited by itself; the queue is BullMQ. Its writes alone, without the reading
//! and the queue, are there on Node and in Rust, for what the shape costs whatever it runs on. All of them with many tasks at
//! a time, and the reference shape one by one too, as one worker does it. The limit is `pgbench -N`.
//!
//! All of it once where a commit waits for the disk, and once where it does not: there the ratios are those of the work.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use optio_benches::{
    Follows, NodePeer, Postgres, Redis, Report, Row, Syncs, Target, Template, completed,
    drained_by, fresh_task, median, pgbench, template, transition,
};
use optio_core::{
    Clock, SystemClock,
    event_bus::{EventBus, Hint},
    id::TaskId,
    queue::{Claim, Job, Queue, QueueLimits},
    run::WorkerId,
    store::Store,
    task::Task,
};
use optio_queue_redis::{RedisEventBus, RedisQueue};
use optio_store_postgres::PostgresStore;
use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgPoolOptions};

/// Commits in a life.
const STEPS: f64 = 5.0;
const REPEATS: usize = 3;
const LEASE: Duration = Duration::from_secs(600);
/// How many at once, and how many tasks are enough to measure that.
const SIZES: [(usize, usize); 4] = [(1, 200), (10, 2_000), (100, 12_000), (500, 25_000)];
/// The target of tasks per second was set where `pgbench -N` did 9,250 transactions per second: as a multiple of a fifth of
/// them it says the same on a machine whose disk or processors are others.
const OF_PGBENCH: f64 = 8_000.0 / (9_250.0 / STEPS);
/// How many clients the peers have: more make them slower on few processors.
const CLIENTS: u32 = 20;

const CAREFUL: &str = "transactions";
const REFERENCE: &str = "reference shape";
const REFERENCE_ONE_BY_ONE: &str = "reference shape, one by one";
const WRITES: &str = "its writes";
const WRITES_ONE_BY_ONE: &str = "its writes, one by one";
const WRITES_ON_NODE: &str = "its writes on Node";
const WRITES_ON_NODE_ONE_BY_ONE: &str = "its writes on Node, one by one";
const PGBENCH: &str = "pgbench -N / 5";

/// What the program on Node prints, and which peer that is.
const ON_NODE: [(&str, &str); 4] = [
    ("whole_together", REFERENCE),
    ("whole_one_by_one", REFERENCE_ONE_BY_ONE),
    ("writes_together", WRITES_ON_NODE),
    ("writes_one_by_one", WRITES_ON_NODE_ONE_BY_ONE),
];

/// How many times a peer we want to be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wanted {
    Nothing,
    Always(f64),
    /// Where a commit waits for the disk, which most of the peer's time goes to.
    OnDisk(f64),
}

/// What a hundred tasks in flight are held against, one after the other.
const BESIDE: [(&str, &str, Wanted); 7] = [
    (
        ", times one worker of the reference shape",
        REFERENCE_ONE_BY_ONE,
        Wanted::OnDisk(30.0),
    ),
    (
        ", times one worker of its writes alone",
        WRITES_ONE_BY_ONE,
        Wanted::Nothing,
    ),
    (
        ", times one worker of its writes alone on Node",
        WRITES_ON_NODE_ONE_BY_ONE,
        Wanted::Nothing,
    ),
    (", times its writes alone", WRITES, Wanted::Nothing),
    (
        ", times its writes alone on Node",
        WRITES_ON_NODE,
        Wanted::Nothing,
    ),
    (
        ", beside a transaction for each step",
        CAREFUL,
        Wanted::Always(2.5),
    ),
    (", beside pgbench", PGBENCH, Wanted::OnDisk(OF_PGBENCH)),
];

#[tokio::main]
async fn main() -> Result<()> {
    let mut report = Report::begin(
        "postgres",
        "no-op tasks per second from created to completed on PostgreSQL and Redis, five durable commits each",
    )?;
    for (syncs, name) in [
        (Syncs::Disk, "on disk"),
        (Syncs::Off, "no wait for the disk"),
    ] {
        measure(&mut report, syncs, name).await?;
    }
    report.remark(format!(
        "synchronous_commit is on everywhere; the peers and pgbench have {CLIENTS} clients, or as many as are in flight if those are fewer"
    ));
    report.end()
}

async fn measure(report: &mut Report, syncs: Syncs, name: &str) -> Result<()> {
    let template = template().await?;
    let (postgres, redis) = (Postgres::start(syncs)?, Redis::start()?);
    postgres.warm_up().await?;
    let bench = Bench {
        store: Arc::new(postgres.store().await?),
        queue: Arc::new(RedisQueue::new(
            &redis.connect().await?,
            Arc::new(SystemClock),
        )),
        tasks: Arc::default(),
        slots: Arc::default(),
        template: Arc::new(template),
    };
    let bus = RedisEventBus::new(&redis.connect().await?);
    let peer = Peer::new(&postgres, Arc::new(bus), Arc::clone(&bench.template)).await?;
    bench
        .queue
        .set_limits(QueueLimits {
            global: 10_000,
            per_repo: 10_000,
            ..QueueLimits::default()
        })
        .await?;
    let node = NodePeer::install();
    if let Err(error) = &node {
        report.remark(format!("the reference shape is left out: {error:#}"));
    }
    let mut ours: Vec<Vec<f64>> = vec![Vec::new(); SIZES.len()];
    let mut rates = Rates::default();
    for _ in 0..REPEATS {
        // in turns, so that what else the machine does meets all of them
        for (ours, (in_flight, tasks)) in ours.iter_mut().zip(SIZES) {
            ours.push(bench.lives(in_flight, tasks).await?);
        }
        rates.add(CAREFUL, peer.lives(CLIENTS, Shape::Careful, 1_500).await?);
        rates.add(WRITES, peer.lives(CLIENTS, Shape::Writes, 800).await?);
        let one_by_one = peer.lives(1, Shape::Writes, 300).await?;
        rates.add(WRITES_ONE_BY_ONE, one_by_one);
        if let Ok(node) = &node {
            let on_node = peer.on_node(node, &postgres, &redis)?;
            for (name, peer) in ON_NODE {
                if let Some(rate) = on_node.get(name) {
                    rates.add(peer, *rate);
                }
            }
        }
        if let Some(rate) = pgbench(&postgres, CLIENTS as usize)? {
            rates.add(PGBENCH, rate / STEPS);
        }
    }
    for (ours, (in_flight, _)) in ours.into_iter().zip(SIZES) {
        let ours = median(ours);
        let what = format!("{name}, {in_flight} in flight");
        let row = |beside: &str| Row::rate(format!("{what}{beside}"), ours, "tasks/s");
        let first = rates.beside(row(""), REFERENCE);
        if in_flight != 100 {
            report.row(first);
            continue;
        }
        report.row(first.target(Target::Value(8_000.0)));
        for (beside, peer, target) in BESIDE {
            let wanted = match target {
                Wanted::Nothing => None,
                Wanted::Always(times) => Some(Target::Ratio(times)),
                Wanted::OnDisk(times) => (syncs == Syncs::Disk).then_some(Target::Ratio(times)),
            };
            let row = rates.beside(row(beside), peer);
            report.row(match wanted {
                Some(target) => row.target(target),
                None => row,
            });
        }
    }
    bench.store.close().await;
    Ok(())
}

/// What the peers came to, each more than once.
#[derive(Debug, Default)]
struct Rates(HashMap<&'static str, Vec<f64>>);

impl Rates {
    fn add(&mut self, peer: &'static str, rate: f64) {
        self.0.entry(peer).or_default().push(rate);
    }

    /// The row with the peer beside it, if that is on this machine.
    fn beside(&self, row: Row, peer: &'static str) -> Row {
        match self.0.get(peer) {
            Some(rates) => row.against(peer, median(rates.clone())),
            None => row,
        }
    }
}

/// Ours.
#[derive(Debug, Clone)]
struct Bench {
    store: Arc<PostgresStore>,
    queue: Arc<RedisQueue>,
    /// Tasks that wait in the queue: who claims one goes on with it.
    tasks: Arc<Mutex<HashMap<TaskId, Task>>>,
    /// Slots whose task is done, to be passed on with the next claim as a worker does it.
    slots: Arc<Mutex<Vec<Claim>>>,
    template: Arc<Template>,
}

impl Bench {
    async fn lives(&self, in_flight: usize, tasks: usize) -> Result<f64> {
        let bench = self.clone();
        let rate = drained_by(in_flight, tasks, move |n| {
            let bench = bench.clone();
            async move { bench.live(n).await }
        })
        .await?;
        while let Some(claim) = self.slot() {
            self.queue.complete(claim).await?;
        }
        Ok(rate)
    }

    /// A task is made and queued, and one is claimed and seen through: this one or another's.
    async fn live(&self, n: usize) -> Result<()> {
        let [enqueued, placed, started, done] = completed();
        let mut task = fresh_task(&self.template.task);
        self.store(&mut task).await?;
        task.apply(enqueued, SystemClock.now())?;
        self.store(&mut task).await?;
        let (id, repo, priority) = (task.id, task.repo, task.priority);
        self.waiting(|tasks| tasks.insert(id, task));
        let since = SystemClock.now();
        let entry = Job {
            task: id,
            repo,
            priority,
            since,
            not_before: None,
        };
        self.queue.push(entry).await?;
        let worker = WorkerId(format!("worker-{n}"));
        let claim = match self.slot() {
            Some(done) => self.queue.complete_and_claim(done, LEASE).await?,
            None => self.queue.claim(&worker, LEASE).await?,
        };
        let claim = claim.context("as many tasks wait as are claimed")?;
        let mut task = self
            .waiting(|tasks| tasks.remove(&claim.job().task))
            .context("a task that nobody has made")?;
        for event in [placed, started, done] {
            task.apply(event, SystemClock.now())?;
            self.store(&mut task).await?;
        }
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(claim);
        Ok(())
    }

    fn slot(&self) -> Option<Claim> {
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    async fn store(&self, task: &mut Task) -> Result<()> {
        let commit = transition(task, &self.template.audit, Follows::Nothing);
        Ok(self.store.commit(commit).await?)
    }

    fn waiting<T>(&self, look: impl FnOnce(&mut HashMap<TaskId, Task>) -> T) -> T {
        look(&mut self.tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How others do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One transaction for each step.
    Careful,
    /// The writes of the reference shape: each statement by itself, and two publishes.
    Writes,
}

#[derive(Debug, Clone)]
struct Peer {
    pool: PgPool,
    bus: Arc<RedisEventBus>,
    template: Arc<Template>,
}

impl Peer {
    async fn new(
        postgres: &Postgres,
        bus: Arc<RedisEventBus>,
        template: Arc<Template>,
    ) -> Result<Self> {
        let mut connection = PgConnection::connect(&postgres.url()).await?;
        let tables = "CREATE SCHEMA peer; \
             CREATE TABLE peer.tasks (id uuid PRIMARY KEY, state text NOT NULL, body text NOT NULL); \
             CREATE INDEX ON peer.tasks (state, id); \
             CREATE TABLE peer.events (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, task uuid NOT NULL, body text NOT NULL); \
             CREATE INDEX ON peer.events (task, n)";
        sqlx::raw_sql(tables).execute(&mut connection).await?;
        connection.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(CLIENTS)
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_secs(300))
            .connect(&postgres.url())
            .await?;
        Ok(Self {
            pool,
            bus,
            template,
        })
    }

    async fn lives(&self, clients: u32, shape: Shape, tasks: usize) -> Result<f64> {
        let peer = self.clone();
        drained_by(clients as usize, tasks, move |_| {
            let peer = peer.clone();
            async move { peer.live(shape).await }
        })
        .await
    }

    /// Tasks per second of the reference shape on Node, by how it is asked for them.
    fn on_node(
        &self,
        node: &NodePeer,
        postgres: &Postgres,
        redis: &Redis,
    ) -> Result<BTreeMap<String, f64>> {
        let (task, line) = (&self.template.task, &self.template.audit);
        let arguments = [
            postgres.url(),
            redis.url(),
            serde_json::to_string(task)?,
            serde_json::to_string(line)?,
        ];
        node.measure("reference.mjs", &arguments)
    }

    async fn live(&self, shape: Shape) -> Result<()> {
        let mut task = fresh_task(&self.template.task);
        self.step(shape, &task, Step::First).await?;
        for event in completed() {
            task.apply(event, SystemClock.now())?;
            self.step(shape, &task, Step::Later).await?;
        }
        Ok(())
    }

    async fn step(&self, shape: Shape, task: &Task, step: Step) -> Result<()> {
        let write = match step {
            Step::First => "INSERT INTO peer.tasks (id, state, body) VALUES ($1, $2, $3)",
            Step::Later => "UPDATE peer.tasks SET state = $2, body = $3 WHERE id = $1",
        };
        let write = sqlx::query(write)
            .bind(task.id.as_uuid())
            .bind(task.state.name().as_str())
            .bind(serde_json::to_string(task)?);
        let line = sqlx::query("INSERT INTO peer.events (task, body) VALUES ($1, $2)")
            .bind(task.id.as_uuid())
            .bind(serde_json::to_string(&self.template.audit)?);
        match shape {
            Shape::Careful => {
                let mut transaction = self.pool.begin().await?;
                write.execute(&mut *transaction).await?;
                line.execute(&mut *transaction).await?;
                transaction.commit().await?;
            }
            Shape::Writes => {
                write.execute(&self.pool).await?;
                line.execute(&self.pool).await?;
                for _ in 0..2 {
                    self.bus.publish(Hint::Task { task: task.id }).await?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a task is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    First,
    Later,
}
