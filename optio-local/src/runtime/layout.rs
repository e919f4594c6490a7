//! Where everything lies: the folders of workspaces and runs, and reading and writing files in them safely.
//!
//! ```text
//! <root>/<workspace id>/workspace.json    whose it is; what list() goes by
//!                       shared.json       what was given for the files that several runs use
//!                       spawn.lock        held while a run is being started or forgotten
//!                       home/ tmp/        HOME and TMPDIR of everything that runs here
//!                       runs/<run id>/    run.json, stdin, stdout, stderr; by the supervisor: started, code, exit
//! ```
//! Agents can write all over their workspace, so a path in it may be a link that leads out. Nothing is read or written
//! through such a link on their behalf.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use bytes::Bytes;
use optio_core::{
    Error, ErrorKind, Result,
    id::{RepoId, RunId, WorkspaceId},
    runtime::{ObservedWorkspace, WorkspaceHealth, WorkspaceSpec},
    workspace::WorkspacePath,
};
use serde::{Deserialize, Serialize};

use super::{NAME, run_dir::RunDir};

/// Nobody starts or ends a run for longer than this, unless it is frozen.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often somebody looks whether the lock is free.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The folder of a workspace.
#[derive(Debug, Clone)]
pub(super) struct WorkspaceDir {
    pub(super) id: WorkspaceId,
    pub(super) path: PathBuf,
}

/// What `workspace.json` holds.
#[derive(Debug, Serialize, Deserialize)]
struct WorkspaceRecord {
    id: WorkspaceId,
    repo: RepoId,
    name: String,
}

/// Turns an I/O error into the port's, saying what was being done.
pub(super) fn failed(doing: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Error {
    move |error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::Denied
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::ArgumentListTooLong => ErrorKind::Invalid,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, NAME, format!("cannot {doing}: {error}")).caused_by(error)
    }
}

/// Makes a folder that only its owner may enter, and those above it; fine if it is there.
pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Replaces a file in one step: a reader sees the old or the new content. Mode 0600.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(&fresh, path));
    written.inspect_err(|_| {
        let _ = fs::remove_file(&fresh);
    })
}

impl WorkspaceDir {
    pub(super) fn new(root: &Path, id: WorkspaceId) -> Self {
        Self {
            id,
            path: root.join(id.to_string()),
        }
    }

