//! Entries of a log as JSON, and `/api/tasks/{id}/logs`: pages of them by cursor, or the end.

use axum::{Json, extract::State, http::StatusCode};
use optio_core::{
    Timestamp,
    failure::ReportedError,
    transcript::{LogCursor, LogEntry, LogStream, TranscriptEvent},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Path, Query, find_task, task::UsageView};
use crate::{app::App, error::ApiError};

/// The most entries of a page.
const MOST: usize = 1000;

/// One entry of a task's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntryView {
    /// Its place: give it as `after` to go on behind it.
    pub cursor: LogCursor,
    /// When it was read.
    pub at: Timestamp,
    /// `stdout`, `stderr`, or `optio` for remarks of Optio's own.
    pub stream: LogStream,
    /// What it says.
    pub event: EventView,
    /// The line as the agent wrote it, where the event does not hold all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
}

/// What an entry says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
#[expect(
    missing_docs,
    reason = "the events of optio_core::transcript::TranscriptEvent, documented there"
)]
pub enum EventView {
    Session {
        id: String,
        model: Option<String>,
        version: Option<String>,
    },
    Model {
        name: String,
    },
    Text {
        text: String,
    },
    TextPart {
        text: String,
    },
    Thinking {
        text: String,
    },
    ToolCall {
        id: String,
        name: String,
        input: Value,
    },
    ToolResult {
        id: String,
        output: String,
        failed: bool,
    },
    Plan {
        items: Vec<PlanItemView>,
    },
    System {
        text: String,
    },
    Usage {
        total: UsageView,
    },
    RateLimit {
        resets_at: Option<Timestamp>,
        refused: bool,
    },
    Error {
        error: ErrorView,
    },
    Message {
        number: u32,
        text: String,
    },
    Result {
        failed: bool,
        summary: String,
    },
    Raw {
        text: String,
    },
    /// An event that this version has no words for.
    #[serde(other)]
    Unknown,
}

/// An item of an agent's plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanItemView {
    /// What is to be done.
    pub text: String,
    /// Whether it is.
    pub done: bool,
}

/// An error that an agent reported.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorView {
    /// The provider's name for it.
    pub kind: Option<String>,
    /// The status of the provider's answer.
    pub http_status: Option<u16>,
    /// Its text.
    pub message: String,
    /// When the limit that was hit resets.
    pub resets_at: Option<Timestamp>,
}

/// A page of a log, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogPage {
    /// The entries.
    pub entries: Vec<LogEntryView>,
    /// What to give as `after` to go on behind the last of them.
    pub next: LogCursor,
}

/// Which part of a log.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogQuery {
    /// Entries behind this cursor.
    after: Option<String>,
    /// How many at most.
    limit: Option<usize>,
    /// The last so many, instead of those behind a cursor.
    tail: Option<usize>,
}

pub(crate) async fn page(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Json<LogPage>, ApiError> {
    let id = find_task(&app.optio, &id).await?;
    // a task that does not exist has no log, rather than an empty one
    app.optio.store().task(id).await?;
    let refuse = |message: String| ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message);
    let after = cursor(query.after.as_deref())?;
    for (name, value) in [("limit", query.limit), ("tail", query.tail)] {
        if let Some(value) = value.filter(|value| !(1..=MOST).contains(value)) {
            return Err(refuse(format!("{name} is {value}: expected 1 to {MOST}")));
        }
    }
    let entries = match query.tail {
        Some(_) if query.after.is_some() || query.limit.is_some() => {
            return Err(refuse(
                "tail shows the end, after and limit a page: give one or the other".to_owned(),
            ));
        }
        Some(tail) => app.optio.store().log_tail(id, tail).await?,
        None => {
            app.optio
                .store()
                .log(id, after, query.limit.unwrap_or(200))
                .await?
        }
    };
    let next = entries.last().map_or(after, |entry| entry.cursor);
    Ok(Json(LogPage {
        entries: entries.into_iter().map(LogEntryView::from).collect(),
        next,
    }))
}

/// The cursor of a query; before everything if there is none.
pub(crate) fn cursor(text: Option<&str>) -> Result<LogCursor, ApiError> {
    let parsed = text.map_or(Ok(LogCursor::default()), str::parse);
    parsed.map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, "bad_request", error.to_string()))
}

impl From<LogEntry> for LogEntryView {
    fn from(entry: LogEntry) -> Self {
        Self {
            cursor: entry.cursor,
            at: entry.at,
            stream: entry.stream,
            event: entry.event.into(),
            original: entry.original,
        }
    }
}

impl From<TranscriptEvent> for EventView {
    fn from(event: TranscriptEvent) -> Self {
        match event {
            TranscriptEvent::Session { id, model, version } => Self::Session {
                id: id.0,
                model,
                version,
            },
            TranscriptEvent::Model { name } => Self::Model { name },
            TranscriptEvent::Text { text } => Self::Text { text },
            TranscriptEvent::TextPart { text } => Self::TextPart { text },
            TranscriptEvent::Thinking { text } => Self::Thinking { text },
            TranscriptEvent::ToolCall { id, name, input } => Self::ToolCall { id, name, input },
            TranscriptEvent::ToolResult { id, output, failed } => {
                Self::ToolResult { id, output, failed }
            }
            TranscriptEvent::Plan { items } => Self::Plan {
                items: items
                    .into_iter()
                    .map(|item| PlanItemView {
                        text: item.text,
                        done: item.done,
                    })
                    .collect(),
            },
            TranscriptEvent::System { text } => Self::System { text },
            TranscriptEvent::Usage { total, .. } => Self::Usage {
                total: total.into(),
            },
            TranscriptEvent::RateLimit { resets_at, refused } => {
                Self::RateLimit { resets_at, refused }
            }
            TranscriptEvent::Error { error } => Self::Error {
                error: error.into(),
            },
            TranscriptEvent::Message { number, text } => Self::Message { number, text },
            TranscriptEvent::Result { failed, summary } => Self::Result { failed, summary },
            TranscriptEvent::Raw { text } => Self::Raw { text },
            _ => Self::Unknown,
        }
    }
}

impl From<ReportedError> for ErrorView {
    fn from(error: ReportedError) -> Self {
        Self {
            kind: error.kind,
            http_status: error.http_status,
            message: error.message,
            resets_at: error.resets_at,
        }
    }
}
