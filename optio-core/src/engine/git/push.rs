//! Pushing an agent's work to its branch.

use super::{
    Git, GitError, PushOutcome,
    command::{On, Reach, heads, tracking},
};
use crate::{classify::GitStep, pull_request::CommitId, workspace::WorkspacePath};

impl Git<'_> {
    /// Makes the remote's branch what the worktree's head is, provided that it is where it is expected: at a commit, or
    /// nowhere yet. With that kept, an agent may have rewritten its branch. A rule or hook of the server that declines
    /// the push is an error, since no other try would get by it.
    pub(crate) async fn push(
        &self,
        path: &WorkspacePath,
        branch: &str,
        expected_remote: Option<&CommitId>,
    ) -> Result<PushOutcome, GitError> {
        let step = GitStep::Push;
        let Some(head) = self.resolve(On::Admin(path), "HEAD").await? else {
            let message = format!("worktree {path} is gone, or its head points nowhere");
            return Err(GitError::says(step, message));
        };
        let branch_ref = heads(branch);
        let expected = expected_remote.map_or("", CommitId::as_str);
        let push = self
            .git(On::Repo, Reach::Remote)
            .args(["push", "--porcelain", "--no-verify"])
            .arg(format!("--force-with-lease={branch_ref}:{expected}"))
            .arg(&self.url)
            .arg(format!("{head}:{branch_ref}"));
        let output = self.run(step, Reach::Remote, push).await?;
        let text = output.stdout_text();
        let line = text.lines().find(|line| {
            line.split('\t')
                .nth(1)
                .is_some_and(|refs| refs.ends_with(&branch_ref))
        });
        if output.success() {
            self.set_ref(On::Repo, &tracking(branch), &head).await?;
            return Ok(match line {
                Some(line) if line.starts_with('=') => PushOutcome::UpToDate(head),
                _ => PushOutcome::Pushed(head),
            });
        }
        match line.and_then(lost_lease) {
            Some(reason) => Ok(PushOutcome::Rejected { reason }),
            None => Err(GitError::of(step, &output)),
        }
    }
}

/// Why git or the server found that the branch is not where it was expected.
pub(super) fn lost_lease(line: &str) -> Option<String> {
    let summary = line.strip_prefix('!')?.split('\t').nth(2)?;
    let moved = [
        "stale info",
        "fetch first",
        "non-fast-forward",
        "incorrect old value",
        "reference already exists",
        "failed to update ref",
        "cannot lock ref",
    ];
    moved
        .iter()
        .any(|sign| summary.contains(sign))
        .then(|| summary.to_owned())
}
