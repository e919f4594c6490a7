//! The port for places to work: workspaces, short commands in them, and agents that outlive whoever started them.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    failure::ExitStatus,
    id::{RepoId, RunId, WorkspaceId},
    secret::Secret,
    workspace::WorkspacePath,
};

/// Makes workspaces and runs commands in them. Low-level on purpose: which workspace a run gets, and when one is
/// removed, is decided by the engine.
///
/// # Contract
/// - [`create`](Self::create) and [`spawn`](Self::spawn) are idempotent by id: a second call finds what the first made.
/// - A spawned process is detached: it goes on when the caller's process ends, however it ends. Its output goes to
///   files in the workspace, byte for byte, and so does its exit status.
/// - [`attach`](Self::attach) reads that output from any offset, any number of times, also after the process has ended
///   and after a restart of everything else. Bytes at an offset never change.
/// - After [`kill`](Self::kill) returns `Ok` no process of the run is alive, those that left its process group included.
/// - Nothing is pasted into a shell line: program, arguments, environment, stdin and files are data.
/// - Dropping a future of [`exec`](Self::exec) kills the command.
#[async_trait]
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// The runtime's name, for people and logs.
    fn name(&self) -> &'static str;

    /// Makes a workspace, or finds it: an empty place with a home folder of its own.
    async fn create(&self, spec: &WorkspaceSpec) -> Result<()>;

    /// What workspaces there are: asked, not remembered.
    async fn list(&self) -> Result<Vec<ObservedWorkspace>>;

    /// Takes a workspace away with everything in it, its processes first. No error if there is none.
    async fn remove(&self, workspace: WorkspaceId) -> Result<()>;

    /// Runs a command and waits for its end. `TimedOut` once it has run longer than it may; it is killed then.
    /// A command that ran and failed is no error: see [`ExecOutput::status`].
    async fn exec(
        &self,
        workspace: WorkspaceId,
        command: Command,
        options: ExecOptions,
    ) -> Result<ExecOutput>;

    /// Starts a run's command detached. Does nothing if that run was already started here, even if it has ended.
    async fn spawn(&self, workspace: WorkspaceId, run: RunId, command: Command) -> Result<()>;

    /// Follows a run's output from here on. `NotFound` if no such run was started in this workspace.
    async fn attach(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        from: OutputOffset,
    ) -> Result<Box<dyn Output>>;

    /// Gives a run more to read, or ends its input. What it is given is a stream of bytes that begins with
    /// [`Command::stdin`]: [`Input::More`] says where in it its bytes belong, so giving them once more does nothing, and
    /// whoever does not know whether they were given can give them again. `NotFound` if no such run was started in this
    /// workspace; `Conflict` if they would leave a gap, or if there is no open input: because the command did not ask for
    /// one, or because it was ended, or with the run. To end an input that is not open is no error.
    async fn feed(&self, workspace: WorkspaceId, run: RunId, input: Input) -> Result<()>;

    /// How a run is doing. `NotFound` if no such run was started in this workspace.
    async fn status(&self, workspace: WorkspaceId, run: RunId) -> Result<RunStatus>;

    /// Ends a run: asks its processes to stop, and after `grace` kills every one that is left. Returns when none is.
    async fn kill(&self, workspace: WorkspaceId, run: RunId, grace: Duration) -> Result<()>;

    /// Forgets the files of a run that has ended: its output and what [`Command::files`] wrote. What others
    /// need, [`Command::shared_files`], stays. No error if there are none.
    async fn forget(&self, workspace: WorkspaceId, run: RunId) -> Result<()>;

    /// Reads a file, up to `limit` bytes; `NotFound` if there is none, `Invalid` if it is larger.
    async fn read_file(
        &self,
        workspace: WorkspaceId,
        path: &WorkspacePath,
        limit: usize,
    ) -> Result<Bytes>;

    /// The folder of a workspace as its own processes see it: what [`WorkspacePath`]s are relative to.
    fn root(&self, workspace: WorkspaceId) -> String;
}

/// Which workspace to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceSpec {
    /// Its key.
    pub id: WorkspaceId,
    /// The repository that it is for.
    pub repo: RepoId,
    /// What people may call it: part of a pod's or folder's name after being made harmless.
    pub name: String,
}

/// A workspace that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedWorkspace {
    /// Its key.
    pub id: WorkspaceId,
    /// The repository that it is for.
    pub repo: RepoId,
    /// How it is.
    pub health: WorkspaceHealth,
}

/// How a workspace is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceHealth {
    /// Commands can run in it.
    Ready,
    /// It is still being made.
    Starting,
    /// It died, or cannot start.
    Broken {
        /// What the runtime says about it.
        reason: String,
    },
}

