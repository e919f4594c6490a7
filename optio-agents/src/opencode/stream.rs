//! A line of opencode's stream as events.

use std::sync::LazyLock;

use optio_core::{
    failure::ReportedError,
    money::{Usage, Usd},
    transcript::{SessionId, TranscriptEvent, UsageOf},
};

use crate::json::{Json, Wanted, content, count, plan, raw, status, string, text, typed};

/// What events are made of. What a tool tells beside its output is read over; mostly it is the output again.
static WANTED: LazyLock<Wanted> = LazyLock::new(|| {
    Wanted::of([
        "/type",
        "/sessionID",
        "/part/text",
        "/part/synthetic",
        "/part/callID",
        "/part/tool",
        "/part/state/status",
        "/part/state/input",
        "/part/state/output",
        "/part/state/error",
        "/part/state/metadata/exit",
        "/part/tokens",
        "/part/cost",
        "/part/reason",
        "/error",
    ])
});

pub(super) fn events(line: &str) -> Vec<TranscriptEvent> {
    let Some((mut value, kind)) = typed(line, &WANTED) else {
        return raw(line);
    };
    let mut part = value.take("part");
    let events = match kind.as_ref() {
        "step_start" => session(&value).into_iter().collect(),
        "text" => words(&mut part).into_iter().collect(),
        "reasoning" => part
            .take_text("text")
            .map(|text| TranscriptEvent::Thinking { text })
            .into_iter()
            .collect(),
        "tool_use" => tool(&mut part),
        "step_finish" => finish(&part),
        "error" => error(&value),
        _ => Vec::new(),
    };
    if events.is_empty() { raw(line) } else { events }
}

/// The session, whose id is in every line.
fn session(value: &Json<'_>) -> Option<TranscriptEvent> {
    Some(TranscriptEvent::Session {
        id: SessionId(string(&value["sessionID"])?),
        model: None,
        version: None,
    })
}

fn words(part: &mut Json<'_>) -> Option<TranscriptEvent> {
    let text = part.take_text("text")?;
    // written by the program for the model, as after it has shortened the conversation
    let synthetic = part["synthetic"].as_bool().unwrap_or(false);
    Some(if synthetic {
        TranscriptEvent::System { text }
    } else {
        TranscriptEvent::Text { text }
    })
}

/// A tool, told when it has ended: the call and its result.
fn tool(part: &mut Json<'_>) -> Vec<TranscriptEvent> {
    let ids = part.take_text("callID").zip(part.take_text("tool"));
    let Some((id, name)) = ids else {
        return Vec::new();
    };
    let mut state = part.take("state");
    let input = state.take("input");
    // a call that it could not make anything of; its status says that it was completed
    let is_invalid = name == "invalid";
    let plan = (name == "todowrite")
        .then(|| plan(&input["todos"], "content"))
        .flatten();
    let call = TranscriptEvent::ToolCall {
        id: id.clone(),
        name,
        input: input.into(),
    };
    let status = state.take("status");
    let result = text(&status).map(|status| {
        let exit_code = state["metadata"]["exit"].as_i64().unwrap_or(0);
        let is_error = status == "error";
        TranscriptEvent::ToolResult {
            id,
            output: content(state.take(if is_error { "error" } else { "output" })),
            failed: is_error || is_invalid || exit_code != 0,
        }
    });
    [Some(call), plan, result].into_iter().flatten().collect()
}

/// The end of a step: what it used, and the closing word if the model meant it to be the last one. Nothing else tells
/// that the work is done.
fn finish(part: &Json<'_>) -> Vec<TranscriptEvent> {
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

fn error(value: &Json<'_>) -> Vec<TranscriptEvent> {
    let error = &value["error"];
    let data = &error["data"];
    let Some(name) = text(&error["name"]) else {
        return Vec::new();
    };
    let answer = text(&data["responseBody"])
        .and_then(|body| Wanted::Whole.read(body))
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
