//! Saving work on the remote before a worktree may go.

use super::{
    Git, GitError,
    command::{On, Reach, tracking},
    snapshot::{ASSIGNED, RESCUED},
};
use crate::{classify::GitStep, workspace::WorkspacePath, worktree::RescueRef};

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
        let push = self
            .git(On::Repo, Reach::Remote)
            .args(["push", "--quiet", "--no-verify"])
            .arg(&self.url)
            .arg(format!("+{commit}:{ref_name}"));
        let output = self.run(GitStep::Push, Reach::Remote, push).await?;
        if !output.success() {
            return Err(GitError::of(GitStep::Push, &output));
        }
        if self.resolve(On::Admin(path), "HEAD").await?.is_some() {
            self.set_ref(On::Admin(path), RESCUED, &commit).await?;
        }
        Ok(Some(RescueRef {
            name: ref_name.to_owned(),
            commit,
        }))
    }

    /// The branch that a worktree was made for.
    pub(super) async fn assigned(&self, path: &WorkspacePath) -> Result<Option<String>, GitError> {
        let command = self.local(On::Admin(path), ["symbolic-ref", "--quiet", ASSIGNED]);
        let name = self.maybe(GitStep::Worktree, command).await?;
        Ok(name.and_then(|name| name.strip_prefix("refs/heads/").map(str::to_owned)))
    }
}
