//! MCP servers as most agents write them, `{"mcpServers": {"docs": {"command": "docs-server"}}}`, translated for those
//! that have words of their own.
//!
//! A server is a program (`command`, `args`, `env`) or an address (`url` or `httpUrl`, `headers`). What it is started
//! with may hold secrets, so it is never shown in an error.

use std::collections::BTreeMap;

use optio_core::{
    error::{Error, Result},
    secret::Secret,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Servers by name, in the order of their names.
pub(crate) type Servers = BTreeMap<String, Server>;

#[derive(Deserialize)]
struct File {
    #[serde(rename = "mcpServers")]
    servers: Servers,
}

/// One server.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(alias = "httpUrl")]
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// What a server is.
pub(crate) enum Target<'a> {
    /// A program that speaks over its own input and output.
    Program {
        command: &'a str,
        args: &'a [String],
        env: &'a BTreeMap<String, String>,
    },
    /// An address.
    Address {
        url: &'a str,
        headers: &'a BTreeMap<String, String>,
        transport: Transport,
    },
}

/// How an address is spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Http,
    Sse,
}

/// Whether these servers can be handed to every agent.
///
/// # Errors
/// They are not JSON of this shape, or one of them is neither a program nor an address.
pub fn check(config: &Secret) -> Result<()> {
    servers("agents", config).map(drop)
}

/// Reads the servers, each of which is a program or an address.
pub(crate) fn servers(agent: &'static str, config: &Secret) -> Result<Servers> {
    // the message of a parser may quote what it read
    let File { servers } = serde_json::from_str(config.expose()).map_err(|error| {
        Error::invalid(
            agent,
            format!(
                "the MCP servers are not JSON like {{\"mcpServers\": {{\"name\": {{\"command\": \"program\"}}}}}}: line {}, column {}",
                error.line(),
                error.column()
            ),
        )
    })?;
    for (name, server) in &servers {
        if server.command.is_some() == server.url.is_some() {
            let hint = format!("the MCP server {name} needs either a command or a url");
            return Err(Error::invalid(agent, hint));
        }
        if !matches!(
            server.kind.as_deref(),
            None | Some("local" | "stdio" | "http" | "sse" | "streamable-http" | "remote")
        ) {
            let hint = format!("the MCP server {name} is of no known type: use stdio, http or sse");
            return Err(Error::invalid(agent, hint));
        }
    }
    Ok(servers)
}

impl Server {
    pub(crate) fn target(&self) -> Target<'_> {
        match (&self.command, &self.url) {
            (None, Some(url)) => Target::Address {
                url,
                headers: &self.headers,
                transport: if self.kind.as_deref() == Some("sse") {
                    Transport::Sse
                } else {
                    Transport::Http
                },
            },
            (command, _) => Target::Program {
                command: command.as_deref().unwrap_or_default(),
                args: &self.args,
                env: &self.env,
            },
        }
    }
}

/// As Gemini CLI has them in its settings.
pub(crate) fn for_gemini(servers: &Servers) -> Value {
    map(servers, |target| match target {
        Target::Program { command, args, env } => {
            json!({"command": command, "args": args, "env": env})
        }
        Target::Address {
            url,
            headers,
            transport: Transport::Http,
        } => json!({"httpUrl": url, "headers": headers}),
        Target::Address { url, headers, .. } => json!({"url": url, "headers": headers}),
    })
}

/// As opencode has them in its configuration.
pub(crate) fn for_opencode(servers: &Servers) -> Value {
    map(servers, |target| match target {
        Target::Program { command, args, env } => {
            let words: Vec<&str> = std::iter::once(command)
                .chain(args.iter().map(String::as_str))
                .collect();
            json!({"type": "local", "command": words, "environment": env, "enabled": true})
        }
        Target::Address { url, headers, .. } => {
            json!({"type": "remote", "url": url, "headers": headers, "enabled": true})
        }
    })
}

