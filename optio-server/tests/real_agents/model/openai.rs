//! The Responses API of OpenAI, as Codex uses it.

use axum::http::StatusCode;
use optio_core::clock::Timestamp;
use serde_json::{Value, json};

use super::{Refusal, Tokens, Turn};

pub(super) fn offers_tools(body: &Value) -> bool {
    body["tools"]
        .as_array()
        .is_some_and(|tools| !tools.is_empty())
}

pub(super) fn session(body: &Value) -> String {
    body["prompt_cache_key"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// A command that has run for half a minute goes on without being waited for. A model then looks again.
pub(super) fn look_again(body: &Value) -> Option<Vec<Value>> {
    let last = body["input"].as_array()?.last()?;
    let (_, rest) = last["output"]
        .as_str()?
        .split_once("running with session ID ")?;
    let id: u64 = rest.split_whitespace().next()?.parse().ok()?;
    let input = json!({"session_id": id, "chars": "", "yield_time_ms": 30_000});
    let call = function("write_stdin", &input, &format!("call_{id}"));
    Some(response(body, &call, Tokens::default()))
}

pub(super) fn refuse_key() -> Refusal {
    Refusal {
        status: StatusCode::UNAUTHORIZED,
        headers: Vec::new(),
        error: json!({
            "type": "invalid_request_error", "code": "invalid_api_key", "param": null,
            "message": "Incorrect API key provided",
        }),
    }
}

/// The limit of a plan.
pub(super) fn refuse_until(at: Timestamp) -> Refusal {
    Refusal {
        status: StatusCode::TOO_MANY_REQUESTS,
        headers: Vec::new(),
        error: json!({
            "type": "usage_limit_reached", "message": "The usage limit has been reached",
            "plan_type": "plus", "resets_at": at.as_second(),
        }),
    }
}

pub(super) fn frames(body: &Value, turn: &Turn, used: Tokens) -> Vec<Value> {
    let id = format!("call_{}", used.written);
    let item = match turn {
        Turn::Write { path, text } => {
            let lines: String = text.lines().map(|line| format!("+{line}\n")).collect();
            let patch = format!("*** Begin Patch\n*** Add File: {path}\n{lines}*** End Patch\n");
            json!({
                "id": format!("ctc_{id}"), "type": "custom_tool_call", "status": "completed",
                "call_id": id, "name": "apply_patch", "input": patch,
            })
        }
        Turn::Run(command) => {
            let input = json!({"cmd": command, "yield_time_ms": 30_000});
            function("exec_command", &input, &id)
        }
        Turn::Say(text) => json!({
            "id": format!("msg_{id}"), "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }),
        Turn::ReachLimit(_) | Turn::RefuseKey => unreachable!("a refusal is no stream"),
    };
    response(body, &item, used)
}

fn function(name: &str, input: &Value, id: &str) -> Value {
    json!({
        "id": format!("fc_{id}"), "type": "function_call", "status": "completed",
        "call_id": id, "name": name, "arguments": input.to_string(),
    })
}

/// A whole answer with one thing in it.
fn response(body: &Value, item: &Value, used: Tokens) -> Vec<Value> {
    let read = used.fresh + used.cached;
    let answer = |status: &str, output: Value, usage: Value| {
        json!({
            "id": format!("resp_{}", used.written),
            "object": "response",
            "status": status,
            "model": body["model"],
            "output": output,
            "usage": usage,
        })
    };
    let usage = json!({
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": used.cached},
        "output_tokens": used.written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + used.written,
    });
    let begun = answer("in_progress", json!([]), Value::Null);
    let done = answer("completed", json!([item]), usage);
    vec![
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": item}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": done}),
    ]
}
