//! A run as a command line of Codex.

use std::collections::BTreeMap;

use optio_core::{
    agent::RunSpec,
    error::{Error, Result},
    runtime::Command,
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Auth, Codex, Sandbox};
use crate::mcp::{self, Servers, Target};

/// Keeps it from reporting to its vendor, from looking for updates, and from waiting for a network without end.
const SETTINGS: [(&str, &str); 3] = [
    ("analytics.enabled", "false"),
    ("check_for_update_on_startup", "false"),
    ("features.unbounded_connection_retries", "false"),
];

/// When a limit resets, it tells as a time of day without a zone. This is the one that is understood.
const ZONE: &str = "UTC";

/// The folder of its own for a login and for MCP servers, and for the sessions of whoever works with one of them.
const HOME: &str = "codex";

/// The variable with the key.
const KEY: &str = "CODEX_API_KEY";

impl Codex {
    pub(super) fn run_command(&self, run: &RunSpec) -> Result<Command> {
        let mut command = self.program.clone().args(["exec", "--json"]);
        let set = |command: Command, key: &str, toml: &str| {
            command.args(["-c", &format!("{key}={toml}")])
        };
        for (key, toml) in SETTINGS {
            command = set(command, key, toml);
        }
        if let Some(url) = &self.base_url {
            if matches!(self.auth, Auth::Login(_)) {
                let message =
                    "a base URL needs an API key: a login with ChatGPT knows its own address";
                return Err(Error::invalid("codex", message));
            }
            // a provider of its own: for the built-in one it would first try a WebSocket
            let provider = format!(
                r#"{{name="optio",base_url={},env_key="{KEY}",wire_api="responses"}}"#,
                toml(url)
            );
            command = set(command, "model_provider", r#""optio""#);
            command = set(command, "model_providers.optio", &provider);
        }
        if let Some(effort) = run.effort.as_ref().or(self.effort.as_ref()) {
            command = set(command, "model_reasoning_effort", &toml(effort));
        }
        if let Some(instructions) = &self.instructions {
            command = set(command, "developer_instructions", &toml(instructions));
        }
        for (key, toml) in &self.settings {
            command = set(command, key, toml);
        }
        if let Some(model) = &run.model {
            command = command.args(["-m", model]);
        }
        command = match self.sandbox {
            Sandbox::Workspace => command.arg("--dangerously-bypass-approvals-and-sandbox"),
            Sandbox::ReadOnly => command.args(["--sandbox", "read-only"]),
        };
        let (mut command, profile) = match &self.mcp_servers {
            None => (command, None),
            Some(servers) => {
                let profile = Profile::of(&mcp::servers("codex", servers)?)?;
                (command.args(["-p", &profile.name]), Some(profile))
            }
        };
        if let Some(session) = &run.resume {
            if Uuid::parse_str(&session.0).is_err() {
                return Err(Error::invalid(
                    "codex",
                    format!("{session} is not a session of Codex"),
                ));
            }
            command = command.args(["resume", &session.0]);
        }
        let home = run.state.child(HOME);
        command = match &self.auth {
            Auth::Workspace if profile.is_some() => {
                return Err(Error::invalid(
                    "codex",
                    "MCP servers need credentials that are given: with those of the workspace its own configuration counts",
                ));
            }
            Auth::Workspace => command,
            Auth::ApiKey(key) => {
                command.secret_env.insert(KEY.to_owned(), key.clone());
                command
            }
            // it renews its login and writes it there, for all runs to come
            Auth::Login(login) => {
                command.shared_file(home.child("auth.json"), login.expose().to_owned())
            }
        };
        if matches!(self.auth, Auth::Login(_)) || profile.is_some() {
            command = command.env("CODEX_HOME", format!("{}/{HOME}", run.state_dir));
        }
        if let Some(profile) = profile {
            let file = format!("{}.config.toml", profile.name);
            command = command.shared_file(home.child(&file), profile.content);
        }
        Ok(command
            .arg("-") // the prompt is its input
            .env("TZ", ZONE)
            .in_dir(run.worktree.clone())
            .stdin(run.prompt.clone()))
    }
}

/// A file of its configuration beside its own, by a name that it is told. It lies in the home that all runs of a workspace
/// share, so its name says what is in it: a run with other servers does not take it away from one that is at work.
struct Profile {
    name: String,
    content: String,
}

impl Profile {
    fn of(servers: &Servers) -> Result<Self> {
        let mut tables = toml::Table::new();
        for (name, server) in servers {
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
            if name.is_empty() || !name.chars().all(plain) {
                return Err(Error::invalid(
                    "codex",
                    format!(
                        "{name:?} cannot be the name of an MCP server: use letters, digits, - and _"
                    ),
                ));
            }
            tables.insert(name.clone(), table(&server.target()).into());
        }
        let content = toml::Table::from_iter([("mcp_servers".to_owned(), tables.into())]);
        let content = content.to_string();
        let digest = Sha256::digest(&content);
        let digits: String = digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Self {
            name: format!("optio-{digits}"),
            content,
        })
    }
}

/// A server in the words of its configuration.
fn table(target: &Target<'_>) -> toml::Table {
    let words = |words: &BTreeMap<String, String>| {
        let words = words
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()));
        toml::Value::Table(words.collect())
    };
    let rows = match target {
        Target::Program { command, args, env } => vec![
            ("command", (*command).into()),
            ("args", args.to_vec().into()),
            ("env", words(env)),
        ],
        Target::Address { url, headers, .. } => {
            vec![("url", (*url).into()), ("http_headers", words(headers))]
        }
    };
    rows.into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// Text as a string of TOML. Its basic strings know the escapes of JSON, but for a delete character as it is.
fn toml(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_setting_is_one_string_whatever_it_holds() {
        let row = super::toml("say \"hi\"\\ \n\t\u{1}\u{7f}é");
        assert_eq!(row, r#""say \"hi\"\\ \n\t\u0001\u007fé""#);
    }
}
