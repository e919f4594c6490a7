//! The output of a run in memory, and following it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    error::Result,
    failure::ExitStatus,
    runtime::{Output, OutputOffset, Piece},
};

/// The most that one piece holds.
const PIECE: usize = 64 * 1024;

/// What a run has written, and how it ended. Clones are the same spool.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    written: Arc<Mutex<Written>>,
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Written {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    ended: Option<Option<ExitStatus>>,
}

impl Spool {
    pub(super) fn new() -> Self {
        Self {
            written: Arc::default(),
            changes: Arc::new(watch::Sender::new(0)),
        }
    }

    pub(super) fn stdout(&self, bytes: &[u8]) {
        self.write(|written| written.stdout.extend_from_slice(bytes));
    }

    pub(super) fn stderr(&self, bytes: &[u8]) {
        self.write(|written| written.stderr.extend_from_slice(bytes));
    }

    /// Records the end. The first one counts.
    pub(super) fn end(&self, status: Option<ExitStatus>) {
        self.write(|written| {
            written.ended.get_or_insert(status);
        });
    }

    pub(super) fn ended(&self) -> Option<Option<ExitStatus>> {
        self.lock().ended
    }

    pub(super) fn follow(&self, from: OutputOffset) -> Follower {
        Follower {
            changes: self.changes.subscribe(),
            spool: self.clone(),
            at: from,
        }
    }

    fn write(&self, write: impl FnOnce(&mut Written)) {
        let mut written = self.lock();
        if written.ended.is_none() {
            write(&mut written);
        }
        drop(written);
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn piece(&self, at: OutputOffset) -> Option<Piece> {
        let written = self.lock();
        rest(&written.stdout, at.stdout)
            .map(Piece::Stdout)
            .or_else(|| rest(&written.stderr, at.stderr).map(Piece::Stderr))
            .or_else(|| written.ended.map(Piece::Ended))
    }
}

fn rest(bytes: &[u8], from: u64) -> Option<Bytes> {
    let rest = bytes.get(usize::try_from(from).ok()?..)?;
    let piece = rest.get(..PIECE).unwrap_or(rest);
    (!piece.is_empty()).then(|| Bytes::copy_from_slice(piece))
}

/// Somebody who reads a spool.
#[derive(Debug)]
pub(super) struct Follower {
    spool: Spool,
    changes: watch::Receiver<u64>,
    at: OutputOffset,
}

#[async_trait]
impl Output for Follower {
    async fn next(&mut self) -> Result<Piece> {
        loop {
            self.changes.mark_unchanged();
            // marked first, so that what is written after this look wakes us
            if let Some(piece) = self.spool.piece(self.at) {
                match &piece {
                    Piece::Stdout(bytes) => self.at.stdout += bytes.len() as u64,
                    Piece::Stderr(bytes) => self.at.stderr += bytes.len() as u64,
                    Piece::Ended(_) => {}
                }
                return Ok(piece);
            }
            // the sender lives in our own spool, so waiting cannot fail
            let _ = self.changes.changed().await;
        }
    }
}
