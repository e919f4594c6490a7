//! What goes wrong in git work, as evidence for the classifier.

use std::{error::Error as StdError, fmt};

use crate::{
    classify::{Evidence, GitStep, classify},
    clock::Timestamp,
    error::{Error, ErrorKind, Retry},
    failure::{ExitStatus, Failure, FailureClass, RetryAdvice},
    runtime::ExecOutput,
};

/// A step of git work that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitError {
    /// What was to be done.
    pub(crate) step: GitStep,
    /// What is known of the failure.
    pub(crate) evidence: Evidence,
    /// What the runtime advises, where it and not git failed.
    runtime: Option<Retry>,
}

impl GitError {
    /// With a sentence of our own in the place of git's.
    pub(super) fn says(step: GitStep, message: impl Into<String>) -> Self {
        Self {
            step,
            evidence: Evidence::git(step, None, message),
            runtime: None,
        }
    }

    /// A git command that failed. The lines that a push prints for people to read are evidence as well.
    pub(super) fn of(step: GitStep, output: &ExecOutput) -> Self {
        let mut message = output.stderr_text();
        for line in output.stdout_text().lines() {
            if line.starts_with('!') {
                message.push('\n');
                message.push_str(&line.replace('\t', " "));
            }
        }
        Self {
            step,
            evidence: Evidence::git(step, Some(output.status), message),
            runtime: None,
        }
    }

    /// A command that the runtime could not run.
    pub(super) fn of_runtime(step: GitStep, error: &Error) -> Self {
        let evidence = match error.kind() {
            // git hung: that is about what it did, not about the workspace
            ErrorKind::TimedOut => Evidence::git(step, None, error.message()),
            _ => Evidence::workspace(error.message()),
        };
        Self {
            step,
            evidence,
            runtime: Some(error.retry()),
        }
    }

    /// Whether the command was killed, by whomever: that says nothing about what it was to do.
    pub(crate) fn is_killed(&self) -> bool {
        self.evidence.exit.is_some_and(was_killed)
    }

    /// What it amounts to.
    pub(crate) fn failure(&self, now: Timestamp) -> Failure {
        let failure = classify(&self.evidence, now);
        match (failure.class, self.runtime) {
            _ if self.is_killed() && failure.retry == RetryAdvice::Attempt => {
                failure.with_retry(RetryAdvice::Free)
            }
            // no rule knows it, but the runtime says that it passes
            (FailureClass::Unknown, Some(Retry::Later)) => {
                let detail = self.evidence.workspace.clone().unwrap_or_default();
                failure.with_retry(RetryAdvice::Free).with_detail(detail)
            }
            _ => failure,
        }
    }
}

/// Whether a command was interrupted, killed or terminated. The code 129 is no hang-up but git's word for wrong
/// arguments, and a fault is its own.
pub(super) fn was_killed(exit: ExitStatus) -> bool {
    matches!(exit.signal(), Some(2 | 9 | 15))
}

impl fmt::Display for GitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match self.step {
            GitStep::Clone => "clone",
            GitStep::Fetch => "fetch",
            GitStep::Worktree => "worktree",
            GitStep::Push => "push",
            GitStep::Merge => "merge",
        };
        let message = match &self.evidence.workspace {
            Some(message) => message.as_str(),
            None => self.evidence.stderr.trim(),
        };
        write!(f, "git {doing} failed: {message}")?;
        match self.evidence.exit {
            Some(exit) => write!(f, " ({exit})"),
            None => Ok(()),
        }
    }
}

impl StdError for GitError {}
