//! The folder of a run: what is known of it on disk, whoever asks.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use optio_core::{Error, Result, failure::ExitStatus, id::RunId, workspace::WorkspacePath};
use serde::{Deserialize, Serialize};

use super::{
    NAME,
    layout::{failed, replace},
};

/// The folder of a run.
#[derive(Debug, Clone)]
pub(super) struct RunDir {
    pub(super) id: RunId,
    pub(super) path: PathBuf,
}

/// What `run.json` holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct RunRecord {
    /// How its processes are held together.
    pub(super) containment: Contained,
    /// The files that were written for it, to be taken away with it.
    pub(super) files: Vec<WorkspacePath>,
}

/// How the processes of a run are held together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Contained {
    /// By a PID namespace: nothing can leave it, and it ends as one.
    Namespace,
    /// By the marker in their environment.
    #[default]
    Marker,
}

impl RunDir {
    pub(super) fn stdin(&self) -> PathBuf {
        self.path.join("stdin")
    }

    pub(super) fn stdout(&self) -> PathBuf {
        self.path.join("stdout")
    }

    pub(super) fn stderr(&self) -> PathBuf {
        self.path.join("stderr")
    }

    /// Written by the supervisor before anything else, and by only one of them.
    fn started(&self) -> PathBuf {
        self.path.join("started")
    }

    fn exit(&self) -> PathBuf {
        self.path.join("exit")
    }

    fn record(&self) -> PathBuf {
        self.path.join("run.json")
    }

    /// Whether its command was started, however it went on.
    pub(super) fn is_started(&self) -> bool {
        self.started().exists()
    }

    /// `NotFound` if it was not started.
    pub(super) fn check(&self) -> Result<()> {
        if self.is_started() {
            Ok(())
        } else {
            Err(Error::not_found(NAME, format_args!("run {}", self.id)))
        }
    }

    /// The supervisor's process id.
    pub(super) fn leader(&self) -> Option<i32> {
        whole_line(&self.started())?.parse().ok()
    }

    /// How it ended, if that was written down.
    ///
    /// The supervisor is a shell, to which death by signal 9 and exit code 137 are the same; they are taken for the
    /// signal, as no program in its senses exits with such a code for another reason.
    pub(super) fn exit_status(&self) -> Option<ExitStatus> {
        let code: i32 = whole_line(&self.exit())?.parse().ok()?;
        Some(match code {
            129..=192 => ExitStatus::Signal(code - 128),
            code => ExitStatus::Code(code),
        })
    }

    /// Notes that it was killed, unless it had ended by itself.
    pub(super) fn note_killed(&self) -> Result<()> {
        if self.exit_status().is_none() {
            replace(&self.exit(), b"137\n").map_err(failed("write the exit status"))?;
        }
        Ok(())
    }

    pub(super) fn read_record(&self) -> RunRecord {
        fs::read(self.record())
            .ok()
            .and_then(|record| serde_json::from_slice(&record).ok())
            .unwrap_or_default()
    }

    pub(super) fn write_record(&self, record: &RunRecord) -> Result<()> {
        let record = serde_json::to_vec(record)
            .map_err(|error| Error::invalid(NAME, "cannot write run.json").caused_by(error))?;
        replace(&self.record(), &record).map_err(failed("write run.json"))
    }

    pub(super) fn write_stdin(&self, content: &[u8]) -> Result<()> {
        replace(&self.stdin(), content).map_err(failed("write the run's input"))
    }

    /// Opens a file that the run's output goes to.
    pub(super) fn spool(path: &Path) -> Result<File> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(failed("open the run's output"))
    }

    /// Deletes it all.
    pub(super) fn delete(&self) -> Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed(format_args!("forget run {}", self.id))(error))
            }
            _ => Ok(()),
        }
    }
}

/// The line in a file, if it is there to its end: what tells a finished write from one under way.
fn whole_line(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .ok()?
        .strip_suffix('\n')
        .map(str::to_owned)
}
