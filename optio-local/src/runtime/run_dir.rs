//! The folder of a run: what is known of it on disk, whoever asks.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::{errno::Errno, sys::stat::Mode, unistd::mkfifo};
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

    /// What an open input goes through. There is none if the input ends at once.
    fn pipe(&self) -> PathBuf {
        self.path.join("pipe")
    }

    /// Who copies an open input sleeps until a line comes through here.
    fn bell(&self) -> PathBuf {
        self.path.join("bell")
    }

    /// Tells that an open input has ended.
    fn input_end(&self) -> PathBuf {
        self.path.join("input.end")
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

    /// Makes what an open input goes through.
    pub(super) fn open_input(&self, first: &[u8]) -> Result<()> {
        self.write_stdin(first)?;
        for path in [self.bell(), self.pipe()] {
            match mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(failed("open the run's input")(error.into())),
            }
        }
        Ok(())
    }

    /// Adds to an open input what is not there yet. The caller keeps others from doing so at the same time.
    pub(super) fn feed(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let closed = |why: &str| {
            Err(Error::conflict(
                NAME,
                format!("run {} reads no more: {why}", self.id),
            ))
        };
        if !self.pipe().exists() {
            return closed("its input was never open");
        }
        let failed = || failed("write the run's input");
        let there = fs::metadata(self.stdin()).map_err(failed())?.len();
        let known = usize::try_from(there.saturating_sub(at)).unwrap_or(usize::MAX);
        if there < at {
            return closed("what stands before is missing");
        }
        if let Some(new) = bytes.get(known..).filter(|new| !new.is_empty()) {
            if self.input_end().exists() {
                return closed("its input was ended");
            }
            if self.exit_status().is_some() {
                return closed("it has ended");
            }
            let mut input = OpenOptions::new().append(true).open(self.stdin());
            let input = input
                .as_mut()
                .map_err(|error| io::Error::from(error.kind()));
            input
                .and_then(|input| input.write_all(new))
                .map_err(failed())?;
        }
        self.ring();
        Ok(())
    }

    /// Ends an open input, if there is one.
    pub(super) fn end_input(&self) -> Result<()> {
        if self.pipe().exists() {
            File::create(self.input_end()).map_err(failed("end the run's input"))?;
            self.ring();
        }
        Ok(())
    }

    /// Wakes who copies the input. Nobody may be there: not yet, and then it looks first; or not any more.
    fn ring(&self) {
        let bell = OpenOptions::new()
            .write(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(self.bell());
        if let Ok(mut bell) = bell {
            let _ = bell.write_all(b"\n"); // a bell that is full of lines has woken it
        }
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
