//! Gemini CLI, without a terminal: `gemini -o stream-json`.
//!
//! What it does that one would not expect, and what became of it here:
//! - SIGTERM and SIGINT end it with exit code 0 and without a closing word. Without that word nothing is finished.
//! - Its launcher lets no signal through, unless it is told to be one process.
//! - A base URL makes it ask for another kind of access, unless its settings name the right one. Settings come from a
//!   home of its own, outside the worktree.
//! - What the provider refused ends with the HTTP status modulo 256 as exit code, and the provider's answer as JSON in
//!   the words of the error.
//! - A command that failed counts as a success, for no exit code is told.
//! - What it says comes in pieces; its thoughts never come, and are counted in the total of tokens alone.
//! - What it has used it tells only with its closing word: a budget can end no run before that, only keep the next one
//!   from beginning.
//! - It tries a provider that refuses again for four minutes, in words on its error output.
//! - With a session number or `latest` it resumes somebody else's session. Only ids are passed on.
//! - It has no flags for effort and budget, and no way to ignore a trusted repository's settings: none are offered.

mod command;
mod stream;

use optio_core::{
    account::AccountName,
    agent::{Agent, AgentVerdict, Credentials, Ending, Preflight, RunSpec},
    classify::known,
    clock::Timestamp,
    error::Result,
    failure::{ExitStatus, FailureClass},
    runtime::Command,
    secret::Secret,
    transcript::TranscriptEvent,
};

use crate::{given, hum, price::PriceTable};

/// The oldest and the newest version whose real output the tests hold.
pub const TESTED_VERSIONS: [&str; 2] = ["0.61.0", "0.61.0"];

const NAME: &str = "gemini";

/// Drives Gemini CLI. Tasks ask for it as `gemini`.
#[derive(Debug, Clone)]
pub struct Gemini {
    program: Command,
    auth: Auth,
    base_url: Option<String>,
    permissions: Permissions,
    instructions: Option<String>,
    mcp_servers: Option<Secret>,
    max_turns: Option<u32>,
    prices: PriceTable,
}

/// With what Gemini CLI shows who it works for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// Nothing: whatever it finds in the workspace, such as a login and settings in its home folder.
    #[default]
    Workspace,
    /// A key of the Gemini API, or of the gateway at [`Gemini::with_base_url`].
    ApiKey(Secret),
    /// An API key of Vertex AI.
    VertexKey(Secret),
    /// Vertex AI with a project of Google Cloud.
    Vertex {
        /// The project.
        project: String,
        /// Its region, or `global`.
        location: String,
        /// The file of a service account, as JSON; without one, the credentials that the workspace's machine has.
        credentials: Option<Secret>,
    },
    /// A login of a Google account: the content of the file `oauth_creds.json` that `gemini` leaves in `~/.gemini`.
    Login(Secret),
}

/// What Gemini CLI may do without asking. Nobody is there to answer: it does not see the tools that it may not use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Permissions {
    /// Everything: the workspace is the sandbox.
    #[default]
    All,
    /// Read, and edit files, but run no commands.
    Edit,
    /// Only read.
    Read,
}

impl Default for Gemini {
    /// The program `gemini`, to be found on the workspace's PATH.
    fn default() -> Self {
        Self::from_command(Command::new("gemini"))
    }
}

impl Gemini {
    /// Gemini CLI is started by this command, to which its own arguments are added.
    #[must_use]
    pub fn from_command(command: Command) -> Self {
        Self {
            program: command,
            auth: Auth::default(),
            base_url: None,
            permissions: Permissions::default(),
            instructions: None,
            mcp_servers: None,
            max_turns: None,
            prices: PriceTable::default(),
        }
    }

    /// With these credentials. They are put into its environment, or into files that only its user can read.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// With requests going to this address, as of a gateway, instead of the vendor's. It needs a key or Vertex AI.
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

    /// With these instructions beside its own and the repository's.
    #[must_use]
    pub fn with_instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = Some(instructions.into());
        self
    }

    /// With these MCP servers: JSON, `{"mcpServers": {...}}`. It may hold secrets, and is handed over in a file that
    /// only the workspace's user can read.
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

    /// With these prices.
    #[must_use]
    pub fn with_prices(mut self, prices: PriceTable) -> Self {
        self.prices = prices;
        self
    }
}

