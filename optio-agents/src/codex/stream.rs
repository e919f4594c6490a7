//! A line of Codex's stream as events.

use optio_core::{
    failure::ReportedError,
    money::{Usage, Usd},
    transcript::{PlanItem, SessionId, TranscriptEvent, UsageOf},
};
use serde_json::{Value, json};

use crate::json::{content, count, raw, text, typed};

pub(super) fn events(line: &str) -> Vec<TranscriptEvent> {
    let Some((value, kind)) = typed(line) else {
        return raw(line);
    };
    let events = match kind.as_str() {
        "thread.started" => text(&value["thread_id"])
            .map(|id| TranscriptEvent::Session {
                id: SessionId(id.to_owned()),
                model: None,
                version: None,
            })
            .into_iter()
            .collect(),
        "turn.started" => vec![TranscriptEvent::System {
            text: "turn started".to_owned(),
        }],
        "item.started" | "item.updated" => item(&value["item"], Stage::Begun),
        "item.completed" => item(&value["item"], Stage::Done),
        "turn.completed" => completed(&value["usage"]),
        "turn.failed" => failed(&value["error"]["message"]),
        // a notice that it tries again, or the end; in that case `turn.failed` follows
        "error" => error(&value["message"]).into_iter().collect(),
        _ => Vec::new(),
    };
    if events.is_empty() { raw(line) } else { events }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begun,
    Done,
}

/// A thing that was said, thought or done; nothing if it is of no known kind.
fn item(item: &Value, stage: Stage) -> Vec<TranscriptEvent> {
    let kind = text(&item["type"]).unwrap_or_default();
    let words = || text(&item["text"]).map(str::to_owned);
    let event = match (kind, stage) {
        ("agent_message", Stage::Done) => words().map(|text| TranscriptEvent::Text { text }),
        ("reasoning", Stage::Done) => words().map(|text| TranscriptEvent::Thinking { text }),
        ("error", Stage::Done) => text(&item["message"]).map(|message| TranscriptEvent::System {
            text: format!("warning: {message}"),
        }),
        ("todo_list", _) => plan(item),
        (_, Stage::Begun) => call(kind, item),
        (_, Stage::Done) => done(kind, item),
    };
    event.into_iter().collect()
}

fn call(kind: &str, item: &Value) -> Option<TranscriptEvent> {
    let part = |field: &str| item[field].clone();
    let (name, input) = match kind {
        "command_execution" => ("shell".to_owned(), json!({"command": part("command")})),
        "file_change" => (kind.to_owned(), json!({"changes": part("changes")})),
        "web_search" => (
            kind.to_owned(),
            json!({"query": part("query"), "action": part("action")}),
        ),
        "mcp_tool_call" => {
            let (server, tool) = (text(&item["server"])?, text(&item["tool"])?);
            (format!("mcp__{server}__{tool}"), part("arguments"))
        }
        "collab_tool_call" => (
            text(&item["tool"])?.to_owned(),
            json!({"prompt": part("prompt")}),
        ),
        _ => return None,
    };
    Some(TranscriptEvent::ToolCall {
        id: text(&item["id"])?.to_owned(),
        name,
        input,
    })
}

fn done(kind: &str, item: &Value) -> Option<TranscriptEvent> {
    let output = match kind {
        "command_execution" => content(&item["aggregated_output"]),
        "file_change" => changes(&item["changes"]),
        "web_search" => content(&item["query"]),
        "mcp_tool_call" => match text(&item["error"]["message"]) {
            Some(error) => error.to_owned(),
            None => content(&item["result"]["content"]),
        },
        "collab_tool_call" => content(&item["agents_states"]),
        _ => return None,
    };
    let exit_code = item["exit_code"].as_i64().unwrap_or(0);
    let status = text(&item["status"]);
    Some(TranscriptEvent::ToolResult {
        id: text(&item["id"])?.to_owned(),
        output,
        failed: exit_code != 0 || matches!(status, Some("failed" | "declined")),
    })
}

/// The files that were changed, one a line.
fn changes(changes: &Value) -> String {
    let changes = changes.as_array().into_iter().flatten();
    let lines = changes.filter_map(|change| {
        Some(format!(
            "{} {}",
            text(&change["kind"])?,
            text(&change["path"])?
        ))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn plan(item: &Value) -> Option<TranscriptEvent> {
    let items = item["items"].as_array()?.iter().filter_map(|item| {
        Some(PlanItem {
            text: text(&item["text"])?.to_owned(),
            done: item["completed"].as_bool().unwrap_or(false),
        })
    });
    Some(TranscriptEvent::Plan {
        items: items.collect(),
    })
}

/// The end of a turn. What it was about is what the agent said last; what was used is that of the whole thread.
fn completed(usage: &Value) -> Vec<TranscriptEvent> {
    let used = usage.is_object().then(|| TranscriptEvent::Usage {
        total: Usage {
            cost: Usd::ZERO,
            input_tokens: count(&usage["input_tokens"]),
            cached_tokens: count(&usage["cached_input_tokens"]),
            output_tokens: count(&usage["output_tokens"]),
        },
        of: UsageOf::Session,
    });
    let result = TranscriptEvent::Result {
        failed: false,
        summary: String::new(),
    };
    used.into_iter().chain([result]).collect()
}

fn failed(message: &Value) -> Vec<TranscriptEvent> {
    let result = TranscriptEvent::Result {
        failed: true,
        summary: text(message).unwrap_or_default().to_owned(),
    };
    error(message).into_iter().chain([result]).collect()
}

fn error(message: &Value) -> Option<TranscriptEvent> {
    let message = text(message)?;
    Some(TranscriptEvent::Error {
        error: ReportedError {
            http_status: http_status(message),
            ..ReportedError::message(message)
        },
    })
}

/// The status in "unexpected status 401 Unauthorized" and in "last status: 429 Too Many Requests".
fn http_status(message: &str) -> Option<u16> {
    let (_, rest) = message.split_once("status")?;
    let rest = rest.trim_start_matches([':', ' ']);
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..digits]
        .parse()
        .ok()
        .filter(|status| (400..600).contains(status))
}
