//! A gate in the middle of a command: whoever runs it stands there until a test opens it.

use std::path::PathBuf;

use nix::{sys::stat::Mode, unistd::mkfifo};
use tokio::net::unix::pipe::{self, Sender};

use crate::room::{Room, until};

/// A gate that is shut.
#[derive(Debug)]
pub(crate) struct Gate(PathBuf);

/// A gate at which somebody stands. It opens as this is dropped.
#[derive(Debug)]
pub(crate) struct Reached(#[expect(dead_code, reason = "what counts is that it is open")] Sender);

impl Gate {
    /// Makes one in this room.
    pub(crate) fn new(room: &Room, name: &str) -> Self {
        let path = room.at(name);
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        Self(path)
    }

    /// The command that ends as the gate opens.
    pub(crate) fn command(&self) -> String {
        format!("cat {}", self.0.display())
    }

    /// Waits until a command stands at it.
    pub(crate) async fn reached(&self) -> Reached {
        until("a command at the gate", || async {
            let opened = pipe::OpenOptions::new().open_sender(&self.0);
            opened.map(Reached).map_err(|error| error.to_string())
        })
        .await
    }
}

impl Reached {
    /// Lets the command go on.
    pub(crate) fn open(self) {}
}
