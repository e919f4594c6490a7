//! From a line to events, by the rules of a manifest.
//!
//! A line of JSON is looked at by JSON pointers (`/message/model`), a line of text by a regular expression with named
//! groups. A line that no rule makes an event of stays as it is.

use std::collections::BTreeMap;

use optio_core::transcript::TranscriptEvent;
use regex::{Captures, Regex};
use serde::Deserialize;
use serde_json::Value;

use super::{
    events::{Event, RawEvent},
    manifest::{ManifestError, wrong},
};
use crate::json::{Json, Wanted, raw};

/// What a line of the output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// An object of JSON.
    Ndjson,
    /// Text for people.
    Text,
}

/// The rules of a manifest.
#[derive(Debug, Clone)]
pub(super) enum Rules {
    /// With what of a line any of them looks at.
    Ndjson(Vec<JsonLine>, Wanted),
    Text(Vec<TextLine>, Otherwise),
}

/// What a line of text is that no rule knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// What the agent says.
    Text,
    /// What its program says.
    System,
    /// Nothing known: it stays as it is.
    Raw,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLine {
    when: Option<BTreeMap<String, toml::Value>>,
    each: Option<String>,
    #[serde(rename = "match")]
    pattern: Option<String>,
    #[serde(default)]
    event: Vec<RawEvent>,
}

/// A kind of line.
#[derive(Debug, Clone)]
pub(super) struct JsonLine {
    when: Conditions,
    /// A list in it, of which each item is looked at by itself.
    each: Option<String>,
    events: Vec<Event>,
}

#[derive(Debug, Clone)]
pub(super) struct TextLine {
    pattern: Regex,
    events: Vec<Event>,
}

/// What has to hold, all at once, by the pointer of the value.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions(Vec<(String, Condition)>);

#[derive(Debug, Clone)]
enum Condition {
    OneOf(Vec<Value>),
    StartsWith(String),
    StartsNotWith(String),
}

/// Where the fields of an event come from.
pub(super) enum Source<'a> {
    Json(&'a Json<'a>),
    Text(&'a str, &'a Captures<'a>),
}

impl Rules {
    pub(super) fn new(
        format: Format,
        otherwise: Option<&str>,
        lines: Vec<RawLine>,
    ) -> Result<Self, ManifestError> {
        let otherwise = match (otherwise, format) {
            (None | Some("text"), Format::Text) => Otherwise::Text,
            (Some("system"), Format::Text) => Otherwise::System,
            (Some("raw"), Format::Text) => Otherwise::Raw,
            (Some(_), Format::Text) => {
                return Err(wrong("output.otherwise", "expected text, system or raw"));
            }
            (Some(_), Format::Ndjson) => {
                let message =
                    "only lines of text have it: a line of JSON that no rule knows stays as it is";
                return Err(wrong("output.otherwise", message));
            }
            (None, Format::Ndjson) => Otherwise::Text,
        };
        let numbered = lines.into_iter().enumerate();
        let keyed = numbered.map(|(number, line)| (format!("output.line {}", number + 1), line));
        Ok(match format {
            Format::Ndjson => {
                let mut wanted = Wanted::of([]);
                let lines = keyed.map(|(key, mut line)| {
                    line.want(&mut wanted);
                    JsonLine::new(&key, line)
                });
                Self::Ndjson(lines.collect::<Result<_, _>>()?, wanted)
            }
            Format::Text => {
                let lines = keyed.map(|(key, line)| TextLine::new(&key, line));
                Self::Text(lines.collect::<Result<_, _>>()?, otherwise)
            }
        })
    }

    /// Whether one of them tells the version of the program.
    pub(super) fn tell_version(&self) -> bool {
        let told = |events: &[Event]| events.iter().any(Event::tells_version);
        match self {
            Self::Ndjson(lines, _) => lines.iter().any(|line| told(&line.events)),
            Self::Text(lines, _) => lines.iter().any(|line| told(&line.events)),
        }
    }

    pub(super) fn events(&self, line: &str) -> Vec<TranscriptEvent> {
        let events = match self {
            Self::Ndjson(lines, wanted) => match wanted.read(line) {
                Some(value @ Json::Object(_)) => lines
                    .iter()
                    .filter(|rule| rule.when.hold(&value))
                    .flat_map(|rule| rule.events(&value))
                    .collect(),
                _ => Vec::new(),
            },
            Self::Text(lines, otherwise) => match text_events(lines, line) {
                Some(events) => events,
                None if line.trim().is_empty() => Vec::new(),
                None => vec![otherwise.event(line)],
            },
        };
        if events.is_empty() { raw(line) } else { events }
    }
}

/// What the first rule that knows the line makes of it; `None` if none does.
fn text_events(lines: &[TextLine], line: &str) -> Option<Vec<TranscriptEvent>> {
    lines.iter().find_map(|rule| {
        let groups = rule.pattern.captures(line)?;
        let source = Source::Text(line, &groups);
        Some(
            rule.events
                .iter()
                .filter_map(|event| event.of(&source))
                .collect(),
        )
    })
}

impl Otherwise {
    fn event(self, line: &str) -> TranscriptEvent {
        let text = line.to_owned();
        match self {
            Self::Text => TranscriptEvent::Text { text },
            Self::System => TranscriptEvent::System { text },
            Self::Raw => TranscriptEvent::Raw { text },
        }
    }
}

