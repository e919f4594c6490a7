//! Entries that are gathered to be stored together, and how far into the output they reach.

use crate::{
    clock::Timestamp,
    run::Progress,
    transcript::{LogCursor, LogEntry, LogStream, TranscriptEvent},
};

/// So many entries are stored at once.
const MAX_ENTRIES: usize = 256;
/// So many bytes of lines are stored at once.
const MAX_BYTES: usize = 256 * 1024;

/// Entries that are not stored yet.
#[derive(Debug)]
pub(crate) struct Batch {
    run: u32,
    entries: Vec<LogEntry>,
    bytes: usize,
    progress: Progress,
}

impl Batch {
    /// For the run of this number, following on from what is stored of it.
    pub(crate) fn new(run: u32, progress: Progress) -> Self {
        Self { run, entries: Vec::new(), bytes: 0, progress }
    }

    /// One more entry, with the next number.
    pub(crate) fn push(&mut self, at: Timestamp, stream: LogStream, event: TranscriptEvent, original: Option<String>) {
        self.progress.seq += 1;
        self.bytes += original.as_ref().map_or(0, String::len) + text_of(&event);
        let cursor = LogCursor { run: self.run, seq: self.progress.seq };
        self.entries.push(LogEntry { cursor, at, stream, event, original });
    }

    /// All lines up to these offsets are in the batch, or were in one before.
    pub(crate) fn covers(&mut self, stdout: u64, stderr: u64) {
        self.progress.stdout = stdout;
        self.progress.stderr = stderr;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it should be stored before more is read.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= MAX_ENTRIES || self.bytes >= MAX_BYTES
    }

    /// The entries, and how far they reach. What is pushed afterwards follows on.
    pub(crate) fn take(&mut self) -> (Vec<LogEntry>, Progress) {
        self.bytes = 0;
        (std::mem::take(&mut self.entries), self.progress)
    }
}

fn text_of(event: &TranscriptEvent) -> usize {
    match event {
        TranscriptEvent::Text { text } | TranscriptEvent::Thinking { text } | TranscriptEvent::Raw { text } => text.len(),
        TranscriptEvent::ToolResult { output, .. } => output.len(),
        _ => 0,
    }
}
