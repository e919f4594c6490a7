//! The transcript: what an agent said and did, in one model for all agents, numbered and lossless.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{clock::Timestamp, failure::ReportedError, money::Usage};

/// Where a reader of a task's log stands: behind an entry of one of its runs. Written `2.145`: run 2, entry 145.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogCursor {
    /// The number of the run in its task, from 1. Zero stands before everything.
    pub run: u32,
    /// The number of the entry in that run, from 1.
    pub seq: u64,
}

/// Text that is not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a log cursor: expected the one of an entry, such as 1.42")]
pub struct ParseLogCursorError(String);

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.run, self.seq)
    }
}

impl FromStr for LogCursor {
    type Err = ParseLogCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('.').and_then(|(run, seq)| {
            Some(Self {
                run: run.parse().ok()?,
                seq: seq.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| ParseLogCursorError(text.to_owned()))
    }
}

impl Serialize for LogCursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogCursor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// One entry of a run's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its place: entries of a run are numbered from 1 without gaps.
    pub cursor: LogCursor,
    /// When Optio read it.
    pub at: Timestamp,
    /// Where it came from.
    pub stream: LogStream,
    /// What it says.
    pub event: TranscriptEvent,
    /// The line as the agent wrote it, where the event does not hold all of it. Secrets are masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
}

impl LogEntry {
    /// What stands in the place of a log that was removed for its age, or of its beginning.
    #[must_use]
    pub fn removed(run: u32, at: Timestamp) -> Self {
        Self {
            cursor: LogCursor { run, seq: 1 },
            at,
            stream: LogStream::Optio,
            event: TranscriptEvent::System {
                text: format!(
                    "The log of run {run} is kept no longer: entries that stood here were removed."
                ),
            },
            original: None,
        }
    }
}

/// Where a log entry came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// The agent's own stream.
    Stdout,
    /// What it wrote to its error output.
    Stderr,
    /// Optio's own remarks on the run.
    Optio,
}

/// What an entry says, whichever agent wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum TranscriptEvent {
    /// The agent began or resumed a session.
    Session {
        /// The id with which it can be resumed.
        id: SessionId,
        /// The model it uses, where it tells.
        model: Option<String>,
        /// The version of the agent's program, where it tells.
        version: Option<String>,
    },
    /// The agent uses this model, where it tells that apart from its session.
    Model {
        /// The model.
        name: String,
    },
    /// The agent said something.
    Text {
        /// What it said.
        text: String,
    },
    /// A piece of what the agent is saying. Pieces in a row are one text.
    TextPart {
        /// The piece, with the blanks at its ends.
        text: String,
    },
    /// The agent thought aloud.
    Thinking {
        /// What it thought.
        text: String,
    },
    /// The agent started a tool.
    ToolCall {
        /// Pairs the call with its result.
        id: String,
        /// The tool.
        name: String,
        /// Its arguments.
        input: Value,
    },
    /// A tool finished.
    ToolResult {
        /// The call it belongs to.
        id: String,
        /// What it gave back.
        output: String,
        /// Whether the tool said that it failed.
        failed: bool,
    },
    /// The agent's list of what it means to do.
    Plan {
        /// The items in order.
        items: Vec<PlanItem>,
    },
    /// A notice of the agent's program or of Optio.
    System {
        /// The notice.
        text: String,
    },
    /// What has been used.
    Usage {
        /// How much, in all of what `of` says.
        total: Usage,
        /// What it was used for.
        #[serde(default)]
        of: UsageOf,
    },
    /// The model's provider limits the rate.
    RateLimit {
        /// When it lets us in again, where it tells.
        resets_at: Option<Timestamp>,
        /// Whether this request was refused; otherwise it is a warning.
        refused: bool,
    },
    /// The agent reported an error.
    Error {
        /// The error as structured data.
        error: ReportedError,
    },
    /// Somebody has told the agent something.
    Message {
        /// The number of the message in its task.
        number: u32,
        /// What it says.
        text: String,
    },
    /// The agent's closing word on a round of work. A run may hold several; the last one counts.
    Result {
        /// Whether the agent calls it a failure.
        failed: bool,
        /// Its summary.
        summary: String,
    },
    /// A line that is not in the agent's known format; never a failure by itself.
    Raw {
        /// The line.
        text: String,
    },
}

