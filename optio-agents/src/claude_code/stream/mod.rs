//! A line of Claude Code's stream as events.

mod estimate;
mod notice;
mod result;

use std::sync::LazyLock;

use optio_core::{
    clock::Timestamp,
    failure::ReportedError,
    transcript::{PlanItem, SessionId, TranscriptEvent},
};

use crate::json::{Json, Wanted, content, raw, status, string, text, typed};

/// In the place of a model where the program speaks itself.
const SYNTHETIC: &str = "<synthetic>";

/// What events are made of. What is not named here, such as the output of a tool in the program's own form, is read over.
static WANTED: LazyLock<Wanted> = LazyLock::new(|| {
    Wanted::of([
        "/type",
        "/subtype",
        // of messages
        "/message/content",
        "/message/id",
        "/message/model",
        "/message/usage",
        "/error",
        "/api_error_params/rate_limit_info",
        "/api_error_status",
        // of the beginning
        "/session_id",
        "/model",
        "/claude_code_version",
        // of a request that failed
        "/error_status",
        "/attempt",
        "/max_retries",
        "/retry_delay_ms",
        "/rate_limit_info",
        // of notices
        "/estimated_tokens",
        "/compact_metadata",
        "/tool_name",
        "/fallback_model",
        "/original_model",
        "/content",
        "/trigger",
        "/outcome",
        "/hook_name",
        "/tasks",
        "/patch/status",
        "/summary",
        "/description",
        "/status",
        // of results
        "/is_error",
        "/result",
        "/errors",
        "/model_usage_since_last_result",
        "/modelUsage",
        "/permission_denials/tool_name",
        "/terminal_reason",
        "/stop_reason",
        "/startup_failure_reason",
        "/api_error",
        "/api_error_type",
    ])
});

pub(super) fn events(line: &str) -> Vec<TranscriptEvent> {
    let Some((mut value, kind)) = typed(line, &WANTED) else {
        return raw(line);
    };
    let events = match kind.as_ref() {
        "system" => system(&value),
        "assistant" => assistant(&mut value),
        "user" => user(value.take("message")),
        "result" => result::events(&value),
        "rate_limit_event" => rate_limit(&value["rate_limit_info"]),
        _ => Vec::new(),
    };
    if events.is_empty() { raw(line) } else { events }
}

fn system(value: &Json<'_>) -> Vec<TranscriptEvent> {
    match text(&value["subtype"]) {
        Some("init") => text(&value["session_id"])
            .map(|id| TranscriptEvent::Session {
                id: SessionId(id.to_owned()),
                model: string(&value["model"]),
                version: string(&value["claude_code_version"]),
            })
            .into_iter()
            .collect(),
        Some("api_retry") => vec![retry(value)],
        Some(subtype) => notice::notice(subtype, value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A request failed and is tried again: what the run fails from, should it end before the model has answered.
fn retry(value: &Json<'_>) -> TranscriptEvent {
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

fn assistant(value: &mut Json<'_>) -> Vec<TranscriptEvent> {
    let mut message = value.take("message");
    let words = message.take("content");
    if let Some(kind) = text(&value["error"]) {
        let limit = &value["api_error_params"]["rate_limit_info"];
        return vec![TranscriptEvent::Error {
            error: ReportedError {
                kind: Some(kind.to_owned()),
                http_status: status(&value["api_error_status"]),
                message: content(words),
                resets_at: resets_at(limit),
            },
        }];
    }
    if text(&message["model"]) == Some(SYNTHETIC) {
        return vec![TranscriptEvent::System {
            text: content(words),
        }];
    }
    let mut events = blocks(words, block);
    if !events.is_empty() {
        events.extend(estimate::usage(&message));
    }
    events
}

fn user(mut message: Json<'_>) -> Vec<TranscriptEvent> {
    // not what a person says: results of tools, and what the program tells the model
    let system = |text| vec![TranscriptEvent::System { text }];
    match message.take("content") {
        Json::Text(text) if !text.is_empty() => system(text.into_owned()),
        words => blocks(words, |mut block| match block.take_text("text") {
            Some(text) => system(text),
            None => self::block(block),
        }),
    }
}

/// What becomes of each block of a message.
fn blocks<'a>(
    words: Json<'a>,
    events: impl FnMut(Json<'a>) -> Vec<TranscriptEvent>,
) -> Vec<TranscriptEvent> {
    match words {
        Json::List(blocks) => blocks.into_iter().flat_map(events).collect(),
        _ => Vec::new(),
    }
}

/// A block of a message; nothing if it is of no known kind.
fn block(mut block: Json<'_>) -> Vec<TranscriptEvent> {
    let kind = block.take("type");
    let event = match text(&kind).unwrap_or_default() {
        "text" => block
            .take_text("text")
            .map(|text| TranscriptEvent::Text { text }),
        "thinking" => block
            .take_text("thinking")
            .map(|text| TranscriptEvent::Thinking { text }),
        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
            let ids = block.take_text("id").zip(block.take_text("name"));
            let Some((id, name)) = ids else {
                return Vec::new();
            };
            let input = block.take("input");
            let plan = plan(&name, &input);
            let input = input.into();
            let call = TranscriptEvent::ToolCall { id, name, input };
            return [Some(call), plan].into_iter().flatten().collect();
        }
        kind if kind.ends_with("tool_result") => {
            block
                .take_text("tool_use_id")
                .map(|id| TranscriptEvent::ToolResult {
                    id,
                    output: content(block.take("content")),
                    failed: block["is_error"].as_bool().unwrap_or(false),
                })
        }
        _ => None,
    };
    event.into_iter().collect()
}

/// The list that the tool `TodoWrite` always writes whole.
fn plan(tool: &str, input: &Json<'_>) -> Option<TranscriptEvent> {
    let todos = input["todos"].as_list().filter(|_| tool == "TodoWrite")?;
    let items = todos.iter().filter_map(|todo| {
        Some(PlanItem {
            text: string(&todo["content"])?,
            done: text(&todo["status"]) == Some("completed"),
        })
    });
    Some(TranscriptEvent::Plan {
        items: items.collect(),
    })
}

fn rate_limit(info: &Json<'_>) -> Vec<TranscriptEvent> {
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

fn resets_at(info: &Json<'_>) -> Option<Timestamp> {
    Timestamp::from_second(info["resetsAt"].as_i64()?).ok()
}
