//! An agent in memory: its command is played by [`MemoryRuntime`](super::MemoryRuntime), step by step as a test says.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    account::AccountName,
    agent::{Agent, AgentVerdict, Ending, Preflight, RunSpec},
    clock::Timestamp,
    error::Result,
    id::{RunId, TaskId, WorkspaceId},
    money::Usd,
    pull_request::{ReviewReport, ReviewVerdict},
    run::RunKind,
    runtime::Command,
    secret::Secret,
    transcript::{SessionId, TranscriptEvent},
    workspace::WorkspacePath,
};

/// The program that [`MemoryRuntime`](super::MemoryRuntime) plays.
pub(super) const PROGRAM: &str = "memory-agent";

pub(super) const TASK: &str = "MEMORY_AGENT_TASK";
pub(super) const KIND: &str = "MEMORY_AGENT_KIND";
pub(super) const MODEL: &str = "MEMORY_AGENT_MODEL";
pub(super) const EFFORT: &str = "MEMORY_AGENT_EFFORT";
pub(super) const SESSION: &str = "MEMORY_AGENT_SESSION";
pub(super) const VERDICT_FILE: &str = "MEMORY_AGENT_VERDICT_FILE";

/// An [`Agent`] whose runs do what the [`Behaviour`] of a [`MemoryRuntime`](super::MemoryRuntime) says. Its stream is
/// one transcript event per line, as JSON.
#[derive(Debug, Clone)]
pub struct MemoryAgent {
    name: String,
    account: Option<AccountName>,
    secrets: Vec<Secret>,
    leftovers: Vec<String>,
    listens: Listens,
    stream: Stream,
}

/// What the stream tells of the run itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// Session, model and version.
    Open,
    /// None of them.
    Taciturn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listens {
    Never,
    AtWork,
}

impl MemoryAgent {
    /// An agent called `memory`.
    #[must_use]
    pub fn new() -> Self {
        Self::named("memory")
    }

    /// An agent of another name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            account: None,
            secrets: Vec::new(),
            leftovers: Vec::new(),
            listens: Listens::Never,
            stream: Stream::Open,
        }
    }

    /// The same, whose stream names neither session nor version.
    #[must_use]
    pub fn that_is_taciturn(mut self) -> Self {
        self.stream = Stream::Taciturn;
        self
    }

    /// The same, which can be told something while it is at work; it does not end before its input, so its steps end with
    /// [`Step::HearAll`].
    #[must_use]
    pub fn that_listens(mut self) -> Self {
        self.listens = Listens::AtWork;
        self
    }

    /// The same, whose runs work with this account.
    #[must_use]
    pub fn with_account(mut self, account: AccountName) -> Self {
        self.account = Some(account);
        self
    }

    /// The same, whose program leaves this behind.
    #[must_use]
    pub fn with_leftover(mut self, pattern: impl Into<String>) -> Self {
        self.leftovers.push(pattern.into());
        self
    }

    /// The same, which was given one more secret.
    #[must_use]
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }
}

impl Default for MemoryAgent {
    fn default() -> Self {
        Self::new()
    }
}

impl Agent for MemoryAgent {
    fn name(&self) -> &str {
        &self.name
    }

    fn command(&self, run: &RunSpec) -> Result<Command> {
        let session = match &run.resume {
            Some(session) => session.to_string(),
            None => run.run.to_string(),
        };
        let mut command = Command::new(PROGRAM)
            .in_dir(run.worktree.clone())
            .stdin(run.prompt.clone())
            .env(TASK, run.task.to_string())
            .env(KIND, run.kind.as_str())
            .env(SESSION, session)
            .env(VERDICT_FILE, &run.verdict_file);
        if let Some(model) = &run.model {
            command = command.env(MODEL, model);
        }
        if let Some(effort) = &run.effort {
            command = command.env(EFFORT, effort);
        }
        Ok(match self.listens {
            Listens::Never => command,
            Listens::AtWork => command.open_stdin(),
        })
    }

    fn message(&self, text: &str) -> Option<String> {
        let line = || format!("{}\n", text.replace('\n', " "));
        (self.listens == Listens::AtWork).then(line)
    }

    fn read_line(&self, line: &str) -> Vec<TranscriptEvent> {
        let event = serde_json::from_str(line);
        let event = event.unwrap_or_else(|_| TranscriptEvent::Raw {
            text: line.to_owned(),
        });
        vec![match (event, self.stream) {
            (TranscriptEvent::Session { .. }, Stream::Taciturn) => TranscriptEvent::System {
                text: "it begins".to_owned(),
            },
            (event, _) => event,
        }]
    }

    fn new_session(&self, run: RunId) -> Option<SessionId> {
        (self.stream == Stream::Taciturn).then(|| SessionId(run.to_string()))
    }

    fn tells_version(&self) -> bool {
        self.stream == Stream::Open
    }

    fn verdict(&self, run: &Ending<'_>, now: Timestamp) -> AgentVerdict {
        run.usual_verdict(now)
    }

    fn account(&self) -> Option<AccountName> {
        self.account.clone()
    }

    fn leftovers(&self) -> Vec<String> {
        self.leftovers.clone()
    }

    fn secrets(&self) -> Vec<Secret> {
        self.secrets.clone()
    }

    fn preflight(&self) -> Preflight {
        Preflight::new(
            Command::new(PROGRAM).arg("--version"),
            "an agent in memory runs in a runtime in memory only",
        )
    }
}

