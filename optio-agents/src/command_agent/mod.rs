//! Any other agent, described by a manifest: a small file in TOML that says how its program is started, how it gets its
//! prompt, and what the lines of its output mean. No line of Rust is needed for it.
//!
//! The folder `manifests` of this crate holds three that are tested with real output: Qwen Code, aider and Amp. The
//! shortest manifest there is:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let agent = optio_agents::command_agent::CommandAgent::parse(r#"
//!     name = "echo"
//!     program = "my-agent"
//!     args = ["--yes", "--dir={worktree}"]
//!     prompt = "stdin"
//!     [version]
//!     args = ["--version"]
//!     remedy = "install my-agent"
//!     [output]
//!     format = "text"
//!     finished = "exit-code"
//! "#)?;
//! # Ok(())
//! # }
//! ```
//!
//! - **Command**: `program`, `args`, then `model-args` if a model is asked for, `start-args` for a new session or
//!   `resume-args` for one to go on with, then `prompt-args`. Each is a list of arguments with places in them:
//!   `{model}`, `{session}`, `{prompt}`, `{prompt-file}`, `{worktree}`, `{files}`, `{task-file}`, `{verdict-file}`,
//!   `{run}`. What fills a place is never more than one argument. What a manifest has no arguments for is refused.
//! - **Prompt**: by `stdin`, `file` or `argument`. An argument can be seen by everybody on the machine.
//! - **Environment**: `env` with values; `secrets` and `variables` with the names of variables that are taken over from
//!   the environment of whoever starts Optio. Secrets are masked wherever they appear.
//! - **Leftovers**: `leftovers` are patterns, as of a `.gitignore`, of what it leaves in the worktree that is no work.
//! - **Output**: lines of `ndjson` or `text`. A rule (`[[output.line]]`) says `when` it holds, or what a line of text has
//!   to `match`, and which events (`[[output.line.event]]`) the line is. Fields are JSON pointers, or named groups of the
//!   expression. With `each` every item of a list in the line is looked at by itself.
//! - **Money**: with `prices = "listed"` in `[output]` the tokens that it tells are paid for by list prices, as far as
//!   its model has one; of that and what it tells itself the larger counts.
//! - **Error output**: it tells why a run failed, but for the lines that begin like one of `hum`: those come in every run.
//! - **End**: the work is done if the exit code is 0 and there was a `result` that has not `failed`; or, with
//!   `finished = "exit-code"`, if nothing says otherwise. `[exit]` says what other codes mean.

mod events;
mod fields;
mod manifest;
mod rules;
mod template;

use std::collections::BTreeMap;

use optio_core::{
    account::AccountName,
    agent::{Agent, AgentVerdict, Credentials, Ending, Preflight, RunSpec},
    classify::known,
    clock::Timestamp,
    error::{Error, Result},
    failure::{ExitStatus, FailureClass},
    id::RunId,
    money::{Usage, Usd},
    runtime::Command,
    secret::Secret,
    transcript::{Failed, SessionId, TranscriptEvent},
};

pub use self::manifest::ManifestError;
use self::{
    manifest::{Finished, MAX_ARGUMENT, Manifest, Prices, PromptBy},
    template::{Filling, Place, Template},
};
use crate::{hum, price::PriceTable};

/// What the errors of all such agents are from.
const NAME: &str = "command agent";

/// The file with the prompt, in the run's own folder.
const PROMPT_FILE: &str = "prompt.md";

/// Drives the program that a manifest describes. Tasks ask for it by the manifest's name.
#[derive(Debug, Clone)]
pub struct CommandAgent {
    manifest: Manifest,
    secrets: BTreeMap<String, Secret>,
    variables: BTreeMap<String, String>,
    prices: PriceTable,
}

