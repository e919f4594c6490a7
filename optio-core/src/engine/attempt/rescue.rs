//! Work that a run leaves behind is saved to a ref on the remote before its worktree may go.

use super::prepare::worktree_path;
use crate::{
    engine::{Optio, git::Git, held::Held},
    error::{Error, Result},
    id::{RunId, TaskId},
    run::Run,
    store::RunQuery,
    task::{Task, TaskRole},
    worktree::{RescueRef, WorktreeState},
};

/// Where the work of a run is saved, on the remote.
pub(super) fn ref_name(task: TaskId, run: RunId) -> String {
    format!("refs/optio/rescue/{task}/{run}")
}

impl Optio {
    /// Saves what a run leaves behind. None if there is nothing to save, or if it could not be saved now: the worktree
    /// stays then, and nothing removes it before its work is saved.
    pub(super) async fn rescue(&self, held: &Held, run: &Run, task: &Task) -> Option<RescueRef> {
        if task.role != TaskRole::Coding {
            return None;
        }
        match self.try_rescue(held, run, task).await {
            Ok(rescue) => rescue,
            Err(error) => {
                tracing::warn!(task = %task.id, run = %run.id, %error, "work not saved to the remote yet; the worktree stays");
                None
            }
        }
    }

    async fn try_rescue(&self, held: &Held, run: &Run, task: &Task) -> Result<Option<RescueRef>> {
        let repo = self.store().repo(run.repo).await?;
        let credentials = self.forge(&repo.url)?.credentials(&repo).await?;
        let runtime = held.runtime();
        let git = Git::new(
            &runtime,
            run.workspace,
            repo.url.as_str(),
            credentials.as_ref(),
        );
        let rescued = git
            .rescue(
                &worktree_path(task),
                &repo.default_branch,
                &ref_name(task.id, run.id),
            )
            .await;
        rescued.map_err(|error| Error::unavailable("git", error.to_string()).caused_by(error))
    }

    /// Takes a task's worktree away, after saving what is in it and nowhere else.
    ///
    /// # Errors
    /// Something could not be saved, and nothing is removed; or a backend failed.
    pub(crate) async fn remove_worktree(&self, mut task: Task) -> Result<()> {
        let Some(worktree) = task.worktree.clone() else {
            return Ok(());
        };
        let lock = self.inner.worktrees.of(task.id);
        let Ok(_not_made_ready_meanwhile) = lock.try_lock() else {
            return Ok(()); // a new run is making it ready: it is wanted
        };
        let exists = self
            .runtime()
            .list()
            .await?
            .iter()
            .any(|workspace| workspace.id == worktree.workspace);
        let runtime = self.runtime_for_now();
        let runs = self
            .store()
            .runs(&RunQuery {
                task: Some(task.id),
                ..RunQuery::default()
            })
            .await?;
        if runs.iter().any(Run::is_live) {
            return Ok(()); // its end comes first
        }
        if exists && let Some(last) = runs.last() {
            let repo = self.store().repo(task.repo).await?;
            let credentials = self.forge(&repo.url)?.credentials(&repo).await?;
            let git = Git::new(
                &runtime,
                worktree.workspace,
                repo.url.as_str(),
                credentials.as_ref(),
            );
            let failed = |error: super::super::git::GitError| {
                Error::unavailable("git", error.to_string()).caused_by(error)
            };
            if task.role == TaskRole::Coding {
                git.rescue(
                    &worktree.path,
                    &repo.default_branch,
                    &ref_name(task.id, last.id),
                )
                .await
                .map_err(failed)?;
            }
            let branch = (task.role == TaskRole::Coding).then_some(task.branch.as_str());
            git.remove_worktree(&worktree.path, branch)
                .await
                .map_err(failed)?;
        }
        let now = self.now();
        if let Some(worktree) = &mut task.worktree {
            worktree.state = WorktreeState::Removed;
            worktree.since = now;
        }
        let mut change = self.change("relay");
        change.put_quietly(&task);
        change.commit().await
    }
}
