//! Reading lines of JSON without trusting their shape: agents add and change fields from one version to the next.

#[cfg(test)]
mod tests;
mod value;
mod wanted;

use std::borrow::Cow;

use optio_core::transcript::{PlanItem, TranscriptEvent};
use serde_json::Value;

pub(crate) use self::{value::Json, wanted::Wanted};

/// A line that is an object with a `type`, and of what else is in it that which is wanted.
pub(crate) fn typed<'a>(line: &'a str, wanted: &'a Wanted) -> Option<(Json<'a>, Cow<'a, str>)> {
    let mut value = wanted.read(line)?;
    match value.take("type") {
        Json::Text(kind) if !kind.is_empty() => Some((value, kind)),
        _ => None,
    }
}

/// Text that is not empty.
pub(crate) fn text<'v>(value: &'v Json<'_>) -> Option<&'v str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// Text that is not empty, owned.
pub(crate) fn string(value: &Json<'_>) -> Option<String> {
    text(value).map(str::to_owned)
}

/// A number, zero if it is none.
pub(crate) fn count(value: &Json<'_>) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// A status of HTTP.
pub(crate) fn status(value: &Json<'_>) -> Option<u16> {
    value.as_u64().and_then(|status| status.try_into().ok())
}

/// What a tool gave back: text, or blocks of content of which each is text or something else.
pub(crate) fn content(value: Json<'_>) -> String {
    match value {
        Json::Text(text) => text.into_owned(),
        Json::List(blocks) => {
            let blocks = blocks.iter().map(|block| match text(&block["text"]) {
                Some(text) => Cow::Borrowed(text),
                None => {
                    let kind = text(&block["type"]).unwrap_or("unknown content");
                    Cow::Owned(format!("[{kind}]"))
                }
            });
            blocks.collect::<Vec<_>>().join("\n")
        }
        Json::Null => String::new(),
        other => Value::from(other).to_string(),
    }
}

/// The line as it is.
pub(crate) fn raw(line: &str) -> Vec<TranscriptEvent> {
    vec![TranscriptEvent::Raw {
        text: line.to_owned(),
    }]
}

/// A list that a tool always writes whole, with the texts of its items in this field.
pub(crate) fn plan(items: &Json<'_>, field: &str) -> Option<TranscriptEvent> {
    let items = items.as_list()?.iter().filter_map(|item| {
        Some(PlanItem {
            text: string(&item[field])?,
            done: text(&item["status"]) == Some("completed"),
        })
    });
    Some(TranscriptEvent::Plan {
        items: items.collect(),
    })
}
