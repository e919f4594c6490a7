//! Where a worktree is to be, and what there is to make it from: looked at in one go before it is made.

use super::{Git, GitError};
use crate::{classify::GitStep, pull_request::CommitId, workspace::WorkspacePath};

/// The place of a worktree that is to be made, and the branches it is made from, as they were when it was surveyed.
#[derive(Debug, Clone)]
pub(crate) struct Site<'s> {
    /// Where the worktree is to be.
    pub(crate) path: &'s WorkspacePath,
    /// What is there.
    pub(crate) ground: Ground,
    /// The task's branch.
    pub(super) branch: &'s str,
    /// Where the remote has it.
    pub(super) remote: Option<CommitId>,
    /// The branch that pull requests are for.
    pub(super) base: &'s str,
    /// Where the remote has it.
    pub(super) base_tip: Option<CommitId>,
}

/// What there is at the path of a worktree that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Nothing, and the clone knows nothing of it either: there is nothing to save or to clear.
    Vacant,
    /// Something.
    Taken,
}

impl Git<'_> {
    /// Brings what the clone knows of both branches up to date, and looks what is at the path.
    pub(crate) async fn survey<'s>(
        &self,
        path: &'s WorkspacePath,
        branch: &'s str,
        base: &'s str,
    ) -> Result<Site<'s>, GitError> {
        let branches = [base, branch];
        // side by side: starting a process costs more than what it looks up
        let (tips, ground) = tokio::join!(self.fetch(&branches), self.ground(path));
        let mut tips = tips?.into_iter();
        Ok(Site {
            path,
            ground: ground?,
            branch,
            base,
            base_tip: tips.next().flatten(),
            remote: tips.next().flatten(),
        })
    }

    /// What is at a path.
    pub(super) async fn ground(&self, path: &WorkspacePath) -> Result<Ground, GitError> {
        let (absolute, admin) = (self.absolute(path), self.admin(path));
        let (folder, known) = tokio::try_join!(
            self.plain(GitStep::Worktree, "test", ["-e", &absolute]),
            self.plain(GitStep::Worktree, "test", ["-e", &admin])
        )?;
        Ok(if folder.success() || known.success() {
            Ground::Taken
        } else {
            Ground::Vacant
        })
    }
}