impl TranscriptEvent {
    /// Whether the model has answered: what kept the agent from reaching it is over.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Text { .. }
                | Self::TextPart { .. }
                | Self::Thinking { .. }
                | Self::ToolCall { .. }
                | Self::Result { failed: false, .. }
        )
    }
}

/// What a [`Usage`] is the sum of. Agents count differently; what the run has used is added up from all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageOf {
    /// The run, since it began.
    #[default]
    Run,
    /// A part of the run that nothing else counts: parts add up.
    Part,
    /// The session, since it began, with all earlier runs in it.
    Session,
    /// One answer of the model, by its id, as far as it has come: an estimate that holds until one of the others counts
    /// it again. The same id once more takes the place of what was said before.
    Answer(String),
}

/// One item of an agent's plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanItem {
    /// What is to be done.
    pub text: String,
    /// Whether it is.
    pub done: bool,
}

/// With what an agent resumes an earlier conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub String);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the events of a run add up to: all that its outcome is decided from, besides the exit status and git's facts.
/// Kept with the run, so that it survives a restart in the middle of the stream.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunReport {
    /// The session, once the agent has named it.
    pub session: Option<SessionId>,
    /// The model that truly ran.
    pub model: Option<String>,
    /// The version of the agent's program.
    pub agent_version: Option<String>,
    /// What the run has used so far.
    pub usage: Usage,
    /// What its session had used before it began, if it goes on with one: what is reported of the session is more by
    /// this.
    pub session_before: Usage,
    /// What its session has used by now, if the agent counts that.
    pub session_usage: Option<Usage>,
    /// What is estimated of that, where the agent tells more only later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// The last closing word: whether the agent calls it a failure, and its summary. None while a round of work that
    /// began after it goes on.
    pub result: Option<(Failed, String)>,
    /// The last thing it said, which stands for the summary of a closing word that has none. Only its first
    /// [`MAX_LAST_WORDS`] bytes.
    pub last_words: String,
    /// Whether the last event was a piece of what it says, so that the next one goes on with it.
    pub mid_speech: bool,
    /// The last error that the agent reported.
    pub error: Option<ReportedError>,
    /// The last error that it reported and got over: some agents exit with 1 all the same.
    pub overcame: Option<ReportedError>,
    /// The last refusal for the rate: when it ends, where that was told.
    pub rate_limited: Option<RateLimited>,
}

/// What a run has used since its agent last told, as far as can be seen.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Estimate {
    /// What the agent has told.
    told: Usage,
    /// What its model's answers have used since.
    since: Usage,
    /// The latest of those answers, each with its part of it: they may grow.
    answers: Vec<(String, Usage)>,
}

/// How many answers may be under way at the same time: those of subagents besides the agent's own.
const MAX_ANSWERS: usize = 16;

/// The longest [last words](RunReport::last_words) that are kept, in bytes.
pub const MAX_LAST_WORDS: usize = 4096;

/// Whether the agent called its work a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failed {
    /// It did.
    Yes,
    /// It called it a success, for what that is worth.
    No,
}

/// A request that was refused for its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimited {
    /// When requests are let in again, where that was told.
    pub resets_at: Option<Timestamp>,
}

