//! The Messages API of Anthropic, as Claude Code uses it.

use axum::http::StatusCode;
use optio_core::clock::Timestamp;
use serde_json::{Value, json};

use super::{Refusal, Tokens, Turn};

pub(super) fn offers_tools(body: &Value) -> bool {
    body["tools"]
        .as_array()
        .is_some_and(|tools| !tools.is_empty())
}

/// It stands in a text of JSON within the JSON.
pub(super) fn session(body: &Value) -> String {
    let user = body["metadata"]["user_id"].as_str().unwrap_or_default();
    let user: Value = serde_json::from_str(user).unwrap_or_default();
    user["session_id"].as_str().unwrap_or_default().to_owned()
}

pub(super) fn refuse_key() -> Refusal {
    Refusal {
        status: StatusCode::UNAUTHORIZED,
        headers: Vec::new(),
        error: json!({"type": "authentication_error", "message": "invalid x-api-key"}),
    }
}

/// The limit of a subscription.
pub(super) fn refuse_until(at: Timestamp) -> Refusal {
    let headers = [
        ("anthropic-ratelimit-unified-status", "rejected"),
        (
            "anthropic-ratelimit-unified-representative-claim",
            "five_hour",
        ),
        ("anthropic-ratelimit-unified-overage-status", "rejected"),
    ];
    let mut headers = headers
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec();
    headers.push((
        "anthropic-ratelimit-unified-reset",
        at.as_second().to_string(),
    ));
    Refusal {
        status: StatusCode::TOO_MANY_REQUESTS,
        headers,
        error: json!({
            "type": "rate_limit_error",
            "message": "This request would exceed your account's rate limit. Please try again later.",
        }),
    }
}

pub(super) fn frames(body: &Value, turn: &Turn, used: Tokens) -> Vec<Value> {
    let tool = |name: &str, input: Value| {
        let id = format!("toolu_{}", used.written);
        let start = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
        let delta = json!({"type": "input_json_delta", "partial_json": input.to_string()});
        (start, delta, "tool_use")
    };
    let (start, delta, stop) = match turn {
        Turn::Write { path, text } => tool("Write", json!({"file_path": path, "content": text})),
        Turn::Run(command) => {
            let input = json!({
                "command": command, "description": "Do it", "timeout": 600_000,
            });
            tool("Bash", input)
        }
        Turn::Say(text) => (
            json!({"type": "text", "text": ""}),
            json!({"type": "text_delta", "text": text}),
            "end_turn",
        ),
        Turn::ReachLimit(_) | Turn::RefuseKey => unreachable!("a refusal is no stream"),
    };
    let message = json!({
        "id": format!("msg_{}", used.written),
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": {
            "input_tokens": used.fresh,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": used.cached,
            "output_tokens": 1,
            "service_tier": "standard",
        },
    });
    vec![
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": start}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": null},
            "usage": {"output_tokens": used.written},
        }),
        json!({"type": "message_stop"}),
    ]
}
