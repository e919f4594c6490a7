//! Log entries as lines for people.

use serde_json::Value;

use super::out::{Paint, Tone};
use crate::api::log::{EventView, LogEntryView};
use optio_core::transcript::LogStream;

/// How much of a tool's input or output is shown, in characters.
const GLIMPSE: usize = 160;

/// The lines of an entry; none if it says nothing to people.
pub(super) fn lines(entry: &LogEntryView, paint: Paint) -> Vec<String> {
    let (mark, tone, text) = match &entry.event {
        EventView::Session { id, model, .. } => {
            let model = model
                .as_ref()
                .map(|model| format!(" with {model}"))
                .unwrap_or_default();
            ("*", Some(Tone::Quiet), format!("session {id}{model}"))
        }
        EventView::Model { name } => ("*", Some(Tone::Quiet), format!("with {name}")),
        EventView::Text { text } | EventView::TextPart { text } => (" ", None, text.clone()),
        EventView::Thinking { text } => ("~", Some(Tone::Quiet), text.clone()),
        EventView::ToolCall { name, input, .. } => (
            ">",
            Some(Tone::Busy),
            format!("{name} {}", glimpse(&plain(input))),
        ),
        EventView::ToolResult {
            output,
            failed: true,
            ..
        } => ("!", Some(Tone::Bad), glimpse(output)),
        EventView::ToolResult { output, .. } => ("<", Some(Tone::Quiet), glimpse(output)),
        EventView::Plan { items } => {
            let items: Vec<String> = items
                .iter()
                .map(|item| format!("[{}] {}", if item.done { "x" } else { " " }, item.text))
                .collect();
            ("-", None, items.join("\n"))
        }
        EventView::Message { text, .. } => ("@", Some(Tone::Attention), text.clone()),
        EventView::System { text } => ("*", Some(Tone::Quiet), text.clone()),
        EventView::RateLimit { resets_at, refused } => {
            let until = resets_at
                .map(|at| format!(", until {at}"))
                .unwrap_or_default();
            let word = if *refused {
                "refused for its rate"
            } else {
                "close to the rate limit"
            };
            ("!", Some(Tone::Attention), format!("{word}{until}"))
        }
        EventView::Error { error } => ("!", Some(Tone::Bad), error.message.clone()),
        EventView::Result { failed, summary } => (
            "=",
            Some(if *failed { Tone::Bad } else { Tone::Good }),
            summary.clone(),
        ),
        EventView::Raw { text } if entry.stream == LogStream::Stderr => {
            ("!", Some(Tone::Quiet), text.clone())
        }
        EventView::Raw { text } => (" ", None, text.clone()),
        EventView::Usage { .. } | EventView::Unknown => return Vec::new(),
    };
    let toned = |line: &str| tone.map_or_else(|| line.to_owned(), |tone| paint.text(tone, line));
    harmless(&text)
        .lines()
        .enumerate()
        .map(|(n, line)| toned(&format!("{} {line}", if n == 0 { mark } else { " " })))
        .collect()
}

/// The beginning of a text, in one line.
fn glimpse(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(GLIMPSE) {
        Some((at, _)) => format!("{}...", &one_line[..at]),
        None => one_line,
    }
}

fn plain(input: &Value) -> String {
    match input {
        Value::String(text) => text.clone(),
        // most tools have one argument that tells all
        Value::Object(fields) if fields.len() == 1 => {
            fields.values().next().map(plain).unwrap_or_default()
        }
        other => other.to_string(),
    }
}

/// An agent's output must not move the cursor of the terminal it is shown on, nor rename its window.
fn harmless(text: &str) -> String {
    text.chars()
        .filter(|&letter| letter == '\n' || letter == '\t' || !letter.is_control())
        .collect()
}
