//! What a run in memory reads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::BACKEND;
use crate::{
    error::{Error, Result},
    runtime::{Command, Input, InputEnd},
};

/// What a run reads, and whether more may come. Clones are the same inbox.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    read: Arc<Mutex<Read>>,
    changes: Arc<Notify>,
}

#[derive(Debug)]
struct Read {
    bytes: Vec<u8>,
    state: State,
    /// How much of it was taken.
    taken: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    NeverOpen,
    Open,
    Ended,
}

impl Inbox {
    /// The input of a command, whose first bytes it has taken in already.
    pub(super) fn of(command: &Command) -> Self {
        let read = Read {
            bytes: command.stdin.to_vec(),
            state: match command.stdin_end {
                InputEnd::AtOnce => State::NeverOpen,
                InputEnd::WhenTold => State::Open,
            },
            taken: command.stdin.len(),
        };
        Self {
            read: Arc::new(Mutex::new(read)),
            changes: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn feed(&self, input: Input) -> Result<()> {
        let mut read = self.lock();
        match input {
            Input::More { at, bytes } => read.add(at, &bytes)?,
            Input::End if read.state == State::Open => read.state = State::Ended,
            Input::End => {}
        }
        drop(read);
        self.changes.notify_waiters();
        Ok(())
    }

    /// Nothing is read any more.
    pub(super) fn close(&self) {
        let mut read = self.lock();
        if read.state == State::Open {
            read.state = State::Ended;
        }
    }

    /// The next line, waiting for it; none once the input has come to its end.
    pub(super) async fn line(&self) -> Option<String> {
        loop {
            let changed = self.changes.notified();
            {
                let mut read = self.lock();
                let rest = &read.bytes[read.taken..];
                if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line = String::from_utf8_lossy(&rest[..end]).into_owned();
                    read.taken += end + 1;
                    return Some(line);
                }
                if read.state != State::Open {
                    return None;
                }
            }
            changed.await;
        }
    }
}

impl Read {
    fn add(&mut self, at: u64, bytes: &Bytes) -> Result<()> {
        let refuse = |why| {
            Err(Error::conflict(
                BACKEND,
                format!("the run reads no more: {why}"),
            ))
        };
        if self.state == State::NeverOpen {
            return refuse("its input was never open");
        }
        let Some(known) = self
            .bytes
            .len()
            .checked_sub(usize::try_from(at).unwrap_or(usize::MAX))
        else {
            return refuse("what stands before is missing");
        };
        match bytes.get(known..) {
            None | Some([]) => Ok(()),
            Some(_) if self.state == State::Ended => refuse("its input was ended"),
            Some(new) => {
                self.bytes.extend_from_slice(new);
                Ok(())
            }
        }
    }
}
