//! The port for coding agents: translators between Optio and a command-line program. They do no I/O.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    account::AccountName,
    classify::Evidence,
    clock::Timestamp,
    error::Result,
    failure::{ExitStatus, Failure},
    id::{RunId, TaskId},
    money::{Usage, Usd},
    run::RunKind,
    runtime::Command,
    secret::Secret,
    transcript::{RunReport, SessionId, TranscriptEvent},
    workspace::WorkspacePath,
};

/// Turns a run into a command, and its output into events.
///
/// # Contract
/// - [`command`](Self::command) puts no secret in an argument and none in the worktree, and does not depend on
///   anything but its input.
/// - [`read_line`](Self::read_line) has no memory: the same line always gives the same events. A line it does not know
///   gives one [`Raw`](TranscriptEvent::Raw) event; no line is lost and none is an error.
/// - [`verdict`](Self::verdict) looks at the exit status, the report and stderr together; never at what the agent says
///   in prose.
pub trait Agent: fmt::Debug + Send + Sync + 'static {
    /// The name by which tasks and repositories ask for it, such as `claude-code`.
    fn name(&self) -> &str;

    /// The command for a run. `Invalid` if the run asks for something that this agent cannot do.
    fn command(&self, run: &RunSpec) -> Result<Command>;

    /// A line of the run's standard output, as events of the transcript.
    fn read_line(&self, line: &str) -> Vec<TranscriptEvent>;

    /// What to give a run at work to read, so that its agent is told this; whole lines, and the same each time. None if the
    /// agent cannot be told anything while it is at work. If it can, its [command](Self::command) leaves its input open,
    /// and its program ends when the input does and there is nothing left to do.
    fn message(&self, text: &str) -> Option<String> {
        let _ = text;
        None
    }

    /// What the agent's own account of the run comes to. Whether there is work to show for it, the engine asks git.
    fn verdict(&self, run: &Ending<'_>, now: Timestamp) -> AgentVerdict;

    /// The session that a new run has, if the agent's command gives it one of our choice: it is known then, even if the run is
    /// killed before the stream names it. None if the program chooses, or if its stream names the session at once.
    fn new_session(&self, run: RunId) -> Option<SessionId> {
        let _ = run;
        None
    }

    /// Whether its stream tells the version of its program. If it does not, the program is asked: see
    /// [`preflight`](Self::preflight).
    fn tells_version(&self) -> bool {
        true
    }

    /// The account at its provider that its runs work with. Runs of one account are refused together, so they wait
    /// together: until a limit resets, or until somebody mends the credentials. Other credentials must be another account.
    /// None if its runs have nothing to do with each other.
    fn account(&self) -> Option<AccountName> {
        None
    }

    /// What it was given that must not appear in any log: keys, logins, lists of MCP servers. Whoever builds an engine
    /// with it need not name them again. Of JSON each key in it is masked by itself.
    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }

    /// What its program leaves in the worktree that is no work, such as caches: patterns as of a `.gitignore`. They are
    /// not committed, and not saved.
    fn leftovers(&self) -> Vec<String> {
        Vec::new()
    }

    /// What `used` costs with this model, for an agent whose stream tells tokens and no money. `None` if it does tell
    /// it, or if nobody knows the price.
    fn price(&self, model: Option<&str>, used: &Usage) -> Option<Usd> {
        let _ = (model, used);
        None
    }

    /// The name of a file in the [run's own folder](RunSpec::files) in which the agent leaves what its stream does not
    /// tell. It is read once, when the run has ended; none is written by a run that was killed.
    fn side_file(&self) -> Option<&'static str> {
        None
    }

    /// What the side file adds to the transcript; nothing if it is not what was expected.
    fn read_side_file(&self, text: &str) -> Vec<TranscriptEvent> {
        let _ = text;
        Vec::new()
    }

    /// How to find out whether the agent can run here.
    fn preflight(&self) -> Preflight;
}

/// What an agent is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunSpec {
    /// The task.
    pub task: TaskId,
    /// The run.
    pub run: RunId,
    /// Why it runs.
    pub kind: RunKind,
    /// The prompt.
    pub prompt: String,
    /// The model, if one is asked for.
    pub model: Option<String>,
    /// How much thought, in the agent's own words, if any is asked for: it comes before what the agent was set to.
    pub effort: Option<String>,
    /// The session to go on with, if there is one.
    pub resume: Option<SessionId>,
    /// The worktree, as a path in the workspace: where the agent works.
    pub worktree: WorkspacePath,
    /// The same as the agent's own processes see it.
    pub worktree_dir: String,
    /// A folder outside the worktree for the run's own files, as a path in the workspace.
    pub files: WorkspacePath,
    /// The same as the agent's own processes see it.
    pub files_dir: String,
    /// The file with the task's full text, as the agent's own processes see it: the prompt's `TASK_FILE`.
    pub task_file: String,
    /// Where a review agent writes its verdict, as its own processes see it.
    pub verdict_file: String,
    /// A folder outside all worktrees that the agents of a workspace share, as a path in the workspace: for what they
    /// must find again in a later run. Each uses one of its own name in it.
    pub state: WorkspacePath,
    /// The same as the agent's own processes see it.
    pub state_dir: String,
}

impl RunSpec {
    /// A spec whose folders lie in a workspace with this root.
    #[must_use]
    pub fn new(task: TaskId, run: RunId, kind: RunKind, prompt: String, places: Places) -> Self {
        let join = |path: &WorkspacePath| format!("{}/{}", places.root, path.as_str());
        let (worktree_dir, files_dir) = (join(&places.worktree), join(&places.files));
        let task_file = format!("{files_dir}/{TASK_FILE}");
        let verdict_file = format!("{files_dir}/{VERDICT_FILE}");
        let state = WorkspacePath::root().child(STATE);
        let state_dir = join(&state);
        Self {
            task,
            run,
            kind,
            prompt,
            model: None,
            effort: None,
            resume: None,
            worktree: places.worktree,
            worktree_dir,
            files: places.files,
            files_dir,
            task_file,
            verdict_file,
            state,
            state_dir,
        }
    }
}