    pub(super) fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.path.join("tmp")
    }

    fn runs(&self) -> PathBuf {
        self.path.join("runs")
    }

    fn record(&self) -> PathBuf {
        self.path.join("workspace.json")
    }

    pub(super) fn run(&self, id: RunId) -> RunDir {
        RunDir {
            id,
            path: self.runs().join(id.to_string()),
        }
    }

    /// Makes the folder with all that belongs in it.
    pub(super) fn create(&self, spec: &WorkspaceSpec) -> Result<()> {
        for folder in [&self.home(), &self.tmp(), &self.runs()] {
            make_dir(folder).map_err(failed(format_args!("make {}", folder.display())))?;
        }
        if self.record().exists() {
            return Ok(());
        }
        let record = WorkspaceRecord {
            id: spec.id,
            repo: spec.repo,
            name: spec.name.clone(),
        };
        let record = serde_json::to_vec(&record).map_err(|error| {
            Error::invalid(NAME, "cannot write workspace.json").caused_by(error)
        })?;
        replace(&self.record(), &record).map_err(failed("write workspace.json"))
    }

    /// `NotFound` if there is no such workspace.
    pub(super) fn check(&self) -> Result<()> {
        if self.record().is_file() {
            Ok(())
        } else {
            Err(Error::not_found(
                NAME,
                format_args!("workspace {}", self.id),
            ))
        }
    }

    /// Reads back what [`create`](Self::create) wrote. None if this is no workspace.
    pub(super) fn observe(&self) -> Option<ObservedWorkspace> {
        let record = fs::read(self.record()).ok()?;
        let record: WorkspaceRecord = serde_json::from_slice(&record)
            .inspect_err(|error| {
                tracing::warn!(workspace = %self.id, %error, "workspace.json cannot be read, leaving it alone");
            })
            .ok()?;
        let missing = [self.home(), self.tmp(), self.runs()]
            .into_iter()
            .find(|folder| !folder.is_dir());
        Some(ObservedWorkspace {
            id: self.id,
            repo: record.repo,
            health: match missing {
                None => WorkspaceHealth::Ready,
                Some(folder) => WorkspaceHealth::Broken {
                    reason: format!("{} is missing", folder.display()),
                },
            },
        })
    }

    /// The runs that were started here and not forgotten.
    pub(super) fn all_runs(&self) -> Vec<RunDir> {
        let Ok(folders) = fs::read_dir(self.runs()) else {
            return Vec::new();
        };
        folders
            .flatten()
            .filter_map(|folder| folder.file_name().to_str()?.parse().ok())
            .map(|id| self.run(id))
            .collect()
    }

    /// Waits for the right to start or forget a run here. It ends with the returned file, or with this process. To be
    /// called where a thread may wait.
    ///
    /// # Errors
    /// `Unavailable` if another process has kept it for longer than anything takes: it may be frozen in the middle of a
    /// start, and nobody knows yet what comes of that.
    pub(super) fn lock(&self) -> Result<File> {
        self.lock_within(PATIENCE)
    }

    fn lock_within(&self, patience: Duration) -> Result<File> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.path.join("spawn.lock"))
            .map_err(failed("open spawn.lock"))?;
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(failed("lock spawn.lock")(error)),
                Err(TryLockError::WouldBlock) if waited < patience => {
                    thread::sleep(LOOK_AGAIN);
                    waited += LOOK_AGAIN;
                }
                Err(TryLockError::WouldBlock) => {
                    let message = format!(
                        "another process has been starting or ending a run in {} for {} s: if it is frozen, let it go on or end it",
                        self.path.display(),
                        patience.as_secs()
                    );
                    return Err(Error::unavailable(NAME, message));
                }
            }
        }
    }

    /// The place of a path on this machine.
    pub(super) fn resolve(&self, path: &WorkspacePath) -> PathBuf {
        if path.as_str().is_empty() {
            self.path.clone()
        } else {
            self.path.join(path.as_str())
        }
    }

    /// `Denied` if `path`, its links followed, lies outside.
    fn check_inside(&self, path: &Path) -> Result<PathBuf> {
        let real = path
            .canonicalize()
            .map_err(failed(format_args!("find {}", path.display())))?;
        let own = self
            .path
            .canonicalize()
            .map_err(failed(format_args!("find workspace {}", self.id)))?;
        if real.starts_with(own) {
            Ok(real)
        } else {
            Err(Error::new(
                ErrorKind::Denied,
                NAME,
                format!("{} leads out of its workspace", path.display()),
            ))
        }
    }

    /// The folder to run something in.
    pub(super) fn working_dir(&self, dir: Option<&WorkspacePath>) -> Result<PathBuf> {
        let path = dir.map_or_else(|| self.path.clone(), |dir| self.resolve(dir));
        if path.is_dir() {
            self.check_inside(&path)?;
            Ok(path)
        } else {
            Err(Error::not_found(
                NAME,
                format_args!("the folder {}", path.display()),
            ))
        }
    }

    /// Writes files, each in one step, with mode 0600.
    pub(super) fn write_files(&self, files: &BTreeMap<WorkspacePath, Bytes>) -> Result<()> {
        for (path, content) in files {
            let place = self.resolve(path);
            let parent = place.parent().unwrap_or(&self.path);
            // the deepest folder that is there must lie inside before more are made in it
            let existing = parent.ancestors().find(|folder| folder.exists());
            self.check_inside(existing.unwrap_or(&self.path))?;
            make_dir(parent).map_err(failed(format_args!("make the folder of {path}")))?;
            replace(&place, content).map_err(failed(format_args!("write {path}")))?;
        }
        Ok(())
    }

    /// Deletes files that [`write_files`](Self::write_files) wrote. One that lies outside by now is left alone.
    pub(super) fn delete_files(&self, files: &[WorkspacePath]) -> Result<()> {
        for path in files {
            let place = self.resolve(path);
            let inside = place
                .parent()
                .is_some_and(|parent| self.check_inside(parent).is_ok());
            if inside {
                gone(fs::remove_file(&place)).map_err(failed(format_args!("delete {path}")))?;
            }
        }
        Ok(())
    }

    /// Reads a file; see [`optio_core::runtime::Runtime::read_file`].
    pub(super) fn read_file(&self, path: &WorkspacePath, limit: usize) -> Result<Bytes> {
        let real = self.check_inside(&self.resolve(path))?;
        let meta = fs::metadata(&real).map_err(failed(format_args!("read {path}")))?;
        if !meta.is_file() {
            return Err(Error::invalid(NAME, format!("{path} is not a file")));
        }
        let mut content = Vec::new();
        // no waiting for the other end, should it have become a pipe just now
        OpenOptions::new()
            .read(true)
            .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
            .open(&real)
            .and_then(|file| file.take(limit as u64 + 1).read_to_end(&mut content))
            .map_err(failed(format_args!("read {path}")))?;
        if content.len() > limit {
            return Err(Error::invalid(
                NAME,
                format!("{path} is larger than {limit} bytes"),
            ));
        }
        Ok(content.into())
    }

    /// Deletes the folder, what is write-protected included. The record goes last, so that a workspace half deleted is
    /// still listed.
    pub(super) fn delete(&self) -> Result<()> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(format_args!("open workspace {}", self.id))(error)),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path == self.record() {
                continue;
            }
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let deleted = if is_dir {
                gone(fs::remove_dir_all(&path)).or_else(|_| {
                    make_writable(&path);
                    gone(fs::remove_dir_all(&path))
                })
            } else {
                gone(fs::remove_file(&path))
            };
            deleted.map_err(failed(format_args!("delete {}", path.display())))?;
        }
        gone(fs::remove_file(self.record()))
            .and_then(|()| gone(fs::remove_dir(&self.path)))
            .map_err(failed(format_args!("delete workspace {}", self.id)))
    }
}

/// Deleting what is not there is fine.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Gives the owner back the right to change this folder and those below it. What fails shows when deleting.
fn make_writable(folder: &Path) {
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_somebody_who_never_ends_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let id = WorkspaceId::from_uuid(uuid::Uuid::from_u128(1));
        let workspace = WorkspaceDir::new(folder.path(), id);
        fs::create_dir_all(&workspace.path).unwrap();
        let frozen = workspace.lock().unwrap();
        let error = workspace.lock_within(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("if it is frozen"), "{error}");
        drop(frozen);
        workspace.lock_within(Duration::ZERO).unwrap();
    }
}
