//! A line of opencode's stream as events.

use optio_core::{
    failure::ReportedError,
    money::{Usage, Usd},
    transcript::{SessionId, TranscriptEvent, UsageOf},
};
use serde_json::Value;

use crate::json::{content, count, plan, raw, status, string, text, typed};

pub(super) fn events(line: &str) -> Vec<TranscriptEvent> {
    let Some((value, kind)) = typed(line) else {
        return raw(line);
    };
    let part = &value["part"];
    let events = match kind.as_str() {
        "step_start" => session(&value).into_iter().collect(),
        "text" => words(part).into_iter().collect(),
        "reasoning" => string(&part["text"])
            .map(|text| TranscriptEvent::Thinking { text })
            .into_iter()
            .collect(),
        "tool_use" => tool(part),
        "step_finish" => finish(part),
        "error" => error(&value),
        _ => Vec::new(),
    };
    if events.is_empty() { raw(line) } else { events }
}

/// The session, whose id is in every line.
fn session(value: &Value) -> Option<TranscriptEvent> {
    Some(TranscriptEvent::Session {
        id: SessionId(string(&value["sessionID"])?),
        model: None,
        version: None,
    })
}

fn words(part: &Value) -> Option<TranscriptEvent> {
    let text = string(&part["text"])?;
    // written by the program for the model, as after it has shortened the conversation
    let synthetic = part["synthetic"].as_bool().unwrap_or(false);
    Some(if synthetic {
        TranscriptEvent::System { text }
    } else {
        TranscriptEvent::Text { text }
    })
}

/// A tool, told when it has ended: the call and its result.
fn tool(part: &Value) -> Vec<TranscriptEvent> {
    let ids = string(&part["callID"]).zip(string(&part["tool"]));
    let Some((id, name)) = ids else {
        return Vec::new();
    };
    let state = &part["state"];
    let input = state["input"].clone();
    let plan = (name == "todowrite")
        .then(|| plan(&input["todos"], "content"))
        .flatten();
    let call = TranscriptEvent::ToolCall {
        id: id.clone(),
        name,
        input,
    };
    let result = text(&state["status"]).map(|status| {
        let exit_code = state["metadata"]["exit"].as_i64().unwrap_or(0);
        let is_error = status == "error";
        TranscriptEvent::ToolResult {
            id,
            output: content(&state[if is_error { "error" } else { "output" }]),
            failed: is_error || exit_code != 0,
        }
    });
    [Some(call), plan, result].into_iter().flatten().collect()
}

/// The end of a step: what it used, and the closing word if the model meant it to be the last one. Nothing else tells
/// that the work is done.
fn finish(part: &Value) -> Vec<TranscriptEvent> {
    let tokens = &part["tokens"];
    let usage = tokens.is_object().then(|| {
        let cached = count(&tokens["cache"]["read"]);
        TranscriptEvent::Usage {
            total: Usage {
                cost: Usd::from_dollars(part["cost"].as_f64().unwrap_or(0.0)),
                input_tokens: count(&tokens["input"])
                    .saturating_add(cached)
                    .saturating_add(count(&tokens["cache"]["write"])),
                cached_tokens: cached,
                output_tokens: count(&tokens["output"]).saturating_add(count(&tokens["reasoning"])),
            },
            of: UsageOf::Part,
        }
    });
    let reason = text(&part["reason"]).unwrap_or_default();
    let why = |kind: &str| TranscriptEvent::Error {
        error: ReportedError {
            kind: Some(kind.to_owned()),
            message: format!("the model stopped: {reason}"),
            ..ReportedError::default()
        },
    };
    let error = match reason {
        "length" => Some(why("max_output_tokens")),
        "content-filter" => Some(why("refusal")),
        _ => None,
    };
    let result = match reason {
        "stop" => Some(false),
        // it goes on, or it has been cut off
        "" | "tool-calls" => None,
        _ => Some(true),
    };
    let result = result.map(|failed| TranscriptEvent::Result {
        failed,
        summary: if failed {
            reason.to_owned()
        } else {
            String::new()
        },
    });
    [usage, error, result].into_iter().flatten().collect()
}

fn error(value: &Value) -> Vec<TranscriptEvent> {
    let error = &value["error"];
    let data = &error["data"];
    let Some(name) = text(&error["name"]) else {
        return Vec::new();
    };
    let answer: Value = text(&data["responseBody"])
        .and_then(|body| serde_json::from_str(body).ok())
        .unwrap_or_default();
    let answer = &answer["error"];
    // its own names for anything at all say less than the provider's
    let kind = if matches!(name, "APIError" | "UnknownError") {
        string(&answer["code"]).or_else(|| string(&answer["type"]))
    } else {
        Some(name.to_owned())
    };
    let mut message = text(&data["message"]).unwrap_or(name).to_owned();
    if let Some(seconds) = text(&data["responseHeaders"]["retry-after"]) {
        message.push_str(&format!(" (retry after {seconds} s)"));
    }
    let reported = TranscriptEvent::Error {
        error: ReportedError {
            kind,
            http_status: status(&data["statusCode"]),
            message,
            resets_at: None,
        },
    };
    session(value).into_iter().chain([reported]).collect()
}