impl Agent for Gemini {
    fn name(&self) -> &str {
        NAME
    }

    fn command(&self, run: &RunSpec) -> Result<Command> {
        self.run_command(run)
    }

    fn read_line(&self, line: &str) -> Vec<TranscriptEvent> {
        stream::events(line, &self.prices)
    }

    fn verdict(&self, run: &Ending<'_>, now: Timestamp) -> AgentVerdict {
        let stderr = hum::without(&HUM, run.stderr);
        let run = Ending {
            stderr: &stderr,
            ..*run
        };
        match run.usual_verdict(now) {
            AgentVerdict::Failed(failure) if says_nothing(failure.class) => {
                let class = run.status.and_then(class_of_exit).unwrap_or(failure.class);
                AgentVerdict::Failed(known(class, failure.detail().unwrap_or_default(), now))
            }
            verdict => verdict,
        }
    }

    fn tells_version(&self) -> bool {
        false
    }

    fn account(&self) -> Option<AccountName> {
        let (kind, credential) = match &self.auth {
            Auth::Workspace => return Some(AccountName::unseen(NAME, "workspace")),
            Auth::ApiKey(key) => ("api-key", key),
            Auth::VertexKey(key) => ("vertex-key", key),
            Auth::Vertex {
                project,
                credentials,
                ..
            } => {
                let kind = format!("vertex:{project}");
                return Some(match credentials {
                    Some(credentials) => AccountName::of(NAME, &kind, credentials),
                    None => AccountName::unseen(NAME, &kind),
                });
            }
            Auth::Login(credentials) => ("login", credentials),
        };
        Some(AccountName::of(NAME, kind, credential))
    }

    fn secrets(&self) -> Vec<Secret> {
        let own = match &self.auth {
            Auth::ApiKey(secret) | Auth::VertexKey(secret) | Auth::Login(secret) => Some(secret),
            Auth::Vertex { credentials, .. } => credentials.as_ref(),
            Auth::Workspace => None,
        };
        given::secrets(own, self.mcp_servers.as_ref(), &self.program)
    }

    fn preflight(&self) -> Preflight {
        let [_, newest] = TESTED_VERSIONS;
        let remedy = format!(
            "install Gemini CLI, tested with {newest}, with Node 20 or later: npm install -g @google/gemini-cli@{newest}"
        );
        let credentials = match &self.auth {
            Auth::Workspace => Credentials::NotGiven {
                remedy: "set GEMINI_API_KEY".to_owned(),
            },
            _ => Credentials::Given,
        };
        Preflight::new(self.program.clone().arg("--version"), remedy)
            .tested(TESTED_VERSIONS)
            .credentials(credentials)
    }
}

/// What it says on its error output in every run, whatever happens.
const HUM: [&str; 6] = [
    "[STARTUP] ",
    "Warning: Basic terminal",
    "Warning: 256-color",
    "YOLO mode is enabled",
    "Ripgrep is not available",
    "MCP issues detected",
];

/// Whether this is only a word for not knowing.
fn says_nothing(class: FailureClass) -> bool {
    use FailureClass::{AgentCrashed, AgentReported, Unknown};
    matches!(class, AgentCrashed | AgentReported | Unknown)
}

/// What its exit codes mean: its own, and HTTP statuses modulo 256.
fn class_of_exit(status: ExitStatus) -> Option<FailureClass> {
    let ExitStatus::Code(code) = status else {
        return None;
    };
    Some(match code {
        41 => FailureClass::AuthMissing,
        42 | 44 | 52 | 55 => FailureClass::InvalidConfiguration,
        53 => FailureClass::MaxTurns,
        130 => FailureClass::Interrupted,
        145 => FailureClass::AuthExpired,
        147 => FailureClass::AuthForbidden,
        148 => FailureClass::ModelNotFound,
        173 => FailureClass::RateLimited,
        244 | 246..=248 => FailureClass::Overloaded,
        _ => return None,
    })
}
