//! A run as a command line of Copilot CLI.

use optio_core::{
    agent::RunSpec,
    error::{Error, Result},
    runtime::Command,
    secret::Secret,
};
use serde_json::Value;
use uuid::Uuid;

use super::{Auth, Copilot, NAME, Permissions, RepositorySettings, USAGE_FILE};
use crate::mcp;

/// The file with the MCP servers, in the run's own folder.
const MCP_FILE: &str = "mcp.json";

/// The fewest credits that it takes for a limit.
const FEWEST_CREDITS: u32 = 30;

impl Copilot {
    pub(super) fn run_command(&self, run: &RunSpec) -> Result<Command> {
        let mut command = self
            .program
            .clone()
            .args(["--output-format", "json", "--stream", "off"])
            .args(["--no-ask-user", "--no-color", "--no-auto-update"])
            .arg("--disable-client-telemetry")
            .in_dir(run.worktree.clone())
            .stdin(run.prompt.clone())
            .env("COPILOT_AUTO_UPDATE", "false");
        if let Some(model) = &run.model {
            command = command.args(["--model", model]);
        }
        if let Some(effort) = run.effort.as_ref().or(self.effort.as_ref()) {
            command = command.args(["--reasoning-effort", effort]);
        }
        command = match &run.resume {
            // it would take a part of an id, or a name, for a session
            Some(session) if Uuid::parse_str(&session.0).is_err() => {
                let message = format!("{session} is not a session of Copilot CLI");
                return Err(Error::invalid(NAME, message));
            }
            Some(session) => command.arg(format!("--resume={session}")),
            None => command.arg(format!("--session-id={}", run.run.as_uuid())),
        };
        command = match &self.permissions {
            Permissions::All => command.arg("--allow-all"),
            Permissions::Only(tools) => {
                let tools = tools.iter().map(|tool| format!("--allow-tool={tool}"));
                command.args(tools)
            }
        };
        if self.repository_settings == RepositorySettings::Load {
            command = command.arg("--trust-folder");
        }
        if let Some(credits) = self.max_credits {
            if credits < FEWEST_CREDITS {
                let message = format!(
                    "a limit of {credits} AI credits is too low: it takes {FEWEST_CREDITS} or more"
                );
                return Err(Error::invalid(NAME, message));
            }
            command = command.args(["--max-ai-credits", &credits.to_string()]);
        }
        let file = |name: &str| format!("{}/{name}", run.files_dir);
        if let Some(servers) = &self.mcp_servers {
            let servers = mcp::for_copilot(&mcp::servers(NAME, servers)?);
            command = command
                .arg("--disable-builtin-mcps")
                .args(["--additional-mcp-config", &format!("@{}", file(MCP_FILE))])
                .file(run.files.child(MCP_FILE), Value::to_string(&servers));
        }
        if let Some(instructions) = &self.instructions {
            let folder = "instructions";
            let path = run
                .files
                .child(folder)
                .child(".github")
                .child("instructions")
                .child("optio.instructions.md");
            command = command
                .env("COPILOT_CUSTOM_INSTRUCTIONS_DIRS", file(folder))
                .file(path, format!("---\napplyTo: \"**\"\n---\n{instructions}\n"));
        }
        let command = command.args(["--usage-output-file", &file(USAGE_FILE)]);
        Ok(self.with_credentials(command))
    }

    fn with_credentials(&self, mut command: Command) -> Command {
        let mut secret = |name: &str, value: &Secret| {
            command.secret_env.insert(name.to_owned(), value.clone());
        };
        match &self.auth {
            Auth::Workspace => command,
            Auth::GitHubToken(token) => {
                secret("COPILOT_GITHUB_TOKEN", token);
                command
            }
            Auth::Provider {
                kind,
                base_url,
                key,
            } => {
                if let Some(key) = key {
                    secret("COPILOT_PROVIDER_API_KEY", key);
                }
                command
                    .env("COPILOT_OFFLINE", "true")
                    .env("COPILOT_PROVIDER_TYPE", kind.name())
                    .env("COPILOT_PROVIDER_BASE_URL", base_url)
            }
        }
    }
}
