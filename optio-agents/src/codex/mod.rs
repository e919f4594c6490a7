//! Codex, without a terminal: `codex exec --json`.
//!
//! What it does that one would not expect, and what became of it here:
//! - It waits for ever for a prompt if its input stays open, even if it was given one. It reads it from there and the
//!   input ends.
//! - It tries a refused connection again without end, unless a feature of that name is switched off.
//! - Its own sandbox keeps `git commit` from writing, without a word in the stream. The workspace is the sandbox.
//! - It counts tokens for the whole thread, over all runs that go on with it, and names neither model nor price.
//! - It takes a session that it does not know and that is no UUID for the name of a new one, and succeeds without
//!   knowing anything of what went before. Such a run has failed.
//! - Of a search it writes the key `id` twice. The second one counts.
//! - It has no limit of turns and none of money: none is offered. What it has used it tells only at the end of a turn, and a
//!   run is one turn: a budget can end none before that, only keep the next one from beginning.
//! - `OPENAI_API_KEY` and `OPENAI_BASE_URL` mean nothing to it.

mod command;
mod stream;

use optio_core::{
    account::AccountName,
    agent::{Agent, AgentVerdict, Credentials, Ending, Preflight, RunSpec},
    clock::Timestamp,
    error::Result,
    failure::{Failure, FailureClass},
    money::{Usage, Usd},
    runtime::Command,
    secret::Secret,
    transcript::TranscriptEvent,
};

use crate::{given, hum, price::PriceTable};

/// The version whose real output the tests hold.
pub const TESTED_VERSION: &str = "0.169.0";

/// What that version uses if it is asked for no model: what an unnamed model is taken to cost.
const DEFAULT_MODEL: &str = "gpt-6.1-sol";

/// What it says on its error output in every run.
const HUM: [&str; 2] = [
    "Reading additional input from stdin...",
    "Reading prompt from stdin...",
];

/// Drives Codex. Tasks ask for it as `codex`.
#[derive(Debug, Clone)]
pub struct Codex {
    program: Command,
    auth: Auth,
    base_url: Option<String>,
    sandbox: Sandbox,
    effort: Option<String>,
    instructions: Option<String>,
    mcp_servers: Option<Secret>,
    settings: Vec<(String, String)>,
    prices: PriceTable,
}

/// With what Codex shows who it works for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// Nothing: whatever it finds in the workspace, such as a login in its home folder.
    #[default]
    Workspace,
    /// A key of the OpenAI API, or of the gateway at [`Codex::with_base_url`].
    ApiKey(Secret),
    /// A login with ChatGPT: what `codex login` leaves in `auth.json`. Codex renews it, and all runs of a workspace share
    /// what it becomes. It knows its own address, so a base URL is refused with it.
    Login(Secret),
}

/// What Codex keeps its own commands from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// Nothing: the workspace is the sandbox.
    #[default]
    Workspace,
    /// Everything but reading: for an agent that is to look and not to touch.
    ReadOnly,
}

impl Default for Codex {
    /// The program `codex`, to be found on the workspace's PATH.
    fn default() -> Self {
        Self::from_command(Command::new("codex"))
    }
}

impl Codex {
    /// Codex is started by this command, to which its own arguments are added.
    #[must_use]
    pub fn from_command(command: Command) -> Self {
        Self {
            program: command,
            auth: Auth::default(),
            base_url: None,
            sandbox: Sandbox::default(),
            effort: None,
            instructions: None,
            mcp_servers: None,
            settings: Vec::new(),
            prices: PriceTable::default(),
        }
    }

    /// With these credentials. They are put into its environment.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// With requests going to this address, which speaks OpenAI's Responses API: `https://gateway.example/v1`.
    #[must_use]
    pub fn with_base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// In this sandbox.
    #[must_use]
    pub fn with_sandbox(mut self, sandbox: Sandbox) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// With so much thought: `low`, `medium`, `high`, or what else the model knows.
    #[must_use]
    pub fn with_effort(mut self, effort: impl Into<String>) -> Self {
        self.effort = Some(effort.into());
        self
    }

    /// With these instructions beside its own.
    #[must_use]
    pub fn with_instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = Some(instructions.into());
        self
    }

    /// With these MCP servers beside those of its own configuration: JSON, `{"mcpServers": {...}}`. It may hold secrets, and is
    /// handed over in a file that only the workspace's user can read. It needs credentials that are given.
    #[must_use]
    pub fn with_mcp_servers(mut self, config: Secret) -> Self {
        self.mcp_servers = Some(config);
        self
    }

    /// With another setting of its configuration file: a dotted key and a value in TOML, such as `model_verbosity` and
    /// `"low"`. It stands in its arguments, so it must hold no secret.
    #[must_use]
    pub fn with_setting(mut self, key: impl Into<String>, toml: impl Into<String>) -> Self {
        self.settings.push((key.into(), toml.into()));
        self
    }

    /// With these prices.
    #[must_use]
    pub fn with_prices(mut self, prices: PriceTable) -> Self {
        self.prices = prices;
        self
    }
}

impl Agent for Codex {
    fn name(&self) -> &str {
        "codex"
    }

    fn command(&self, run: &RunSpec) -> Result<Command> {
        self.run_command(run)
    }

    fn read_line(&self, line: &str) -> Vec<TranscriptEvent> {
        stream::events(line)
    }

    fn verdict(&self, run: &Ending<'_>, now: Timestamp) -> AgentVerdict {
        if let (Some(asked), Some(got)) = (run.resumed, &run.report.session)
            && asked != got
        {
            let failure = Failure::new(FailureClass::SessionNotFound)
                .with_detail(format!("asked for session {asked}, it began {got}"));
            return AgentVerdict::Failed(failure);
        }
        let stderr = hum::without(&HUM, run.stderr);
        let run = Ending {
            stderr: &stderr,
            ..*run
        };
        run.usual_verdict(now)
    }

    fn price(&self, model: Option<&str>, used: &Usage) -> Option<Usd> {
        let price = self.prices.find(model.unwrap_or(DEFAULT_MODEL))?;
        Some(price.of(used))
    }

    fn tells_version(&self) -> bool {
        false
    }

    fn account(&self) -> Option<AccountName> {
        Some(match &self.auth {
            Auth::Workspace => AccountName::unseen(self.name(), "workspace"),
            Auth::ApiKey(key) => AccountName::of(self.name(), "api-key", key),
            Auth::Login(login) => AccountName::of(self.name(), "login", login),
        })
    }

    fn secrets(&self) -> Vec<Secret> {
        let own = match &self.auth {
            Auth::ApiKey(secret) | Auth::Login(secret) => Some(secret),
            Auth::Workspace => None,
        };
        given::secrets(own, self.mcp_servers.as_ref(), &self.program)
    }

    fn preflight(&self) -> Preflight {
        let remedy = format!(
            "install Codex, tested with {TESTED_VERSION}: npm install -g @openai/codex@{TESTED_VERSION}"
        );
        let credentials = match &self.auth {
            Auth::Workspace => Credentials::NotGiven {
                remedy: "set CODEX_API_KEY, or OPTIO_CODEX_LOGIN to the content of the auth.json that `codex login` leaves"
                    .to_owned(),
            },
            _ => Credentials::Given,
        };
        Preflight::new(self.program.clone().arg("--version"), remedy)
            .tested([TESTED_VERSION, TESTED_VERSION])
            .credentials(credentials)
    }
}
