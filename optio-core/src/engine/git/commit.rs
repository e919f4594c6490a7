//! Committing what an agent left uncommitted.

use super::{
    Git, GitError, Identity,
    command::{On, Reach, with_env},
};
use crate::{
    classify::GitStep, failure::ExitStatus, pull_request::CommitId, workspace::WorkspacePath,
};

const STEP: GitStep = GitStep::Worktree;

impl Git<'_> {
    /// Commits all that is not committed, untracked files included, in the name of `identity`; none if there is
    /// nothing. A merge in progress is concluded by it; one with conflicts is an error, for a file with conflict
    /// markers is no work that is done. A repository that the agent cloned inside the worktree is left out.
    pub(crate) async fn commit_all(
        &self,
        path: &WorkspacePath,
        message: &str,
        identity: &Identity,
    ) -> Result<Option<CommitId>, GitError> {
        let on = On::Worktree(path);
        let unmerged = self
            .must(
                STEP,
                self.local(on, ["diff", "--name-only", "--diff-filter=U", "-z"]),
            )
            .await?;
        if !unmerged.is_empty() {
            let files = unmerged.trim_end_matches('\0').replace('\0', ", ");
            let message = format!("unmerged files are left in the worktree: {files}");
            return Err(GitError::says(GitStep::Merge, message));
        }
        self.must(STEP, self.local(on, ["add", "--all", "--", ":/"]))
            .await?;
        self.unstage_foreign_repositories(path).await?;
        let staged = self.local(on, ["diff-index", "--cached", "--quiet", "HEAD", "--"]);
        let staged = self.run(STEP, Reach::Local, staged).await?;
        let nothing =
            staged.success() && self.resolve(On::Admin(path), "MERGE_HEAD").await?.is_none();
        if nothing {
            return Ok(None);
        }
        if !staged.success() && staged.status != ExitStatus::Code(1) {
            return Err(GitError::of(STEP, &staged));
        }
        let commit = self
            .local(on, ["commit", "--quiet", "--no-verify", "-F", "-"])
            .stdin(message.to_owned());
        self.must(STEP, with_env(commit, identity.env())).await?;
        self.resolve(On::Admin(path), "HEAD").await
    }

    /// Git would record a repository inside the worktree as a submodule that nobody else can find.
    async fn unstage_foreign_repositories(&self, path: &WorkspacePath) -> Result<(), GitError> {
        let on = On::Worktree(path);
        let raw = self.local(on, ["diff-index", "--cached", "--raw", "-z", "HEAD", "--"]);
        let raw = self.must(STEP, raw).await?;
        let declares_submodules = self
            .plain(
                STEP,
                "test",
                ["-e", &format!("{}/.gitmodules", self.absolute(path))],
            )
            .await?
            .success();
        let mut fields = raw.split('\0');
        let mut foreign = Vec::new();
        while let (Some(change), Some(file)) = (fields.next(), fields.next()) {
            if change.starts_with(":000000 160000 ") && !declares_submodules {
                foreign.push(file.to_owned());
            }
        }
        if foreign.is_empty() {
            return Ok(());
        }
        tracing::warn!(workspace = %self.workspace, ?foreign, "leaving out repositories inside the worktree");
        let unstage = self
            .local(on, ["rm", "--quiet", "--cached", "--force", "--"])
            .args(foreign.iter().map(|file| format!(":(top,literal){file}")));
        self.must(STEP, unstage).await.map(drop)
    }
}
