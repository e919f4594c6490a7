//! The health monitor: finds what events have missed. Runs without a worker, workspaces that died or are idle,
//! worktrees nobody needs, tasks that wait for what has ended.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Optio,
    git::Git,
    shares::{Due, Share},
};
use crate::{
    error::{Error, ErrorKind, Result},
    failure::{Failure, FailureClass},
    id::{RepoId, TaskId, WorkspaceId},
    reconcile::{PoolAction, PoolSnapshot, SeenWorkspace, reconcile_pool},
    store::{Commit, OnlyLive, RunQuery, TaskQuery, Write},
    task::StateName,
    workspace::{Workspace, WorkspaceState},
};

/// How long a workspace may take to appear after it was asked for.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

impl Optio {
    /// Looks at everything once.
    ///
    /// # Errors
    /// The store could not be read. What goes wrong with one thing does not keep it from the others.
    pub async fn tick_health_monitor(&self) -> Result<()> {
        // a queue that was lost knows neither
        self.push_limits().await?;
        self.sync_queue().await?;
        for task in self
            .store()
            .tasks(&TaskQuery::in_states([
                StateName::Pending,
                StateName::WaitingOnDeps,
            ]))
            .await?
        {
            self.advance(task.id).await?;
        }
        self.tend_pool().await?;
        if let Err(error) = self.remove_old_logs().await {
            tracing::warn!(%error, "old logs could not be removed");
        }
        Ok(())
    }