impl RunReport {
    /// Takes one more event into account. The same events in the same order always give the same report.
    pub fn fold(&mut self, event: &TranscriptEvent) {
        let goes_on = std::mem::take(&mut self.mid_speech);
        match event {
            TranscriptEvent::Session { id, model, version } => {
                self.session = Some(id.clone());
                self.model = model.clone().or_else(|| self.model.take());
                self.agent_version = version.clone().or_else(|| self.agent_version.take());
            }
            TranscriptEvent::Model { name } => self.model = Some(name.clone()),
            TranscriptEvent::Usage { total, of } => self.count(*total, of),
            TranscriptEvent::Text { text } => {
                self.got_over();
                self.last_words.clear();
                self.say(text);
            }
            TranscriptEvent::TextPart { text } => {
                self.got_over();
                if !goes_on {
                    self.last_words.clear();
                }
                self.say(text);
                self.mid_speech = true;
            }
            TranscriptEvent::Thinking { .. } => self.got_over(),
            TranscriptEvent::ToolCall { .. } => {
                self.got_over();
                self.result = None;
            }
            TranscriptEvent::RateLimit {
                resets_at,
                refused: true,
            } => {
                self.rate_limited = Some(RateLimited {
                    resets_at: *resets_at,
                });
            }
            TranscriptEvent::Error { error } => self.error = Some(error.clone()),
            TranscriptEvent::Result { failed, summary } => {
                let (word, summary) = match (*failed, summary.as_str()) {
                    (true, summary) => (Failed::Yes, summary),
                    (false, "") => (Failed::No, self.last_words.as_str()),
                    (false, summary) => (Failed::No, summary),
                };
                self.result = Some((word, summary.to_owned()));
                if !*failed {
                    self.got_over();
                }
            }
            _ => {}
        }
    }

    /// The model has answered: what kept the agent from reaching it is no reason any more.
    fn got_over(&mut self) {
        self.overcame = self.error.take().or_else(|| self.overcame.take());
        self.rate_limited = None;
    }

    fn say(&mut self, text: &str) {
        let room = MAX_LAST_WORDS.saturating_sub(self.last_words.len());
        self.last_words
            .push_str(&text[..text.floor_char_boundary(room)]);
    }

    fn count(&mut self, used: Usage, of: &UsageOf) {
        let mut told = match &self.estimate {
            Some(estimate) => estimate.told,
            None => self.usage,
        };
        match of {
            UsageOf::Run => told = at_least(told, used),
            UsageOf::Part => told += used,
            UsageOf::Session => {
                let total = at_least(self.session_usage.unwrap_or_default(), used);
                self.session_usage = Some(total);
                told = at_least(told, total.saturating_sub(self.session_before));
            }
            UsageOf::Answer(id) => {
                let estimate = self.estimate.get_or_insert_with(|| Estimate {
                    told,
                    ..Estimate::default()
                });
                let so_far = estimate.add(id, used);
                self.usage = at_least(self.usage, so_far);
                return;
            }
        }
        // a total never shrinks: should the estimate have been higher, it stands until the agent tells of more
        self.usage = at_least(self.usage, told);
        self.estimate = (self.usage != told).then(|| Estimate {
            told,
            ..Estimate::default()
        });
    }
}

impl Estimate {
    /// Counts an answer, and says what that makes in all.
    fn add(&mut self, id: &str, used: Usage) -> Usage {
        match self.answers.iter_mut().find(|(known, _)| known == id) {
            Some((_, before)) => {
                let now = at_least(*before, used);
                self.since += now.saturating_sub(*before);
                *before = now;
            }
            None => {
                self.since += used;
                if self.answers.len() == MAX_ANSWERS {
                    self.answers.remove(0);
                }
                self.answers.push((id.to_owned(), used));
            }
        }
        let mut all = self.told;
        all += self.since;
        all
    }
}

/// A total never shrinks, whatever an agent reports.
fn at_least(seen: Usage, reported: Usage) -> Usage {
    Usage {
        cost: seen.cost.max(reported.cost),
        input_tokens: seen.input_tokens.max(reported.input_tokens),
        cached_tokens: seen.cached_tokens.max(reported.cached_tokens),
        output_tokens: seen.output_tokens.max(reported.output_tokens),
    }
}

#[cfg(test)]
mod tests;
