//! A runtime that really runs short commands, in one folder. It can do nothing else.

use std::{os::unix::process::ExitStatusExt as _, path::PathBuf, process::Stdio, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{io::AsyncWriteExt as _, process, time::timeout};

use crate::{
    error::{Error, ErrorKind, Result},
    failure::ExitStatus,
    id::{RunId, WorkspaceId},
    runtime::{
        Command, ExecOptions, ExecOutput, Input, ObservedWorkspace, Output, OutputOffset,
        RunStatus, Runtime, WorkspaceSpec,
    },
    workspace::WorkspacePath,
};

/// Runs commands in `root`, whichever workspace is asked for.
#[derive(Debug)]
pub(super) struct ProcessRuntime {
    /// The workspace's folder.
    pub(super) root: PathBuf,
}

fn unsupported<T>() -> Result<T> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "process",
        "short commands only",
    ))
}

fn unavailable(error: std::io::Error) -> Error {
    Error::unavailable("process", error.to_string()).caused_by(error)
}

#[async_trait]
impl Runtime for ProcessRuntime {
    fn name(&self) -> &'static str {
        "process"
    }

    async fn exec(
        &self,
        _workspace: WorkspaceId,
        command: Command,
        options: ExecOptions,
    ) -> Result<ExecOutput> {
        let dir = match &command.dir {
            Some(dir) => self.root.join(dir.as_str()),
            None => self.root.clone(),
        };
        let path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .collect::<Vec<_>>();
        let spawned = process::Command::new(&command.program)
            .args(&command.args)
            .current_dir(dir)
            .env_clear()
            .env("PATH", std::env::join_paths(path).expect("it was a PATH"))
            .env("HOME", &self.root)
            .envs(&command.env)
            .envs(
                command
                    .secret_env
                    .iter()
                    .map(|(name, secret)| (name, secret.expose())),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(ExecOutput {
                    status: ExitStatus::Code(127),
                    stdout: Bytes::new(),
                    stderr: Bytes::from(error.to_string()),
                });
            }
            Err(error) => return Err(unavailable(error)),
        };
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        // a command that does not read is none of our business
        let _ = stdin.write_all(&command.stdin).await;
        drop(stdin);
        let output = timeout(options.timeout, child.wait_with_output())
            .await
            .map_err(|_| Error::timed_out("process", "the command took too long"))?
            .map_err(unavailable)?;
        let status = match (output.status.code(), output.status.signal()) {
            (Some(code), _) => ExitStatus::Code(code),
            (None, signal) => ExitStatus::Signal(signal.unwrap_or_default()),
        };
        Ok(ExecOutput {
            status,
            stdout: output.stdout.into(),
            stderr: output.stderr.into(),
        })
    }

    fn root(&self, _workspace: WorkspaceId) -> String {
        self.root.to_str().expect("a path in UTF-8").to_owned()
    }

    async fn create(&self, _spec: &WorkspaceSpec) -> Result<()> {
        unsupported()
    }

    async fn list(&self) -> Result<Vec<ObservedWorkspace>> {
        unsupported()
    }

    async fn remove(&self, _workspace: WorkspaceId) -> Result<()> {
        unsupported()
    }

    async fn spawn(&self, _workspace: WorkspaceId, _run: RunId, _command: Command) -> Result<()> {
        unsupported()
    }

    async fn attach(
        &self,
        _workspace: WorkspaceId,
        _run: RunId,
        _from: OutputOffset,
    ) -> Result<Box<dyn Output>> {
        unsupported()
    }

    async fn feed(&self, _workspace: WorkspaceId, _run: RunId, _input: Input) -> Result<()> {
        unsupported()
    }

    async fn status(&self, _workspace: WorkspaceId, _run: RunId) -> Result<RunStatus> {
        unsupported()
    }

    async fn kill(&self, _workspace: WorkspaceId, _run: RunId, _grace: Duration) -> Result<()> {
        unsupported()
    }

    async fn forget(&self, _workspace: WorkspaceId, _run: RunId) -> Result<()> {
        unsupported()
    }

    async fn read_file(
        &self,
        _workspace: WorkspaceId,
        _path: &WorkspacePath,
        _limit: usize,
    ) -> Result<Bytes> {
        unsupported()
    }
}
