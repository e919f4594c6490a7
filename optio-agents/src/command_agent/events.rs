//! What a rule makes of a line: one event, with each field from its place in the line.

use std::collections::BTreeMap;

use optio_core::{
    failure::{FailureClass, ReportedError},
    money::{Usage, Usd},
    transcript::{SessionId, TranscriptEvent, UsageOf},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    fields::Fields,
    manifest::{ManifestError, class, wrong},
    rules::{Conditions, Format, Source},
};

/// An event as it is written in a manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawEvent {
    pub(super) is: Kind,
    pub(super) when: Option<BTreeMap<String, toml::Value>>,
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) version: Option<String>,
    pub(super) text: Option<String>,
    pub(super) name: Option<String>,
    pub(super) input: Option<String>,
    pub(super) output: Option<String>,
    pub(super) failed: Option<toml::Value>,
    pub(super) summary: Option<String>,
    pub(super) class: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) status: Option<String>,
    pub(super) message: Option<String>,
    pub(super) cost: Option<String>,
    pub(super) cached: Option<String>,
    pub(super) of: Option<UsedFor>,
    pub(super) input_counts: Option<InputCounts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Session,
    Text,
    TextPart,
    Thinking,
    System,
    ToolCall,
    ToolResult,
    Usage,
    Error,
    Result,
}

/// What usage is the sum of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum UsedFor {
    /// The run.
    #[default]
    Run,
    /// A part of it.
    Part,
    /// The session.
    Session,
}

/// What a number of input tokens counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum InputCounts {
    /// All of them.
    #[default]
    All,
    /// Those that did not come out of the cache.
    Fresh,
}

/// An event that a rule makes.
#[derive(Debug, Clone)]
pub(super) struct Event {
    when: Conditions,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Session {
        id: String,
        model: Option<String>,
        version: Option<String>,
    },
    Text(Option<String>),
    TextPart(Option<String>),
    Thinking(Option<String>),
    System(Option<String>),
    ToolCall {
        id: String,
        name: String,
        input: Option<String>,
    },
    ToolResult {
        id: String,
        output: Option<String>,
        failed: Failed,
    },
    Usage(UsageFields),
    Error {
        class: Option<FailureClass>,
        kind: Option<String>,
        status: Option<String>,
        message: Option<String>,
    },
    Result {
        failed: Failed,
        summary: Option<String>,
    },
}

#[derive(Debug, Clone)]
struct UsageFields {
    of: UsedFor,
    counts: InputCounts,
    cost: Option<String>,
    input: Option<String>,
    cached: Option<String>,
    output: Option<String>,
}

/// What makes something a failure.
#[derive(Debug, Clone)]
enum Failed {
    Always,
    Never,
    When(Conditions),
}

impl Event {
    pub(super) fn new(
        key: &str,
        mut raw: RawEvent,
        format: Format,
        groups: &[&str],
    ) -> Result<Self, ManifestError> {
        let kind = raw.is;
        let when = raw.when.take();
        if when.is_some() && format == Format::Text {
            return Err(wrong(
                format!("{key}.when"),
                "a line of text has none: its match tells",
            ));
        }
        let failed = failed(key, raw.failed.take(), format)?;
        let class = raw.class.take();
        let class = class.map(|name| class_of(key, &name)).transpose()?;
        let (of, counts) = (raw.of.take(), raw.input_counts.take());
        let mut fields = Fields {
            key,
            format,
            groups,
            raw,
        };
        let what = match kind {
            Kind::Session => What::Session {
                id: fields.must("id")?,
                model: fields.may("model")?,
                version: fields.may("version")?,
            },
            Kind::Text => What::Text(fields.words("text")?),
            Kind::TextPart => What::TextPart(fields.words("text")?),
            Kind::Thinking => What::Thinking(fields.words("text")?),
            Kind::System => What::System(fields.words("text")?),
            Kind::ToolCall => What::ToolCall {
                id: fields.must("id")?,
                name: fields.must("name")?,
                input: fields.may("input")?,
            },
            Kind::ToolResult => What::ToolResult {
                id: fields.must("id")?,
                output: fields.may("output")?,
                failed: failed.clone().unwrap_or(Failed::Never),
            },
            Kind::Usage => What::Usage(UsageFields {
                of: of.unwrap_or_default(),
                counts: counts.unwrap_or_default(),
                cost: fields.may("cost")?,
                input: fields.may("input")?,
                cached: fields.may("cached")?,
                output: fields.may("output")?,
            }),
            Kind::Error => What::Error {
                class,
                kind: fields.may("kind")?,
                status: fields.may("status")?,
                message: fields.may("message")?,
            },
            Kind::Result => What::Result {
                failed: failed.clone().ok_or_else(|| {
                    wrong(
                        format!("{key}.failed"),
                        "it is missing: true, false, or when",
                    )
                })?,
                summary: fields.may("summary")?,
            },
        };
        let extras = [
            (
                "failed",
                failed.is_some() && !matches!(kind, Kind::ToolResult | Kind::Result),
            ),
            ("class", class.is_some() && kind != Kind::Error),
            ("of", of.is_some() && kind != Kind::Usage),
            ("input-counts", counts.is_some() && kind != Kind::Usage),
        ];
        let extra = extras
            .into_iter()
            .find(|(_, given)| *given)
            .map(|(name, _)| name);
        if let Some(name) = extra.or_else(|| fields.rest()) {
            let message = format!("an event that is {} has no such field", name_of(kind));
            return Err(wrong(format!("{key}.{name}"), message));
        }
        Ok(Self {
            when: Conditions::new(&format!("{key}.when"), when.unwrap_or_default())?,
            what,
        })
    }