/// A run that was started: what its behaviour is chosen by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpawnedRun {
    /// Where it runs.
    pub workspace: WorkspaceId,
    /// The task.
    pub task: TaskId,
    /// The run.
    pub run: RunId,
    /// Why it runs.
    pub kind: RunKind,
    /// How many runs of this task were started in this runtime, with this one.
    pub attempt: u32,
    /// The prompt.
    pub prompt: String,
    /// The model it was asked to use.
    pub model: Option<String>,
    /// How much thought it was asked for.
    pub effort: Option<String>,
    /// The session that it goes on with, or its own.
    pub session: String,
    /// The worktree.
    pub worktree: WorkspacePath,
}

/// What agents do, run by run.
#[derive(Clone)]
pub struct Behaviour(Arc<Script>);

type Script = dyn Fn(&SpawnedRun) -> Vec<Step> + Send + Sync;

impl Behaviour {
    /// Each run does what this function says.
    pub fn new(steps: impl Fn(&SpawnedRun) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self(Arc::new(steps))
    }

    /// The steps of a run.
    #[must_use]
    pub fn steps(&self, run: &SpawnedRun) -> Vec<Step> {
        (self.0)(run)
    }
}

impl Default for Behaviour {
    /// An agent that does its work: see [`diligent`].
    fn default() -> Self {
        Self::new(diligent)
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Behaviour")
    }
}

/// The steps of an agent that does its work: it writes a file of its own, commits and ends well, for a cent. A review
/// agent approves; one that is to resolve a conflict merges `main` first.
#[must_use]
pub fn diligent(run: &SpawnedRun) -> Vec<Step> {
    let work = [
        Step::edit(
            format!("work/{}.txt", run.task.short()),
            format!("attempt {}, {}\n", run.attempt, run.kind),
        ),
        Step::commit(format!("Work on {} ({})", run.task.short(), run.kind)),
    ];
    let mut steps = vec![Step::say("on it")];
    match run.kind {
        RunKind::Review => steps.push(Step::approve("looks right")),
        RunKind::ResumeConflict => {
            steps.push(Step::Merge("main".to_owned()));
            steps.extend(work);
        }
        _ => steps.extend(work),
    }
    steps.extend([Step::Cost(Usd::from_micros(10_000)), Step::Exit(0)]);
    steps
}

/// One thing that an agent in memory does. After the last step it ends well, as by `Exit(0)`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Step {
    /// Says something.
    Say(String),
    /// Writes this line to its stream, whatever it is.
    Print(String),
    /// Writes this line to its error output.
    Complain(String),
    /// Writes a file of its worktree.
    Edit {
        /// Its path in the worktree.
        path: String,
        /// All that it then holds.
        content: String,
    },
    /// Commits all that differs from the last commit; nothing happens if nothing does.
    Commit(String),
    /// Merges this branch of the remote, as last fetched, into its own; where both changed a file its own content wins.
    Merge(String),
    /// Spends this much more.
    Cost(Usd),
    /// Works in silence for this long.
    Wait(Duration),
    /// Works in silence until the signal is raised.
    WaitFor(Signal),
    /// Raises a signal: a test then knows that it has come this far.
    Raise(Signal),
    /// Leaves its verdict on the pull request that it reviews.
    Verdict(ReviewReport),
    /// Is refused for its rate until then, and ends with code 1.
    RateLimit(Option<Timestamp>),
    /// Waits for the next line of its input, and repeats it; goes on if the input has ended.
    Hear,
    /// Says that it is done; then does what it still hears, line by line, and ends well when its input does.
    HearAll,
    /// Claims to have done everything, and ends well.
    Lie,
    /// Sits there, idle and deaf to being asked to stop: only being killed ends it.
    Hang,
    /// Is killed by a signal from outside, in the middle of a line.
    Crash,
    /// Is gone, without an exit status, as when a machine is lost.
    Vanish,
    /// Calls its work a failure, and ends with code 1.
    Fail(String),
    /// Ends with this code; says that it is done if that is 0, and nothing otherwise.
    Exit(i32),
}

impl Step {
    /// Says something.
    pub fn say(text: impl Into<String>) -> Self {
        Self::Say(text.into())
    }

    /// Writes a file.
    pub fn edit(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self::Edit {
            path: path.into(),
            content: content.into(),
        }
    }

    /// Commits.
    pub fn commit(message: impl Into<String>) -> Self {
        Self::Commit(message.into())
    }

    /// Leaves a verdict: approved.
    pub fn approve(summary: impl Into<String>) -> Self {
        Self::Verdict(ReviewReport {
            verdict: ReviewVerdict::Approve,
            summary: summary.into(),
            comments: Vec::new(),
        })
    }

    /// Leaves a verdict: changes requested.
    pub fn request_changes(summary: impl Into<String>) -> Self {
        Self::Verdict(ReviewReport {
            verdict: ReviewVerdict::RequestChanges,
            summary: summary.into(),
            comments: Vec::new(),
        })
    }
}

/// Something that one side raises once and others wait for. Clones are the same signal; once raised it stays so.
#[derive(Debug, Clone)]
pub struct Signal(Arc<watch::Sender<Raised>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Raised {
    No,
    Yes,
}

impl Signal {
    /// A signal that was not raised.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Raised::No)))
    }

    /// Raises it.
    pub fn raise(&self) {
        self.0.send_replace(Raised::Yes);
    }

    /// Waits until it is raised. Cancel safe.
    pub async fn raised(&self) {
        // the sender lives as long as we do, so waiting cannot fail
        let _ = self.0.subscribe().wait_for(|it| *it == Raised::Yes).await;
    }
}

impl Default for Signal {
    fn default() -> Self {
        Self::new()
    }
}
