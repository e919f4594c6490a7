//! The stream: one JSON object per line, as the process prints it and the adapter reads it.

use std::io::{self, Write};

use optio_core::{clock::Timestamp, money::Usd};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StreamLine {
    /// The first line: the session that this run begins or resumes.
    Init {
        /// The id with which it can be resumed.
        session_id: String,
        /// The model, as it was asked for.
        model: String,
        /// The version of the stream.
        version: String,
    },
    /// The agent says something.
    Text {
        /// What it says.
        text: String,
    },
    /// The agent thinks aloud.
    Thinking {
        /// What it thinks.
        text: String,
    },
    /// The agent uses a tool.
    ToolCall {
        /// Pairs the call with its result; counted from `call_1` in every run.
        id: String,
        /// The tool: `edit`, `append`, `delete`, `bash`, `commit` or `verdict`.
        name: String,
        /// Its arguments.
        input: Value,
    },
    /// The tool is done.
    ToolResult {
        /// The call it belongs to.
        id: String,
        /// Whether the tool failed.
        is_error: bool,
        /// What it gave back.
        output: String,
    },
    /// What this run has used so far; earlier runs of the session are not in it.
    Usage {
        /// Money.
        cost_usd: Usd,
        /// Tokens read.
        input_tokens: u64,
        /// Tokens written.
        output_tokens: u64,
    },
    /// The provider refused a request for its rate.
    RateLimit {
        /// When it lets us in again.
        resets_at: Timestamp,
    },
    /// Something went wrong with the model, its provider or the session.
    Error {
        /// What, such as `authentication_failed`.
        kind: String,
        /// The status that a provider answers with in that case, where there is one.
        http_status: Option<u16>,
        /// The provider's words.
        message: String,
    },
    /// The last line of every run that comes to an end by itself.
    Result {
        /// Whether the run failed.
        is_error: bool,
        /// What the agent claims to have done, or why it failed.
        summary: String,
        /// The session again.
        session_id: String,
        /// Money, over the whole run.
        cost_usd: Usd,
        /// Tokens read, over the whole run.
        input_tokens: u64,
        /// Tokens written, over the whole run.
        output_tokens: u64,
        /// The number of this run in its session, from 1.
        turns: u32,
    },
}

/// Writes the stream, and beside it what does not belong there. Every line is flushed as soon as it is complete.
#[derive(Debug)]
pub(super) struct StreamWriter<W> {
    out: W,
    in_line: bool,
}

impl<W: Write> StreamWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            in_line: false,
        }
    }

    /// Writes a line of the stream, on a line of its own whatever was written before.
    pub(super) fn line(&mut self, line: &StreamLine) -> io::Result<()> {
        let json = serde_json::to_string(line)?;
        self.raw(&json)
    }

    /// Writes `text` as a line that need not be one of the stream.
    pub(super) fn raw(&mut self, text: &str) -> io::Result<()> {
        let before = if self.in_line { "\n" } else { "" };
        self.bytes(format!("{before}{text}\n").as_bytes())
    }

    /// Writes just these bytes; without a line feed at their end, the line stays open.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()?;
        self.in_line = bytes.last().map_or(self.in_line, |&last| last != b'\n');
        Ok(())
    }
}