/// As Copilot CLI has them in its file.
pub(crate) fn for_copilot(servers: &Servers) -> Value {
    let servers = map(servers, |target| match target {
        Target::Program { command, args, env } => {
            json!({"type": "local", "command": command, "args": args, "env": env, "tools": ["*"]})
        }
        Target::Address {
            url,
            headers,
            transport,
        } => {
            let kind = if transport == Transport::Sse {
                "sse"
            } else {
                "http"
            };
            json!({"type": kind, "url": url, "headers": headers, "tools": ["*"]})
        }
    });
    json!({"mcpServers": servers})
}

fn map(servers: &Servers, translate: impl Fn(Target<'_>) -> Value) -> Value {
    let servers = servers
        .iter()
        .map(|(name, server)| (name.clone(), translate(server.target())));
    Value::Object(servers.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Servers> {
        servers("agent", &Secret::new(text))
    }

    #[test]
    fn each_agent_gets_them_in_its_own_words() {
        let servers = read(
            r#"{"mcpServers": {
                "docs": {"command": "docs-server", "args": ["--all"], "env": {"DOCS_KEY": "k"}},
                "shop": {"url": "https://shop.example/mcp", "headers": {"Authorization": "Bearer t"}},
                "feed": {"type": "sse", "url": "https://feed.example/sse"}
            }}"#,
        )
        .unwrap();
        let table = [
            for_gemini(&servers),
            for_opencode(&servers),
            for_copilot(&servers),
        ];
        insta::assert_snapshot!(table.map(|words| words.to_string()).join("\n"), @r#"
        {"docs":{"args":["--all"],"command":"docs-server","env":{"DOCS_KEY":"k"}},"feed":{"headers":{},"url":"https://feed.example/sse"},"shop":{"headers":{"Authorization":"Bearer t"},"httpUrl":"https://shop.example/mcp"}}
        {"docs":{"command":["docs-server","--all"],"enabled":true,"environment":{"DOCS_KEY":"k"},"type":"local"},"feed":{"enabled":true,"headers":{},"type":"remote","url":"https://feed.example/sse"},"shop":{"enabled":true,"headers":{"Authorization":"Bearer t"},"type":"remote","url":"https://shop.example/mcp"}}
        {"mcpServers":{"docs":{"args":["--all"],"command":"docs-server","env":{"DOCS_KEY":"k"},"tools":["*"],"type":"local"},"feed":{"headers":{},"tools":["*"],"type":"sse","url":"https://feed.example/sse"},"shop":{"headers":{"Authorization":"Bearer t"},"tools":["*"],"type":"http","url":"https://shop.example/mcp"}}}
        "#);
    }

    #[test]
    fn a_mistake_is_told_and_never_quoted() {
        let rows = [
            "not json, the-secret",
            r#"{"servers": {"docs": {"env": "the-secret"}}}"#,
            r#"{"mcpServers": {"docs": {"command": "a", "env": {"KEY": "the-secret"}, "url": "b"}}}"#,
            r#"{"mcpServers": {"docs": {"env": {"KEY": "the-secret"}}}}"#,
            r#"{"mcpServers": {"docs": {"command": "a", "typo": "the-secret"}}}"#,
            r#"{"mcpServers": {"docs": {"url": "the-secret", "type": "carrier pigeon"}}}"#,
        ];
        let table = rows.map(|row| match read(row) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.message().to_owned(),
        });
        let table = table.join("\n");
        assert!(!table.contains("the-secret"));
        insta::assert_snapshot!(table, @r#"
        the MCP servers are not JSON like {"mcpServers": {"name": {"command": "program"}}}: line 1, column 2
        the MCP servers are not JSON like {"mcpServers": {"name": {"command": "program"}}}: line 1, column 44
        the MCP server docs needs either a command or a url
        the MCP server docs needs either a command or a url
        the MCP servers are not JSON like {"mcpServers": {"name": {"command": "program"}}}: line 1, column 47
        the MCP server docs is of no known type: use stdio, http or sse
        "#);
    }
}
