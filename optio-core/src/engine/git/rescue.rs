//! Saving work on the remote before a worktree may go.

use super::{
    Git, GitError,
    command::{On, Reach, tracking},
    push::lost_lease,
    site::Ground,
    snapshot::{ASSIGNED, RESCUED},
};
use crate::{
    classify::GitStep, pull_request::CommitId, workspace::WorkspacePath, worktree::RescueRef,
};

impl Git<'_> {
    /// Saves what a worktree holds and the remote does not, on the remote, as `ref_name` (a full name). None if there
    /// is nothing of the kind, or no worktree.
    ///
    /// Saved are commits, those of a branch that is in the middle of a rebase included, and files, those that git does
    /// not know yet included, but not ignored ones. The worktree and its index stay as they are. Saving the same again
    /// gives the same ref and commit.
    pub(crate) async fn rescue(
        &self,
        path: &WorkspacePath,
        base: &str,
        ref_name: &str,
    ) -> Result<Option<RescueRef>, GitError> {
        if self.ground(path).await? == Ground::Vacant {
            return Ok(None);
        }
        // what the clone believes to be on the remote may have been taken away there since
        if let Some(branch) = self.assigned(path).await? {
            let range = format!("{}..HEAD", tracking(base));
            let has_base = self.resolve(On::Repo, &tracking(base)).await?.is_some();
            let own = has_base
                && self
                    .count(On::Admin(path), ["--max-count=1", &range])
                    .await?
                    > 0;
            if own && self.resolve(On::Repo, &tracking(&branch)).await?.is_some() {
                self.fetch(&[&branch]).await?;
            }
        }
        let Some(commit) = self.unsaved(path, Some(base)).await? else {
            return Ok(None);
        };
        let rescue = RescueRef {
            name: ref_name.to_owned(),
            commit,
        };
        let rescue = self.push_rescue(rescue).await?;
        if self.resolve(On::Admin(path), "HEAD").await?.is_some() {
            self.set_ref(On::Admin(path), RESCUED, &rescue.commit)
                .await?;
        }
        Ok(Some(rescue))
    }

    /// Saves what is in no worktree: local branches, and what was set aside in the clone, each as a ref below `prefix`
    /// on the remote. For a workspace that is about to go.
    pub(crate) async fn rescue_kept(&self, prefix: &str) -> Result<Vec<RescueRef>, GitError> {
        let list = self.local(
            On::Repo,
            ["for-each-ref", "--format=%(objectname) %(refname)"],
        );
        let list = list.args(["refs/heads/", "refs/optio/kept/"]);
        let mut saved = Vec::new();
        for line in self.must(GitStep::Push, list).await?.lines() {
            let Some((commit, name)) = line.split_once(' ') else {
                continue;
            };
            let selection = ["--max-count=1", commit, "--not", "--remotes=origin"];
            if self.count(On::Repo, selection).await? == 0 {
                continue;
            }
            let short = name
                .strip_prefix("refs/optio/")
                .or_else(|| name.strip_prefix("refs/"))
                .unwrap_or(name);
            let rescue = RescueRef {
                name: format!("{prefix}/{short}"),
                commit: CommitId::new(commit),
            };
            saved.push(self.push_rescue(rescue).await?);
        }
        Ok(saved)
    }

    /// Never takes the place of other work: where the name is taken by another commit, this one gets a name beside it.
    async fn push_rescue(&self, rescue: RescueRef) -> Result<RescueRef, GitError> {
        let beside = format!("{}-{}", rescue.name, rescue.commit.short());
        let mut refused = None;
        for name in [rescue.name, beside] {
            let push = self
                .git(On::Repo, Reach::Remote)
                .args(["push", "--porcelain", "--no-verify"])
                .arg(format!("--force-with-lease={name}:"))
                .arg(&self.url)
                .arg(format!("{}:{name}", rescue.commit));
            let output = self.run(GitStep::Push, Reach::Remote, push).await?;
            if output.success() {
                let commit = rescue.commit;
                return Ok(RescueRef { name, commit });
            }
            refused = Some(GitError::of(GitStep::Push, &output));
            if !output
                .stdout_text()
                .lines()
                .any(|line| lost_lease(line).is_some())
            {
                break;
            }
        }
        Err(refused.unwrap_or_else(|| GitError::says(GitStep::Push, "nothing was pushed")))
    }

    /// The branch that a worktree was made for.
    pub(super) async fn assigned(&self, path: &WorkspacePath) -> Result<Option<String>, GitError> {
        let command = self.local(On::Admin(path), ["symbolic-ref", "--quiet", ASSIGNED]);
        let name = self.maybe(GitStep::Worktree, command).await?;
        Ok(name.and_then(|name| name.strip_prefix("refs/heads/").map(str::to_owned)))
    }
}
