//! From evidence to a [`Failure`]: what happened, in words, and whether to try again. Pure.
//!
//! Evidence is taken in the order of its worth: what the workspace says if it took the process with it, the fields of
//! the agent's structured error, the text of that error, the agent's bare word that it failed, standard error, the
//! exit status. The output of the agent's tools is no evidence, and of its prose only the closing word is kept, to be
//! shown and never to be matched.

mod refusal;
mod reset;
mod rules;
#[cfg(test)]
mod tests;

pub use self::refusal::{Refusal, refusal};
use crate::{
    clock::{Timestamp, later, whole_microseconds},
    failure::{ExitStatus, Failure, FailureClass, ReportedError},
    transcript::{Failed, RunReport},
};
use rules::Source;
use std::time::Duration;

/// How long to wait for a rate limit that does not say when it resets.
pub const RATE_LIMIT_WAIT: Duration = Duration::from_secs(5 * 60);

/// The shortest wait for a limit: its clock and ours differ, and its reset may just have passed.
const SHORTEST_WAIT: Duration = Duration::from_secs(10);

/// How much of the end of a text is read, in bytes.
const READ_TAIL: usize = 16 * 1024;

/// What is known of something that failed. Mask secrets in the texts first: the decisive line is kept and shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// What failed.
    pub origin: Origin,
    /// How its process ended; `None` if there is none, or nobody can tell.
    pub exit: Option<ExitStatus>,
    /// The agent's structured error.
    pub reported: Option<ReportedError>,
    /// The agent's closing word, where it calls its work a failure. Prose: it is shown, no pattern reads it.
    pub closing_word: Option<String>,
    /// The end of what the process wrote to standard error, or the message of an error of the engine.
    pub stderr: String,
    /// What the runtime says of the workspace if something is wrong with it, such as `OOMKilled`.
    pub workspace: Option<String>,
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// The agent's program.
    #[default]
    Agent,
    /// A git command of ours.
    Git(GitStep),
    /// Making or keeping the workspace.
    Workspace,
    /// Anything else around the run.
    Engine,
}

/// What git was to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitStep {
    /// Clone the repository into a workspace.
    Clone,
    /// Fetch from it.
    Fetch,
    /// Add, reset or remove a worktree.
    Worktree,
    /// Push the agent's commits.
    Push,
    /// Merge, rebase or try to.
    Merge,
}

impl Evidence {
    /// Of the agent's process that ended with `exit`.
    #[must_use]
    pub fn agent(exit: Option<ExitStatus>) -> Self {
        Self {
            exit,
            ..Self::default()
        }
    }

    /// Of an agent's process that ended with `exit`: what its stream adds up to, and the end of its standard error.
    pub fn of_agent(
        exit: Option<ExitStatus>,
        report: &RunReport,
        stderr: impl Into<String>,
    ) -> Self {
        let refused = report.rate_limited;
        let reported = match (report.error.clone(), refused) {
            (Some(error), refused) => {
                let resets_at = error
                    .resets_at
                    .or(refused.and_then(|refused| refused.resets_at));
                Some(ReportedError { resets_at, ..error })
            }
            (None, Some(refused)) => Some(ReportedError {
                kind: Some(FailureClass::RateLimited.name().to_owned()),
                resets_at: refused.resets_at,
                ..ReportedError::default()
            }),
            (None, None) => None,
        };
        let closing_word = match &report.result {
            Some((Failed::Yes, summary)) => Some(summary.clone()),
            _ => None,
        };
        Self {
            origin: Origin::Agent,
            exit,
            reported,
            closing_word,
            stderr: stderr.into(),
            workspace: None,
        }
    }

    /// Of a git command.
    pub fn git(step: GitStep, exit: Option<ExitStatus>, stderr: impl Into<String>) -> Self {
        Self {
            origin: Origin::Git(step),
            exit,
            stderr: stderr.into(),
            ..Self::default()
        }
    }

    /// Of a workspace, in the words of its runtime.
    pub fn workspace(message: impl Into<String>) -> Self {
        Self {
            origin: Origin::Workspace,
            workspace: Some(message.into()),
            ..Self::default()
        }
    }

    /// Of an error of the engine or a backend.
    pub fn engine(message: impl Into<String>) -> Self {
        Self {
            origin: Origin::Engine,
            stderr: message.into(),
            ..Self::default()
        }
    }

