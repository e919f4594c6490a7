//! Claude Code, without a terminal: `claude -p --output-format stream-json`.
//!
//! What it does that one would not expect, and what became of it here:
//! - A call that the provider refused ends in a `result` with `"subtype":"success"`. Only `is_error` counts.
//! - A run can hold several `result`s, when something in the background ends after the first. The last one counts, and
//!   each tells what was used since the one before: parts, which add up. `total_cost_usd` is the session's, not the
//!   run's.
//! - SIGINT ends it with exit code 0 and a `result` that is an error; SIGTERM with 143 and none.
//! - It is given the prompt as the first line of an input that stays open, so that it can be told more. It ends when the
//!   input does, and not before.
//! - A session keeps the extra instructions with which it began; later ones are not heard, so it is given none.
//! - By itself it tries a refused key ten times, for three minutes; see [`ClaudeCode::with_max_retries`].
//! - As root it runs without questions only if it is told that it is in a sandbox, which a workspace is.

mod command;
mod stream;

use optio_core::{
    account::AccountName,
    agent::{Agent, AgentVerdict, Credentials, Ending, Preflight, RunSpec},
    clock::Timestamp,
    error::Result,
    money::Usd,
    runtime::Command,
    secret::Secret,
    transcript::TranscriptEvent,
};

use crate::given;

/// The oldest and the newest version whose real output the tests hold.
pub const TESTED_VERSIONS: [&str; 2] = ["2.1.197", "2.1.329"];

/// How often a refused request is tried again: half a minute in all, as each pause is twice as long as the last.
const MAX_RETRIES: u32 = 6;

/// Drives Claude Code. Tasks ask for it as `claude-code`.
#[derive(Debug, Clone)]
pub struct ClaudeCode {
    program: Command,
    auth: Auth,
    base_url: Option<String>,
    permissions: Permissions,
    repository_settings: RepositorySettings,
    effort: Option<String>,
    instructions: Option<String>,
    mcp_servers: Option<Secret>,
    max_turns: Option<u32>,
    max_budget: Option<Usd>,
    max_retries: u32,
}

/// With what Claude Code shows who it works for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// Nothing: whatever it finds in the workspace, such as a login in its home folder.
    #[default]
    Workspace,
    /// A key of the Anthropic API.
    ApiKey(Secret),
    /// A token of a subscription, as `claude setup-token` makes it.
    OAuthToken(Secret),
    /// A bearer token for a gateway; see [`ClaudeCode::with_base_url`].
    GatewayToken(Secret),
    /// An API key of Amazon Bedrock.
    Bedrock {
        /// The region of AWS.
        region: String,
        /// The key.
        token: Secret,
    },
    /// Vertex AI, with the credentials that the workspace's machine has there.
    Vertex {
        /// The project of Google Cloud.
        project: String,
        /// Its region.
        region: String,
    },
}

/// What Claude Code may do without asking. Nobody is there to answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Permissions {
    /// Everything: the workspace is the sandbox.
    #[default]
    Bypass,
    /// Edit files, and use these tools. Every other call is denied, and the run goes on without it.
    Only(Vec<String>),
}

/// Whether the repository's own settings count: its hooks, permissions and MCP servers. They can run commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RepositorySettings {
    /// They do.
    #[default]
    Load,
    /// They do not.
    Ignore,
}

impl Default for ClaudeCode {
    /// The program `claude`, to be found on the workspace's PATH.
    fn default() -> Self {
        Self::from_command(Command::new("claude"))
    }
}

impl ClaudeCode {
    /// Claude Code is started by this command, to which its own arguments are added.
    #[must_use]
    pub fn from_command(command: Command) -> Self {
        Self {
            program: command,
            auth: Auth::default(),
            base_url: None,
            permissions: Permissions::default(),
            repository_settings: RepositorySettings::default(),
            effort: None,
            instructions: None,
            mcp_servers: None,
            max_turns: None,
            max_budget: None,
            max_retries: MAX_RETRIES,
        }
    }