/// The name of the folder that the agents of a workspace share.
const STATE: &str = "agents";

/// The name of the file with the task's full text, in the run's own folder.
pub const TASK_FILE: &str = "task.md";

/// The name of the file in which a review agent leaves its verdict, in the run's own folder.
pub const VERDICT_FILE: &str = "verdict.json";

/// The folders of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The workspace's folder as its processes see it.
    pub root: String,
    /// The worktree in it.
    pub worktree: WorkspacePath,
    /// The folder for the run's own files in it, outside the worktree.
    pub files: WorkspacePath,
}

/// How a run ended, as far as its process and its stream tell.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// How its process ended; none if it vanished without a trace.
    pub status: Option<ExitStatus>,
    /// What its events add up to.
    pub report: &'a RunReport,
    /// The end of its error output.
    pub stderr: &'a str,
    /// The session it was asked to go on with.
    pub resumed: Option<&'a SessionId>,
}

/// What an agent's account of a run comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentVerdict {
    /// It says that it has done the work.
    Finished {
        /// Its summary.
        summary: String,
    },
    /// It failed.
    Failed(Failure),
}

impl Ending<'_> {
    /// The verdict that fits most agents: success needs exit code 0 and a closing word that does not call it a failure;
    /// everything else is classified from structured errors, stderr and exit status.
    #[must_use]
    pub fn usual_verdict(&self, now: Timestamp) -> AgentVerdict {
        use crate::transcript::Failed;
        if let (Some(ExitStatus::Code(0)), Some((Failed::No, summary))) =
            (self.status, &self.report.result)
        {
            return AgentVerdict::Finished {
                summary: summary.clone(),
            };
        }
        let evidence = Evidence::of_agent(self.status, self.report, self.stderr);
        AgentVerdict::Failed(crate::classify::classify(&evidence, now))
    }
}

/// How to find out whether an agent can run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preflight {
    /// A command that prints the version.
    pub version: Command,
    /// What to do if that fails.
    pub remedy: String,
    /// The oldest and the newest version that was tested, if that is known. Others are tried all the same.
    pub tested: Option<(String, String)>,
    /// Whether it knows who it works for.
    pub credentials: Credentials,
}

/// Whether an agent knows who it works for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// It does, or it needs nothing of the kind. Whether they are accepted, only a run can tell.
    #[default]
    Given,
    /// It was given none, and depends on what it finds in the workspace.
    NotGiven {
        /// How to give it some.
        remedy: String,
    },
}

impl Preflight {
    /// Looks for the version with this command; with what to do if that fails.
    pub fn new(version: Command, remedy: impl Into<String>) -> Self {
        Self {
            version,
            remedy: remedy.into(),
            tested: None,
            credentials: Credentials::default(),
        }
    }

    /// The same, tested with versions from one to the other.
    #[must_use]
    pub fn tested(mut self, [from, to]: [&str; 2]) -> Self {
        self.tested = Some((from.to_owned(), to.to_owned()));
        self
    }

    /// The same with what is known of its credentials.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// The version in what a program prints about it, such as `0.169.0` in `codex-cli 0.169.0`; all of its first line if it
    /// tells no number. None if it says nothing.
    #[must_use]
    pub fn version_in(printed: &str) -> Option<String> {
        let line = printed
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty())?;
        let number = Version::words(printed).next().map(|(text, _)| text);
        Some(number.unwrap_or(line).to_owned())
    }

    /// What is to be said of the version that the program printed: nothing if it is among the tested ones, or if it
    /// tells no number.
    #[must_use]
    pub fn doubt(&self, printed: &str) -> Option<String> {
        let (from, to) = self.tested.as_ref()?;
        let version = Version::find(printed)?;
        let side = if version < Version::find(from)? {
            "older"
        } else if version > Version::find(to)? {
            "newer"
        } else {
            return None;
        };
        let range = if from == to {
            from.clone()
        } else {
            format!("{from} to {to}")
        };
        Some(format!("{side} than what was tested, which is {range}"))
    }
}

/// The numbers of a version, in order. What follows them does not count.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(Vec<u64>);

impl Version {
    /// The first version in a text: `2.1.329 (Claude Code)`, `codex-cli 0.169.0`, `GitHub Copilot CLI 1.0.102.`
    fn find(text: &str) -> Option<Self> {
        Self::words(text).next().map(|(_, version)| version)
    }

    /// The versions in a text, each as it stands there and as numbers.
    fn words(text: &str) -> impl Iterator<Item = (&str, Self)> {
        let words = text.split(|letter: char| letter.is_whitespace() || letter == '/');
        words.filter_map(|word| {
            let word = word.trim_start_matches('v').trim_end_matches('.');
            let end = word
                .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
                .unwrap_or(word.len());
            let parts = word[..end].trim_end_matches('.').split('.');
            let parts: Vec<u64> = parts.map(str::parse).collect::<Result<_, _>>().ok()?;
            (parts.len() > 1).then_some((word, Self(parts)))
        })
    }
}

/// What a preflight found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum AgentHealth {
    /// It can run.
    Ready {
        /// What it printed as its version.
        version: String,
    },
    /// It cannot.
    Unusable {
        /// Why, and what to do.
        remedy: String,
    },
}

#[cfg(test)]
mod tests;
