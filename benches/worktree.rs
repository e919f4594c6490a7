//! How long from a queued task to its agent at work, in a workspace that is warm?
//!
//! A real engine with a real git, real processes and SQLite works off tasks one by one in a repository of 1,000 files;
//! from its claim until the agent is started. The peer is a plain `git worktree add` of the same commit in the clone that
//! the engine made, right before.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use optio_benches::{Folder, Latencies, Report, Row, Target};
use optio_core::{
    Clock, NewTask, Optio, SystemClock,
    agent::{Agent, AgentVerdict, Ending, Preflight, RunSpec},
    engine::{Ports, Settings, Ticked},
    id::{RunId, WorkspaceId},
    memory::{MemoryBus, MemoryQueue},
    repo::RepoSettings,
    run::WorkerId,
    runtime::{
        Command, ExecOptions, ExecOutput, Input, ObservedWorkspace, Output, OutputOffset,
        RunStatus, Runtime, WorkspaceSpec,
    },
    transcript::TranscriptEvent,
    workspace::WorkspacePath,
};
use optio_local::{
    LocalForge, LocalForgeOptions, SqliteStore,
    runtime::{LocalRuntime, LocalRuntimeOptions},
};
use tokio::time::Instant;

const FILES: usize = 1_000;
const TASKS: usize = 25;
/// What is allowed beyond a plain `git worktree add`, in milliseconds.
const MARGIN: f64 = 20.0;

#[tokio::main]
async fn main() -> Result<()> {
    let mut report = Report::begin(
        "worktree",
        "milliseconds from a claimed task to its agent, warm workspace, 1,000 files",
    )?;
    let folder = Folder::new()?;
    let url = repository(&folder).await?;
    let store = Arc::new(SqliteStore::open(folder.join("optio.db")).await?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let agent: Arc<dyn Agent> = Arc::new(Idle);
    let runtime = LocalRuntime::open(LocalRuntimeOptions::new(folder.join("workspaces"))).await?;
    let watched = Watched {
        runtime: Arc::new(runtime),
        seen: Arc::default(),
    };
    let forge = LocalForge::open(LocalForgeOptions::new(folder.join("forge"))).await?;
    let ports = Ports {
        store: Arc::<SqliteStore>::clone(&store),
        queue: Arc::new(MemoryQueue::new(Arc::clone(&clock))),
        runtime: Arc::new(watched.clone()),
        agents: [("idle".to_owned(), agent)].into(),
        forges: vec![Arc::new(forge)],
        tickets: Vec::new(),
        bus: Arc::new(MemoryBus::new()),
        webhooks: None,
        clock,
    };
    let optio = Optio::new(ports, Settings::new(WorkerId("bench".to_owned())));
    let repo = optio
        .add_repo(url.display().to_string().parse()?, RepoSettings::default())
        .await?;
    let (mut starts, mut plain) = (Latencies::default(), Latencies::default());
    let (mut own, mut rest) = (Latencies::default(), Latencies::default());
    let mut commands = 0;
    for n in 0..=TASKS {
        let task = optio
            .submit(NewTask::new(repo.id, format!("Task {n}")))
            .await?;
        while optio.tick_relay().await? == Ticked::Worked {}
        watched.begin();
        let claimed = Instant::now();
        let engine = optio.clone();
        tokio::spawn(async move { engine.tick_task_worker().await }).await??;
        let seen = watched.seen();
        let spawned = seen.spawned.context("the agent was not started")?;
        let workspace = seen.workspace.context("no workspace was used")?;
        optio.cancel(task.id).await?;
        while optio.tick_relay().await? == Ticked::Worked {}
        if n == 0 {
            continue; // it made the workspace and the clone
        }
        starts.add(spawned - claimed);
        commands = seen.commands.len();
        let added = seen
            .commands
            .iter()
            .find(|command| command.what.starts_with("worktree add"))
            .context("no worktree was added")?;
        own.add(added.took);
        rest.add((spawned - claimed).saturating_sub(added.took));
        let clone = PathBuf::from(watched.root(workspace)).join("repo");
        let at = folder.join(format!("plain-{n}"));
        let start = Instant::now();
        run_git(
            &clone,
            &[
                "worktree",
                "add",
                "--quiet",
                "--detach",
                &at.display().to_string(),
                "refs/remotes/origin/main",
            ],
        )
        .await?;
        plain.add(start.elapsed());
    }
    let (ours, peer) = (starts.percentile(0.5), plain.percentile(0.5));
    report.row(
        Row::millis("claim to agent, median", ours)
            .against("git worktree add", peer)
            .target(Target::Value(peer + MARGIN)),
    );
    report.row(
        Row::millis(
            "of it in the engine's own git worktree add",
            own.percentile(0.5),
        )
        .against("git worktree add", peer),
    );
    report.row(
        Row::millis("of it in everything else", rest.percentile(0.5)).target(Target::Value(MARGIN)),
    );
    report.remark(format!("{commands} commands per start"));
    report.remark(watched.timeline());
    report.end()?;
    store.close().await;
    Ok(())
}

/// A bare repository with a thousand files in a hundred folders.
async fn repository(folder: &Folder) -> Result<PathBuf> {
    let (bare, work) = (folder.join("shop.git"), folder.join("work"));
    for n in 0..FILES {
        let dir = work.join(format!("src/module_{}", n % 100));
        std::fs::create_dir_all(&dir)?;
        std::fs::write(
            dir.join(format!("file_{n}.rs")),
            format!(
                "//! File {n}.\n{}",
                "pub fn answer() -> u32 { 42 }\n".repeat(n % 120)
            ),
        )?;
    }
    let at = bare.display().to_string();
    run_git(&work, &["init", "--quiet", "--initial-branch=main"]).await?;
    run_git(&work, &["add", "."]).await?;
    run_git(&work, &["commit", "--quiet", "-m", "The shop"]).await?;
    run_git(&work, &["clone", "--quiet", "--bare", ".", &at]).await?;
    Ok(bare)
}

async fn run_git(dir: &Path, args: &[&str]) -> Result<()> {
    let status = tokio::process::Command::new("git")
        .args([
            "-c",
            "user.name=Bench",
            "-c",
            "user.email=bench@localhost",
            "-c",
            "gc.auto=0",
        ])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::null())
        .status()
        .await
        .context("git cannot be started")?;
    ensure!(status.success(), "git {} failed", args.join(" "));
    Ok(())
}

