//! Entries that are gathered to be stored together, and how far into the output they reach.

use crate::{
    clock::Timestamp,
    run::Progress,
    transcript::{LogCursor, LogEntry, LogStream, TranscriptEvent},
};

/// So many entries are stored at once.
const MAX_ENTRIES: usize = 1024;
/// So many bytes of lines are stored at once: enough that waiting for the disk costs little, and few enough that a hundred
/// runs that write as fast as they can do not fill the memory.
const MAX_BYTES: usize = 512 * 1024;

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
        Self {
            run,
            entries: Vec::new(),
            bytes: 0,
            progress,
        }
    }

    /// One more entry, with the next number.
    pub(crate) fn push(
        &mut self,
        at: Timestamp,
        stream: LogStream,
        event: TranscriptEvent,
        original: Option<String>,
    ) {
        self.progress.seq += 1;
        self.bytes += original.as_ref().map_or(0, String::len) + text_of(&event);
        let cursor = LogCursor {
            run: self.run,
            seq: self.progress.seq,
        };
        self.entries.push(LogEntry {
            cursor,
            at,
            stream,
            event,
            original,
        });
    }

    /// All lines up to these offsets are in the batch, or were in one before.
    pub(crate) fn covers(&mut self, stdout: u64, stderr: u64) {
        self.progress.stdout = stdout;
        self.progress.stderr = stderr;
    }

    /// Whether there is nothing to store.
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
        TranscriptEvent::Text { text }
        | TranscriptEvent::TextPart { text }
        | TranscriptEvent::Thinking { text }
        | TranscriptEvent::Raw { text } => text.len(),
        TranscriptEvent::ToolResult { output, .. } => output.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(batch: &mut Batch, text: &str) {
        let event = TranscriptEvent::Raw {
            text: text.to_owned(),
        };
        batch.push(Timestamp::UNIX_EPOCH, LogStream::Stdout, event, None);
    }

    #[test]
    fn numbers_follow_on_over_batches() {
        let stored = Progress {
            stdout: 10,
            stderr: 5,
            seq: 7,
        };
        let mut batch = Batch::new(2, stored);
        assert!(batch.is_empty());
        say(&mut batch, "a");
        say(&mut batch, "b");
        batch.covers(14, 5);
        let (entries, progress) = batch.take();
        let cursors: Vec<_> = entries
            .iter()
            .map(|entry| entry.cursor.to_string())
            .collect();
        assert_eq!(cursors, ["2.8", "2.9"]);
        assert_eq!(
            progress,
            Progress {
                stdout: 14,
                stderr: 5,
                seq: 9
            }
        );
        say(&mut batch, "c");
        assert_eq!(batch.take().0[0].cursor.to_string(), "2.10");
        assert_eq!(batch.take().1.seq, 10);
    }

    #[test]
    fn it_is_full_by_number_or_by_size() {
        let mut many = Batch::new(1, Progress::default());
        for _ in 0..MAX_ENTRIES {
            assert!(!many.is_full());
            say(&mut many, "x");
        }
        assert!(many.is_full());
        many.take();
        assert!(!many.is_full());
        let mut large = Batch::new(1, Progress::default());
        say(&mut large, &"x".repeat(MAX_BYTES));
        assert!(large.is_full());
    }
}
