//! Pull requests as facts read from a forge. Whatever a forge did not say is `Unknown`, never a guess.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A git commit, by its full hexadecimal name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommitId(String);

impl CommitId {
    /// Wraps a commit's name as git printed it; surrounding blanks are cut off.
    #[must_use]
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(name.as_ref().trim().to_ascii_lowercase())
    }

    /// The full name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a pull request in its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrNumber(pub u64);

impl fmt::Display for PrNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Which pull request belongs to a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequestRef {
    /// Its number.
    pub number: PrNumber,
    /// Where a person can look at it.
    pub url: String,
}

/// A pull request as the forge showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    /// Its number.
    pub number: PrNumber,
    /// Where a person can look at it.
    pub url: String,
    /// Its title.
    pub title: String,
    /// The branch with the work.
    pub head_branch: String,
    /// The last commit of that branch that the forge knows.
    pub head: CommitId,
    /// The branch it is to be merged into.
    pub base_branch: String,
    /// The last commit of the base branch.
    pub base: CommitId,
    /// Open, merged or closed.
    pub state: PrState,
    /// A draft may not be merged.
    pub draft: bool,
    /// Whether it can be merged.
    pub mergeability: Mergeability,
    /// The verdict of CI on the head commit.
    pub checks: Checks,
    /// What reviewers decided, by the forge's own rules.
    pub decision: ReviewDecision,
    /// The latest review of each reviewer.
    pub reviews: Vec<Review>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When the forge last saw `head` change; [`opened_at`](Self::opened_at) if it cannot tell.
    pub head_at: Timestamp,
}

impl PullRequest {
    /// Number and address.
    #[must_use]
    pub fn to_ref(&self) -> PullRequestRef {
        PullRequestRef {
            number: self.number,
            url: self.url.clone(),
        }
    }
}

/// Whether a pull request is still to be decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PrState {
    /// It can still be merged.
    Open,
    /// It is in the base branch.
    Merged {
        /// The commit that brought it there.
        commit: CommitId,
    },
    /// It was closed without a merge.
    Closed,
}

/// Whether git and the forge would allow a merge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Mergeability {
    /// Nothing stands in the way.
    Clean,
    /// Head and base changed the same lines.
    Conflicting {
        /// The files in conflict, where the forge tells.
        files: Vec<String>,
    },
    /// A rule of the forge forbids it, such as a missing required review.
    Blocked {
        /// The rule, in the forge's words.
        reason: String,
    },
    /// The forge has not computed it yet: ask again.
    Unknown,
}

/// The verdict of CI on one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Checks {
    /// The forge knows that this repository has no checks.
    NotRequired,
    /// None has registered so far; they may still come.
    None,
    /// At least one is still at work and none has failed.
    Pending,
    /// All have passed.
    Passed,
    /// At least one has failed.
    Failed {
        /// Those that failed.
        failed: Vec<FailedCheck>,
    },
    /// The forge could not be asked or did not answer in full. Never counts as green.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// A check that failed, with what an agent needs to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedCheck {
    /// The check's name.
    pub name: String,
    /// How it ended: `failure`, `timed_out`, ...
    pub conclusion: String,
    /// The step that failed, where the forge tells.
    pub step: Option<String>,
    /// The last lines of its log, bounded by the forge's adapter to some 16 KiB.
    pub log_tail: String,
    /// Where a person can look at it.
    pub url: Option<String>,
}

/// What reviewers decided, by the forge's own rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewDecision {
    /// No review is needed to merge.
    NotRequired,
    /// A review is needed and has not been given.
    Required,
    /// Enough reviewers approved the present head.
    Approved,
    /// A reviewer requested changes and has not taken that back.
    ChangesRequested,
    /// The forge did not tell. Never counts as approval.
    Unknown,
}

/// The latest word of one reviewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// The forge's key for it.
    pub id: String,
    /// Who reviewed.
    pub reviewer: String,
    /// What they decided.
    pub verdict: ReviewVerdict,
    /// The commit that they looked at.
    pub commit: CommitId,
    /// What they wrote.
    pub body: String,
    /// What they wrote beside lines.
    pub comments: Vec<ReviewComment>,
    /// When.
    pub at: Timestamp,
}

/// A decision of one reviewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewVerdict {
    /// It may be merged.
    Approve,
    /// Something must change first.
    RequestChanges,
    /// Neither.
    Comment,
}

/// A remark of a reviewer on one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewComment {
    /// The file.
    pub path: String,
    /// The line in it, from 1; none for the file as a whole.
    #[serde(default)]
    pub line: Option<u32>,
    /// What they wrote.
    pub body: String,
}

/// A review to be given: what a review agent writes, bound to the commit it read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewReport {
    /// Its decision.
    pub verdict: ReviewVerdict,
    /// Why, in a few sentences.
    #[serde(default)]
    pub summary: String,
    /// Remarks on lines.
    #[serde(default)]
    pub comments: Vec<ReviewComment>,
}