/// A command as a value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// The program: a name to be found on the workspace's PATH, or a path.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where it runs.
    pub dir: Option<WorkspacePath>,
    /// Its environment beyond the workspace's own. Nothing of Optio's own environment leaks in.
    pub env: BTreeMap<String, String>,
    /// Secrets in its environment.
    pub secret_env: BTreeMap<String, Secret>,
    /// What it reads, or the beginning of it.
    pub stdin: Bytes,
    /// When that ends. Only a run that is [spawned](Runtime::spawn) can be given more; a short command never waits for it.
    pub stdin_end: InputEnd,
    /// Files that are written before it starts, with mode 0600.
    pub files: BTreeMap<WorkspacePath, Bytes>,
    /// Files that several runs use, which stay when one of them is [forgotten](Runtime::forget). Each is written before
    /// the command starts, with mode 0600, if it is not there, or if the last content that was given here was another;
    /// so what programs have changed in it since stays.
    pub shared_files: BTreeMap<WorkspacePath, Bytes>,
}

impl Command {
    /// A command without arguments.
    #[must_use]
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            ..Self::default()
        }
    }

    /// The same with one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// The same with more arguments.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The same in this folder.
    #[must_use]
    pub fn in_dir(mut self, dir: WorkspacePath) -> Self {
        self.dir = Some(dir);
        self
    }

    /// The same with one more variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The same with this to read.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Bytes>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// The same with an input that stays open: more of it may come.
    #[must_use]
    pub fn open_stdin(mut self) -> Self {
        self.stdin_end = InputEnd::WhenTold;
        self
    }

    /// The same with one more file, written before it starts.
    #[must_use]
    pub fn file(mut self, path: WorkspacePath, content: impl Into<Bytes>) -> Self {
        self.files.insert(path, content.into());
        self
    }

    /// The same with one more [file that several runs use](Self::shared_files).
    #[must_use]
    pub fn shared_file(mut self, path: WorkspacePath, content: impl Into<Bytes>) -> Self {
        self.shared_files.insert(path, content.into());
        self
    }
}

/// How a short command is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecOptions {
    /// The longest it may take.
    pub timeout: Duration,
    /// How much of each output stream is kept: the last bytes.
    pub output_limit: usize,
}

impl ExecOptions {
    /// With another timeout.
    #[must_use]
    pub fn timeout(timeout: Duration) -> Self {
        Self {
            timeout,
            ..Self::default()
        }
    }
}

impl Default for ExecOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(120),
            output_limit: 1 << 20,
        }
    }
}

/// How a short command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// How its process ended. A program that does not exist is code 127.
    pub status: ExitStatus,
    /// The last bytes of its output.
    pub stdout: Bytes,
    /// The last bytes of its error output.
    pub stderr: Bytes,
}

impl ExecOutput {
    /// Whether it ended with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == ExitStatus::Code(0)
    }

    /// Its output as text, blanks at the end cut off.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// Its error output as text, blanks at the end cut off.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim_end().to_owned()
    }
}

/// How far a run's output has been read, in bytes of each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutputOffset {
    /// Standard output.
    pub stdout: u64,
    /// Error output.
    pub stderr: u64,
}

/// A run's output, being followed.
#[async_trait]
pub trait Output: fmt::Debug + Send {
    /// The next piece, waiting for it. After [`Piece::Ended`] it gives `Ended` again. Cancel safe: a piece that was
    /// not returned is returned by the next call.
    async fn next(&mut self) -> Result<Piece>;
}

/// A piece of a run's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of standard output, following on from the last ones. At most 64 KiB.
    Stdout(Bytes),
    /// Bytes of error output, following on from the last ones. At most 64 KiB.
    Stderr(Bytes),
    /// All output was given and the process has ended; no status if it vanished without a trace.
    Ended(Option<ExitStatus>),
}

/// What a run is given to read while it is at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// More of it.
    More {
        /// How many bytes stand before these, those of [`Command::stdin`] included.
        at: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// There is no more: once it has read everything, it comes to the end.
    End,
}

/// When what a command reads comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InputEnd {
    /// Behind its first bytes.
    #[default]
    AtOnce,
    /// When somebody ends it; until then it may be given more.
    WhenTold,
}

/// How a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// At work.
    Running {
        /// A number that grows while its processes work, silent or not: processor time in milliseconds, say. None if
        /// the runtime cannot tell.
        activity: Option<u64>,
    },
    /// It has ended; no status if it vanished without a trace.
    Ended(Option<ExitStatus>),
}
