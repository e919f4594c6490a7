//! Lines in, events of the transcript out.

use std::{borrow::Cow, sync::Arc};

use serde_json::Value;

use crate::{agent::Agent, secret::Masker, transcript::TranscriptEvent};

/// An event, and the line it came from where it does not hold all of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Translated {
    pub(crate) event: TranscriptEvent,
    pub(crate) original: Option<String>,
}

/// Translates the lines of one run. Blank lines say nothing and give nothing.
#[derive(Debug)]
pub(crate) struct Translator {
    agent: Arc<dyn Agent>,
    masker: Masker,
}

impl Translator {
    /// For the output of this agent.
    pub(crate) fn new(agent: Arc<dyn Agent>, masker: Masker) -> Self {
        Self { agent, masker }
    }

    /// A line of standard output. It is masked first: whatever the adapter makes of it can hold no secret then.
    pub(crate) fn stdout_line(&self, line: &str) -> Vec<Translated> {
        if line.trim().is_empty() {
            return Vec::new();
        }
        let masked = self.masked(line);
        let mut events = self.agent.read_line(&masked);
        if events.is_empty() {
            // an adapter may have nothing to say, but no line is lost
            events.push(TranscriptEvent::Raw {
                text: masked.clone().into_owned(),
            });
        }
        let is_whole = |event: &TranscriptEvent| matches!(event, TranscriptEvent::Raw { text } if *text == masked);
        // once for a line, with its first event
        let mut original = (!events.iter().any(is_whole)).then(|| masked.clone().into_owned());
        events
            .into_iter()
            .map(|event| Translated {
                event,
                original: original.take(),
            })
            .collect()
    }

    /// A line of error output.
    pub(crate) fn stderr_line(&self, line: &str) -> Vec<Translated> {
        if line.trim().is_empty() {
            return Vec::new();
        }
        let text = self.masker.mask(line).into_owned();
        vec![Translated {
            event: TranscriptEvent::Raw { text },
            original: None,
        }]
    }

    /// The line without secrets, those included that JSON spells with escapes.
    fn masked<'l>(&self, line: &'l str) -> Cow<'l, str> {
        let masked = self.masker.mask(line);
        let may_hide = masked.contains("\\u") || masked.contains("\\/");
        let hidden = may_hide
            .then(|| serde_json::from_str::<Value>(&masked).ok())
            .flatten()
            .and_then(|mut value| self.mask_strings(&mut value).then(|| value.to_string()));
        hidden.map_or(masked, Cow::Owned)
    }

    /// Masks every string in a value; whether there was anything to mask.
    fn mask_strings(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => match self.masker.mask(text) {
                Cow::Owned(masked) if masked != *text => {
                    *text = masked;
                    true
                }
                _ => false,
            },
            Value::Array(values) => values
                .iter_mut()
                .fold(false, |found, value| self.mask_strings(value) | found),
            Value::Object(fields) => fields
                .values_mut()
                .fold(false, |found, value| self.mask_strings(value) | found),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        agent::{AgentVerdict, Ending, Preflight, RunSpec},
        clock::Timestamp,
        error::{Error, Result},
        runtime::Command,
        secret::Secret,
    };

    /// Reads `{"say": [...]}` as so many texts, nothing from `{}`, and everything else as it is.
    #[derive(Debug)]
    struct Sayer;

    impl Agent for Sayer {
        fn name(&self) -> &str {
            "sayer"
        }

        fn command(&self, _run: &RunSpec) -> Result<Command> {
            Err(Error::invalid("sayer", "it only listens"))
        }

        fn read_line(&self, line: &str) -> Vec<TranscriptEvent> {
            match serde_json::from_str::<Value>(line) {
                Ok(value) => value["say"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(|text| TranscriptEvent::Text { text: text.into() })
                    .collect(),
                Err(_) => vec![TranscriptEvent::Raw { text: line.into() }],
            }
        }

        fn verdict(&self, _run: &Ending<'_>, _now: Timestamp) -> AgentVerdict {
            AgentVerdict::Finished {
                summary: String::new(),
            }
        }

        fn preflight(&self) -> Preflight {
            Preflight::new(Command::new("sayer"), String::new())
        }
    }

    fn show(line: &str) -> String {
        let secret = Secret::new("pässword/1");
        let translator = Translator::new(Arc::new(Sayer), Masker::new([&secret]));
        let events = translator.stdout_line(line).into_iter().map(|translated| {
            let event = serde_json::to_string(&translated.event).unwrap();
            format!(
                "{event} <- {}",
                translated.original.as_deref().unwrap_or("itself")
            )
        });
        events.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_line_is_kept_once_and_only_where_its_events_do_not_hold_it() {
        assert_snapshot!(show(r#"{"say":["a","b"],"more":1}"#), @r#"
        {"type":"text","text":"a"} <- {"say":["a","b"],"more":1}
        {"type":"text","text":"b"} <- itself
        "#);
        assert_snapshot!(show("no json"), @r#"{"type":"raw","text":"no json"} <- itself"#);
        assert_snapshot!(show("{}"), @r#"{"type":"raw","text":"{}"} <- itself"#);
        assert_eq!(show(" \t"), "");
    }

    #[test]
    fn no_spelling_of_a_secret_gets_through() {
        for line in [
            r#"{"say":["it is pässword/1!"]}"#,
            r#"{"say":["it is p\u00e4ssword/1!"]}"#,
            r#"{"say":["it is pässword\/1!"]}"#,
            r#"{"say":["it is p\u00e4ssword\u002f1!"]}"#,
        ] {
            assert_eq!(
                show(line),
                r#"{"type":"text","text":"it is ***!"} <- {"say":["it is ***!"]}"#,
                "{line}"
            );
        }
        assert_snapshot!(show("plain pässword/1"), @r#"{"type":"raw","text":"plain ***"} <- itself"#);
    }
}
