//! Lines of agents read plainly: into structs of serde_json that hold what events are made of. Texts are borrowed where
//! nothing in them is escaped, what a tool was given stays as it stands there, and all else is skipped.

use std::{borrow::Cow, fmt};

use anyhow::{Result, bail};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

/// Reads a line of this agent and says how much was found in it.
///
/// # Errors
/// There is no such agent, or the line is none of its lines.
pub fn read_typed(agent: &str, line: &str) -> Result<usize> {
    Ok(match agent {
        "claude" | "qwen" => serde_json::from_str::<Messages<'_>>(line)?.size(),
        "codex" => serde_json::from_str::<Codex<'_>>(line)?.size(),
        "gemini" => serde_json::from_str::<Gemini<'_>>(line)?.size(),
        "opencode" => serde_json::from_str::<OpenCode<'_>>(line)?.size(),
        "copilot" => serde_json::from_str::<Copilot<'_>>(line)?.size(),
        other => bail!("nobody knows the lines of {other}"),
    })
}

/// Borrowed if nothing in it is escaped. (Of an optional `Cow` serde always makes an owned one.)
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn size(texts: &[&Option<Text<'_>>]) -> usize {
    texts
        .iter()
        .filter_map(|text| text.as_ref())
        .map(|text| text.0.len())
        .sum()
}

fn raw_size(values: &[Option<&RawValue>]) -> usize {
    values.iter().flatten().map(|value| value.get().len()).sum()
}

/// A line of Claude Code, and of those whose stream is like it.
#[derive(Deserialize)]
struct Messages<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    subtype: Option<Text<'a>>,
    #[serde(borrow)]
    session_id: Option<Text<'a>>,
    #[serde(borrow)]
    message: Option<Message<'a>>,
    #[serde(borrow)]
    result: Option<Text<'a>>,
    total_cost_usd: Option<f64>,
    is_error: Option<bool>,
}

impl Messages<'_> {
    fn size(&self) -> usize {
        let content = self
            .message
            .as_ref()
            .and_then(|message| message.content.as_ref());
        let ids = self
            .message
            .as_ref()
            .map_or(0, |message| size(&[&message.id, &message.model]));
        self.kind.0.len()
            + size(&[&self.subtype, &self.session_id, &self.result])
            + content.map_or(0, Content::size)
            + ids
            + usize::from(self.total_cost_usd.is_some() || self.is_error.is_some())
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Content<'a>>,
}

/// Text, or blocks.
enum Content<'a> {
    Text(Cow<'a, str>),
    Blocks(Vec<Block<'a>>),
}

impl Content<'_> {
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Blocks(blocks) => blocks.iter().map(Block::size).sum(),
        }
    }
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<Content<'a>>,
    is_error: Option<bool>,
}

impl Block<'_> {
    fn size(&self) -> usize {
        size(&[
            &self.id,
            &self.name,
            &self.tool_use_id,
            &self.text,
            &self.thinking,
        ]) + raw_size(&[self.input])
            + self.content.as_ref().map_or(0, Content::size)
            + usize::from(self.is_error == Some(true))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Content<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text or blocks")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content<'de>, A::Error> {
                let mut blocks = Vec::new();
                while let Some(block) = items.next_element()? {
                    blocks.push(block);
                }
                Ok(Content::Blocks(blocks))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// A line of Codex.
#[derive(Deserialize)]
struct Codex<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    thread_id: Option<Text<'a>>,
    #[serde(borrow)]
    item: Option<Item<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    command: Option<Text<'a>>,
    #[serde(borrow)]
    aggregated_output: Option<Text<'a>>,
    exit_code: Option<i64>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    changes: Option<&'a RawValue>,
    #[serde(borrow)]
    items: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

impl Codex<'_> {
    fn size(&self) -> usize {
        let item = self.item.as_ref().map_or(0, |item| {
            size(&[&item.kind, &item.id, &item.text, &item.command])
                + size(&[&item.aggregated_output, &item.status])
                + raw_size(&[item.changes, item.items, item.arguments])
                + usize::from(item.exit_code == Some(0))
        });
        self.kind.0.len() + size(&[&self.thread_id]) + item + raw_size(&[self.usage])
    }
}

/// A line of Gemini.
#[derive(Deserialize)]
struct Gemini<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    tool_id: Option<Text<'a>>,
    #[serde(borrow)]
    tool_name: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    session_id: Option<Text<'a>>,
    #[serde(borrow)]
    stats: Option<&'a RawValue>,
}

impl Gemini<'_> {
    fn size(&self) -> usize {
        self.kind.0.len()
            + size(&[&self.role, &self.content, &self.tool_id, &self.tool_name])
            + size(&[&self.output, &self.status, &self.session_id])
            + raw_size(&[self.parameters, self.stats])
    }
}

/// A line of opencode.
#[derive(Deserialize)]
struct OpenCode<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(rename = "sessionID", borrow)]
    session: Option<Text<'a>>,
    #[serde(borrow)]
    part: Option<Part<'a>>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(rename = "callID", borrow)]
    call: Option<Text<'a>>,
    #[serde(borrow)]
    tool: Option<Text<'a>>,
    #[serde(borrow)]
    state: Option<State<'a>>,
    #[serde(borrow)]
    tokens: Option<&'a RawValue>,
    cost: Option<f64>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct State<'a> {
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<Text<'a>>,
}

impl OpenCode<'_> {
    fn size(&self) -> usize {
        let part = self.part.as_ref().map_or(0, |part| {
            let state = part.state.as_ref().map_or(0, |state| {
                size(&[&state.status, &state.output]) + raw_size(&[state.input])
            });
            size(&[&part.text, &part.call, &part.tool, &part.reason])
                + raw_size(&[part.tokens])
                + usize::from(part.cost.is_some())
                + state
        });
        self.kind.0.len() + size(&[&self.session]) + part
    }
}

/// A line of Copilot.
#[derive(Deserialize)]
struct Copilot<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_text: Option<Text<'a>>,
    #[serde(borrow)]
    tool_requests: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_call_id: Option<Text<'a>>,
    #[serde(borrow)]
    tool_name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    success: Option<bool>,
    #[serde(borrow)]
    result: Option<Outcome<'a>>,
}

/// What a call came to: with the text that it gave back, or a word.
struct Outcome<'a>(Option<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Outcome<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow)]
            content: Option<Text<'a>>,
        }

        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Outcome<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a word, or fields")
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Outcome<'de>, E> {
                Ok(Outcome(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Outcome<'de>, A::Error> {
                let fields = Fields::deserialize(MapAccessDeserializer::new(fields))?;
                Ok(Outcome(fields.content))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Copilot<'_> {
    fn size(&self) -> usize {
        let data = self.data.as_ref().map_or(0, |data| {
            let result = data.result.as_ref();
            size(&[&data.content, &data.reasoning_text, &data.tool_call_id])
                + size(&[&data.tool_name, &data.model])
                + raw_size(&[data.tool_requests, data.arguments])
                + result.map_or(0, |result| size(&[&result.0]))
                + usize::from(data.success == Some(true))
        });
        self.kind.0.len() + data
    }
}
