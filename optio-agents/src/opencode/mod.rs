//! opencode, without a terminal: `opencode run --format json`.
//!
//! What it does that one would not expect, and what became of it here:
//! - It writes no closing word. The work is done if its last step ended with `stop`; a step that ended with tool calls
//!   and is the last one was cut off, whatever the exit code.
//! - After any error it exits with 1, even if it got over it and finished.
//! - It waits for ever for its input, even if it was given a prompt. It reads the prompt from there and the input ends.
//! - Going on with a session from another folder hangs without a word. A task keeps its worktree.
//! - It knows no price of a model of a gateway, and says that it costs nothing. The list prices are taken then.
//! - It tells a tool only when it has ended; what sub-agents do, and use, it does not tell.
//! - It calls an unknown model, an unknown provider and a missing key all an unexpected server error.
//! - It tries a provider that refuses again without a word: six times, for up to a minute.
//! - A conversation that stays too long is shortened again and again, without end. Whoever stops that run knows why.
//! - A limit of steps is a request to the model to come to an end. It has no flag for a budget: none is offered.

mod command;
mod stream;

use optio_core::{
    account::AccountName,
    agent::{Agent, AgentVerdict, Credentials, Ending, Preflight, RunSpec},
    clock::Timestamp,
    error::Result,
    failure::{ExitStatus, Failure, FailureClass, ReportedError},
    money::{Usage, Usd},
    runtime::Command,
    secret::Secret,
    transcript::{Failed, RunReport, TranscriptEvent},
};

use crate::{given, price::PriceTable};

/// The oldest and the newest version whose real output the tests hold.
pub const TESTED_VERSIONS: [&str; 2] = ["1.18.33", "1.18.33"];

const NAME: &str = "opencode";

/// Drives opencode. Tasks ask for it as `opencode`, and for models as `provider/model`.
#[derive(Debug, Clone)]
pub struct OpenCode {
    program: Command,
    auth: Auth,
    permissions: Permissions,
    repository_settings: RepositorySettings,
    effort: Option<String>,
    instructions: Option<String>,
    mcp_servers: Option<Secret>,
    max_steps: Option<u32>,
    prices: PriceTable,
}

/// With what opencode shows who it works for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// Nothing: whatever it finds in the workspace, such as a login in its home folder.
    #[default]
    Workspace,
    /// Providers of models, with their keys and addresses.
    Providers(Vec<Provider>),
    /// Logins at any number of providers: the content of the file `auth.json` that `opencode auth login` leaves.
    Logins(Secret),
    /// An API key of Amazon Bedrock, for models of `amazon-bedrock`.
    Bedrock {
        /// The region of AWS.
        region: String,
        /// The key.
        token: Secret,
    },
    /// Vertex AI, for models of `google-vertex`, with the credentials that the workspace's machine has there.
    Vertex {
        /// The project of Google Cloud.
        project: String,
        /// Its region, or `global`.
        location: String,
    },
}

/// A provider of models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    id: String,
    key: Option<Secret>,
    base_url: Option<String>,
    compatible: bool,
}

impl Provider {
    /// One that opencode knows by this name, such as `anthropic` or `openai`.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            key: None,
            base_url: None,
            compatible: false,
        }
    }

    /// A gateway that speaks OpenAI's chat completions at this address. Its models are called by this name, as in
    /// `gateway/large`.
    pub fn gateway(id: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            compatible: true,
            ..Self::new(id).with_base_url(url)
        }
    }

    /// With this key.
    #[must_use]
    pub fn with_key(mut self, key: Secret) -> Self {
        self.key = Some(key);
        self
    }

    /// At this address.
    #[must_use]
    pub fn with_base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }
}

/// What opencode may do. Nobody is there to ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Permissions {
    /// Everything: the workspace is the sandbox.
    #[default]
    All,
    /// Neither edit files nor run commands.
    Read,
}

/// Whether the repository's own configuration counts: its commands, agents and MCP servers. They can run commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RepositorySettings {
    /// It does.
    #[default]
    Load,
    /// It does not.
    Ignore,
}

impl Default for OpenCode {
    /// The program `opencode`, to be found on the workspace's PATH.
    fn default() -> Self {
        Self::from_command(Command::new("opencode"))
    }
}

impl OpenCode {
    /// opencode is started by this command, to which its own arguments are added.
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
            max_steps: None,
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

    /// With or without the repository's own configuration.
    #[must_use]
    pub fn with_repository_settings(mut self, settings: RepositorySettings) -> Self {
        self.repository_settings = settings;
        self
    }

    /// With so much thought: a variant of the model, such as `minimal`, `high` or `max`.
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

    /// With these MCP servers: JSON, `{"mcpServers": {...}}`. It may hold secrets, and is handed over in the
    /// environment.
    #[must_use]
    pub fn with_mcp_servers(mut self, config: Secret) -> Self {
        self.mcp_servers = Some(config);
        self
    }

