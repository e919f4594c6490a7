//! A run as a command line of Codex.

use optio_core::{
    agent::RunSpec,
    error::{Error, Result},
    runtime::Command,
    secret::Secret,
};
use uuid::Uuid;

use super::{Auth, Codex, Sandbox};
use crate::mcp::{self, Target};

/// Keeps it from reporting to its vendor, from looking for updates, and from waiting for a network without end.
const SETTINGS: [(&str, &str); 3] = [
    ("analytics.enabled", "false"),
    ("check_for_update_on_startup", "false"),
    ("features.unbounded_connection_retries", "false"),
];

/// When a limit resets, it tells as a time of day without a zone. This is the one that is understood.
const ZONE: &str = "UTC";

/// The folder of its own for a login, and for the sessions of whoever works with it.
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
        if let Some(servers) = &self.mcp_servers {
            for (name, server) in &mcp::servers("codex", servers)? {
                let (definition, secrets) = mcp_server(name, &server.target())?;
                command = set(command, &format!("mcp_servers.{name}"), &definition);
                for (variable, value) in secrets {
                    let known = command.secret_env.insert(variable.clone(), value.clone());
                    if known.is_some_and(|known| known != value) {
                        return Err(Error::invalid(
                            "codex",
                            format!(
                                "two MCP servers want another {variable} each: codex can give it to them only once"
                            ),
                        ));
                    }
                }
            }
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
        if let Some(session) = &run.resume {
            if Uuid::parse_str(&session.0).is_err() {
                return Err(Error::invalid(
                    "codex",
                    format!("{session} is not a session of Codex"),
                ));
            }
            command = command.args(["resume", &session.0]);
        }
        command = match &self.auth {
            Auth::Workspace => command,
            Auth::ApiKey(key) => {
                command.secret_env.insert(KEY.to_owned(), key.clone());
                command
            }
            // it renews its login and writes it there, for all runs to come
            Auth::Login(login) => command
                .env("CODEX_HOME", format!("{}/{HOME}", run.state_dir))
                .shared_file(
                    run.state.child(HOME).child("auth.json"),
                    login.expose().to_owned(),
                ),
        };
        Ok(command
            .arg("-") // the prompt is its input
            .env("TZ", ZONE)
            .in_dir(run.worktree.clone())
            .stdin(run.prompt.clone()))
    }
}

/// A server as a value of TOML that holds no secret, and the secrets as variables that it names.
fn mcp_server(name: &str, target: &Target<'_>) -> Result<(String, Vec<(String, Secret)>)> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Error::invalid(
            "codex",
            format!("{name:?} cannot be the name of an MCP server: use letters, digits, - and _"),
        ));
    }
    let list = |words: &mut dyn Iterator<Item = &String>| {
        let words: Vec<String> = words.map(|word| toml(word)).collect();
        format!("[{}]", words.join(","))
    };
    let secret = |variable: &str, value: &String| (variable.to_owned(), Secret::new(value.clone()));
    Ok(match target {
        Target::Program { command, args, env } => {
            let definition = format!(
                "{{command={},args={},env_vars={}}}",
                toml(command),
                list(&mut args.iter()),
                list(&mut env.keys())
            );
            (
                definition,
                env.iter()
                    .map(|(name, value)| secret(name, value))
                    .collect(),
            )
        }
        Target::Address { url, headers, .. } => {
            let shown = name.to_ascii_uppercase().replace('-', "_");
            let named = headers.iter().enumerate().map(|(number, (header, value))| {
                (header, format!("OPTIO_MCP_{shown}_{number}"), value)
            });
            let named: Vec<_> = named.collect();
            let lines: Vec<String> = named
                .iter()
                .map(|(header, variable, _)| format!("{}={}", toml(header), toml(variable)))
                .collect();
            let definition = format!(
                "{{url={},env_http_headers={{{}}}}}",
                toml(url),
                lines.join(",")
            );
            let secrets = named
                .iter()
                .map(|(_, variable, value)| secret(variable, value));
            (definition, secrets.collect())
        }
    })
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
