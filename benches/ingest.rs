//! How many megabytes per second of agents' output become committed rows in PostgreSQL?
//!
//! Real engines follow runs whose output is already there: one alone, and ten at once. The peers write the same lines to
//! the same server: the reference shape, as such systems are mostly written (an INSERT for each line and two publishes,
//! each awaited), an INSERT for each line alone, and COPY of all of them, which is the server's limit.

use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use optio_benches::{
    Better, Postgres, Redis, Report, Row, Syncs, Target, followed, lines, median,
    megabytes_per_second, resident_mib, spool,
};
use optio_core::{
    SystemClock,
    event_bus::{EventBus, Hint},
    id::TaskId,
};
use optio_queue_redis::RedisEventBus;
use optio_store_postgres::PostgresStore;
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

const MEGABYTES: usize = 50;
const REPEATS: usize = 3;
/// Runs that write at the same time, each its share of the output.
const RUNS: u32 = 10;
/// So much of the output is enough to measure who writes line by line.
const FEW: usize = 3_000;

#[tokio::main]
async fn main() -> Result<()> {
    let mut report = Report::begin(
        "ingest",
        "megabytes per second of agents' output committed to PostgreSQL",
    )?;
    let (postgres, redis) = (Postgres::start(Syncs::Disk)?, Redis::start()?);
    postgres.warm_up().await?;
    let mut peer = Peer::new(&postgres, RedisEventBus::new(&redis.connect().await?)).await?;
    let whole = Bytes::from(spool(MEGABYTES * 1_000_000)?);
    let share = Bytes::from(spool(MEGABYTES * 1_000_000 / RUNS as usize)?);
    let (mut one, mut many, mut copied) = (Vec::new(), Vec::new(), Vec::new());
    let (mut by_line, mut reference) = (Vec::new(), Vec::new());
    let before = resident_mib(None)?;
    let mut grown: f64 = 0.0;
    for _ in 0..REPEATS {
        // in turns, so that what else the machine does meets all of them
        one.push(ours(&postgres, &whole, 1).await?);
        many.push(ours(&postgres, &share, RUNS).await?);
        grown = grown.max(resident_mib(None)? - before);
        copied.push(peer.copy(&whole).await?);
        by_line.push(peer.lines(&whole, Tells::Nobody).await?);
        reference.push(peer.lines(&whole, Tells::Everybody).await?);
    }
    let (one, many, reference) = (median(one), median(many), median(reference));
    report.row(
        Row::rate("one run", one, "MB/s")
            .against("reference shape", reference)
            .target(Target::Value(100.0)),
    );
    report.row(
        Row::rate("ten runs at once", many, "MB/s")
            .against("reference shape", reference)
            .target(Target::Value(100.0)),
    );
    report.row(
        Row::rate("the same, beside rows one by one", many, "MB/s")
            .against("an INSERT for each line", median(by_line)),
    );
    report.row(
        Row::rate("the same, beside the server's limit", many, "MB/s")
            .against("COPY", median(copied)),
    );
    report.row(Row::new(
        "memory that the process grew by",
        grown,
        "MiB",
        Better::Less,
    ));
    report.remark(format!(
        "{MEGABYTES} MB in each measurement; the peers that write line by line write {FEW} lines"
    ));
    report.end()
}

/// So many runs side by side, in a database of their own.
async fn ours(postgres: &Postgres, spool: &Bytes, runs: u32) -> Result<f64> {
    let store = Arc::new(postgres.fresh_store().await?);
    let rate = followed(Arc::<PostgresStore>::clone(&store), spool, runs)
        .await?
        .rate;
    store.close().await;
    Ok(rate)
}

/// Whether whoever watches is told of each line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tells {
    Nobody,
    Everybody,
}

/// How others do it.
struct Peer {
    connection: PgConnection,
    bus: RedisEventBus,
    task: TaskId,
}

impl Peer {
    async fn new(postgres: &Postgres, bus: RedisEventBus) -> Result<Self> {
        let mut connection = PgConnection::connect(&postgres.url()).await?;
        let tables = "CREATE SCHEMA peer; \
             CREATE TABLE peer.logs (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, task uuid NOT NULL, \
               at timestamptz NOT NULL DEFAULT now(), body text NOT NULL); \
             CREATE INDEX ON peer.logs (task, n)";
        sqlx::raw_sql(tables).execute(&mut connection).await?;
        let task = TaskId::generate(&SystemClock);
        Ok(Self {
            connection,
            bus,
            task,
        })
    }

    async fn copy(&mut self, spool: &[u8]) -> Result<f64> {
        // the text format of COPY escapes backslashes; that is not the server's work, so it is done before
        let mut rows = Vec::with_capacity(spool.len() * 2);
        for line in lines(spool) {
            rows.extend_from_slice(self.task.as_uuid().to_string().as_bytes());
            rows.push(b'\t');
            for byte in line {
                if *byte == b'\\' {
                    rows.push(b'\\');
                }
                rows.push(*byte);
            }
            rows.push(b'\n');
        }
        let start = Instant::now();
        let copy = "COPY peer.logs (task, body) FROM STDIN";
        let mut copy = self.connection.copy_in_raw(copy).await?;
        copy.send(rows).await?;
        copy.finish().await?;
        Ok(megabytes_per_second(spool.len(), start.elapsed()))
    }

    async fn lines(&mut self, spool: &[u8], tells: Tells) -> Result<f64> {
        let start = Instant::now();
        let mut bytes = 0;
        for line in lines(spool).take(FEW) {
            let line = std::str::from_utf8(line).context("a line is no text")?;
            sqlx::query("INSERT INTO peer.logs (task, body) VALUES ($1, $2)")
                .bind(self.task.as_uuid())
                .bind(line)
                .execute(&mut self.connection)
                .await?;
            if tells == Tells::Everybody {
                for _ in 0..2 {
                    self.bus.publish(Hint::Log { task: self.task }).await?;
                }
            }
            bytes += line.len();
        }
        Ok(megabytes_per_second(bytes, start.elapsed()))
    }
}