    /// With these credentials. They are put into its environment.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// With requests going to this address, as of a gateway, instead of the vendor's, or instead of the cloud's if it works
    /// with Bedrock or Vertex AI.
    #[must_use]
    pub fn with_base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// With these permissions.
    #[must_use]
    pub fn with_permissions(mut self, permissions: Permissions) -> Self {
        self.permissions = permissions;
        self
    }

    /// With or without the repository's own settings.
    #[must_use]
    pub fn with_repository_settings(mut self, settings: RepositorySettings) -> Self {
        self.repository_settings = settings;
        self
    }

    /// With so much thought: `low`, `medium`, `high`, `xhigh` or `max`.
    #[must_use]
    pub fn with_effort(mut self, effort: impl Into<String>) -> Self {
        self.effort = Some(effort.into());
        self
    }

    /// With these instructions beside its own. A session that is resumed keeps those with which it began.
    #[must_use]
    pub fn with_instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = Some(instructions.into());
        self
    }

    /// With these MCP servers and no others: JSON, `{"mcpServers": {...}}`. It may hold secrets, and is handed over in
    /// a file that only the workspace's user can read.
    #[must_use]
    pub fn with_mcp_servers(mut self, config: Secret) -> Self {
        self.mcp_servers = Some(config);
        self
    }

    /// With at most so many turns in a run.
    #[must_use]
    pub fn with_max_turns(mut self, turns: u32) -> Self {
        self.max_turns = Some(turns);
        self
    }

    /// With a run ending once it has cost so much, by Claude Code's own count.
    #[must_use]
    pub fn with_max_budget(mut self, budget: Usd) -> Self {
        self.max_budget = Some(budget);
        self
    }

    /// With so many more tries of a request that failed, refused credentials included; six if nothing is said. The
    /// first pause is half a second, and each is twice as long as the one before.
    #[must_use]
    pub fn with_max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }
}

impl Agent for ClaudeCode {
    fn name(&self) -> &str {
        "claude-code"
    }

    fn command(&self, run: &RunSpec) -> Result<Command> {
        self.run_command(run)
    }

    fn read_line(&self, line: &str) -> Vec<TranscriptEvent> {
        stream::events(line)
    }

    fn message(&self, text: &str) -> Option<String> {
        Some(command::said(text))
    }

    fn verdict(&self, run: &Ending<'_>, now: Timestamp) -> AgentVerdict {
        run.usual_verdict(now)
    }

    fn account(&self) -> Option<AccountName> {
        let (kind, credential) = match &self.auth {
            Auth::Workspace => return Some(AccountName::unseen(self.name(), "workspace")),
            Auth::ApiKey(key) => ("api-key", key),
            Auth::OAuthToken(token) => ("oauth", token),
            Auth::GatewayToken(token) => ("gateway", token),
            Auth::Bedrock { token, .. } => ("bedrock", token),
            Auth::Vertex { project, .. } => {
                return Some(AccountName::unseen(
                    self.name(),
                    &format!("vertex:{project}"),
                ));
            }
        };
        Some(AccountName::of(self.name(), kind, credential))
    }

    fn secrets(&self) -> Vec<Secret> {
        let own = match &self.auth {
            Auth::ApiKey(secret)
            | Auth::OAuthToken(secret)
            | Auth::GatewayToken(secret)
            | Auth::Bedrock { token: secret, .. } => Some(secret),
            Auth::Workspace | Auth::Vertex { .. } => None,
        };
        given::secrets(own, self.mcp_servers.as_ref(), &self.program)
    }

    fn preflight(&self) -> Preflight {
        let [from, to] = TESTED_VERSIONS;
        let remedy = format!(
            "install Claude Code, tested from {from} to {to}, with Node 22 or later: npm install -g @anthropic-ai/claude-code@{to}"
        );
        let credentials = match &self.auth {
            Auth::Workspace => Credentials::NotGiven {
                remedy: "set ANTHROPIC_API_KEY, or CLAUDE_CODE_OAUTH_TOKEN to what `claude setup-token` prints"
                    .to_owned(),
            },
            _ => Credentials::Given,
        };
        Preflight::new(self.program.clone().arg("--version"), remedy)
            .tested(TESTED_VERSIONS)
            .credentials(credentials)
    }
}
