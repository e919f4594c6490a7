//! A run as a command line of Gemini CLI.

use optio_core::{
    agent::RunSpec,
    error::{Error, Result},
    runtime::Command,
    secret::Secret,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Auth, Gemini, NAME, Permissions};
use crate::mcp;

/// The folder of its own in which it looks for `.gemini`, so that settings and sessions of nobody else count.
const HOME: &str = "gemini";

impl Gemini {
    pub(super) fn run_command(&self, run: &RunSpec) -> Result<Command> {
        let mode = match self.permissions {
            Permissions::All => "yolo",
            Permissions::Edit => "auto_edit",
            Permissions::Read => "plan",
        };
        let mut command = self
            .program
            .clone()
            .args(["-o", "stream-json", "--approval-mode", mode, "--skip-trust"])
            .in_dir(run.worktree.clone())
            .stdin(run.prompt.clone())
            // its launcher would not let a signal through
            .env("GEMINI_CLI_NO_RELAUNCH", "true");
        if let Some(model) = &run.model {
            command = command.args(["-m", model]);
        }
        if let Some(effort) = &run.effort {
            let message = format!("Gemini CLI cannot be told an effort, such as {effort}");
            return Err(Error::invalid(NAME, message));
        }
        command = match &run.resume {
            // it would take a number for the place of a session in a list, and `latest` for the last one
            Some(session) if Uuid::parse_str(&session.0).is_err() => {
                let message = format!("{session} is not a session of Gemini CLI");
                return Err(Error::invalid(NAME, message));
            }
            Some(session) => command.args(["--resume", &session.0]),
            // a new session takes the run's id, so that it is known before the agent has said a word
            None => command.args(["--session-id", &run.run.as_uuid().to_string()]),
        };
        let command = self.with_credentials(command, run)?;
        self.with_settings(command, run)
    }

    fn with_credentials(&self, mut command: Command, run: &RunSpec) -> Result<Command> {
        let mut secret = |name: &str, value: &Secret| {
            command.secret_env.insert(name.to_owned(), value.clone());
        };
        let address = match &self.auth {
            Auth::Workspace => None,
            Auth::ApiKey(key) => {
                secret("GEMINI_API_KEY", key);
                Some("GOOGLE_GEMINI_BASE_URL")
            }
            Auth::VertexKey(key) => {
                secret("GOOGLE_API_KEY", key);
                command = command.env("GOOGLE_GENAI_USE_VERTEXAI", "true");
                Some("GOOGLE_VERTEX_BASE_URL")
            }
            Auth::Vertex {
                project,
                location,
                credentials,
            } => {
                command = command
                    .env("GOOGLE_GENAI_USE_VERTEXAI", "true")
                    .env("GOOGLE_CLOUD_PROJECT", project)
                    .env("GOOGLE_CLOUD_LOCATION", location);
                if let Some(credentials) = credentials {
                    let file = "google-credentials.json";
                    command = command
                        .env(
                            "GOOGLE_APPLICATION_CREDENTIALS",
                            format!("{}/{file}", run.files_dir),
                        )
                        .file(run.files.child(file), credentials.expose().to_owned());
                }
                Some("GOOGLE_VERTEX_BASE_URL")
            }
            Auth::Login(credentials) => {
                let file = run.state.child(HOME).child(".gemini");
                // it renews its login and writes it there, for all runs to come
                command = command.env("GOOGLE_GENAI_USE_GCA", "true").shared_file(
                    file.child("oauth_creds.json"),
                    credentials.expose().to_owned(),
                );
                None
            }
        };
        match (&self.base_url, address) {
            (None, _) => Ok(command),
            (Some(url), Some(variable)) => Ok(command.env(variable, url)),
            (Some(_), None) => Err(Error::invalid(
                NAME,
                "a base URL needs an API key or Vertex AI: a login of Google knows its own address",
            )),
        }
    }

    /// The settings that it has no flags for. They are in a home of its own, which all runs of a workspace share, for
    /// that is also where it looks for its sessions. So no run may take them away when it ends. (A file of settings for
    /// each run would have to be the system's: it reads that only if it belongs to root.)
    fn with_settings(&self, command: Command, run: &RunSpec) -> Result<Command> {
        let wanted =
            self.max_turns.is_some() || self.mcp_servers.is_some() || self.instructions.is_some();
        let selected = match &self.auth {
            Auth::Workspace if wanted => {
                return Err(Error::invalid(
                    NAME,
                    "a limit of turns, MCP servers and instructions need credentials that are given: with those of the workspace its own settings count",
                ));
            }
            Auth::Workspace => return Ok(command),
            Auth::ApiKey(_) => "gemini-api-key",
            Auth::VertexKey(_) | Auth::Vertex { .. } => "vertex-ai",
            Auth::Login(_) => "oauth-personal",
        };
        let mut settings = json!({
            // without a word it takes a base URL for another kind of access, and fails
            "security": {"auth": {"selectedType": selected}},
            "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false},
            "privacy": {"usageStatisticsEnabled": false},
            "telemetry": {"enabled": false},
        });
        if let Some(turns) = self.max_turns {
            settings["model"] = json!({"maxSessionTurns": turns});
        }
        if let Some(servers) = &self.mcp_servers {
            settings["mcpServers"] = mcp::for_gemini(&mcp::servers(NAME, servers)?);
        }
        let home = run.state.child(HOME);
        let mut command = command.env("GEMINI_CLI_HOME", format!("{}/{HOME}", run.state_dir));
        if let Some(instructions) = &self.instructions {
            let folder = "instructions";
            settings["context"] = json!({
                "includeDirectories": [format!("{}/{HOME}/{folder}", run.state_dir)],
                "loadMemoryFromIncludeDirectories": true,
            });
            let file = home.child(folder).child("GEMINI.md");
            command = command.shared_file(file, instructions.clone());
        }
        Ok(command.shared_file(
            home.child(".gemini").child("settings.json"),
            Value::to_string(&settings),
        ))
    }
}
