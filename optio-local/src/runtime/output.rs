//! Following a run's output: reading its files from an offset on, and waiting for them to grow.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use optio_core::{
    Result,
    failure::ExitStatus,
    runtime::{Output, OutputOffset, Piece},
};

use super::{
    ending::end_all,
    layout::failed,
    offload,
    processes::{Family, Marker},
    run_dir::{Contained, RunDir},
    watch::{Subscription, Watch},
};

/// The largest piece.
const PIECE: usize = 64 << 10;

/// How often to look although nothing was reported: also what finds out that a run vanished.
const SWEEP: Duration = Duration::from_secs(1);

/// A run's output from an offset on.
#[derive(Debug)]
pub(super) struct Spool {
    run: RunDir,
    changes: Subscription,
    stdout: Stream,
    stderr: Stream,
    next: Kind,
    end: End,
}

#[derive(Debug, Clone)]
struct Stream {
    file: Arc<File>,
    offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stdout,
    Stderr,
}

/// What is known of the run's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It goes on, as far as we know.
    Open,
    /// It has ended like this, and nothing is left that could write: what is in the files now is all.
    Seen(Option<ExitStatus>),
}

impl Stream {
    /// What stands at the offset; nothing if the file ends there.
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let length = self.file.metadata()?.len();
        let there = usize::try_from(length.saturating_sub(self.offset)).unwrap_or(PIECE);
        bytes.resize(there.min(PIECE), 0);
        if !bytes.is_empty() {
            let count = self.file.read_at(&mut bytes, self.offset)?;
            bytes.truncate(count);
        }
        Ok(bytes)
    }
}

impl Spool {
    /// Opens the files of a run that was started.
    pub(super) fn open(run: RunDir, from: OutputOffset, watch: &Arc<Watch>) -> Result<Self> {
        run.check()?;
        let open = |path, offset| {
            File::open(path)
                .map(|file| Stream {
                    file: Arc::new(file),
                    offset,
                })
                .map_err(failed("open the run's output"))
        };
        Ok(Self {
            stdout: open(run.stdout(), from.stdout)?,
            stderr: open(run.stderr(), from.stderr)?,
            changes: watch.subscribe(&run.path),
            next: Kind::Stdout,
            end: End::Open,
            run,
        })
    }

    /// The next piece of either stream, in turns when both have more. Offsets move only when it is handed out, so a
    /// reading that is cancelled has taken nothing.
    async fn read(&mut self) -> Result<Option<Piece>> {
        let (stdout, stderr, first) = (self.stdout.clone(), self.stderr.clone(), self.next);
        let found = offload(move || {
            let order = match first {
                Kind::Stdout => [(Kind::Stdout, stdout), (Kind::Stderr, stderr)],
                Kind::Stderr => [(Kind::Stderr, stderr), (Kind::Stdout, stdout)],
            };
            for (kind, stream) in order {
                let bytes = stream.read().map_err(failed("read the run's output"))?;
                if !bytes.is_empty() {
                    return Ok(Some((kind, Bytes::from(bytes))));
                }
            }
            Ok(None)
        })
        .await?;
        Ok(found.map(|(kind, bytes)| match kind {
            Kind::Stdout => {
                self.stdout.offset += bytes.len() as u64;
                self.next = Kind::Stderr;
                Piece::Stdout(bytes)
            }
            Kind::Stderr => {
                self.stderr.offset += bytes.len() as u64;
                self.next = Kind::Stdout;
                Piece::Stderr(bytes)
            }
        }))
    }

    /// Looks whether the run has ended, and sees to it that nothing of it is left that could write on.
    async fn look_for_end(&self) -> Result<End> {
        let run = self.run.clone();
        let (end, contained) = offload(move || {
            let end = match run.exit_status() {
                Some(status) => End::Seen(Some(status)),
                None if Family::lives(&Marker::run(run.id), run.leader()) => End::Open,
                // it may have written how it ended between the two looks
                None => End::Seen(run.exit_status()),
            };
            Ok((end, run.read_record().containment))
        })
        .await?;
        if end != End::Open && contained == Contained::Marker {
            end_all(&Marker::run(self.run.id), None).await?;
        }
        Ok(end)
    }
}

#[async_trait]
impl Output for Spool {
    async fn next(&mut self) -> Result<Piece> {
        loop {
            self.changes.clear();
            if let Some(piece) = self.read().await? {
                return Ok(piece);
            }
            if let End::Seen(status) = self.end {
                return Ok(Piece::Ended(status));
            }
            self.end = self.look_for_end().await?;
            if self.end == End::Open {
                self.changes.changed(SWEEP).await;
            }
        }
    }
}