impl CommandAgent {
    /// Reads a manifest.
    ///
    /// # Errors
    /// The first mistake in it, with its key or its line.
    pub fn parse(manifest: &str) -> std::result::Result<Self, ManifestError> {
        Ok(Self {
            manifest: Manifest::parse(manifest)?,
            secrets: BTreeMap::new(),
            variables: BTreeMap::new(),
            prices: PriceTable::default(),
        })
    }

    /// The same with what it wants of an environment: its `secrets` and its `variables`, as far as they are set.
    #[must_use]
    pub fn with_environment(mut self, lookup: impl Fn(&str) -> Option<String>) -> Self {
        let of = |name: &String| Some((name.clone(), lookup(name)?));
        self.variables = self.manifest.variables.iter().filter_map(of).collect();
        let secrets = self.manifest.secrets.iter().filter_map(of);
        self.secrets = secrets
            .map(|(name, value)| (name, Secret::new(value)))
            .collect();
        self
    }

    /// The same with these prices.
    #[must_use]
    pub fn with_prices(mut self, prices: PriceTable) -> Self {
        self.prices = prices;
        self
    }

    /// What is to be put into the places of its arguments.
    fn filling(&self, run: &RunSpec) -> Filling {
        let session = match &run.resume {
            Some(session) => session.to_string(),
            None => run.run.as_uuid().to_string(),
        };
        let mut filling = Filling::from([
            (Place::Prompt, run.prompt.clone()),
            (
                Place::PromptFile,
                format!("{}/{PROMPT_FILE}", run.files_dir),
            ),
            (Place::Session, session),
            (Place::Worktree, run.worktree_dir.clone()),
            (Place::Files, run.files_dir.clone()),
            (Place::TaskFile, run.task_file.clone()),
            (Place::VerdictFile, run.verdict_file.clone()),
            (Place::Run, run.run.as_uuid().to_string()),
        ]);
        if let Some(model) = &run.model {
            filling.insert(Place::Model, model.clone());
        }
        filling
    }

    /// The arguments for the session, as the run asks for one.
    fn session_args(&self, run: &RunSpec) -> Result<&[Template]> {
        match (&run.resume, &self.manifest.resume) {
            (None, _) => Ok(&self.manifest.start),
            (Some(session), _) if session.0.starts_with('-') => Err(Error::invalid(
                NAME,
                format!("{session} is not a session of {}", self.manifest.name),
            )),
            (Some(_), Some(args)) => Ok(args),
            (Some(_), None) => Err(Error::invalid(
                NAME,
                format!(
                    "{} cannot go on with a session: its manifest has no resume-args",
                    self.manifest.name
                ),
            )),
        }
    }

    /// The arguments for the model, if the run asks for one.
    fn model_args(&self, run: &RunSpec) -> Result<&[Template]> {
        match (&run.model, &self.manifest.model) {
            (None, _) => Ok(&[]),
            (Some(_), Some(args)) => Ok(args),
            (Some(model), None) => Err(Error::invalid(
                NAME,
                format!(
                    "{} cannot be told to use {model}: its manifest has no model-args",
                    self.manifest.name
                ),
            )),
        }
    }
}

impl Agent for CommandAgent {
    fn name(&self) -> &str {
        &self.manifest.name
    }

    fn command(&self, run: &RunSpec) -> Result<Command> {
        let manifest = &self.manifest;
        if let Some(effort) = &run.effort {
            let message = format!(
                "{} cannot be told an effort, such as {effort}",
                manifest.name
            );
            return Err(Error::invalid(NAME, message));
        }
        let filling = self.filling(run);
        let args = [
            &manifest.args,
            self.model_args(run)?,
            self.session_args(run)?,
            &manifest.prompt_args,
        ];
        let args = args.into_iter().flatten().map(|arg| arg.fill(&filling));
        let mut command = Command::new(&manifest.program)
            .args(args)
            .in_dir(run.worktree.clone());
        command.env.clone_from(&self.variables);
        for (name, value) in &manifest.env {
            command = command.env(name, value.fill(&filling));
        }
        command.secret_env.clone_from(&self.secrets);
        Ok(match manifest.prompt {
            PromptBy::Stdin => command.stdin(run.prompt.clone()),
            PromptBy::File => command.file(run.files.child(PROMPT_FILE), run.prompt.clone()),
            PromptBy::Argument if run.prompt.len() > MAX_ARGUMENT => {
                return Err(Error::invalid(
                    NAME,
                    format!(
                        "the prompt has {} bytes, and an argument can have {MAX_ARGUMENT}: let {} read it by stdin or file",
                        run.prompt.len(),
                        manifest.name
                    ),
                ));
            }
            PromptBy::Argument => command,
        })
    }