    /// Every replica adopts; all else is one replica's at a time.
    pub(crate) async fn monitor_health(&self, shutdown: CancellationToken) {
        let mut adopted = JoinSet::new();
        let interval = self.settings().health_interval;
        // a lease that has ended is not noticed much later than it could be
        let every = interval.min(self.settings().lease);
        let mut due = Due::every(interval);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(every) => {}
            }
            let looked = async {
                while adopted.try_join_next().is_some() {}
                self.adopt_runs(&mut adopted, &shutdown).await?;
                if !self.ask_for_share(&Share::Health).await? {
                    due.forget();
                } else if due.is_now(every) {
                    self.tick_health_monitor().await?;
                }
                Ok::<_, Error>(())
            };
            if let Err(error) = looked.await {
                tracing::warn!(%error, "health could not be looked at");
            }
        }
        while adopted.join_next().await.is_some() {}
    }

    async fn tend_pool(&self) -> Result<()> {
        let live = self
            .store()
            .runs(&RunQuery {
                only_live: OnlyLive::Yes,
                ..RunQuery::default()
            })
            .await?;
        let queued = self
            .store()
            .tasks(&TaskQuery::in_states([StateName::Queued]))
            .await?;
        let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
        let see = |workspace: Workspace| {
            let here = live.iter().filter(|run| run.workspace == workspace.id);
            let back = queued
                .iter()
                .filter(|task| task.runs > 0 && task.last_workspace == Some(workspace.id));
            SeenWorkspace {
                live_runs: count(here.count()),
                awaited_by: count(back.count()),
                workspace,
            }
        };
        let known: Vec<SeenWorkspace> = self
            .store()
            .workspaces()
            .await?
            .into_iter()
            .map(see)
            .collect();
        for seen in &known {
            if seen.workspace.state == WorkspaceState::Ready
                && let Err(error) = self.tend_worktrees(&seen.workspace).await
            {
                tracing::warn!(workspace = %seen.workspace.id, %error, "worktrees not tended");
            }
        }
        let observed = self
            .runtime()
            .list()
            .await
            .map_err(|error| error.to_string());
        if let Err(error) = &observed {
            tracing::warn!(%error, "workspaces could not be listed");
        }
        let snapshot = PoolSnapshot {
            known: &known,
            observed: observed.as_deref().map_err(String::as_str),
            idle: self.settings().workspace_idle,
            patience: PATIENCE,
        };
        for action in reconcile_pool(&snapshot, self.now()) {
            let record = |id: WorkspaceId| {
                known
                    .iter()
                    .find(|seen| seen.workspace.id == id)
                    .map(|seen| seen.workspace.clone())
            };
            let acted = match &action {
                PoolAction::Retire(id) | PoolAction::FinishRemoval(id) => match record(*id) {
                    Some(workspace) => self.retire(workspace).await,
                    None => Ok(()),
                },
                PoolAction::Lost { workspace, reason } => match record(*workspace) {
                    Some(record) => self.mark_lost(record, reason).await,
                    None => Ok(()),
                },
                PoolAction::RetireUnknown { workspace, repo } => {
                    self.retire_unknown(*workspace, *repo).await
                }
            };
            if let Err(error) = acted {
                tracing::warn!(%error, ?action, "workspace not tended");
            }
        }
        Ok(())
    }

    /// Takes worktrees away that nobody needs any more: of tasks that have ended, and of tasks that nobody knows.
    async fn tend_worktrees(&self, workspace: &Workspace) -> Result<()> {
        let repo = self.store().repo(workspace.repo).await?;
        let credentials = self.forge(&repo.url)?.credentials(&repo).await?;
        let git = Git::new(
            self.runtime(),
            workspace.id,
            repo.url.as_str(),
            credentials.as_ref(),
        );
        for path in git.list_worktrees().await.map_err(unsaved)? {
            let name = path.as_str().rsplit('/').next().unwrap_or_default();
            let known = match name.parse::<TaskId>() {
                Ok(task) => match self.store().task(task).await {
                    Ok(_) => Some(task),
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    Err(error) => return Err(error),
                },
                Err(_) => None,
            };
            match known {
                Some(task) => self.clean_up(task).await?,
                None => {
                    let saved_as = format!("refs/optio/rescue/{}/{name}", workspace.id);
                    git.rescue(&path, &repo.default_branch, &saved_as)
                        .await
                        .map_err(unsaved)?;
                    git.remove_worktree(&path, None).await.map_err(unsaved)?;
                    tracing::info!(workspace = %workspace.id, %path, "worktree of no task removed");
                }
            }
        }
        Ok(())
    }

    /// Takes an idle workspace away. First its record says so, and no run is placed there any more; then everything
    /// unsaved in it is saved; then it goes.
    async fn retire(&self, mut workspace: Workspace) -> Result<()> {
        if workspace.state != WorkspaceState::Removing {
            workspace.state = WorkspaceState::Removing;
            self.store()
                .commit(Commit::new().with(Write::Workspace(workspace.clone())))
                .await?;
            workspace.version += 1;
        }
        let here = RunQuery {
            workspace: Some(workspace.id),
            only_live: OnlyLive::Yes,
            ..RunQuery::default()
        };
        if !self.store().runs(&here).await?.is_empty() {
            return Ok(()); // a run was placed in the last moment: it ends first
        }
        self.save_all(workspace.id, workspace.repo).await?;
        self.runtime().remove(workspace.id).await?;
        self.store()
            .commit(Commit::new().with(Write::ForgetWorkspace(workspace.id, workspace.version)))
            .await?;
        tracing::info!(workspace = %workspace.id, "workspace removed");
        Ok(())
    }

    async fn retire_unknown(&self, id: WorkspaceId, repo: RepoId) -> Result<()> {
        // what was known was read before the runtime was asked: a run may have been placed in a new one in between
        let known = self.store().workspaces().await?;
        if known.iter().any(|workspace| workspace.id == id) {
            return Ok(());
        }
        match self.save_all(id, repo).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::warn!(workspace = %id, %repo, "a workspace of a repository that nobody knows: remove it by hand");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        tracing::info!(workspace = %id, "unknown workspace removed");
        self.runtime().remove(id).await
    }

    /// Saves whatever is in any worktree of a workspace and not on the remote.
    async fn save_all(&self, id: WorkspaceId, repo: RepoId) -> Result<()> {
        let exists = self
            .runtime()
            .list()
            .await?
            .iter()
            .any(|observed| observed.id == id);
        if !exists {
            return Ok(());
        }
        let repo = self.store().repo(repo).await?;
        let credentials = self.forge(&repo.url)?.credentials(&repo).await?;
        let git = Git::new(self.runtime(), id, repo.url.as_str(), credentials.as_ref());
        if !git.has_clone().await.map_err(unsaved)? {
            return Ok(());
        }
        for path in git.list_worktrees().await.map_err(unsaved)? {
            let name = format!(
                "refs/optio/rescue/{id}/{}",
                path.as_str().rsplit('/').next().unwrap_or_default()
            );
            if let Some(rescue) = git
                .rescue(&path, &repo.default_branch, &name)
                .await
                .map_err(unsaved)?
            {
                tracing::info!(workspace = %id, %path, rescue = %rescue.name, "work saved before the workspace goes");
            }
        }
        for rescue in git
            .rescue_kept(&format!("refs/optio/rescue/{id}"))
            .await
            .map_err(unsaved)?
        {
            tracing::info!(workspace = %id, rescue = %rescue.name, "work of no worktree saved before the workspace goes");
        }
        Ok(())
    }

    async fn mark_lost(&self, mut workspace: Workspace, reason: &str) -> Result<()> {
        tracing::warn!(workspace = %workspace.id, reason, "workspace lost");
        workspace.state = WorkspaceState::Lost {
            failure: Failure::new(FailureClass::WorkspaceLost).with_detail(reason),
        };
        self.store()
            .commit(Commit::new().with(Write::Workspace(workspace)))
            .await
    }
}

fn unsaved(error: super::git::GitError) -> Error {
    Error::unavailable("optio", format!("work could not be saved: {error}")).caused_by(error)
}
