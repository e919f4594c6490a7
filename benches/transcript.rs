//! How many megabytes per second of an agent's output become stored log entries?
//!
//! A real engine follows a run whose output is already there: lines are split, masked, translated by the adapter of the
//! scripted agent, numbered, gathered, and committed with how far they reach. Only the runtime is a stand-in that gives out
//! bytes as fast as they are taken. The peers are reading the same lines with serde_json, typed and borrowed, and SQLite
//! taking the same rows in transactions of 256.

use std::sync::Arc;

use anyhow::{Result, ensure};
use bytes::Bytes;
use optio_agents::scripted::Scripted;
use optio_benches::{
    Folder, Report, Row, Target, followed, lines, median, megabytes, megabytes_per_second, spool,
};
use optio_core::{agent::Agent, memory::MemoryStore};
use optio_local::SqliteStore;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::{
    ConnectOptions as _, Connection as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::time::Instant;

const MEGABYTES: usize = 50;
const REPEATS: usize = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let mut report = Report::begin(
        "transcript",
        "megabytes per second from an agent's output to stored log entries",
    )?;
    let spool = Bytes::from(spool(MEGABYTES * 1_000_000)?);
    let (mut typed, mut adapter, mut inserted) = (Vec::new(), Vec::new(), Vec::new());
    let (mut memory, mut sqlite) = (Vec::new(), Vec::new());
    let (mut share, mut lines) = (0.0, 0);
    for _ in 0..REPEATS {
        typed.push(read_typed(&spool)?);
        adapter.push(read_by_adapter(&spool)?);
        let run = followed(Arc::new(MemoryStore::new()), &spool, 1).await?;
        (share, lines) = (run.stored / megabytes(spool.len()), run.entries);
        memory.push(run.rate);
        let folder = Folder::new()?;
        let store = Arc::new(SqliteStore::open(folder.join("optio.db")).await?);
        sqlite.push(
            followed(Arc::<SqliteStore>::clone(&store), &spool, 1)
                .await?
                .rate,
        );
        store.close().await;
        inserted.push(insert_rows(&folder, &spool).await?);
    }
    let (typed, inserted) = (median(typed), median(inserted));
    report.row(
        Row::rate("adapter alone", median(adapter), "MB/s")
            .against("typed serde_json, borrowed", typed)
            .target(Target::Ratio(0.6)),
    );
    report.row(
        Row::rate("bytes to entries in memory", median(memory), "MB/s")
            .against("typed serde_json, borrowed", typed)
            .target(Target::Value(100.0)),
    );
    report.row(
        Row::rate("bytes to rows in SQLite", median(sqlite), "MB/s")
            .against("SQLite alone, 256 lines each", inserted),
    );
    report.remark(format!(
        "{lines} entries; each byte of output becomes {share:.2} bytes of entries, for an entry holds its event and its line"
    ));
    report.end()
}

/// As much as a reader has to know of a line, with nothing copied and nothing unescaped.
#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

fn read_typed(spool: &[u8]) -> Result<f64> {
    let start = Instant::now();
    let mut seen = 0;
    for line in lines(spool) {
        let line: Typed<'_> = serde_json::from_slice(line)?;
        let payload = line.text.or(line.input).or(line.output);
        seen += line.kind.len() + payload.map_or(0, |raw| raw.get().len());
    }
    ensure!(std::hint::black_box(seen) > 0, "nothing was read");
    Ok(megabytes_per_second(spool.len(), start.elapsed()))
}

fn read_by_adapter(spool: &[u8]) -> Result<f64> {
    let agent = Scripted::default();
    let start = Instant::now();
    let mut seen = 0;
    for line in lines(spool) {
        seen += std::hint::black_box(agent.read_line(std::str::from_utf8(line)?)).len();
    }
    ensure!(seen > 0, "nothing was read");
    Ok(megabytes_per_second(spool.len(), start.elapsed()))
}

/// What SQLite takes when nothing else is done: the lines as they are.
async fn insert_rows(folder: &Folder, spool: &[u8]) -> Result<f64> {
    let mut database = SqliteConnectOptions::new()
        .filename(folder.join("rows.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
        .connect()
        .await?;
    sqlx::query("CREATE TABLE log (task BLOB, run INTEGER, seq INTEGER, body TEXT, PRIMARY KEY (task, run, seq)) WITHOUT ROWID")
        .execute(&mut database)
        .await?;
    let all: Vec<&str> = lines(spool)
        .map(std::str::from_utf8)
        .collect::<Result<_, _>>()?;
    let start = Instant::now();
    let mut seq = 0_i64;
    for rows in all.chunks(256) {
        let mut whole = database.begin().await?;
        for rows in rows.chunks(64) {
            let mut insert = sqlx::QueryBuilder::new("INSERT INTO log (task, run, seq, body) ");
            insert.push_values(rows, |mut row, line| {
                seq += 1;
                row.push_bind([7_u8; 16].as_slice())
                    .push_bind(1_i64)
                    .push_bind(seq)
                    .push_bind(*line);
            });
            insert.build().execute(&mut *whole).await?;
        }
        whole.commit().await?;
    }
    let took = start.elapsed();
    database.close().await?;
    Ok(megabytes_per_second(spool.len(), took))
}
