//! A line of Claude Code's stream as events.

mod estimate;
mod notice;
mod result;

use optio_core::{
    clock::Timestamp,
    failure::ReportedError,
    transcript::{PlanItem, SessionId, TranscriptEvent},
};
use serde_json::Value;

use crate::json::{content, raw, status, text, typed};

/// In the place of a model where the program speaks itself.
const SYNTHETIC: &str = "<synthetic>";

pub(super) fn events(line: &str) -> Vec<TranscriptEvent> {
    let Some((value, kind)) = typed(line) else {
        return raw(line);
    };
    let events = match kind.as_str() {
        "system" => system(&value),
        "assistant" => assistant(&value),
        "user" => user(&value),
        "result" => result::events(&value),
        "rate_limit_event" => rate_limit(&value["rate_limit_info"]),
        _ => Vec::new(),
    };
    if events.is_empty() { raw(line) } else { events }
}

fn system(value: &Value) -> Vec<TranscriptEvent> {
    match text(&value["subtype"]) {
        Some("init") => text(&value["session_id"])
            .map(|id| TranscriptEvent::Session {
                id: SessionId(id.to_owned()),
                model: text(&value["model"]).map(str::to_owned),
                version: text(&value["claude_code_version"]).map(str::to_owned),
            })
            .into_iter()
            .collect(),
        Some("api_retry") => vec![retry(value)],
        Some(subtype) => notice::notice(subtype, value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A request failed and is tried again: what the run fails from, should it end before the model has answered.
fn retry(value: &Value) -> TranscriptEvent {
    let http_status = status(&value["error_status"]);
    let kind = match text(&value["error"]) {
        // without a status there was no answer
        None | Some("unknown") if http_status.is_none() => Some("connection_failed"),
        kind => kind,
    };
    let number = |field: &str| crate::json::count(&value[field]);
    TranscriptEvent::Error {
        error: ReportedError {
            kind: kind.map(str::to_owned),
            http_status,
            message: format!(
                "attempt {} of {} failed, the next one follows in {} ms",
                number("attempt"),
                number("max_retries").saturating_add(1),
                number("retry_delay_ms")
            ),
            resets_at: None,
        },
    }
}

fn assistant(value: &Value) -> Vec<TranscriptEvent> {
    let message = &value["message"];
    if let Some(kind) = text(&value["error"]) {
        let limit = &value["api_error_params"]["rate_limit_info"];
        return vec![TranscriptEvent::Error {
            error: ReportedError {
                kind: Some(kind.to_owned()),
                http_status: status(&value["api_error_status"]),
                message: content(&message["content"]),
                resets_at: resets_at(limit),
            },
        }];
    }
    if text(&message["model"]) == Some(SYNTHETIC) {
        return vec![TranscriptEvent::System {
            text: content(&message["content"]),
        }];
    }
    let mut events: Vec<_> = blocks(message).iter().flat_map(block).collect();
    if !events.is_empty() {
        events.extend(estimate::usage(message));
    }
    events
}

fn user(value: &Value) -> Vec<TranscriptEvent> {
    // not what a person says: results of tools, and what the program tells the model
    match &value["message"]["content"] {
        Value::String(text) if !text.is_empty() => {
            vec![TranscriptEvent::System { text: text.clone() }]
        }
        _ => blocks(&value["message"])
            .iter()
            .flat_map(|block| match text(&block["text"]) {
                Some(text) => vec![TranscriptEvent::System {
                    text: text.to_owned(),
                }],
                None => self::block(block),
            })
            .collect(),
    }
}

fn blocks(message: &Value) -> &[Value] {
    message["content"].as_array().map_or(&[], Vec::as_slice)
}

/// A block of a message; nothing if it is of no known kind.
fn block(block: &Value) -> Vec<TranscriptEvent> {
    let kind = text(&block["type"]).unwrap_or_default();
    let string = |field: &str| text(&block[field]).map(str::to_owned);
    let event = match kind {
        "text" => string("text").map(|text| TranscriptEvent::Text { text }),
        "thinking" => string("thinking").map(|text| TranscriptEvent::Thinking { text }),
        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
            let Some((id, name)) = string("id").zip(string("name")) else {
                return Vec::new();
            };
            let input = block["input"].clone();
            let plan = plan(&name, &input);
            let call = TranscriptEvent::ToolCall { id, name, input };
            return [Some(call), plan].into_iter().flatten().collect();
        }
        kind if kind.ends_with("tool_result") => {
            string("tool_use_id").map(|id| TranscriptEvent::ToolResult {
                id,
                output: content(&block["content"]),
                failed: block["is_error"].as_bool().unwrap_or(false),
            })
        }
        _ => None,
    };
    event.into_iter().collect()
}

/// The list that the tool `TodoWrite` always writes whole.
fn plan(tool: &str, input: &Value) -> Option<TranscriptEvent> {
    let todos = input["todos"].as_array().filter(|_| tool == "TodoWrite")?;
    let items = todos.iter().filter_map(|todo| {
        Some(PlanItem {
            text: text(&todo["content"])?.to_owned(),
            done: text(&todo["status"]) == Some("completed"),
        })
    });
    Some(TranscriptEvent::Plan {
        items: items.collect(),
    })
}

fn rate_limit(info: &Value) -> Vec<TranscriptEvent> {
    let window = text(&info["rateLimitType"]).unwrap_or("rate limit");
    let overage = info["isUsingOverage"].as_bool().unwrap_or(false);
    match text(&info["status"]) {
        // beyond the subscription's limit, but paid for by other means
        Some("rejected") if overage => vec![TranscriptEvent::System {
            text: format!("{window}: used up, going on with paid overage"),
        }],
        Some("rejected") => vec![TranscriptEvent::RateLimit {
            resets_at: resets_at(info),
            refused: true,
        }],
        Some("allowed_warning") => vec![TranscriptEvent::RateLimit {
            resets_at: resets_at(info),
            refused: false,
        }],
        Some(status) => vec![TranscriptEvent::System {
            text: format!("{window}: {status}"),
        }],
        None => Vec::new(),
    }
}

fn resets_at(info: &Value) -> Option<Timestamp> {
    Timestamp::from_second(info["resetsAt"].as_i64()?).ok()
}
