//! A forge under test, and what the clauses do with it again and again.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::soon;
use crate::{
    forge::{Forge, MergeRequest, NewPullRequest},
    pull_request::{CommitId, PrNumber, PullRequest, ReviewReport, ReviewVerdict},
    repo::{Repo, RepoUrl},
};

/// What CI will say about a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ci {
    /// It passes.
    Green,
    /// It fails.
    Red,
}

/// A forge under test, and who else has to do with its repository.
///
/// The repository has a base branch with one commit, in which there is a file `README.md`.
#[async_trait]
pub trait ForgeUnderTest: Send + Sync {
    /// The forge.
    fn forge(&self) -> Arc<dyn Forge>;

    /// The repository.
    fn repo(&self) -> Repo;

    /// The address of a repository on this forge that does not exist.
    fn missing(&self) -> RepoUrl;

    /// Somebody pushes a commit that changes these files, on top of a branch or of the base branch if it is not there
    /// yet. CI will say this about it.
    async fn push(&self, branch: &str, files: &[(&str, &str)], ci: Ci) -> CommitId;

    /// What a file of the base branch holds now.
    async fn base_file(&self, path: &str) -> Option<String>;
}

pub(super) type Subject = dyn ForgeUnderTest;

pub(super) const WORK: &str = "optio/add-a-cart-1";

pub(super) fn new(subject: &Subject, branch: &str) -> NewPullRequest {
    NewPullRequest {
        head_branch: branch.to_owned(),
        base_branch: subject.repo().default_branch,
        title: "Add a \"cart\"".to_owned(),
        body: "It is *needed*.".to_owned(),
    }
}

pub(super) async fn open(subject: &Subject, branch: &str) -> PullRequest {
    let opened = subject
        .forge()
        .open(&subject.repo(), &new(subject, branch))
        .await;
    opened.expect("open")
}

/// A pull request with one green commit.
pub(super) async fn opened(subject: &Subject) -> (PullRequest, CommitId) {
    let head = subject
        .push(WORK, &[("cart.txt", "a cart\n")], Ci::Green)
        .await;
    (open(subject, WORK).await, head)
}

pub(super) async fn look(subject: &Subject, number: PrNumber) -> PullRequest {
    let seen = subject.forge().pull_request(&subject.repo(), number).await;
    seen.expect("pull_request")
}

/// Looks until the forge has made up its mind.
pub(super) async fn until(
    subject: &Subject,
    number: PrNumber,
    what: &str,
    so: impl Fn(&PullRequest) -> bool + Send + Sync,
) -> PullRequest {
    let seen = async {
        loop {
            let seen = look(subject, number).await;
            if so(&seen) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(what, seen).await
}

pub(super) fn request(head: &CommitId) -> MergeRequest {
    MergeRequest {
        expected_head: head.clone(),
        title: "Add a \"cart\" (#1)".to_owned(),
        body: "It is needed.".to_owned(),
    }
}

pub(super) fn report(verdict: ReviewVerdict, summary: &str) -> ReviewReport {
    ReviewReport {
        verdict,
        summary: summary.to_owned(),
        comments: Vec::new(),
    }
}
