//! An agent's output that is all there already, and an engine that follows it: how fast a log can grow.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use optio_agents::scripted::{Scripted, StreamLine};
use optio_core::{
    Clock, NewTask, Optio, SystemClock,
    agent::Agent,
    engine::{Limits, Ports, Settings, Ticked},
    failure::ExitStatus,
    id::{RunId, WorkspaceId},
    memory::{FakeGit, MemoryBus, MemoryForge, MemoryQueue, MemoryRuntime},
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
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

/// How much is given out at once.
const PIECE: usize = 64 * 1024;

/// Bytes as megabytes.
#[must_use]
pub fn megabytes(bytes: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let bytes = bytes as f64;
    bytes / 1e6
}

/// Megabytes per second.
#[must_use]
pub fn megabytes_per_second(bytes: usize, took: Duration) -> f64 {
    megabytes(bytes) / took.as_secs_f64()
}

/// Output as agents write it: prose, tool calls, and results of some kilobytes with line ends and quotes in them.
///
/// # Errors
/// A line cannot be written as JSON.
pub fn spool(size: usize) -> Result<Vec<u8>> {
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

/// The lines of an output.
pub fn lines(spool: &[u8]) -> impl Iterator<Item = &[u8]> {
    spool
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// So many runs of an engine on this store at once, of which each has an agent that has written all of this. The store
/// holds nothing else.
///
/// # Errors
/// The store failed, or holds fewer entries afterwards than there are lines.
pub async fn followed(store: Arc<dyn Store>, spool: &Bytes, runs: u32) -> Result<Followed> {
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
    let mut settings = Settings::new(WorkerId("bench".to_owned()));
    settings.limits = Limits::default().with_global(runs);
    let optio = Optio::new(ports, settings);
    let room = RepoSettings {
        max_concurrent_tasks: runs,
        max_agents_per_pod: runs,
        ..RepoSettings::default()
    };
    let repo = optio.add_repo(url, room).await?;
    let mut tasks = Vec::new();
    for _ in 0..runs {
        tasks.push(optio.submit(NewTask::new(repo.id, "Write much")).await?.id);
    }
    while optio.tick_relay().await? == Ticked::Worked {}
    let mut at_work = JoinSet::new();
    for _ in 0..runs {
        // on a worker's thread, as in a server: the main one is slower to be woken
        let engine = optio.clone();
        at_work.spawn(async move { engine.tick_task_worker().await });
    }
    while let Some(ended) = at_work.join_next().await {
        ended??;
    }
    let took = feed.took()?;
    let (mut entries, mut stored) = (0, 0);
    for task in &tasks {
        let mut after = LogCursor::default();
        loop {
            let more = store.log(*task, after, 10_000).await?;
            let Some(last) = more.last() else { break };
            after = last.cursor;
            entries += more.len();
            for entry in &more {
                stored += serde_json::to_string(entry)?.len();
            }
        }
    }
    let wanted = lines(spool).count() * tasks.len();
    ensure!(
        entries >= wanted,
        "{entries} entries were stored of {wanted} lines"
    );
    Ok(Followed {
        rate: megabytes_per_second(spool.len() * tasks.len(), took),
        stored: megabytes(stored),
        entries,
    })
}

/// What came of a run's output.
#[derive(Debug, Clone, Copy)]
pub struct Followed {
    /// Megabytes of output per second.
    pub rate: f64,
    /// Megabytes of entries, as JSON.
    pub stored: f64,
    /// How many entries.
    pub entries: usize,
}

/// A runtime in memory whose agents have all written the same.
#[derive(Debug, Clone)]
struct Feed {
    runtime: MemoryRuntime,
    spool: Bytes,
    span: Arc<Mutex<Span>>,
}

/// When the first byte was asked for, whether the last one of some run was given out, and when the engine then turned to
/// what comes next.
#[derive(Debug, Default)]
struct Span {
    first: Option<Instant>,
    given: bool,
    after: Option<Instant>,
}

impl Feed {
    fn see(&self, look: impl FnOnce(&mut Span)) {
        look(&mut self.span.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn asked_something_else(&self) {
        self.see(|span| {
            if span.given {
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
                (span.given, span.after) = (true, None);
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
