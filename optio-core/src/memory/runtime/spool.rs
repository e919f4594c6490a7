//! The output of a run in memory, and following it.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

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
    /// Wakes those who follow, always in the same order.
    changes: Arc<Notify>,
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
            changes: Arc::default(),
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
        self.changes.notify_waiters();
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
    at: OutputOffset,
}

#[async_trait]
impl Output for Follower {
    async fn next(&mut self) -> Result<Piece> {
        loop {
            let spool = self.spool.clone();
            let mut changed = pin!(spool.changes.notified());
            // listening begins before the look, so that what is written after it wakes us
            changed.as_mut().enable();
            if let Some(piece) = self.spool.piece(self.at) {
                match &piece {
                    Piece::Stdout(bytes) => self.at.stdout += bytes.len() as u64,
                    Piece::Stderr(bytes) => self.at.stderr += bytes.len() as u64,
                    Piece::Ended(_) => {}
                }
                return Ok(piece);
            }
            changed.await;
        }
    }
}
