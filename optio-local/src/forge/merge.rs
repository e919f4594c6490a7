//! The squash merge: a commit made of what `git merge-tree` gives, put on the base branch in one transaction of git.
//!
//! The branch is moved by `git update-ref`, not by a push: only so are the base branch and the head branch looked at and
//! the former moved in one step, and a push to the head branch in the last moment cannot slip in unseen. The
//! repository's `reference-transaction` hook runs; its hooks for received pushes do not.
//!
//! No crash leads to a second merge. The commit is recorded before the branch is moved, and whoever looks at the pull
//! request next finds it there or does not (`observe`). The head branch stays.

use std::sync::{Arc, PoisonError};

use optio_core::{
    Error, ErrorKind, Result, Retry,
    forge::MergeRequest,
    pull_request::{CommitId, Mergeability, PrNumber, PrState, PullRequest},
    repo::Repo,
};
use tokio::sync::Mutex;

use super::{
    LocalForge, NAME,
    git::Output,
    observe::Seen,
    repository::{Advance, Bare, Squash},
};

/// How often a merge is made anew because somebody moved the base branch meanwhile.
const TRIES: usize = 10;

impl LocalForge {
    /// See [`optio_core::forge::Forge::merge`].
    pub(super) async fn squash_merge(
        &self,
        repo: &Repo,
        number: PrNumber,
        request: &MergeRequest,
    ) -> Result<CommitId> {
        let turn = self.merge_lock(&*self.bare(&repo.url).await?);
        let _one_at_a_time = turn.lock().await;
        for _ in 0..TRIES {
            let seen = self.observe(repo, number).await?;
            if let PrState::Merged { commit } = seen.pull_request.state {
                return Ok(commit);
            }
            let tree = mergeable(&seen, &request.expected_head)?;
            let pull_request = &seen.pull_request;
            let commit = seen
                .bare
                .squash(Squash {
                    tree,
                    parent: &pull_request.base,
                    head: &pull_request.head,
                    message: message(request),
                    at: self.clock.now(),
                })
                .await?;
            let key = &seen.bare.key;
            self.records.attempt(key, number, &commit).await?;
            match self.advance(&seen.bare, pull_request, &commit).await {
                Ok(Ok(())) => {
                    self.note_merge(repo, &seen, &commit).await;
                    return Ok(commit);
                }
                Ok(Err(refused)) => self.must_have_moved(&seen, &refused).await?,
                // it may have worked all the same
                Err(error) => {
                    return match self.observe(repo, number).await?.pull_request.state {
                        PrState::Merged { commit } => Ok(commit),
                        _ => Err(error),
                    };
                }
            }
        }
        Err(Error::conflict(
            NAME,
            format!("the base branch of pull request {number} moves too often to merge into it"),
        ))
    }

    async fn advance(
        &self,
        bare: &Bare,
        pull_request: &PullRequest,
        commit: &CommitId,
    ) -> Result<Result<(), Output>> {
        bare.advance(&Advance {
            branch: &pull_request.base_branch,
            from: &pull_request.base,
            to: commit,
            head_branch: &pull_request.head_branch,
            head: &pull_request.head,
        })
        .await
    }

    /// Records a merge that was made, and wakes those who wait for it. Should that fail, the next look makes up for it.
    async fn note_merge(&self, repo: &Repo, seen: &Seen, commit: &CommitId) {
        let (key, number) = (&seen.bare.key, seen.pull_request.number);
        let base_branch = &seen.pull_request.base_branch;
        tracing::info!(repository = key, %number, %commit, "pull request merged");
        if let Err(error) = self.records.merged(key, number, commit, commit).await {
            tracing::warn!(repository = key, %number, %error, "a merge could not be recorded yet");
        }
        self.ci.abandon(key, (repo.id, number), None);
        self.ci.tell((repo.id, number)).await;
        // what can be merged into the branch has changed for all others
        for other in self
            .records
            .open_on(key, base_branch)
            .await
            .unwrap_or_default()
        {
            self.ci.tell((repo.id, other)).await;
        }
    }

    /// Whether git refused because a branch has moved, so that it is worth another try.
    async fn must_have_moved(&self, seen: &Seen, refused: &Output) -> Result<()> {
        let was = &seen.pull_request;
        let branches = [was.head_branch.as_str(), was.base_branch.as_str()];
        let [head, base] = seen.bare.tips(branches).await?;
        if head.as_ref() == Some(&was.head) && base.as_ref() == Some(&was.base) {
            let said = refused.stderr.lines().next().unwrap_or_default();
            return Err(Error::unavailable(
                NAME,
                format!(
                    "git did not move the branch {}: {}",
                    was.base_branch,
                    said.trim_start_matches("fatal: ")
                ),
            ));
        }
        Ok(())
    }

    fn merge_lock(&self, bare: &Bare) -> Arc<Mutex<()>> {
        let mut merging = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(merging.entry(bare.key.clone()).or_default())
    }
}

/// The tree that may be merged.
fn mergeable<'s>(seen: &'s Seen, expected: &CommitId) -> Result<&'s str> {
    let pull_request = &seen.pull_request;
    let number = pull_request.number;
    let refuse = |message: String| Err(Error::conflict(NAME, message));
    if pull_request.state != PrState::Open {
        return Err(Error::conflict(
            NAME,
            format!("pull request {number} is closed: reopen it to merge it"),
        )
        .with_retry(Retry::Never));
    }
    if pull_request.head != *expected {
        return refuse(format!(
            "the head of pull request {number} has moved from {} to {}: look at it again",
            expected.short(),
            pull_request.head.short()
        ));
    }
    if pull_request.draft {
        return refuse(format!(
            "pull request {number} is a draft: mark it as ready to merge it"
        ));
    }
    match (&pull_request.mergeability, &seen.tree) {
        (Mergeability::Clean, Some(tree)) => Ok(tree),
        (Mergeability::Conflicting { files }, _) => refuse(format!(
            "pull request {number} conflicts with {} in {}",
            pull_request.base_branch,
            files.join(", ")
        )),
        (Mergeability::Blocked { reason }, _) => {
            refuse(format!("pull request {number} cannot be merged: {reason}"))
        }
        _ => Err(Error::new(
            ErrorKind::Unavailable,
            NAME,
            format!("git could not tell whether pull request {number} can be merged"),
        )),
    }
}

fn message(request: &MergeRequest) -> String {
    let (title, body) = (request.title.trim(), request.body.trim());
    if body.is_empty() {
        format!("{title}\n")
    } else {
        format!("{title}\n\n{body}\n")
    }
}