    fn read_line(&self, line: &str) -> Vec<TranscriptEvent> {
        self.manifest.rules.events(line)
    }

    fn verdict(&self, run: &Ending<'_>, now: Timestamp) -> AgentVerdict {
        let report = run.report;
        if self.manifest.finished == Finished::ExitCode
            && run.status == Some(ExitStatus::SUCCESS)
            && report.error.is_none()
            && !matches!(report.result, Some((Failed::Yes, _)))
        {
            let said = report.result.as_ref().map(|(_, summary)| summary.clone());
            return AgentVerdict::Finished {
                summary: said.unwrap_or_else(|| report.last_words.clone()),
            };
        }
        let stderr = hum::without(&self.manifest.hum, run.stderr);
        let run = Ending {
            stderr: &stderr,
            ..*run
        };
        match (run.usual_verdict(now), run.status) {
            (AgentVerdict::Failed(failure), Some(ExitStatus::Code(code)))
                if says_nothing(failure.class) =>
            {
                // the class that the manifest gives the error, else the one of the code
                let named = report
                    .error
                    .as_ref()
                    .and_then(|error| error.kind.as_deref());
                let class = named
                    .and_then(|name| name.parse().ok())
                    .or_else(|| self.manifest.exit.get(&code).copied());
                let class = class.unwrap_or(failure.class);
                AgentVerdict::Failed(known(class, failure.detail().unwrap_or_default(), now))
            }
            (verdict, _) => verdict,
        }
    }

    fn price(&self, model: Option<&str>, used: &Usage) -> Option<Usd> {
        match self.manifest.prices {
            Prices::Told => None,
            Prices::Listed => Some(self.prices.find(model?)?.of(used)),
        }
    }

    fn account(&self) -> Option<AccountName> {
        let name = &self.manifest.name;
        Some(match self.secrets.iter().next() {
            Some((variable, secret)) => AccountName::of(name, &variable.to_lowercase(), secret),
            None => AccountName::unseen(name, "workspace"),
        })
    }

    fn new_session(&self, run: RunId) -> Option<SessionId> {
        let is_given = !self.manifest.start.is_empty();
        is_given.then(|| SessionId(run.as_uuid().to_string()))
    }

    fn tells_version(&self) -> bool {
        self.manifest.rules.tell_version()
    }

    fn leftovers(&self) -> Vec<String> {
        self.manifest.leftovers.clone()
    }

    fn secrets(&self) -> Vec<Secret> {
        self.secrets.values().cloned().collect()
    }

    fn preflight(&self) -> Preflight {
        let manifest = &self.manifest;
        let version = Command::new(&manifest.program).args(manifest.version.clone());
        let credentials = if manifest.secrets.is_empty() || !self.secrets.is_empty() {
            Credentials::Given
        } else {
            Credentials::NotGiven {
                remedy: format!("set {}", manifest.secrets.join(" or ")),
            }
        };
        let preflight = Preflight::new(version, &manifest.remedy).credentials(credentials);
        match &manifest.tested {
            Some([from, to]) => preflight.tested([from, to]),
            None => preflight,
        }
    }
}

/// Whether this is only a word for not knowing.
fn says_nothing(class: FailureClass) -> bool {
    use FailureClass::{AgentCrashed, AgentReported, Unknown};
    matches!(class, AgentCrashed | AgentReported | Unknown)
}