impl RawLine {
    /// Adds what the line is looked at for.
    fn want(&mut self, wanted: &mut Wanted) {
        for at in self.when.iter().flat_map(BTreeMap::keys) {
            wanted.add(at);
        }
        let items = match &self.each {
            Some(list) => wanted.at(list),
            None => wanted,
        };
        for event in &mut self.event {
            event.want(items);
        }
    }
}

impl JsonLine {
    fn new(key: &str, raw: RawLine) -> Result<Self, ManifestError> {
        if raw.pattern.is_some() {
            let message = "a line of JSON has no match: say when";
            return Err(wrong(format!("{key}.match"), message));
        }
        let when = raw.when.unwrap_or_default();
        if let Some(each) = &raw.each {
            pointer(&format!("{key}.each"), each)?;
        }
        Ok(Self {
            when: Conditions::new(&format!("{key}.when"), when)?,
            each: raw.each,
            events: events(key, raw.event, Format::Ndjson, &[])?,
        })
    }

    fn events(&self, line: &Json<'_>) -> Vec<TranscriptEvent> {
        let of = |item: &Json<'_>| -> Vec<TranscriptEvent> {
            let source = Source::Json(item);
            self.events
                .iter()
                .filter_map(|event| event.of(&source))
                .collect()
        };
        match &self.each {
            None => of(line),
            Some(list) => match line.pointer(list).and_then(Json::as_list) {
                Some(items) => items.iter().flat_map(of).collect(),
                None => Vec::new(),
            },
        }
    }
}

impl TextLine {
    fn new(key: &str, raw: RawLine) -> Result<Self, ManifestError> {
        for (name, given) in [("when", raw.when.is_some()), ("each", raw.each.is_some())] {
            if given {
                let message = format!("a line of text has no {name}: say what it has to match");
                return Err(wrong(format!("{key}.{name}"), message));
            }
        }
        let place = format!("{key}.match");
        let pattern = raw
            .pattern
            .ok_or_else(|| wrong(place.clone(), "it is missing: give a regular expression"))?;
        let pattern = Regex::new(&pattern)
            .map_err(|error| wrong(place, error.to_string().replace('\n', " ")))?;
        let groups: Vec<&str> = pattern.capture_names().flatten().collect();
        let events = events(key, raw.event, Format::Text, &groups)?;
        Ok(Self { pattern, events })
    }
}

fn events(
    key: &str,
    raw: Vec<RawEvent>,
    format: Format,
    groups: &[&str],
) -> Result<Vec<Event>, ManifestError> {
    if raw.is_empty() {
        return Err(wrong(
            format!("{key}.event"),
            "it is missing: say what the line is",
        ));
    }
    let events = raw.into_iter().enumerate().map(|(number, event)| {
        let key = format!("{key}, event {}", number + 1);
        Event::new(&key, event, format, groups)
    });
    events.collect()
}

/// A pointer has to look like one, or it would silently find nothing.
pub(super) fn pointer(key: &str, text: &str) -> Result<(), ManifestError> {
    if text.is_empty() || text.starts_with('/') {
        Ok(())
    } else {
        let message = format!("{text:?} is no JSON pointer: write /{text}");
        Err(wrong(key, message))
    }
}

impl Conditions {
    pub(super) fn new(
        key: &str,
        raw: BTreeMap<String, toml::Value>,
    ) -> Result<Self, ManifestError> {
        let conditions = raw.into_iter().map(|(at, value)| {
            pointer(key, &at)?;
            let condition = Condition::new(&format!("{key} {at:?}"), value)?;
            Ok((at, condition))
        });
        conditions.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn hold(&self, value: &Json<'_>) -> bool {
        self.0
            .iter()
            .all(|(at, condition)| condition.holds(value.pointer(at)))
    }
}

impl Condition {
    fn new(key: &str, value: toml::Value) -> Result<Self, ManifestError> {
        use toml::Value::{Array, Boolean, Integer, String, Table};
        let scalar = |value: toml::Value| match value {
            String(text) => Ok(Value::from(text)),
            Integer(number) => Ok(Value::from(number)),
            Boolean(value) => Ok(Value::from(value)),
            _ => Err(wrong(key, "expected text, a whole number, true or false")),
        };
        match value {
            Array(values) => Ok(Self::OneOf(
                values.into_iter().map(scalar).collect::<Result<_, _>>()?,
            )),
            Table(table) => {
                let mut entries = table.into_iter();
                match (entries.next(), entries.next()) {
                    (Some((word, String(text))), None) if word == "starts-with" => {
                        Ok(Self::StartsWith(text))
                    }
                    (Some((word, String(text))), None) if word == "starts-not-with" => {
                        Ok(Self::StartsNotWith(text))
                    }
                    _ => Err(wrong(
                        key,
                        "expected { starts-with = \"...\" } or { starts-not-with = \"...\" }",
                    )),
                }
            }
            value => Ok(Self::OneOf(vec![scalar(value)?])),
        }
    }

    fn holds(&self, value: Option<&Json<'_>>) -> bool {
        let text = || value.and_then(Json::as_str).unwrap_or_default();
        match self {
            Self::OneOf(values) => {
                value.is_some_and(|value| values.iter().any(|wanted| value == wanted))
            }
            Self::StartsWith(start) => text().starts_with(start),
            Self::StartsNotWith(start) => !text().starts_with(start),
        }
    }
}
