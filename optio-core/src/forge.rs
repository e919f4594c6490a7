//! The port for forges: where pull requests are opened, checked, reviewed and merged.

use std::fmt;

use async_trait::async_trait;

use crate::{
    error::Result,
    pull_request::{CommitId, PrNumber, PullRequest, ReviewReport},
    repo::{Repo, RepoUrl},
    secret::Secret,
};

/// A forge.
///
/// # Contract
/// - Reads give facts; what the forge does not say is `Unknown`, never a guess.
/// - [`open`](Self::open) is idempotent by head branch: with an open pull request of that branch it returns that one.
/// - [`merge`](Self::merge) merges only if the head is still the expected one, else it is `Conflict`. If the pull
///   request is already merged it returns that merge. A call whose outcome is unknown is followed by a read, never by a second merge.
/// - Numbers of pull requests are never used twice.
#[async_trait]
pub trait Forge: fmt::Debug + Send + Sync + 'static {
    /// The forge's name, for people and logs.
    fn name(&self) -> &'static str;

    /// Whether repositories of this address are its own.
    fn handles(&self, url: &RepoUrl) -> bool;

    /// What the forge knows of a repository; `NotFound` or `Denied`, with the way out, if it cannot be used.
    async fn repository(&self, url: &RepoUrl) -> Result<RepositoryFacts>;

    /// With what git may push and fetch; none if it needs nothing.
    async fn credentials(&self, repo: &Repo) -> Result<Option<GitCredentials>>;

    /// The pull request of a branch: an open one, else the latest.
    async fn find(&self, repo: &Repo, head_branch: &str) -> Result<Option<PullRequest>>;

    /// Opens a pull request for a branch that was pushed.
    async fn open(&self, repo: &Repo, new: &NewPullRequest) -> Result<PullRequest>;

    /// A pull request as it is now; `NotFound` if there is none.
    async fn pull_request(&self, repo: &Repo, number: PrNumber) -> Result<PullRequest>;

    /// Gives a review of a commit. The same review of the same commit given twice counts once.
    async fn review(
        &self,
        repo: &Repo,
        number: PrNumber,
        head: &CommitId,
        report: &ReviewReport,
    ) -> Result<()>;

    /// Squash-merges into the base branch and returns the commit that is there now.
    async fn merge(
        &self,
        repo: &Repo,
        number: PrNumber,
        request: &MergeRequest,
    ) -> Result<CommitId>;

    /// Writes a comment that replaces the earlier one with the same marker.
    async fn comment(&self, repo: &Repo, number: PrNumber, marker: &str, body: &str) -> Result<()>;

    /// Closes a pull request without merging it. No error if it is closed already.
    async fn close(&self, repo: &Repo, number: PrNumber) -> Result<()>;
}

/// What a forge knows of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// The branch that pull requests are merged into.
    pub default_branch: String,
}

/// With what git may push and fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitCredentials {
    /// The user's name.
    pub username: String,
    /// The token or password.
    pub password: Secret,
}

/// A pull request to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPullRequest {
    /// The branch with the work; it was pushed.
    pub head_branch: String,
    /// The branch to merge it into.
    pub base_branch: String,
    /// Its title.
    pub title: String,
    /// Its body, in Markdown.
    pub body: String,
}

/// A merge to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRequest {
    /// The head commit that the decision to merge was about.
    pub expected_head: CommitId,
    /// The title of the squashed commit.
    pub title: String,
    /// The rest of its message.
    pub body: String,
}