    /// With a request to the model to come to an end after so many steps.
    #[must_use]
    pub fn with_max_steps(mut self, steps: u32) -> Self {
        self.max_steps = Some(steps);
        self
    }

    /// With these prices, for models of a gateway.
    #[must_use]
    pub fn with_prices(mut self, prices: PriceTable) -> Self {
        self.prices = prices;
        self
    }
}

impl Agent for OpenCode {
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
        let report = run.report;
        if let (Some(ExitStatus::Code(1)), Some((Failed::No, summary)), Some(_), None) =
            (run.status, &report.result, &report.overcame, &report.error)
        {
            return AgentVerdict::Finished {
                summary: summary.clone(),
            };
        }
        let AgentVerdict::Failed(failure) = run.usual_verdict(now) else {
            return run.usual_verdict(now);
        };
        let failure = match (failure.class, &report.error, &report.overcame) {
            (FailureClass::AgentReported, Some(error), _) if is_first(error, report) => {
                Failure::new(FailureClass::InvalidConfiguration).with_detail(format!(
                    "{UNEXPECTED} before the first answer: most likely it does not know the model or its provider, or has no key for it"
                ))
            }
            // it shortens a conversation that is too long, and again if that does not help, without end
            (FailureClass::AgentCrashed, None, Some(error)) if is_overflow(error) => {
                Failure::new(FailureClass::ContextLength).with_detail(&error.message)
            }
            _ => failure,
        };
        AgentVerdict::Failed(failure)
    }

    fn price(&self, model: Option<&str>, used: &Usage) -> Option<Usd> {
        // it tells what models of the providers that it knows cost, and takes every one of a gateway to be free
        let (name, Auth::Providers(providers)) = (model?, &self.auth) else {
            return None;
        };
        let (provider, _) = name.split_once('/')?;
        let mut gateways = providers.iter().filter(|it| it.compatible);
        gateways.find(|it| it.id == provider)?;
        Some(self.prices.find(name)?.of(used))
    }

    fn tells_version(&self) -> bool {
        false
    }

    fn account(&self) -> Option<AccountName> {
        let unseen = |kind: &str| Some(AccountName::unseen(NAME, kind));
        match &self.auth {
            Auth::Workspace => unseen("workspace"),
            // a run may use any of them, so all together are the account
            Auth::Providers(providers) => {
                let ids: Vec<_> = providers.iter().map(|provider| &*provider.id).collect();
                let ids = ids.join("+");
                let keys = providers
                    .iter()
                    .filter_map(|it| Some(it.key.as_ref()?.expose()));
                let keys: Vec<_> = keys.collect();
                if keys.is_empty() {
                    return unseen(&ids);
                }
                Some(AccountName::of(NAME, &ids, &Secret::new(keys.join(" "))))
            }
            Auth::Logins(content) => Some(AccountName::of(NAME, "logins", content)),
            Auth::Bedrock { token, .. } => Some(AccountName::of(NAME, "bedrock", token)),
            Auth::Vertex { project, .. } => unseen(&format!("vertex:{project}")),
        }
    }

    fn secrets(&self) -> Vec<Secret> {
        let own = match &self.auth {
            Auth::Providers(providers) => {
                let keys = providers
                    .iter()
                    .filter_map(|provider| provider.key.as_ref());
                keys.collect()
            }
            Auth::Logins(secret) | Auth::Bedrock { token: secret, .. } => vec![secret],
            Auth::Workspace | Auth::Vertex { .. } => Vec::new(),
        };
        given::secrets(own, self.mcp_servers.as_ref(), &self.program)
    }

    fn preflight(&self) -> Preflight {
        let [_, newest] = TESTED_VERSIONS;
        let remedy =
            format!("install opencode, tested with {newest}: npm install -g opencode-ai@{newest}");
        let credentials = match &self.auth {
            Auth::Workspace => Credentials::NotGiven {
                remedy: "set ANTHROPIC_API_KEY or OPENAI_API_KEY, or OPENCODE_AUTH_CONTENT to the content of an auth.json".to_owned(),
            },
            _ => Credentials::Given,
        };
        Preflight::new(self.program.clone().arg("--version"), remedy)
            .tested(TESTED_VERSIONS)
            .credentials(credentials)
    }
}

/// What it says of mistakes in what it was given.
const UNEXPECTED: &str = "Unexpected server error";

/// Whether that is what it said, and it has done nothing before.
fn is_first(error: &ReportedError, report: &RunReport) -> bool {
    let began = report.usage.output_tokens > 0 || !report.last_words.is_empty();
    error.message.starts_with(UNEXPECTED) && !began
}

fn is_overflow(error: &ReportedError) -> bool {
    error.kind.as_deref() == Some("ContextOverflowError")
}
