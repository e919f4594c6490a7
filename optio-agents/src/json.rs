//! Reading lines of JSON without trusting their shape: agents add and change fields from one version to the next.

use optio_core::transcript::{PlanItem, TranscriptEvent};
use serde_json::Value;

/// A line that is an object with a `type`, whatever else is in it. Of a key that stands there twice the last value
/// counts.
pub(crate) fn typed(line: &str) -> Option<(Value, String)> {
    let value: Value = serde_json::from_str(line).ok()?;
    let kind = text(&value["type"])?.to_owned();
    Some((value, kind))
}

/// Text that is not empty.
pub(crate) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// A number, zero if it is none.
pub(crate) fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// A status of HTTP.
pub(crate) fn status(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|status| status.try_into().ok())
}

/// What a tool gave back: text, or blocks of content of which each is text or something else.
pub(crate) fn content(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let blocks = blocks.iter().map(|block| match text(&block["text"]) {
                Some(text) => text.to_owned(),
                None => format!("[{}]", text(&block["type"]).unwrap_or("unknown content")),
            });
            blocks.collect::<Vec<_>>().join("\n")
        }
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The line as it is.
pub(crate) fn raw(line: &str) -> Vec<TranscriptEvent> {
    vec![TranscriptEvent::Raw {
        text: line.to_owned(),
    }]
}

/// Text that is not empty, owned.
pub(crate) fn string(value: &Value) -> Option<String> {
    text(value).map(str::to_owned)
}

/// A list that a tool always writes whole, with the texts of its items in this field.
pub(crate) fn plan(items: &Value, field: &str) -> Option<TranscriptEvent> {
    let items = items.as_array()?.iter().filter_map(|item| {
        Some(PlanItem {
            text: string(&item[field])?,
            done: text(&item["status"]) == Some("completed"),
        })
    });
    Some(TranscriptEvent::Plan {
        items: items.collect(),
    })
}
