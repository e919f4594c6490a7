//! How many megabytes per second of an agent's output become stored log entries?
//!
//! A real engine follows a run whose output is already there: lines are split, masked, translated by the adapter of the
//! scripted agent, numbered, gathered, and committed with how far they reach. Only the runtime is a stand-in that gives out
//! bytes as fast as they are taken. The peers are reading the same lines with serde_json, typed and borrowed, and SQLite
//! taking the same rows in transactions of 256.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use optio_agents::scripted::{Scripted, StreamLine};
use optio_benches::{Folder, Report, Row, Target, median};
use optio_core::{
    Clock, NewTask, Optio, SystemClock,
    agent::Agent,
    engine::{Ports, Settings},
    failure::ExitStatus,
    id::{RunId, WorkspaceId},
    memory::{FakeGit, MemoryBus, MemoryForge, MemoryQueue, MemoryRuntime, MemoryStore},
    money::Usd,
    repo::RepoSettings,
    run::WorkerId,
    runtime::{
        Command, ExecOptions, ExecOutput, Input, ObservedWorkspace, Output, OutputOffset, Piece,
        RunStatus, Runtime, WorkspaceSpec,
    },
    store::Store,
    transcript::LogCursor,
    workspace::WorkspacePath,
};
use optio_local::SqliteStore;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use sqlx::{
    ConnectOptions as _, Connection as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::time::Instant;

const MEGABYTES: usize = 50;
const PIECE: usize = 64 * 1024;
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
        let run = followed(Arc::new(MemoryStore::new()), &spool).await?;
        (share, lines) = (run.stored / mb(spool.len()), run.entries);
        memory.push(run.rate);
        let folder = Folder::new()?;
        let store = Arc::new(SqliteStore::open(folder.join("optio.db")).await?);
        sqlite.push(
            followed(Arc::<SqliteStore>::clone(&store), &spool)
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

fn mb(bytes: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let bytes = bytes as f64;
    bytes / 1e6
}

fn rate(bytes: usize, took: Duration) -> f64 {
    mb(bytes) / took.as_secs_f64()
}

/// Output as agents write it: prose, tool calls, and results of some kilobytes with line ends and quotes in them.
fn spool(size: usize) -> Result<Vec<u8>> {
    let source = "    let total: u64 = rows.iter().map(|row| row.amount(\"net\")).sum();\n";
    let mut spool = Vec::with_capacity(size + PIECE);
    let line = |spool: &mut Vec<u8>, line: &StreamLine| -> Result<()> {
        serde_json::to_writer(&mut *spool, line)?;
        spool.push(b'\n');
        Ok(())
    };
    let mut turn = 0_usize;
    while spool.len() < size {
        turn += 1;
        let id = format!("call_{turn}");
        let text = "The sum is taken before the filter, so it counts rows that were dropped. "
            .repeat(1 + turn % 5);
        line(&mut spool, &StreamLine::Text { text })?;
        let input =
            json!({"file_path": format!("src/module_{turn}.rs"), "old": source, "new": source});
        let name = "edit".to_owned();
        line(
            &mut spool,
            &StreamLine::ToolCall {
                id: id.clone(),
                name,
                input,
            },
        )?;
        let output = source.repeat(1 + turn * 7 % 60);
        line(
            &mut spool,
            &StreamLine::ToolResult {
                id,
                is_error: false,
                output,
            },
        )?;
        line(
            &mut spool,
            &StreamLine::Usage {
                cost_usd: Usd::from_micros(turn.try_into()?),
                input_tokens: 1_200,
                output_tokens: 340,
            },
        )?;
    }
    Ok(spool)
}

fn lines(spool: &[u8]) -> impl Iterator<Item = &[u8]> {
    spool
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
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
    Ok(rate(spool.len(), start.elapsed()))
}

fn read_by_adapter(spool: &[u8]) -> Result<f64> {
    let agent = Scripted::default();
    let start = Instant::now();
    let mut seen = 0;
    for line in lines(spool) {
        seen += std::hint::black_box(agent.read_line(std::str::from_utf8(line)?)).len();
    }
    ensure!(seen > 0, "nothing was read");
    Ok(rate(spool.len(), start.elapsed()))
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
    Ok(rate(spool.len(), took))
}

/// One run of an engine on this store whose agent has written all of this.
async fn followed(store: Arc<dyn Store>, spool: &Bytes) -> Result<Followed> {
    let git = FakeGit::new();
    let url = "https://memory.test/acme/shop".parse()?;
    git.add_remote(&url, "main", &[("README.md", "# The shop\n")]);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let agent: Arc<dyn Agent> = Arc::new(Scripted::default());
    let feed = Feed {
        runtime: MemoryRuntime::new(git.clone()),
        spool: spool.clone(),
        span: Arc::default(),
    };
    let ports = Ports {
        store: Arc::clone(&store),
        queue: Arc::new(MemoryQueue::new(Arc::clone(&clock))),
        runtime: Arc::new(feed.clone()),
        agents: BTreeMap::from([("scripted".to_owned(), agent)]),
        forges: vec![Arc::new(MemoryForge::new(git, Arc::clone(&clock)))],
        tickets: Vec::new(),
        bus: Arc::new(MemoryBus::new()),
        webhooks: None,
        clock,
    };
    let optio = Optio::new(ports, Settings::new(WorkerId("bench".to_owned())));
    let repo = optio.add_repo(url, RepoSettings::default()).await?;
    let task = optio.submit(NewTask::new(repo.id, "Write much")).await?;
    optio.tick_relay().await?;
    // on a worker's thread, as in a server: the main one is slower to be woken
    let engine = optio.clone();
    tokio::spawn(async move { engine.tick_task_worker().await }).await??;
    let took = feed.took()?;
    let (mut entries, mut stored) = (0, 0);
    let mut after = LogCursor::default();
    loop {
        let more = store.log(task.id, after, 10_000).await?;
        let Some(last) = more.last() else { break };
        after = last.cursor;
        entries += more.len();
        for entry in &more {
            stored += serde_json::to_string(entry)?.len();
        }
    }
    let wanted = lines(spool).count();
    ensure!(
        entries >= wanted,
        "{entries} entries were stored of {wanted} lines"
    );
    Ok(Followed {
        rate: rate(spool.len(), took),
        stored: mb(stored),
        entries,
    })
}

/// What came of a run's output.
struct Followed {
    /// Megabytes of output per second.
    rate: f64,
    /// Megabytes of entries, as JSON.
    stored: f64,
    entries: usize,
}

/// A runtime in memory whose agents have all written the same.
#[derive(Debug, Clone)]
struct Feed {
    runtime: MemoryRuntime,
    spool: Bytes,
    span: Arc<Mutex<Span>>,
}

/// When the first byte was asked for, when all had been given out, and when the engine turned to what comes next.
#[derive(Debug, Default)]
struct Span {
    first: Option<Instant>,
    given: Option<Instant>,
    after: Option<Instant>,
}

impl Feed {
    fn see(&self, look: impl FnOnce(&mut Span)) {
        look(&mut self.span.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn asked_something_else(&self) {
        self.see(|span| {
            if span.given.is_some() {
                span.after.get_or_insert_with(Instant::now);
            }
        });
    }

    fn took(&self) -> Result<Duration> {
        let span = self.span.lock().unwrap_or_else(PoisonError::into_inner);
        let both = span.first.zip(span.after);
        let (first, after) = both.context("the output was not followed to its end")?;
        Ok(after - first)
    }
}

#[derive(Debug)]
struct FeedOutput {
    feed: Feed,
    rest: Bytes,
}

#[async_trait]
impl Output for FeedOutput {
    async fn next(&mut self) -> optio_core::Result<Piece> {
        self.feed.see(|span| {
            span.first.get_or_insert_with(Instant::now);
        });
        if self.rest.is_empty() {
            self.feed.see(|span| {
                span.given.get_or_insert_with(Instant::now);
            });
            return Ok(Piece::Ended(Some(ExitStatus::Code(1))));
        }
        let size = self.rest.len().min(PIECE);
        Ok(Piece::Stdout(self.rest.split_to(size)))
    }
}

#[async_trait]
impl Runtime for Feed {
    fn name(&self) -> &'static str {
        "feed"
    }

    async fn create(&self, spec: &WorkspaceSpec) -> optio_core::Result<()> {
        self.runtime.create(spec).await
    }

    async fn list(&self) -> optio_core::Result<Vec<ObservedWorkspace>> {
        self.runtime.list().await
    }

    async fn remove(&self, workspace: WorkspaceId) -> optio_core::Result<()> {
        self.runtime.remove(workspace).await
    }

    async fn exec(
        &self,
        workspace: WorkspaceId,
        command: Command,
        options: ExecOptions,
    ) -> optio_core::Result<ExecOutput> {
        self.asked_something_else();
        self.runtime.exec(workspace, command, options).await
    }

    async fn spawn(
        &self,
        _workspace: WorkspaceId,
        _run: RunId,
        _command: Command,
    ) -> optio_core::Result<()> {
        Ok(())
    }

    async fn attach(
        &self,
        _workspace: WorkspaceId,
        _run: RunId,
        from: OutputOffset,
    ) -> optio_core::Result<Box<dyn Output>> {
        self.asked_something_else();
        let from = usize::try_from(from.stdout).unwrap_or(usize::MAX);
        Ok(Box::new(FeedOutput {
            feed: self.clone(),
            rest: self.spool.slice(from.min(self.spool.len())..),
        }))
    }

    async fn feed(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        input: Input,
    ) -> optio_core::Result<()> {
        self.runtime.feed(workspace, run, input).await
    }

    async fn status(&self, _workspace: WorkspaceId, _run: RunId) -> optio_core::Result<RunStatus> {
        Ok(RunStatus::Ended(Some(ExitStatus::Code(1))))
    }

    async fn kill(
        &self,
        _workspace: WorkspaceId,
        _run: RunId,
        _grace: Duration,
    ) -> optio_core::Result<()> {
        Ok(())
    }

    async fn forget(&self, _workspace: WorkspaceId, _run: RunId) -> optio_core::Result<()> {
        Ok(())
    }

    async fn read_file(
        &self,
        workspace: WorkspaceId,
        path: &WorkspacePath,
        limit: usize,
    ) -> optio_core::Result<Bytes> {
        self.runtime.read_file(workspace, path, limit).await
    }

    fn root(&self, workspace: WorkspaceId) -> String {
        self.runtime.root(workspace)
    }
}
