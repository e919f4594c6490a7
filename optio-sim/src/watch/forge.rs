//! A forge that sees to it that each branch has one pull request, and each pull request one merge for a good reason.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use optio_core::{
    Result,
    forge::{Forge, GitCredentials, MergeRequest, NewPullRequest, RepositoryFacts},
    pull_request::{Checks, CommitId, Mergeability, PrNumber, PrState, PullRequest, ReviewReport},
    repo::{Repo, RepoUrl},
};

use super::Ledger;

#[derive(Debug)]
pub(crate) struct WatchedForge {
    pub(crate) inner: Arc<dyn Forge>,
    pub(crate) ledger: Arc<Ledger>,
}

#[async_trait]
impl Forge for WatchedForge {
    async fn open(&self, repo: &Repo, new: &NewPullRequest) -> Result<PullRequest> {
        let opened = self.inner.open(repo, new).await?;
        self.ledger.note(|| {
            format!(
                "pull request {} of {} is {}",
                opened.number,
                repo.name(),
                new.head_branch
            )
        });
        let mut of: BTreeMap<String, u32> = BTreeMap::new();
        for seen in self.ledger.facts.forge.pull_requests(&repo.url) {
            // one that somebody closed is not opened again
            if seen.state != PrState::Closed {
                *of.entry(seen.head_branch).or_default() += 1;
            }
        }
        if let Some((branch, count)) = of.iter().find(|(_, count)| **count > 1) {
            self.ledger.broke(
                "one pull request for each task",
                format!("{branch} has {count}"),
            );
        }
        Ok(opened)
    }

    async fn pull_request(&self, repo: &Repo, number: PrNumber) -> Result<PullRequest> {
        let seen = self.inner.pull_request(repo, number).await?;
        // none: they may come until the grace has passed, which the engine decides
        let green = matches!(
            seen.checks,
            Checks::Passed | Checks::NotRequired | Checks::None
        );
        if green && seen.mergeability == Mergeability::Clean {
            self.ledger.book().green.insert(seen.head.clone());
        }
        Ok(seen)
    }

    async fn merge(
        &self,
        repo: &Repo,
        number: PrNumber,
        request: &MergeRequest,
    ) -> Result<CommitId> {
        let head = &request.expected_head;
        let fit = self.ledger.book().green.contains(head);
        let merges = || self.ledger.facts.forge.merges(&repo.url, number);
        let before = merges();
        let done = self.inner.merge(repo, number, request).await;
        if merges() > before {
            self.ledger.note(|| {
                format!(
                    "pull request {number} of {} is merged at {head}",
                    repo.name()
                )
            });
            if !fit {
                let detail = format!(
                    "{number} of {} was merged at {head}, which nobody called green",
                    repo.url
                );
                self.ledger.broke("unknown is not green", detail);
            }
        }
        if merges() > 1 {
            let detail = format!("{number} of {} was merged {} times", repo.url, merges());
            self.ledger.broke("one merge for each pull request", detail);
        }
        done
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn handles(&self, url: &RepoUrl) -> bool {
        self.inner.handles(url)
    }

    async fn repository(&self, url: &RepoUrl) -> Result<RepositoryFacts> {
        self.inner.repository(url).await
    }

    async fn credentials(&self, repo: &Repo) -> Result<Option<GitCredentials>> {
        self.inner.credentials(repo).await
    }

    async fn find(&self, repo: &Repo, head_branch: &str) -> Result<Option<PullRequest>> {
        self.inner.find(repo, head_branch).await
    }

    async fn review(
        &self,
        repo: &Repo,
        number: PrNumber,
        head: &CommitId,
        report: &ReviewReport,
    ) -> Result<()> {
        self.inner.review(repo, number, head, report).await
    }

    async fn comment(&self, repo: &Repo, number: PrNumber, marker: &str, body: &str) -> Result<()> {
        self.inner.comment(repo, number, marker, body).await
    }

    async fn close(&self, repo: &Repo, number: PrNumber) -> Result<()> {
        self.inner.close(repo, number).await
    }
}