    /// Whether it tells the version of the program.
    pub(super) fn tells_version(&self) -> bool {
        matches!(&self.what, What::Session { version, .. } if version.is_some())
    }

    /// The event, if it is one: if its conditions hold and what it must have is there.
    pub(super) fn of(&self, source: &Source<'_>) -> Option<TranscriptEvent> {
        if let Source::Json(value) = source
            && !self.when.hold(value)
        {
            return None;
        }
        let text = |field: &Option<String>| match (field, source) {
            (Some(at), _) => source.text(at),
            (None, Source::Text(line, _)) => Some((*line).to_owned()),
            (None, Source::Json(_)) => None,
        };
        let may = |field: &Option<String>| source.text(field.as_ref()?);
        Some(match &self.what {
            What::Session { id, model, version } => TranscriptEvent::Session {
                id: SessionId(source.text(id)?),
                model: may(model),
                version: may(version),
            },
            What::Text(field) => TranscriptEvent::Text { text: text(field)? },
            What::TextPart(field) => TranscriptEvent::TextPart { text: text(field)? },
            What::Thinking(field) => TranscriptEvent::Thinking { text: text(field)? },
            What::System(field) => TranscriptEvent::System { text: text(field)? },
            What::ToolCall { id, name, input } => TranscriptEvent::ToolCall {
                id: source.text(id)?,
                name: source.text(name)?,
                input: input.as_ref().map_or(Value::Null, |at| source.value(at)),
            },
            What::ToolResult { id, output, failed } => TranscriptEvent::ToolResult {
                id: source.text(id)?,
                output: may(output).unwrap_or_default(),
                failed: failed.holds(source),
            },
            What::Usage(fields) => fields.event(source)?,
            What::Error {
                class,
                kind,
                status,
                message,
            } => {
                let named = class.map(|class| class.name().to_owned());
                let error = ReportedError {
                    kind: named.or_else(|| may(kind)),
                    http_status: may(status).and_then(|status| status.parse().ok()),
                    message: text(message).unwrap_or_default(),
                    resets_at: None,
                };
                // an error of which nothing is known is none
                if error == ReportedError::default() {
                    return None;
                }
                TranscriptEvent::Error { error }
            }
            What::Result { failed, summary } => TranscriptEvent::Result {
                failed: failed.holds(source),
                summary: may(summary).unwrap_or_default(),
            },
        })
    }
}

fn class_of(key: &str, name: &str) -> Result<FailureClass, ManifestError> {
    class(&format!("{key}.class"), name)
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Session => "session",
        Kind::Text => "text",
        Kind::TextPart => "text-part",
        Kind::Thinking => "thinking",
        Kind::System => "system",
        Kind::ToolCall => "tool-call",
        Kind::ToolResult => "tool-result",
        Kind::Usage => "usage",
        Kind::Error => "error",
        Kind::Result => "result",
    }
}

fn failed(
    key: &str,
    value: Option<toml::Value>,
    format: Format,
) -> Result<Option<Failed>, ManifestError> {
    let key = format!("{key}.failed");
    Ok(Some(match value {
        None => return Ok(None),
        Some(toml::Value::Boolean(true)) => Failed::Always,
        Some(toml::Value::Boolean(false)) => Failed::Never,
        Some(toml::Value::Table(table)) if format == Format::Ndjson => {
            Failed::When(Conditions::new(&key, table.into_iter().collect())?)
        }
        Some(_) => {
            let message = match format {
                Format::Ndjson => {
                    "expected true, false, or conditions such as { \"/is_error\" = true }"
                }
                Format::Text => "expected true or false",
            };
            return Err(wrong(key, message));
        }
    }))
}

impl Failed {
    fn holds(&self, source: &Source<'_>) -> bool {
        match (self, source) {
            (Self::Always, _) => true,
            (Self::When(conditions), Source::Json(value)) => conditions.hold(value),
            (Self::When(_), Source::Text(..)) | (Self::Never, _) => false,
        }
    }
}

impl UsageFields {
    fn event(&self, source: &Source<'_>) -> Option<TranscriptEvent> {
        let number = |field: &Option<String>| source.number(field.as_ref()?);
        let found = [&self.cost, &self.input, &self.cached, &self.output].map(number);
        if found.iter().all(Option::is_none) {
            return None;
        }
        let [cost, input, cached, output] = found.map(|number| number.unwrap_or(0.0));
        // what is negative or not finite becomes nothing, what is too large the largest there is
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast from a float saturates"
        )]
        let tokens = |number: f64| number as u64;
        let cached = tokens(cached);
        let input = match self.counts {
            InputCounts::All => tokens(input),
            InputCounts::Fresh => tokens(input).saturating_add(cached),
        };
        Some(TranscriptEvent::Usage {
            total: Usage {
                cost: Usd::from_dollars(cost),
                input_tokens: input,
                cached_tokens: cached,
                output_tokens: tokens(output),
            },
            of: match self.of {
                UsedFor::Run => UsageOf::Run,
                UsedFor::Part => UsageOf::Part,
                UsedFor::Session => UsageOf::Session,
            },
        })
    }
}
