//! GitHub Copilot CLI, without a terminal: `copilot --output-format json`.
//!
//! What it does that one would not expect, and what became of it here:
//! - Only its closing word names the session. A new one takes the run's id, so that a run that was killed has one too.
//! - It tells its model when it has looked which tools that may use, and never its version.
//! - What was used is not in its stream but in a file that it writes at its end, for the whole session.
//!   A budget can end no run before that, only keep the next one from beginning.
//! - Its launcher from npm dies of a signal and leaves the agent running: the runtime ends all processes of a run.
//! - SIGTERM and SIGINT end the agent itself with exit code 0 and without a closing word.
//! - It takes part of an id, or a name, for a session. Only ids are passed on.
//! - It pays in credits of GitHub, not in money: what a run costs is known only with a provider of one's own, for models
//!   that the price table knows.
//! - It has no limit of turns: none is offered.

mod command;
mod stream;

use optio_core::{
    account::AccountName,
    agent::{Agent, AgentVerdict, Credentials, Ending, Preflight, RunSpec},
    clock::Timestamp,
    error::Result,
    id::RunId,
    runtime::Command,
    secret::Secret,
    transcript::{SessionId, TranscriptEvent},
};

use crate::{given, price::PriceTable};

/// The oldest and the newest version whose real output the tests hold.
pub const TESTED_VERSIONS: [&str; 2] = ["1.0.102", "1.0.102"];

const NAME: &str = "copilot";

/// The file in which it leaves what was used.
const USAGE_FILE: &str = "usage.json";

/// Drives GitHub Copilot CLI. Tasks ask for it as `copilot`.
#[derive(Debug, Clone)]
pub struct Copilot {
    program: Command,
    auth: Auth,
    permissions: Permissions,
    repository_settings: RepositorySettings,
    effort: Option<String>,
    instructions: Option<String>,
    mcp_servers: Option<Secret>,
    max_credits: Option<u32>,
    prices: PriceTable,
}

/// With what Copilot CLI shows who it works for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// Nothing: whatever it finds in the workspace, such as a login in its home folder.
    #[default]
    Workspace,
    /// A token of GitHub that may use Copilot.
    GitHubToken(Secret),
    /// A provider of one's own, without GitHub.
    Provider {
        /// What it speaks.
        kind: ProviderKind,
        /// Where it is: `https://gateway.example/v1`.
        base_url: String,
        /// Its key, if it wants one.
        key: Option<Secret>,
    },
}

/// What a provider of models speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProviderKind {
    /// OpenAI's interface, as most gateways do.
    #[default]
    OpenAi,
    /// Azure's.
    Azure,
    /// Anthropic's.
    Anthropic,
}

impl ProviderKind {
    fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::Anthropic => "anthropic",
        }
    }
}

/// What Copilot CLI may do without asking. Nobody is there to answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Permissions {
    /// Everything: the workspace is the sandbox.
    #[default]
    All,
    /// Use these tools, such as `write` or `shell(git:*)`. Every other call is denied, and the run goes on without it.
    Only(Vec<String>),
}

/// Whether the repository's own skills, hooks and MCP servers count. They can run commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RepositorySettings {
    /// They do.
    Load,
    /// They do not, as is the program's own default. Instructions such as `AGENTS.md` are read all the same.
    #[default]
    Ignore,
}

impl Default for Copilot {
    /// The program `copilot`, to be found on the workspace's PATH.
    fn default() -> Self {
        Self::from_command(Command::new("copilot"))
    }
}

impl Copilot {
    /// Copilot CLI is started by this command, to which its own arguments are added.
    #[must_use]
    pub fn from_command(command: Command) -> Self {
        Self {
            program: command,
            auth: Auth::default(),
            permissions: Permissions::default(),
            repository_settings: RepositorySettings::default(),
            effort: None,
            instructions: None,
            mcp_servers: None,
            max_credits: None,
            prices: PriceTable::default(),
        }
    }

    /// With these credentials. They are put into its environment.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
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

    /// With so much thought: `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`.
    #[must_use]
    pub fn with_effort(mut self, effort: impl Into<String>) -> Self {
        self.effort = Some(effort.into());
        self
    }

    /// With these instructions beside its own and the repository's.
    #[must_use]
    pub fn with_instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = Some(instructions.into());
        self
    }

    /// With these MCP servers and without its own: JSON, `{"mcpServers": {...}}`. It may hold secrets, and is handed
    /// over in a file that only the workspace's user can read.
    #[must_use]
    pub fn with_mcp_servers(mut self, config: Secret) -> Self {
        self.mcp_servers = Some(config);
        self
    }

    /// With a session ending once it has used so many AI credits of GitHub: 30 or more.
    #[must_use]
    pub fn with_max_credits(mut self, credits: u32) -> Self {
        self.max_credits = Some(credits);
        self
    }

    /// With these prices, for a provider of one's own.
    #[must_use]
    pub fn with_prices(mut self, prices: PriceTable) -> Self {
        self.prices = prices;
        self
    }
}

impl Agent for Copilot {
    fn name(&self) -> &str {
        NAME
    }

    fn command(&self, run: &RunSpec) -> Result<Command> {
        self.run_command(run)
    }

    fn read_line(&self, line: &str) -> Vec<TranscriptEvent> {
        stream::events(line)
    }

    fn verdict(&self, run: &Ending<'_>, now: Timestamp) -> AgentVerdict {
        run.usual_verdict(now)
    }

    fn new_session(&self, run: RunId) -> Option<SessionId> {
        Some(SessionId(run.as_uuid().to_string()))
    }

    fn tells_version(&self) -> bool {
        false
    }

    fn account(&self) -> Option<AccountName> {
        Some(match &self.auth {
            Auth::Workspace => AccountName::unseen(NAME, "workspace"),
            Auth::GitHubToken(token) => AccountName::of(NAME, "github", token),
            Auth::Provider { key: Some(key), .. } => AccountName::of(NAME, "provider", key),
            Auth::Provider { base_url, .. } => AccountName::unseen(NAME, base_url),
        })
    }

    fn side_file(&self) -> Option<&'static str> {
        Some(USAGE_FILE)
    }

    fn read_side_file(&self, text: &str) -> Vec<TranscriptEvent> {
        let is_own = matches!(self.auth, Auth::Provider { .. });
        let prices = if is_own {
            &self.prices
        } else {
            &PriceTable::empty()
        };
        stream::usage(text, prices).into_iter().collect()
    }

    fn secrets(&self) -> Vec<Secret> {
        let own = match &self.auth {
            Auth::GitHubToken(token) => Some(token),
            Auth::Provider { key, .. } => key.as_ref(),
            Auth::Workspace => None,
        };
        given::secrets(own, self.mcp_servers.as_ref(), &self.program)
    }

    fn preflight(&self) -> Preflight {
        let [_, newest] = TESTED_VERSIONS;
        let remedy = format!(
            "install GitHub Copilot CLI, tested with {newest}: npm install -g @github/copilot@{newest}"
        );
        let credentials = match &self.auth {
            Auth::Workspace => Credentials::NotGiven {
                remedy: "set COPILOT_GITHUB_TOKEN, or COPILOT_PROVIDER_BASE_URL and COPILOT_PROVIDER_API_KEY".to_owned(),
            },
            _ => Credentials::Given,
        };
        Preflight::new(self.program.clone().arg("--version"), remedy)
            .tested(TESTED_VERSIONS)
            .credentials(credentials)
    }
}
