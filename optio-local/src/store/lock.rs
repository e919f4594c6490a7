//! One optio for each data folder: a lock on a file beside the database, held as long as the store is open.

use std::{
    fs::{File, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::Path,
    thread,
    time::Duration,
};

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

/// How often to try again where the holder is gone: a program that it was just starting when it was killed holds the
/// lock too, until that program has truly begun.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// The lock. It is free again once this is dropped, or the process is gone in whatever way.
#[derive(Debug)]
pub(super) struct DataLock {
    _file: File,
}

/// Why the lock could not be had.
#[derive(Debug)]
pub(super) enum LockError {
    /// Somebody else holds it: this process, if it can be told.
    Held(Option<u32>),
    /// The file could not be opened or locked.
    Io(io::Error),
}

impl DataLock {
    /// Takes the lock for a database. Blocks for a moment if whoever held it has just been killed.
    pub(super) fn take(database: &Path) -> Result<Self, LockError> {
        let mut tries = 1;
        loop {
            match Self::try_take(database) {
                Err(LockError::Held(Some(pid))) if tries < TRIES && is_gone(pid) => tries += 1,
                taken => return taken,
            }
            thread::sleep(PAUSE);
        }
    }

    fn try_take(database: &Path) -> Result<Self, LockError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file.read_to_string(&mut text).ok();
                return Err(LockError::Held(pid.and_then(|_| text.trim().parse().ok())));
            }
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        // for whoever finds the lock held; the file stays when we go, so that nobody locks one that is being removed
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(LockError::Io)?;
        Ok(Self { _file: file })
    }
}

/// Whether there is no such process any more.
fn is_gone(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH))
}
