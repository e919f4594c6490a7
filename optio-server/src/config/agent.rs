//! What is set of single agents: a table `[agent.NAME]` of the file each, and variables over it.

use std::collections::BTreeMap;

use optio_agents::mcp;
use optio_core::{money::Usd, secret::Secret};
use serde_json::json;

use super::{Layers, nearest};

/// What is set of one agent. Every value is one that it takes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AgentSettings(BTreeMap<&'static str, Value>);

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Number(u32),
    Dollars(Usd),
    Switch(bool),
    List(Vec<String>),
    Pairs(Vec<(String, String)>),
    Servers(Secret),
}

/// What a setting takes.
#[derive(Debug, Clone, Copy)]
enum Takes {
    /// Any text.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number, this or more.
    From(u32),
    /// Money.
    Dollars,
    /// True or false.
    Switch,
    /// `all`, or a list of tools.
    Tools,
    /// A table of settings of the agent's own.
    Pairs,
    /// A table of MCP servers.
    Servers,
}

type Rows = &'static [(&'static str, Takes)];

/// Every agent of which something can be set, and what that is.
const AGENTS: [(&str, Rows); 5] = [
    (
        "claude-code",
        &[
            (
                "effort",
                Takes::OneOf(&["low", "medium", "high", "xhigh", "max"]),
            ),
            ("instructions", Takes::Text),
            ("max_budget_usd", Takes::Dollars),
            ("max_retries", Takes::From(0)),
            ("max_turns", Takes::From(1)),
            ("mcp_servers", Takes::Servers),
            ("permissions", Takes::Tools),
            ("repository_settings", Takes::Switch),
        ],
    ),
    (
        "codex",
        &[
            ("effort", Takes::Text),
            ("instructions", Takes::Text),
            ("mcp_servers", Takes::Servers),
            ("permissions", Takes::OneOf(&["all", "read"])),
            ("settings", Takes::Pairs),
        ],
    ),
    (
        "copilot",
        &[
            (
                "effort",
                Takes::OneOf(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
            ),
            ("instructions", Takes::Text),
            ("max_credits", Takes::From(30)),
            ("mcp_servers", Takes::Servers),
            ("permissions", Takes::Tools),
            ("repository_settings", Takes::Switch),
        ],
    ),
    (
        "gemini",
        &[
            ("instructions", Takes::Text),
            ("max_turns", Takes::From(1)),
            ("mcp_servers", Takes::Servers),
            ("permissions", Takes::OneOf(&["all", "edit", "read"])),
        ],
    ),
    (
        "opencode",
        &[
            ("effort", Takes::Text),
            ("instructions", Takes::Text),
            ("max_steps", Takes::From(1)),
            ("mcp_servers", Takes::Servers),
            ("permissions", Takes::OneOf(&["all", "read"])),
            ("repository_settings", Takes::Switch),
        ],
    ),
];

/// Everything that is set of agents, by their names. Each mistake is told with its place and what is expected there.
pub(super) fn read(layers: &mut Layers) -> BTreeMap<&'static str, AgentSettings> {
    let tables = std::mem::take(&mut layers.agents);
    for name in tables.keys() {
        if !AGENTS.iter().any(|(known, _)| known == name) {
            let known: Vec<_> = AGENTS.iter().map(|(known, _)| *known).collect();
            layers.mistakes.push(format!(
                "{}: of no such agent can anything be set: choose one of {}",
                layers.place(&format!("agent.{name}")),
                known.join(", ")
            ));
        }
    }
    let mut all = BTreeMap::new();
    for (agent, rows) in AGENTS {
        let table = tables.get(agent);
        for key in table.into_iter().flat_map(toml::Table::keys) {
            if !rows.iter().any(|(known, _)| known == key) {
                let known: Vec<_> = rows.iter().map(|(known, _)| *known).collect();
                let hint = match nearest(key, known.iter().copied()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("choose one of {}", known.join(", ")),
                };
                let place = layers.place(&format!("agent.{agent}.{key}"));
                let mistake = format!("{place} is not a setting of {agent}: {hint}");
                layers.mistakes.push(mistake);
            }
        }
        let mut settings = AgentSettings::default();
        for (key, takes) in rows {
            let variable = variable(agent, key);
            let (place, given) = match (layers.variable(&variable), table) {
                (Some(text), _) if takes.can_be_text() => (variable, takes.of_text(text.trim())),
                (_, Some(table)) if table.contains_key(*key) => (
                    layers.place(&format!("agent.{agent}.{key}")),
                    takes.of_file(&table[*key]),
                ),
                _ => continue,
            };
            match given {
                Some(value) => {
                    settings.0.insert(key, value);
                }
                // the value itself is not repeated: it may hold a secret
                None => layers.mistakes.push(format!(
                    "{place} cannot be used: expected {}",
                    takes.expected()
                )),
            }
        }
        if !settings.0.is_empty() {
            all.insert(agent, settings);
        }
    }
    all
}

