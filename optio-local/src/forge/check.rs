//! One check of one commit: its command, run in a clean checkout until it ends or its time is up.

use std::{path::PathBuf, sync::Arc, time::Duration};

use optio_core::{
    Clock, Error, Result,
    failure::ExitStatus,
    id::{RepoId, RunId, WorkspaceId},
    pull_request::CommitId,
    runtime::{Command, OutputOffset, Piece, Runtime, WorkspaceSpec},
    workspace::WorkspacePath,
};
use tokio::time::timeout;

use super::{
    NAME,
    records::CheckRecord,
    repository::{Bare, CHECK_FILE, CheckFile},
};
use crate::runtime::LocalRuntime;

/// How much of a check's output is kept: its end.
const LOG_TAIL: usize = 16 << 10;

/// How much output a check may print before it is stopped: it is spooled to the disk.
const OUTPUT_LIMIT: u64 = 256 << 20;

/// The folder of a workspace that the commit's files are put into.
const CHECKOUT: &str = "checkout";

/// Both streams of the command become one, in the order that they were written in. What it runs is an argument.
const ONE_STREAM: &str = r#"exec "$@" 2>&1"#;

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// The command in the repository's settings, by the shell.
    Command(String),
    /// The commit's own check file.
    File(CheckFile),
}

/// A check to be run.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) bare: Arc<Bare>,
    pub(super) commit: CommitId,
    pub(super) plan: Plan,
    pub(super) limit: Duration,
}

/// The folder and the processes of one check.
#[derive(Debug)]
pub(super) struct Scratch {
    runtime: Arc<LocalRuntime>,
    id: WorkspaceId,
    run: RunId,
}

impl Plan {
    /// What people call it: the command itself, or the path of the file.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Command(command) => command,
            Self::File(_) => CHECK_FILE,
        }
    }

    fn words(&self) -> Vec<&str> {
        match self {
            Self::Command(command) => vec!["sh", "-c", command],
            Self::File(CheckFile::Executable) => vec!["./.optio/check"],
            Self::File(CheckFile::Script) => vec!["sh", CHECK_FILE],
        }
    }
}

impl Scratch {
    /// A place for a check. Nothing is made yet.
    pub(super) fn new(runtime: Arc<LocalRuntime>, clock: &dyn Clock) -> Self {
        Self {
            runtime,
            id: WorkspaceId::generate(clock),
            run: RunId::generate(clock),
        }
    }

    /// Makes the folder and puts the commit's files into it.
    pub(super) async fn prepare(&self, check: &Check, repo: RepoId) -> Result<()> {
        self.runtime
            .create(&WorkspaceSpec {
                id: self.id,
                repo,
                name: format!("check {}", check.commit.short()),
            })
            .await?;
        let folder = PathBuf::from(self.runtime.root(self.id)).join(CHECKOUT);
        check.bare.check_out(&check.commit, &folder).await
    }

    /// Runs the check and waits for its end.
    pub(super) async fn run(&self, check: &Check) -> Result<CheckRecord> {
        let command = Command::new("sh")
            .args(["-c", ONE_STREAM, "optio-check"])
            .args(check.plan.words())
            .env("CI", "true")
            .in_dir(WorkspacePath::root().child(CHECKOUT));
        self.runtime.spawn(self.id, self.run, command).await?;
        let mut tail = Tail::default();
        let followed = timeout(check.limit, self.follow(&mut tail)).await;
        let (conclusion, exit) = match followed {
            Err(_elapsed) => {
                let limit = check.limit.as_secs_f32();
                ("timed_out", format!("it was killed after {limit} s"))
            }
            Ok(end) => match end? {
                End::TooMuch => (
                    "failure",
                    format!("it was killed after {} MiB of output", OUTPUT_LIMIT >> 20),
                ),
                End::Exited(ExitStatus::Code(0)) => ("success", "exit code 0".to_owned()),
                End::Exited(ExitStatus::Code(code)) => ("failure", format!("exit code {code}")),
                End::Exited(ExitStatus::Signal(signal)) => {
                    ("failure", format!("killed by signal {signal}"))
                }
            },
        };
        Ok(CheckRecord {
            conclusion: conclusion.to_owned(),
            exit,
            log_tail: tail.into_text(),
            command: check.plan.name().to_owned(),
        })
    }

    async fn follow(&self, tail: &mut Tail) -> Result<End> {
        let from = OutputOffset::default();
        let mut output = self.runtime.attach(self.id, self.run, from).await?;
        loop {
            match output.next().await? {
                Piece::Stdout(bytes) | Piece::Stderr(bytes) => tail.push(&bytes),
                Piece::Ended(Some(status)) => return Ok(End::Exited(status)),
                Piece::Ended(None) => {
                    let message = "the check vanished without an exit status";
                    return Err(Error::unavailable(NAME, message));
                }
            }
            if tail.seen > OUTPUT_LIMIT {
                return Ok(End::TooMuch);
            }
        }
    }

    /// Kills what is left of the check and takes its folder away.
    pub(super) async fn remove(&self) -> Result<()> {
        self.runtime.remove(self.id).await
    }
}

enum End {
    Exited(ExitStatus),
    TooMuch,
}

/// The last bytes of an output.
#[derive(Debug, Default)]
struct Tail {
    kept: Vec<u8>,
    seen: u64,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        self.kept.extend_from_slice(bytes);
        // cut now and then, not each time: moving the rest to the front costs
        if self.kept.len() > 8 * LOG_TAIL {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let surplus = self.kept.len().saturating_sub(LOG_TAIL);
        self.kept.drain(..surplus);
    }

    fn into_text(mut self) -> String {
        self.cut();
        let shortened = self.seen > self.kept.len() as u64;
        // not from within a line, unless there is only one
        let start = self.kept.iter().position(|&byte| byte == b'\n');
        let start = start.filter(|&at| shortened && at + 1 < self.kept.len());
        let kept = &self.kept[start.map_or(0, |at| at + 1)..];
        String::from_utf8_lossy(kept).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(pieces: &[&str]) -> String {
        let mut tail = Tail::default();
        for piece in pieces {
            tail.push(piece.as_bytes());
        }
        tail.into_text()
    }

    #[test]
    fn a_log_is_kept_from_its_end_in_whole_lines() {
        assert_eq!(tail(&["all of ", "it\n"]), "all of it");
        assert_eq!(tail(&[]), "");
        let long = "x".repeat(9 * LOG_TAIL);
        assert_eq!(tail(&["begun\n", &long, "\nlast\n"]), "last");
        assert_eq!(tail(&[&long]).len(), LOG_TAIL);
    }
}