/// An agent that has nothing to do.
#[derive(Debug)]
struct Idle;

impl Agent for Idle {
    fn name(&self) -> &str {
        "idle"
    }

    fn command(&self, _run: &RunSpec) -> optio_core::Result<Command> {
        Ok(Command::new("false"))
    }

    fn read_line(&self, line: &str) -> Vec<TranscriptEvent> {
        vec![TranscriptEvent::Raw {
            text: line.to_owned(),
        }]
    }

    fn verdict(&self, run: &Ending<'_>, now: optio_core::Timestamp) -> AgentVerdict {
        run.usual_verdict(now)
    }

    fn preflight(&self) -> Preflight {
        Preflight::new(Command::new("true"), String::new())
    }
}

/// A local runtime that notes what it is asked for until an agent is started.
#[derive(Debug, Clone)]
struct Watched {
    runtime: Arc<LocalRuntime>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    begun: Option<Instant>,
    commands: Vec<Ran>,
    workspace: Option<WorkspaceId>,
    spawned: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Ran {
    at: Instant,
    took: Duration,
    program: String,
    what: String,
}

impl Watched {
    fn see<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self) {
        self.see(|seen| {
            *seen = Seen {
                begun: Some(Instant::now()),
                ..Seen::default()
            }
        });
    }

    fn seen(&self) -> Seen {
        self.see(|seen| seen.clone())
    }

    /// The last start, command by command.
    fn timeline(&self) -> String {
        let seen = self.seen();
        let Some(begun) = seen.begun else {
            return String::new();
        };
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let shown = seen.commands.iter().map(|command| {
            format!(
                "\n    {:6.1} ms +{:.1} ms {} {}",
                millis(command.at - begun),
                millis(command.took),
                command.program,
                command.what
            )
        });
        let spawned = seen
            .spawned
            .map(|at| format!("\n    {:6.1} ms the agent is at work", millis(at - begun)));
        format!(
            "the last one, from its claim:{}{}",
            shown.collect::<String>(),
            spawned.unwrap_or_default()
        )
    }
}

#[async_trait]
impl Runtime for Watched {
    fn name(&self) -> &'static str {
        self.runtime.name()
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
        let program = command.program.clone();
        // what it is, behind the settings that all commands have
        let said = command
            .args
            .iter()
            .skip_while(|arg| *arg == "-c" || arg.contains('='));
        let what: Vec<String> = said.take(3).cloned().collect();
        let start = Instant::now();
        let output = self.runtime.exec(workspace, command, options).await;
        self.see(|seen| {
            if seen.spawned.is_none() {
                seen.commands.push(Ran {
                    at: start,
                    took: start.elapsed(),
                    program,
                    what: what.join(" "),
                });
            }
        });
        output
    }

    async fn spawn(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        command: Command,
    ) -> optio_core::Result<()> {
        self.runtime.spawn(workspace, run, command).await?;
        self.see(|seen| {
            seen.workspace = Some(workspace);
            seen.spawned.get_or_insert_with(Instant::now);
        });
        Ok(())
    }

    async fn attach(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        from: OutputOffset,
    ) -> optio_core::Result<Box<dyn Output>> {
        self.runtime.attach(workspace, run, from).await
    }

    async fn feed(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        input: Input,
    ) -> optio_core::Result<()> {
        self.runtime.feed(workspace, run, input).await
    }

    async fn status(&self, workspace: WorkspaceId, run: RunId) -> optio_core::Result<RunStatus> {
        self.runtime.status(workspace, run).await
    }

    async fn kill(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        grace: Duration,
    ) -> optio_core::Result<()> {
        self.runtime.kill(workspace, run, grace).await
    }

    async fn forget(&self, workspace: WorkspaceId, run: RunId) -> optio_core::Result<()> {
        self.runtime.forget(workspace, run).await
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
