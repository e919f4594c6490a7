//! The port itself: what the engine asks of the forge.

use async_trait::async_trait;

use super::*;

#[async_trait]
impl Forge for MemoryForge {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn handles(&self, url: &RepoUrl) -> bool {
        url.host_and_path().is_some_and(|(host, _)| host == HOST)
    }

    async fn repository(&self, url: &RepoUrl) -> Result<RepositoryFacts> {
        drop(self.call("repository", None)?);
        let default_branch = self.git.default_branch(url);
        let default_branch = default_branch.ok_or_else(|| Error::not_found(BACKEND, url))?;
        Ok(RepositoryFacts { default_branch })
    }

    async fn credentials(&self, repo: &Repo) -> Result<Option<GitCredentials>> {
        drop(self.call("credentials", Some(repo))?);
        Ok(None)
    }

    async fn find(&self, repo: &Repo, head_branch: &str) -> Result<Option<PullRequest>> {
        let found = {
            let state = self.call("find", Some(repo))?;
            let shelf = state.repos.get(repo.url.identity());
            let of_branch = shelf.iter().flat_map(|shelf| &shelf.pulls);
            let of_branch = of_branch.filter(|(_, pull)| pull.head_branch == head_branch);
            // an open one before all others, then the latest
            of_branch
                .max_by_key(|(number, pull)| (pull.state == PrState::Open, **number))
                .map(|(number, _)| *number)
        };
        Ok(found.and_then(|number| self.look(&repo.url, number)))
    }

    async fn open(&self, repo: &Repo, new: &NewPullRequest) -> Result<PullRequest> {
        let head = self.git.branch(&repo.url, &new.head_branch);
        let base = self.git.branch(&repo.url, &new.base_branch);
        let number = {
            let mut state = self.call("open", Some(repo))?;
            let now = state.clock.now();
            let shelf = state
                .repos
                .entry(repo.url.identity().to_owned())
                .or_default();
            let open = shelf.pulls.iter().find(|(_, pull)| {
                pull.state == PrState::Open && pull.head_branch == new.head_branch
            });
            if let Some((number, _)) = open {
                *number
            } else {
                let (Some(head), Some(_)) = (head, base) else {
                    let message =
                        format!("{} or {} was not pushed", new.head_branch, new.base_branch);
                    return Err(Error::invalid(BACKEND, message));
                };
                let last = shelf
                    .pulls
                    .last_key_value()
                    .map_or(0, |(number, _)| number.0);
                let pull = Pull {
                    title: new.title.clone(),
                    body: new.body.clone(),
                    head_branch: new.head_branch.clone(),
                    base_branch: new.base_branch.clone(),
                    heads: vec![head],
                    head_at: now,
                    opened_at: now,
                    state: PrState::Open,
                    checks: BTreeMap::new(),
                    reviews: Vec::new(),
                    comments: BTreeMap::new(),
                    merges: 0,
                };
                shelf.pulls.insert(PrNumber(last + 1), pull);
                state.hint(repo.url.identity(), PrNumber(last + 1));
                PrNumber(last + 1)
            }
        };
        let opened = self.must_look(repo, number)?;
        self.answer("open", opened)
    }

    async fn pull_request(&self, repo: &Repo, number: PrNumber) -> Result<PullRequest> {
        let late = self.call("pull_request", Some(repo))?.late_look.take();
        let seen = self.must_look(repo, number);
        if let Some(late) = late {
            tokio::time::sleep(late).await;
        }
        seen
    }

    async fn review(
        &self,
        repo: &Repo,
        number: PrNumber,
        head: &CommitId,
        report: &ReviewReport,
    ) -> Result<()> {
        drop(self.call("review", Some(repo))?);
        let given = self.on(&repo.url, number, |pull, at| {
            pull.add_review(OPTIO, head, report.clone(), at);
        });
        given.ok_or_else(|| unknown(repo, number))?;
        self.answer("review", ())
    }

    async fn merge(
        &self,
        repo: &Repo,
        number: PrNumber,
        request: &MergeRequest,
    ) -> Result<CommitId> {
        drop(self.call("merge", Some(repo))?);
        let seen = self.must_look(repo, number)?;
        match &seen.state {
            PrState::Merged { commit } => return Ok(commit.clone()),
            PrState::Closed => {
                return Err(Error::conflict(
                    BACKEND,
                    format!("pull request {number} is closed"),
                ));
            }
            PrState::Open => {}
        }
        if seen.head != request.expected_head {
            let message = format!(
                "the head of pull request {number} is {}, not {}",
                seen.head, request.expected_head
            );
            return Err(Error::conflict(BACKEND, message));
        }
        let message = format!("{}\n\n{}", request.title, request.body);
        let commit = self
            .git
            .squash(&repo.url, &seen.base_branch, &seen.head, &message);
        let commit = commit.ok_or_else(|| {
            Error::conflict(
                BACKEND,
                format!("pull request {number} conflicts with its base"),
            )
        })?;
        self.on(&repo.url, number, |pull, _| pull.merged_as(&commit));
        self.answer("merge", commit)
    }

    async fn comment(&self, repo: &Repo, number: PrNumber, marker: &str, body: &str) -> Result<()> {
        drop(self.call("comment", Some(repo))?);
        let written = self.on(&repo.url, number, |pull, _| {
            pull.comments.insert(marker.to_owned(), body.to_owned());
        });
        written.ok_or_else(|| unknown(repo, number))?;
        self.answer("comment", ())
    }

    async fn close(&self, repo: &Repo, number: PrNumber) -> Result<()> {
        drop(self.call("close", Some(repo))?);
        let closed = self.on(&repo.url, number, |pull, _| pull.close());
        closed.ok_or_else(|| unknown(repo, number))
    }
}
