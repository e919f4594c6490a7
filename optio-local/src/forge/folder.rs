//! The forge's folder, for one process or for several at once, and the part of it that each process has to itself.
//!
//! ```text
//! forge.db        the records, which all processes share
//! forge.lock      held by every process that has the forge open: alone, or together with others
//! opening.lock    held while one opens it, so that the records are made by one
//! checks/         the checkouts of the first process, checks-1/ those of the second; a lock file beside each
//! ```

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use optio_core::{Error, ErrorKind, Result, runtime::Runtime as _, store::Sharing};

use super::{NAME, git};
use crate::runtime::{LocalRuntime, LocalRuntimeOptions};

/// How many processes may have one forge open.
const MOST: usize = 64;

/// The right to use the folder. It is given back when this is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

/// The folder of checkouts that this process has to itself, as a runtime.
#[derive(Debug)]
pub(super) struct Checkouts {
    pub(super) runtime: LocalRuntime,
    pub(super) lock: File,
}

/// Held while a forge is being opened.
#[derive(Debug)]
pub(super) struct Opening(#[expect(dead_code, reason = "it is the lock that counts")] File);

impl Folder {
    /// Makes the folder, takes it for ourselves or beside others, and writes the configuration of our git.
    pub(super) fn take(dir: &Path, config: &Path, sharing: Sharing) -> Result<Self> {
        let unusable = |error| unusable(dir, &error);
        let mut folders = DirBuilder::new();
        folders.recursive(true).mode(0o700);
        folders.create(dir).map_err(unusable)?;
        let lock = lock_file(dir, "forge.lock").map_err(unusable)?;
        let taken = match sharing {
            Sharing::Exclusive => lock.try_lock(),
            Sharing::Shared => lock.try_lock_shared(),
        };
        match taken {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let dir = dir.display();
                let message = format!(
                    "another optio is using the folder {dir}: stop it first, or choose another folder"
                );
                return Err(Error::unavailable(NAME, message));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        // in one step: another process may be reading it
        let written = config.with_extension(std::process::id().to_string());
        std::fs::write(&written, git::CONFIG)
            .and_then(|()| std::fs::rename(&written, config))
            .map_err(unusable)?;
        Ok(Self {
            path: dir.to_owned(),
            _lock: lock,
        })
    }

    /// Waits until nobody else is opening the forge.
    pub(super) async fn opening(&self) -> Result<Opening> {
        let path = self.path.clone();
        let locked = tokio::task::spawn_blocking(move || {
            let file = lock_file(&path, "opening.lock").map_err(|error| unusable(&path, &error))?;
            file.lock().map_err(|error| unusable(&path, &error))?;
            Ok(Opening(file))
        });
        locked
            .await
            .map_err(|error| Error::unavailable(NAME, error.to_string()))?
    }

    /// Takes a folder for checkouts. What processes that are gone have left in theirs is taken away, their checks
    /// included.
    pub(super) async fn checkouts(&self, env: &BTreeMap<String, String>) -> Result<Checkouts> {
        let mut ours = None;
        for place in 0..MOST {
            let name = match place {
                0 => "checks".to_owned(),
                _ => format!("checks-{place}"),
            };
            let root = self.path.join(&name);
            if ours.is_some() && !root.exists() {
                break;
            }
            let lock = lock_file(&self.path, &format!("{name}.lock"))
                .map_err(|error| unusable(&self.path, &error))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(unusable(&self.path, &error)),
            }
            let mut options = LocalRuntimeOptions::new(root);
            options.env = env.clone();
            let runtime = LocalRuntime::open(options).await?;
            for left in runtime.list().await? {
                runtime.remove(left.id).await?;
            }
            ours.get_or_insert(Checkouts { runtime, lock });
        }
        ours.ok_or_else(|| {
            Error::unavailable(
                NAME,
                format!(
                    "{MOST} processes are using the folder {}: stop one of them first",
                    self.path.display()
                ),
            )
        })
    }
}

fn lock_file(dir: &Path, name: &str) -> io::Result<File> {
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join(name))
}

fn unusable(dir: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        io::ErrorKind::StorageFull => ErrorKind::Unavailable,
        _ => ErrorKind::Invalid,
    };
    let dir = dir.display();
    let message = format!(
        "the folder {dir} cannot be written ({error}): give this user the right to, or choose another folder"
    );
    Error::new(kind, NAME, message)
}
