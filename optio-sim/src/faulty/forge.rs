//! A forge behind a bad line.

use std::sync::Arc;

use async_trait::async_trait;
use optio_core::{
    Result,
    forge::{Forge, GitCredentials, MergeRequest, NewPullRequest, RepositoryFacts},
    pull_request::{CommitId, PrNumber, PullRequest, ReviewReport},
    repo::{Repo, RepoUrl},
};

use super::Link;

#[derive(Debug)]
pub(crate) struct FaultyForge {
    pub(crate) inner: Arc<dyn Forge>,
    pub(crate) link: Arc<Link>,
}

#[async_trait]
impl Forge for FaultyForge {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn handles(&self, url: &RepoUrl) -> bool {
        self.inner.handles(url)
    }

    async fn repository(&self, url: &RepoUrl) -> Result<RepositoryFacts> {
        self.link
            .call("repository", self.inner.repository(url))
            .await
    }

    async fn credentials(&self, repo: &Repo) -> Result<Option<GitCredentials>> {
        self.link
            .call("credentials", self.inner.credentials(repo))
            .await
    }

    async fn find(&self, repo: &Repo, head_branch: &str) -> Result<Option<PullRequest>> {
        let work = self.inner.find(repo, head_branch);
        self.link.call("find", work).await
    }

    async fn open(&self, repo: &Repo, new: &NewPullRequest) -> Result<PullRequest> {
        self.link.call("open", self.inner.open(repo, new)).await
    }

    async fn pull_request(&self, repo: &Repo, number: PrNumber) -> Result<PullRequest> {
        let work = self.inner.pull_request(repo, number);
        self.link.call("pull_request", work).await
    }

    async fn review(
        &self,
        repo: &Repo,
        number: PrNumber,
        head: &CommitId,
        report: &ReviewReport,
    ) -> Result<()> {
        let work = self.inner.review(repo, number, head, report);
        self.link.call("review", work).await
    }

    async fn merge(
        &self,
        repo: &Repo,
        number: PrNumber,
        request: &MergeRequest,
    ) -> Result<CommitId> {
        let work = self.inner.merge(repo, number, request);
        self.link.call("merge", work).await
    }

    async fn comment(&self, repo: &Repo, number: PrNumber, marker: &str, body: &str) -> Result<()> {
        let work = self.inner.comment(repo, number, marker, body);
        self.link.call("comment", work).await
    }

    async fn close(&self, repo: &Repo, number: PrNumber) -> Result<()> {
        self.link
            .call("close", self.inner.close(repo, number))
            .await
    }
}
