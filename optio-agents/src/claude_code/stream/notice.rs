//! Notices: what the program says beside the conversation.

use optio_core::transcript::TranscriptEvent;

use crate::json::{Json, count, text};

/// A `system` event of this subtype; nothing if it says nothing that a person could read.
pub(super) fn notice(subtype: &str, value: &Json<'_>) -> Option<TranscriptEvent> {
    let field = |name: &str| text(&value[name]);
    let words = match subtype {
        "thinking_tokens" => format!(
            "thinking, about {} tokens so far",
            count(&value["estimated_tokens"])
        ),
        "compact_boundary" => {
            let tokens = |name: &str| count(&value["compact_metadata"][name]);
            format!(
                "conversation compacted from {} to {} tokens",
                tokens("pre_tokens"),
                tokens("post_tokens")
            )
        }
        "permission_denied" => format!(
            "permission denied for {}: {}",
            field("tool_name")?,
            field("message")?
        ),
        "model_fallback" => format!(
            "{} instead of {}: {}",
            field("fallback_model")?,
            field("original_model")?,
            field("content").or(field("trigger"))?
        ),
        "hook_started" | "hook_response" => {
            let outcome = field("outcome").unwrap_or("started");
            format!("hook {}: {outcome}", field("hook_name")?)
        }
        "background_tasks_changed" => {
            format!(
                "{} tasks in the background",
                value["tasks"].as_list()?.len()
            )
        }
        "task_updated" => format!("task updated: {}", text(&value["patch"]["status"])?),
        "model_refusal_no_fallback" => format!("refused by {}", field("original_model")?),
        _ => {
            let words = ["content", "message", "summary", "description", "status"];
            words.into_iter().find_map(field)?.to_owned()
        }
    };
    Some(TranscriptEvent::System { text: words })
}