    /// The same evidence with the agent's structured error.
    #[must_use]
    pub fn with_reported(mut self, reported: ReportedError) -> Self {
        self.reported = Some(reported);
        self
    }

    /// The same evidence with the end of standard error.
    #[must_use]
    pub fn with_stderr(mut self, stderr: impl Into<String>) -> Self {
        self.stderr = stderr.into();
        self
    }

    /// The same evidence with what the runtime says of the workspace.
    #[must_use]
    pub fn with_workspace(mut self, message: impl Into<String>) -> Self {
        self.workspace = Some(message.into());
        self
    }
}

/// What `evidence` amounts to. Total: what matches nothing is the failure of its [origin](Evidence::origin), or
/// [`FailureClass::Unknown`].
#[must_use]
pub fn classify(evidence: &Evidence, now: Timestamp) -> Failure {
    let failure = if taken_with_workspace(evidence) {
        by_workspace(evidence).or_else(|| by_report(evidence))
    } else {
        by_report(evidence).or_else(|| by_workspace(evidence))
    };
    let failure = failure
        .or_else(|| by_program(evidence))
        .or_else(|| by_bare_report(evidence))
        .or_else(|| by_stderr(evidence))
        .unwrap_or_else(|| by_exit(evidence));
    with_reset_time(failure, evidence, now)
}

/// Whether the process did not end by its own will, so that its workspace knows better than its last words.
fn taken_with_workspace(evidence: &Evidence) -> bool {
    evidence.exit.is_none_or(|exit| exit.signal().is_some())
}

fn by_workspace(evidence: &Evidence) -> Option<Failure> {
    let (class, line) = rules::read(Source::Workspace, tail(evidence.workspace.as_deref()?))?;
    Some(Failure::new(class).with_detail(line))
}

/// By the structured error: its kind, else its status, each refined by its text; else its text alone.
fn by_report(evidence: &Evidence) -> Option<Failure> {
    let reported = evidence.reported.as_ref()?;
    let coarse = reported.kind.as_deref().and_then(rules::kind);
    let coarse = match (coarse, reported.http_status.and_then(rules::http_status)) {
        (Some(kind), Some(status)) => Some(refine(kind, status)),
        (kind, status) => kind.or(status),
    };
    let fine = rules::read(Source::Reported, tail(&reported.message)).map(|(class, _)| class);
    let class = match (coarse, fine) {
        (Some(coarse), Some(fine)) => refine(coarse, fine),
        (coarse, fine) => coarse.or(fine)?,
    };
    Some(Failure::new(class).with_detail(report_line(reported)))
}

/// `fine` where it says more than `coarse` about the same trouble. Otherwise the structured `coarse` stands: a message
/// may quote anything.
fn refine(coarse: FailureClass, fine: FailureClass) -> FailureClass {
    use FailureClass::*;
    match (coarse, fine) {
        (AuthExpired, AuthMissing | AuthForbidden | AccountBlocked)
        | (AuthForbidden, AccountBlocked | QuotaExhausted)
        | (RateLimited, QuotaExhausted)
        | (Overloaded, Network | Dns | Tls | RateLimited)
        | (Network, Dns | Tls) => fine,
        _ => coarse,
    }
}

/// 126 and 127 are a shell's words for a program that it cannot start, whatever else stands in standard error.
fn by_program(evidence: &Evidence) -> Option<Failure> {
    let cannot_start = matches!(evidence.exit, Some(ExitStatus::Code(126 | 127)));
    (evidence.origin == Origin::Agent && cannot_start)
        .then(|| Failure::new(FailureClass::AgentNotInstalled).with_detail(last_words(evidence)))
}

fn by_stderr(evidence: &Evidence) -> Option<Failure> {
    let source = match evidence.origin {
        Origin::Agent => Source::Agent,
        Origin::Git(_) => Source::Git,
        Origin::Workspace => Source::Workspace,
        Origin::Engine => Source::Engine,
    };
    let (class, line) = rules::read(source, tail(&evidence.stderr))?;
    let class = match (class, evidence.origin) {
        (FailureClass::GitAuth, Origin::Git(GitStep::Push)) => FailureClass::GitPushAuth,
        (class, _) => class,
    };
    Some(Failure::new(class).with_detail(line))
}

