//! What a worktree looks like after an agent had it.

use super::{
    Git, GitError, WorktreeFacts,
    command::{On, tracking},
};
use crate::{classify::GitStep, pull_request::CommitId, workspace::WorkspacePath};

impl Git<'_> {
    /// What git says about a worktree whose agent set out from the commit `from`, compared with the base branch as last
    /// fetched.
    pub(crate) async fn facts(
        &self,
        path: &WorkspacePath,
        from: &CommitId,
        base: &str,
    ) -> Result<WorktreeFacts, GitError> {
        let Some(head) = self.resolve(On::Admin(path), "HEAD").await? else {
            let message = format!("worktree {path} is gone, or its head points nowhere");
            return Err(GitError::says(GitStep::Worktree, message));
        };
        let Some(base) = self.remembered(base).await? else {
            return Err(self.no_such_base(base).await);
        };
        let on = On::Admin(path);
        let name = self.local(on, ["symbolic-ref", "--quiet", "HEAD"]);
        let branch = self.maybe(GitStep::Worktree, name).await?;
        let (head_name, base_name) = (head.as_str(), base.as_str());
        Ok(WorktreeFacts {
            branch: branch.and_then(|name| name.strip_prefix("refs/heads/").map(str::to_owned)),
            commits: self
                .count(on, [head_name, "--not", from.as_str(), base_name])
                .await?,
            ahead: self.count(on, [head_name, "--not", base_name]).await?,
            dirty: self.is_dirty(path).await?,
            operation: self.operation(path).await?,
            head,
        })
    }

    /// Whether `ancestor` is part of the history of `commit`.
    pub(crate) async fn contains(
        &self,
        commit: &CommitId,
        ancestor: &CommitId,
    ) -> Result<bool, GitError> {
        let selection = ["--max-count=1", ancestor.as_str(), "--not", commit.as_str()];
        Ok(self.count(On::Repo, selection).await? == 0)
    }

    /// Where the remote had a branch at the last fetch or push.
    pub(crate) async fn remembered(&self, branch: &str) -> Result<Option<CommitId>, GitError> {
        self.resolve(On::Repo, &tracking(branch)).await
    }
}
