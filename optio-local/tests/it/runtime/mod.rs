//! The local runtime with real processes, held together in both ways.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use optio_core::{
    ErrorKind, SystemClock,
    failure::ExitStatus,
    id::{RepoId, RunId, WorkspaceId},
    runtime::{
        Command, ExecOptions, Output, OutputOffset, Piece, RunStatus, Runtime, WorkspaceHealth,
        WorkspaceSpec,
    },
    secret::Secret,
    workspace::WorkspacePath,
};
use optio_local::runtime::{Containment, LocalRuntime, LocalRuntimeOptions};

mod follow;
mod contain;
mod short;
mod folders;
mod contract;

const MODES: [Containment; 2] = [Containment::Auto, Containment::Marker];

/// No process.
const NONE: [i32; 0] = [];

/// Longer than anything here takes; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A runtime on a folder of its own, with one workspace.
struct World {
    folder: tempfile::TempDir,
    containment: Containment,
    runtime: LocalRuntime,
    workspace: WorkspaceId,
}

impl World {
    async fn new(containment: Containment) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = open(folder.path(), containment).await;
        let workspace = WorkspaceId::generate(&SystemClock);
        runtime.create(&spec(workspace)).await.unwrap();
        Self {
            folder,
            containment,
            runtime,
            workspace,
        }
    }

    /// Another runtime on the same folder.
    async fn another(&self) -> LocalRuntime {
        open(self.folder.path(), self.containment).await
    }

    fn path(&self, path: &str) -> PathBuf {
        Path::new(&self.runtime.root(self.workspace)).join(path)
    }

    fn run_path(&self, run: RunId, path: &str) -> PathBuf {
        self.path(&format!("runs/{run}/{path}"))
    }

    async fn spawn(&self, command: Command) -> RunId {
        let run = RunId::generate(&SystemClock);
        self.runtime
            .spawn(self.workspace, run, command)
            .await
            .unwrap();
        run
    }

    async fn attach(&self, run: RunId) -> Box<dyn Output> {
        let start = OutputOffset::default();
        self.runtime
            .attach(self.workspace, run, start)
            .await
            .unwrap()
    }

    async fn read_all(&self, run: RunId) -> Read {
        read_all(self.attach(run).await).await
    }

    async fn status(&self, run: RunId) -> RunStatus {
        self.runtime.status(self.workspace, run).await.unwrap()
    }

    async fn kill(&self, run: RunId, grace: Duration) {
        self.runtime.kill(self.workspace, run, grace).await.unwrap();
    }

    async fn exec(&self, command: Command) -> optio_core::runtime::ExecOutput {
        let options = ExecOptions::timeout(PATIENCE);
        self.runtime
            .exec(self.workspace, command, options)
            .await
            .unwrap()
    }
}

async fn open(folder: &Path, containment: Containment) -> LocalRuntime {
    let options =
        LocalRuntimeOptions::new(folder.join("work spaces é")).with_containment(containment);
    LocalRuntime::open(options).await.unwrap()
}

fn spec(id: WorkspaceId) -> WorkspaceSpec {
    WorkspaceSpec {
        id,
        repo: RepoId::generate(&SystemClock),
        name: "größe / x".into(),
    }
}

fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

fn path(text: &str) -> WorkspacePath {
    WorkspacePath::new(text).unwrap()
}

/// All that an output gives.
#[derive(Debug, Default, PartialEq)]
struct Read {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: Option<ExitStatus>,
}

async fn next(output: &mut Box<dyn Output>) -> Piece {
    tokio::time::timeout(PATIENCE, output.next())
        .await
        .expect("a piece in time")
        .unwrap()
}

async fn read_all(mut output: Box<dyn Output>) -> Read {
    let mut read = Read::default();
    loop {
        match next(&mut output).await {
            Piece::Stdout(bytes) => {
                assert!((1..=64 << 10).contains(&bytes.len()));
                read.stdout.extend_from_slice(&bytes);
            }
            Piece::Stderr(bytes) => {
                assert!((1..=64 << 10).contains(&bytes.len()));
                read.stderr.extend_from_slice(&bytes);
            }
            Piece::Ended(status) => {
                assert_eq!(next(&mut output).await, Piece::Ended(status));
                read.status = status;
                return read;
            }
        }
    }
}

/// Living processes whose environment holds this text.
fn processes_with(text: &str) -> Vec<i32> {
    let holds = |pid: i32| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| holds(pid))
        .collect()
}

/// Living processes with this among their arguments.
fn processes_called(argument: &str) -> Vec<i32> {
    let holds = |pid: i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0)
            .any(|part| part == argument.as_bytes())
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| holds(pid))
        .collect()
}

/// Waits until something that only another process can bring about is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// A number that no other test uses, for `sleep`: so that its process can be told from others.
fn unique_seconds() -> String {
    let random = optio_core::Clock::random(&SystemClock) % 100_000_000;
    format!("300.{random:08}")
}
