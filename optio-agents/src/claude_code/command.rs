//! A run as a command line of Claude Code.

use optio_core::{
    agent::RunSpec,
    error::{Error, Result},
    runtime::Command,
};

use serde_json::json;

use super::{Auth, ClaudeCode, Permissions, RepositorySettings};

/// Keeps it from looking for updates and from reporting to its vendor; has it say on its stream why it cannot start.
const QUIET: [(&str, &str); 5] = [
    ("DISABLE_AUTOUPDATER", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("CLAUDE_CODE_STARTUP_FAILURE_RESULTS", "1"),
];

/// The file with the MCP servers, in the run's own folder.
const MCP_FILE: &str = "mcp.json";

/// What a person says, as a line of its input. Said while it is at work, it hears it after the next call of a tool; said
/// afterwards, it begins another round. When the input ends it does what it has heard, waits for what it left running in
/// the background, and ends.
pub(super) fn said(text: &str) -> String {
    let message = json!({"type": "user", "message": {"role": "user", "content": text}});
    format!("{message}\n")
}

impl ClaudeCode {
    pub(super) fn run_command(&self, run: &RunSpec) -> Result<Command> {
        let mut command = self
            .program
            .clone()
            .args(["-p", "--output-format", "stream-json", "--verbose"])
            .args(["--input-format", "stream-json"])
            .in_dir(run.worktree.clone())
            .stdin(said(&run.prompt))
            .open_stdin();
        if let Some(model) = &run.model {
            command = command.args(["--model", model]);
        }
        if let Some(effort) = run.effort.as_ref().or(self.effort.as_ref()) {
            command = command.args(["--effort", effort]);
        }
        command = match &run.resume {
            Some(session) if session.0.starts_with('-') => {
                return Err(Error::invalid(
                    "claude-code",
                    format!("{session} is not a session of Claude Code"),
                ));
            }
            Some(session) => command.args(["--resume", &session.0]),
            // a new session takes the run's id, so that it is known before the agent has said a word
            None => command.args(["--session-id", &run.run.as_uuid().to_string()]),
        };
        if let Some(turns) = self.max_turns {
            command = command.args(["--max-turns", &turns.to_string()]);
        }
        if let Some(budget) = self.max_budget {
            command = command.args(["--max-budget-usd", &budget.dollars().to_string()]);
        }
        // a session that is resumed keeps those with which it began
        if let (Some(instructions), None) = (&self.instructions, &run.resume) {
            command = command.args(["--append-system-prompt", instructions]);
        }
        let ignored = self.repository_settings == RepositorySettings::Ignore;
        if ignored {
            command = command.args(["--setting-sources", "user"]);
        }
        if let Some(servers) = &self.mcp_servers {
            let file = format!("{}/{MCP_FILE}", run.files_dir);
            command = command
                .args(["--mcp-config", &file])
                .file(run.files.child(MCP_FILE), servers.expose().to_owned());
        }
        if ignored || self.mcp_servers.is_some() {
            command = command.arg("--strict-mcp-config");
        }
        Ok(self.with_environment(self.with_permission_flags(command)))
    }

    fn with_permission_flags(&self, command: Command) -> Command {
        match &self.permissions {
            Permissions::Bypass => command
                .arg("--dangerously-skip-permissions")
                .env("IS_SANDBOX", "1"),
            Permissions::Only(tools) => {
                let command = command.args(["--permission-mode", "acceptEdits"]);
                // the flag takes all that follows, so it stands last
                if tools.is_empty() {
                    command
                } else {
                    command.arg("--allowedTools").args(tools.clone())
                }
            }
        }
    }

    fn with_environment(&self, mut command: Command) -> Command {
        for (name, value) in QUIET {
            command = command.env(name, value);
        }
        command = command.env("CLAUDE_CODE_MAX_RETRIES", self.max_retries.to_string());
        if let Some(url) = &self.base_url {
            // each cloud has an address of its own, and does not look at the vendor's
            let variable = match &self.auth {
                Auth::Bedrock { .. } => "ANTHROPIC_BEDROCK_BASE_URL",
                Auth::Vertex { .. } => "ANTHROPIC_VERTEX_BASE_URL",
                _ => "ANTHROPIC_BASE_URL",
            };
            command = command.env(variable, url);
        }
        let mut secret = |name: &str, value: &optio_core::secret::Secret| {
            command.secret_env.insert(name.to_owned(), value.clone());
        };
        match &self.auth {
            Auth::Workspace => command,
            Auth::ApiKey(key) => {
                secret("ANTHROPIC_API_KEY", key);
                command
            }
            Auth::OAuthToken(token) => {
                secret("CLAUDE_CODE_OAUTH_TOKEN", token);
                command
            }
            Auth::GatewayToken(token) => {
                secret("ANTHROPIC_AUTH_TOKEN", token);
                command
            }
            Auth::Bedrock { region, token } => {
                secret("AWS_BEARER_TOKEN_BEDROCK", token);
                command
                    .env("CLAUDE_CODE_USE_BEDROCK", "1")
                    .env("AWS_REGION", region)
            }
            Auth::Vertex { project, region } => command
                .env("CLAUDE_CODE_USE_VERTEX", "1")
                .env("ANTHROPIC_VERTEX_PROJECT_ID", project)
                .env("CLOUD_ML_REGION", region),
        }
    }
}