/// The agent says that it failed, in words that no rule knows. It lived to tell, so warnings in standard error are no
/// better reason.
fn by_bare_report(evidence: &Evidence) -> Option<Failure> {
    let reported = evidence
        .reported
        .as_ref()
        .map(report_line)
        .filter(|line| !line.is_empty());
    let line = reported.or(evidence.closing_word.as_deref())?;
    Some(Failure::new(FailureClass::AgentReported).with_detail(line))
}

/// By how the process ended and what it was for.
fn by_exit(evidence: &Evidence) -> Failure {
    let class = match (evidence.origin, evidence.exit) {
        // hang-up, interrupt and terminate are asked for; kill, abort and faults are not
        (Origin::Agent, Some(exit)) if matches!(exit.signal(), Some(1 | 2 | 15)) => {
            FailureClass::Interrupted
        }
        (Origin::Agent, Some(_)) => FailureClass::AgentCrashed,
        (Origin::Git(GitStep::Clone), _) => FailureClass::GitCloneFailed,
        (Origin::Git(GitStep::Fetch), _) => FailureClass::GitFetchFailed,
        (Origin::Git(GitStep::Push), _) => FailureClass::GitPushFailed,
        // merge-tree and merge exit with 1 for conflicts, and with 2 and more for errors
        (Origin::Git(GitStep::Merge), Some(ExitStatus::Code(1))) => FailureClass::MergeConflict,
        (Origin::Git(GitStep::Worktree | GitStep::Merge), _) => FailureClass::GitWorktreeFailed,
        (Origin::Agent | Origin::Workspace | Origin::Engine, _) => FailureClass::Unknown,
    };
    Failure::new(class).with_detail(last_words(evidence))
}

/// A failure of a class that is known already, as an adapter knows it by an exit code, and the line that shows it. A limit
/// of which nobody says when it resets is waited for as any other.
#[must_use]
pub fn known(class: FailureClass, line: &str, now: Timestamp) -> Failure {
    let failure = Failure::new(class).with_detail(line);
    with_reset_time(failure, &Evidence::agent(None), now)
}

/// A limit that resets is waited for; also a quota, if somebody says when it comes back.
fn with_reset_time(failure: Failure, evidence: &Evidence, now: Timestamp) -> Failure {
    use FailureClass::{Overloaded, QuotaExhausted, RateLimited};
    if !matches!(failure.class, Overloaded | QuotaExhausted | RateLimited) {
        return failure;
    }
    let at = told_reset(&failure, evidence, now)
        .map(|at| whole_microseconds(at.max(later(now, SHORTEST_WAIT))));
    match (failure.class, at) {
        (_, Some(at)) => failure.until(at),
        (RateLimited, None) => failure.until(later(now, RATE_LIMIT_WAIT)),
        (_, None) => failure,
    }
}

/// When the limit behind a failure resets, if anybody said so.
fn told_reset(failure: &Failure, evidence: &Evidence, now: Timestamp) -> Option<Timestamp> {
    match &evidence.reported {
        Some(reported) => reported
            .resets_at
            .or_else(|| reset::reset_time(tail(&reported.message), now)),
        None => failure
            .detail()
            .and_then(|line| reset::reset_time(line, now)),
    }
}

fn report_line(reported: &ReportedError) -> &str {
    let message = reported.message.trim();
    if message.is_empty() {
        reported.kind.as_deref().unwrap_or_default()
    } else {
        message
    }
}

/// The line that most likely names the cause where no rule knows it: the first that calls itself an error, else the
/// last; else how the process ended.
fn last_words(evidence: &Evidence) -> String {
    let lines = || {
        tail(&evidence.stderr)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let is_error = |line: &&str| {
        let start = line.get(..7).unwrap_or(line).to_ascii_lowercase();
        ["error", "fatal", "panic"]
            .iter()
            .any(|word| start.starts_with(word))
    };
    let words = lines()
        .find(is_error)
        .or_else(|| lines().next_back())
        .or(evidence.workspace.as_deref());
    match (words, evidence.exit) {
        (Some(line), Some(exit)) => format!("{line} ({exit})"),
        (Some(line), None) => line.to_owned(),
        (None, Some(ExitStatus::SUCCESS)) => {
            "ended with exit code 0 but without a result".to_owned()
        }
        (None, Some(exit)) => exit.to_string(),
        (None, None) => String::new(),
    }
}

/// The last [`READ_TAIL`] bytes.
fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(READ_TAIL);
    &text[text.ceil_char_boundary(start)..]
}
