//! A line of Codex's stream as events.

use std::sync::LazyLock;

use optio_core::{
    failure::ReportedError,
    money::{Usage, Usd},
    transcript::{PlanItem, SessionId, TranscriptEvent, UsageOf},
};
use serde_json::{Value, json};

use crate::json::{Json, Wanted, content, count, raw, string, text, typed};

/// What events are made of; all else is read over.
static WANTED: LazyLock<Wanted> = LazyLock::new(|| {
    Wanted::of([
        "/type",
        "/item",
        "/thread_id",
        "/usage",
        "/error/message",
        "/message",
    ])
});

pub(super) fn events(line: &str) -> Vec<TranscriptEvent> {
    let Some((mut value, kind)) = typed(line, &WANTED) else {
        return raw(line);
    };
    let events = match kind.as_ref() {
        "thread.started" => string(&value["thread_id"])
            .map(|id| TranscriptEvent::Session {
                id: SessionId(id),
                model: None,
                version: None,
            })
            .into_iter()
            .collect(),
        "turn.started" => vec![TranscriptEvent::System {
            text: "turn started".to_owned(),
        }],
        "item.started" | "item.updated" => item(value.take("item"), Stage::Begun),
        "item.completed" => item(value.take("item"), Stage::Done),
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
fn item(mut item: Json<'_>, stage: Stage) -> Vec<TranscriptEvent> {
    let kind = item.take("type");
    let kind = text(&kind).unwrap_or_default();
    let event = match (kind, stage) {
        ("agent_message", Stage::Done) => item
            .take_text("text")
            .map(|text| TranscriptEvent::Text { text }),
        ("reasoning", Stage::Done) => item
            .take_text("text")
            .map(|text| TranscriptEvent::Thinking { text }),
        ("error", Stage::Done) => text(&item["message"]).map(|message| TranscriptEvent::System {
            text: format!("warning: {message}"),
        }),
        ("todo_list", _) => plan(&item),
        (_, Stage::Begun) => call(kind, &mut item),
        (_, Stage::Done) => done(kind, &mut item),
    };
    event.into_iter().collect()
}

fn call(kind: &str, item: &mut Json<'_>) -> Option<TranscriptEvent> {
    let mut part = |field: &str| Value::from(item.take(field));
    let (name, input) = match kind {
        "command_execution" => ("shell".to_owned(), json!({"command": part("command")})),
        "file_change" => (kind.to_owned(), json!({"changes": part("changes")})),
        "web_search" => (
            kind.to_owned(),
            json!({"query": part("query"), "action": part("action")}),
        ),
        "mcp_tool_call" => {
            let input = part("arguments");
            let (server, tool) = (text(&item["server"])?, text(&item["tool"])?);
            (format!("mcp__{server}__{tool}"), input)
        }
        "collab_tool_call" => {
            let input = json!({"prompt": part("prompt")});
            (item.take_text("tool")?, input)
        }
        _ => return None,
    };
    Some(TranscriptEvent::ToolCall {
        id: item.take_text("id")?,
        name,
        input,
    })
}

fn done(kind: &str, item: &mut Json<'_>) -> Option<TranscriptEvent> {
    let output = match kind {
        "command_execution" => content(item.take("aggregated_output")),
        "file_change" => changes(&item["changes"]),
        "web_search" => content(item.take("query")),
        "mcp_tool_call" => match string(&item["error"]["message"]) {
            Some(error) => error,
            None => content(item.take("result").take("content")),
        },
        "collab_tool_call" => content(item.take("agents_states")),
        _ => return None,
    };
    let exit_code = item["exit_code"].as_i64().unwrap_or(0);
    let refused = matches!(text(&item["status"]), Some("failed" | "declined"));
    Some(TranscriptEvent::ToolResult {
        id: item.take_text("id")?,
        output,
        failed: exit_code != 0 || refused,
    })
}

/// The files that were changed, one a line.
fn changes(changes: &Json<'_>) -> String {
    let changes = changes.as_list().into_iter().flatten();
    let lines = changes.filter_map(|change| {
        Some(format!(
            "{} {}",
            text(&change["kind"])?,
            text(&change["path"])?
        ))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn plan(item: &Json<'_>) -> Option<TranscriptEvent> {
    let items = item["items"].as_list()?.iter().filter_map(|item| {
        Some(PlanItem {
            text: string(&item["text"])?,
            done: item["completed"].as_bool().unwrap_or(false),
        })
    });
    Some(TranscriptEvent::Plan {
        items: items.collect(),
    })
}

/// The end of a turn. What it was about is what the agent said last; what was used is that of the whole thread.
fn completed(usage: &Json<'_>) -> Vec<TranscriptEvent> {
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

fn failed(message: &Json<'_>) -> Vec<TranscriptEvent> {
    let result = TranscriptEvent::Result {
        failed: true,
        summary: string(message).unwrap_or_default(),
    };
    error(message).into_iter().chain([result]).collect()
}

fn error(message: &Json<'_>) -> Option<TranscriptEvent> {
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
