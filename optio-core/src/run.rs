//! Runs: one attempt of an agent at a task. The run, not the process that looks after it, is the durable object.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    account::AccountName,
    clock::Timestamp,
    failure::{ExitStatus, Failure},
    id::{RepoId, RunId, TaskId, WorkspaceId},
    money::Usage,
    pull_request::{CommitId, PullRequestRef, ReviewReport},
    transcript::{RunReport, SessionId},
    worktree::RescueRef,
};

/// One attempt of an agent at a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its key.
    pub id: RunId,
    /// The task it works on.
    pub task: TaskId,
    /// The task's repository, to add up what a repository costs.
    pub repo: RepoId,
    /// Its number among the runs of the task, from 1.
    pub number: u32,
    /// Why it runs.
    pub kind: RunKind,
    /// How often it has changed hands. Whoever holds an older epoch can write nothing.
    pub epoch: u64,
    /// Who looks after it, and until when.
    pub lease: Lease,
    /// How far it is.
    pub phase: RunPhase,
    /// The workspace it was placed in.
    pub workspace: WorkspaceId,
    /// The agent, by name.
    pub agent: String,
    /// The model it was asked to use; the agent's own default if none.
    pub model: Option<String>,
    /// The account that its agent works with, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountName>,
    /// The session it is to go on with.
    pub resumes: Option<SessionId>,
    /// How far its output has been read and stored.
    pub progress: Progress,
    /// The number of the last message that it was told.
    #[serde(default)]
    pub heard: u32,
    /// How many bytes it was given to read, if its input stays open.
    #[serde(default)]
    pub input: u64,
    /// What its events add up to.
    pub report: RunReport,
    /// When it was placed.
    pub started_at: Timestamp,
    /// When its agent last gave a sign of life: output, or work of its processes.
    pub heard_at: Timestamp,
}

/// Who looks after a run, and until when. Another worker may take over once it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker.
    pub holder: WorkerId,
    /// The first moment at which somebody else may take over.
    pub until: Timestamp,
}

/// A worker: one process of Optio, from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub String);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a run runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunKind {
    /// The first attempt.
    First,
    /// The checks of the pull request failed.
    ResumeCi,
    /// A review requested changes.
    ResumeReview,
    /// The pull request conflicts with its base.
    ResumeConflict,
    /// A review of somebody else's pull request.
    Review,
    /// Another attempt after one that failed.
    Retry,
}

impl RunKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::First,
        Self::ResumeCi,
        Self::ResumeReview,
        Self::ResumeConflict,
        Self::Review,
        Self::Retry,
    ];

    /// Its name, in kebab-case as everywhere outside the code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::ResumeCi => "resume-ci",
            Self::ResumeReview => "resume-review",
            Self::ResumeConflict => "resume-conflict",
            Self::Review => "review",
            Self::Retry => "retry",
        }
    }
}

impl fmt::Display for RunKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a run is. Each phase holds what the next one needs, so that any worker can go on from here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum RunPhase {
    /// It has a place; the workspace, the worktree and the prompt are being made ready. All of that can be done again.
    Preparing,
    /// The agent has been started, or is about to be: starting it again under the same id does nothing.
    Spawned {
        /// The branch's commit from which the agent set out.
        from: CommitId,
        /// When.
        at: Timestamp,
        /// Why the engine has decided to end it early, if it has.
        stopping: Option<StopReason>,
    },
    /// The agent has ended and its whole output is stored; what follows from it is still to be done.
    Exited {
        /// The branch's commit from which the agent set out.
        from: CommitId,
        /// How its process ended; none if it vanished without a trace.
        status: Option<ExitStatus>,
        /// Why the engine ended it early, if it did.
        stopped: Option<StopReason>,
    },
    /// All that follows from it is done.
    Ended {
        /// What came of it.
        outcome: RunOutcome,
        /// When.
        at: Timestamp,
    },
}

impl RunPhase {
    /// Its name, in `snake_case`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Spawned { .. } => "spawned",
            Self::Exited { .. } => "exited",
            Self::Ended { .. } => "ended",
        }
    }
}

/// Why the engine ends a run before its agent does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// A person or a rule cancelled the task.
    Cancelled,
    /// It ran longer than it may.
    TimedOut,
    /// It was silent and idle for longer than it may be.
    Stalled,
    /// To go on is of no use, or not allowed: its provider refuses it, or a budget is used up. This is what it fails from.
    Failing(Failure),
    /// It has said its closing word and does nothing more, but does not end.
    Lingering,
}

/// What came of a run, decided from facts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "outcome",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum RunOutcome {
    /// Its work is on the branch, and a pull request is open for it.
    Pushed {
        /// The branch's last commit.
        head: CommitId,
        /// The pull request.
        pull_request: PullRequestRef,
    },
    /// A review was given.
    Reviewed {
        /// The commit that was reviewed.
        head: CommitId,
        /// The review.
        report: ReviewReport,
    },
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
        /// Where its work was saved, if it had done any.
        rescue: Option<RescueRef>,
    },
    /// The task was cancelled.
    Cancelled {
        /// Where its work was saved, if it had done any.
        rescue: Option<RescueRef>,
    },
}

impl RunOutcome {
    /// Its name, in `snake_case`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pushed { .. } => "pushed",
            Self::Reviewed { .. } => "reviewed",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// Where the work of a run that led nowhere was saved.
    #[must_use]
    pub fn rescue(&self) -> Option<&RescueRef> {
        match self {
            Self::Failed { rescue, .. } | Self::Cancelled { rescue } => rescue.as_ref(),
            Self::Pushed { .. } | Self::Reviewed { .. } => None,
        }
    }
}

/// How far the output of a run has been read and stored. Committed together with the entries that it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes of standard output.
    pub stdout: u64,
    /// Bytes of error output.
    pub stderr: u64,
    /// The number of the last stored log entry.
    pub seq: u64,
}

impl Run {
    /// Whether it has not ended.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self.phase, RunPhase::Ended { .. })
    }

    /// What it has used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.report.usage
    }

    /// What came of it, once it has ended.
    #[must_use]
    pub fn outcome(&self) -> Option<&RunOutcome> {
        match &self.phase {
            RunPhase::Ended { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    /// When it ended.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        match &self.phase {
            RunPhase::Ended { at, .. } => Some(*at),
            _ => None,
        }
    }
}