/// The name of a setting in the environment: `OPTIO_CLAUDE_CODE_EFFORT`.
fn variable(agent: &str, key: &str) -> String {
    format!("OPTIO_{agent}_{key}")
        .replace('-', "_")
        .to_uppercase()
}

impl AgentSettings {
    /// A text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.0.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number.
    pub(crate) fn number(&self, key: &str) -> Option<u32> {
        match self.0.get(key)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Money.
    pub(crate) fn dollars(&self, key: &str) -> Option<Usd> {
        match self.0.get(key)? {
            Value::Dollars(dollars) => Some(*dollars),
            _ => None,
        }
    }

    /// What is switched on, or off.
    pub(crate) fn switch(&self, key: &str) -> Option<bool> {
        match self.0.get(key)? {
            Value::Switch(on) => Some(*on),
            _ => None,
        }
    }

    /// A list of words.
    pub(crate) fn list(&self, key: &str) -> Option<&[String]> {
        match self.0.get(key)? {
            Value::List(words) => Some(words),
            _ => None,
        }
    }

    /// Dotted keys with values of TOML.
    pub(crate) fn pairs(&self, key: &str) -> &[(String, String)] {
        match self.0.get(key) {
            Some(Value::Pairs(pairs)) => pairs,
            _ => &[],
        }
    }

    /// The MCP servers, as JSON.
    pub(crate) fn servers(&self) -> Option<&Secret> {
        match self.0.get("mcp_servers")? {
            Value::Servers(servers) => Some(servers),
            _ => None,
        }
    }
}

impl Takes {
    fn expected(self) -> String {
        match self {
            Self::Text => "text that is not empty".to_owned(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::From(least) => format!("a whole number, {least} or more"),
            Self::Dollars => "US dollars above 0, such as 5 or 2.50".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Tools => "all, or a list of tools".to_owned(),
            Self::Pairs => "a table of settings".to_owned(),
            Self::Servers => {
                "a table for each server, with a command, args and env, or with a url, headers and type"
                    .to_owned()
            }
        }
    }

    /// Whether a variable can hold it. (MCP servers for every agent are in one of their own.)
    fn can_be_text(self) -> bool {
        !matches!(self, Self::Pairs | Self::Servers)
    }

    fn of_file(self, value: &toml::Value) -> Option<Value> {
        match (self, value) {
            (Self::Tools, toml::Value::Array(tools)) => {
                let words = tools.iter().map(|tool| Some(tool.as_str()?.to_owned()));
                tools_of(words.collect::<Option<_>>()?)
            }
            (Self::Pairs, toml::Value::Table(table)) => {
                let mut pairs = Vec::new();
                flatten("", table, &mut pairs);
                Some(Value::Pairs(pairs))
            }
            (Self::Servers, toml::Value::Table(servers)) => {
                let servers = Secret::new(json!({"mcpServers": servers}).to_string());
                mcp::check(&servers).ok()?;
                Some(Value::Servers(servers))
            }
            (_, toml::Value::String(text)) => self.of_text(text),
            (Self::From(_), toml::Value::Integer(number)) => self.of_text(&number.to_string()),
            (Self::Dollars, toml::Value::Integer(number)) => self.of_text(&number.to_string()),
            (Self::Dollars, toml::Value::Float(number)) => self.of_text(&number.to_string()),
            (Self::Switch, toml::Value::Boolean(on)) => Some(Value::Switch(*on)),
            _ => None,
        }
    }

    fn of_text(self, text: &str) -> Option<Value> {
        match self {
            Self::Text => Some(text.to_owned())
                .filter(|text| !text.trim().is_empty())
                .map(Value::Text),
            Self::OneOf(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
            Self::From(least) => {
                let number = text.parse().ok().filter(|number| *number >= least);
                number.map(Value::Number)
            }
            Self::Dollars => {
                let dollars = text.parse().ok().filter(|dollars| *dollars > Usd::ZERO);
                dollars.map(Value::Dollars)
            }
            Self::Switch => text.parse().ok().map(Value::Switch),
            Self::Tools if text == "all" => Some(Value::Text(text.to_owned())),
            Self::Tools => tools_of(text.split(',').map(|tool| tool.trim().to_owned()).collect()),
            Self::Pairs | Self::Servers => None,
        }
    }
}

/// A list of tools; one that looks like a flag would be taken for one.
fn tools_of(tools: Vec<String>) -> Option<Value> {
    let fine = |tool: &String| !tool.is_empty() && !tool.starts_with('-');
    tools.iter().all(fine).then_some(Value::List(tools))
}

/// Dotted keys, each with its value in TOML.
fn flatten(prefix: &str, table: &toml::Table, pairs: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let key = if key.chars().all(plain) {
            key.clone()
        } else {
            toml::Value::from(key.as_str()).to_string()
        };
        match value {
            toml::Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, pairs),
            value => pairs.push((format!("{prefix}{key}"), value.to_string())),
        }
    }
}
