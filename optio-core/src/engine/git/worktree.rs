//! Worktrees: making, resuming, resetting, removing and listing them.

use super::{
    Git, GitError, REPO, WORKTREES, WorktreeMode,
    command::{On, Reach, heads},
    name_of,
    site::{Ground, Site},
    snapshot::{ASSIGNED, RESCUED},
};
use crate::{classify::GitStep, pull_request::CommitId, workspace::WorkspacePath};

const STEP: GitStep = GitStep::Worktree;

/// What git leaves beside a worktree's head in the middle of something, by its name in the clone.
const UNFINISHED: &[&str] = &[
    "rebase-merge",
    "rebase-apply",
    "sequencer",
    "MERGE_HEAD",
    "MERGE_MSG",
    "MERGE_MODE",
    "MERGE_RR",
    "SQUASH_MSG",
    "AUTO_MERGE",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "REBASE_HEAD",
    "BISECT_LOG",
    "BISECT_NAMES",
    "BISECT_START",
    "BISECT_TERMS",
    "BISECT_RUN",
    "BISECT_EXPECTED_REV",
    "BISECT_ANCESTORS_OK",
];

impl Git<'_> {
    /// Makes a worktree hold what `mode` says and returns the commit it is at. Doing it again is harmless. No agent may
    /// be at work in it.
    ///
    /// Submodules are fetched where they can be; one that cannot be is the agent's to deal with.
    pub(crate) async fn ensure_worktree(
        &self,
        site: &Site<'_>,
        mode: WorktreeMode,
    ) -> Result<CommitId, GitError> {
        let Site { path, branch, .. } = *site;
        if let WorktreeMode::Detached(commit) = &mode {
            return self.ensure_detached(path, commit).await;
        }
        let remote = site.remote.clone();
        let base = match &site.base_tip {
            Some(tip) => tip.clone(),
            None => return Err(self.no_such_base(site.base).await),
        };
        let usable = site.ground == Ground::Taken && self.is_usable(path).await?;
        let target = match mode {
            WorktreeMode::Resume if usable => {
                let head = self.resolve(On::Admin(path), "HEAD").await?;
                match (head, remote) {
                    (Some(head), None) => return self.attach(path, branch, head).await,
                    (Some(head), Some(remote)) if self.contains(&head, &remote).await? => {
                        return self.attach(path, branch, head).await;
                    }
                    (_, remote) => remote.unwrap_or(base),
                }
            }
            WorktreeMode::Resume => self.resumable(branch, remote).await?.unwrap_or(base),
            WorktreeMode::Reset => remote.unwrap_or(base),
            WorktreeMode::Fresh | WorktreeMode::Detached(_) => base,
        };
        if site.ground == Ground::Taken {
            self.keep_aside(path).await?;
        }
        let reset = usable
            && mode != WorktreeMode::Fresh
            && self.checkout(path, Some(branch), &target).await?;
        if reset {
            self.assign(path, branch).await?;
            self.fill_submodules(path).await?;
        } else {
            self.add(path, site.ground, Some(branch), &target).await?;
        }
        Ok(target)
    }

    async fn ensure_detached(
        &self,
        path: &WorkspacePath,
        commit: &CommitId,
    ) -> Result<CommitId, GitError> {
        if self.resolve(On::Repo, commit.as_str()).await?.is_none() {
            self.fetch_commit(commit).await?;
        }
        self.keep_aside(path).await?;
        let reset = self.is_usable(path).await? && self.checkout(path, None, commit).await?;
        if !reset {
            self.add(path, Ground::Taken, None, commit).await?;
        } else {
            self.fill_submodules(path).await?;
        }
        Ok(commit.clone())
    }

    /// The commit to resume a branch from whose worktree is gone: the remote's, unless the clone's own is ahead of it.
    async fn resumable(
        &self,
        branch: &str,
        remote: Option<CommitId>,
    ) -> Result<Option<CommitId>, GitError> {
        let local = self.resolve(On::Repo, &heads(branch)).await?;
        Ok(match (local, remote) {
            (Some(local), Some(remote)) if self.contains(&local, &remote).await? => Some(local),
            (local, None) => local,
            (_, remote) => remote,
        })
    }

    /// Puts a worktree on `branch` without touching a file: the branch moves to where the head is. In the middle of a
    /// rebase or merge nothing moves, for the agent goes on with it.
    async fn attach(
        &self,
        path: &WorkspacePath,
        branch: &str,
        head: CommitId,
    ) -> Result<CommitId, GitError> {
        if self.operation(path).await?.is_none() {
            self.spare(path, branch, &head).await?;
            self.switch(path, branch, &head).await?;
        }
        self.assign(path, branch).await?;
        Ok(head)
    }

    /// Puts the head of a worktree that is at `head` on `branch`, whoever else is on it, and touches no file.
    async fn switch(
        &self,
        path: &WorkspacePath,
        branch: &str,
        head: &CommitId,
    ) -> Result<(), GitError> {
        self.set_ref(On::Repo, &heads(branch), head).await?;
        self.enter(path, branch).await
    }

    /// Puts the head of a worktree on a branch that is at the commit of that head.
    async fn enter(&self, path: &WorkspacePath, branch: &str) -> Result<(), GitError> {
        let command = self.local(On::Admin(path), ["symbolic-ref", "HEAD", &heads(branch)]);
        self.must(STEP, command).await.map(drop)
    }

    /// Writes down which branch a worktree was made for.
    async fn assign(&self, path: &WorkspacePath, branch: &str) -> Result<(), GitError> {
        let command = self.local(On::Admin(path), ["symbolic-ref", ASSIGNED, &heads(branch)]);
        self.must(STEP, command).await.map(drop)
    }

    /// Sets aside the commits of a local branch that moving it to `target` would lose.
    async fn spare(
        &self,
        path: &WorkspacePath,
        branch: &str,
        target: &CommitId,
    ) -> Result<(), GitError> {
        let Some(tip) = self.resolve(On::Repo, &heads(branch)).await? else {
            return Ok(());
        };
        let rescued = self.resolve(On::Admin(path), RESCUED).await?;
        let lost = [
            "--max-count=1",
            tip.as_str(),
            "--not",
            target.as_str(),
            "--remotes=origin",
            "--glob=refs/optio/kept/*",
        ];
        let lost = lost
            .into_iter()
            .chain(rescued.as_ref().map(CommitId::as_str));
        if self.count(On::Repo, lost).await? > 0 {
            self.keep(branch, &tip).await?;
        }
        Ok(())
    }

    /// Makes a worktree that is there be at a commit, on a branch or on none, with nothing else in it but ignored
    /// files. False if git cannot do that with what it finds.
    async fn checkout(
        &self,
        path: &WorkspacePath,
        branch: Option<&str>,
        target: &CommitId,
    ) -> Result<bool, GitError> {
        if let Some(branch) = branch {
            self.spare(path, branch, target).await?;
        }
        let admin = self.admin(path);
        let unfinished: Vec<String> = UNFINISHED
            .iter()
            .map(|name| format!("{admin}/{name}"))
            .collect();
        let args = ["-rf", "--"].into_iter();
        self.plain(
            STEP,
            "rm",
            args.chain(unfinished.iter().map(String::as_str)),
        )
        .await?;
        let on = On::Worktree(path);
        let checkout = self.local(on, ["checkout", "--quiet", "--force"]);
        let checkout = match branch {
            Some(branch) => checkout
                .args(["--ignore-other-worktrees", "--no-track", "-B"])
                .arg(branch),
            None => checkout.arg("--detach"),
        };
        let checkout = checkout.args([target.as_str(), "--"]);
        let clean = self.local(
            on,
            ["clean", "--quiet", "-d", "--force", "--force", "--", ":/"],
        );
        for command in [checkout, clean] {
            let output = self.run(STEP, Reach::Local, command).await?;
            if !output.success() {
                tracing::warn!(workspace = %self.workspace, %path, error = %output.stderr_text(), "making the worktree anew");
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes a worktree at a commit, on a branch or on none, submodules included. What is in the way goes.
    async fn add(
        &self,
        path: &WorkspacePath,
        ground: Ground,
        branch: Option<&str>,
        target: &CommitId,
    ) -> Result<(), GitError> {
        if ground == Ground::Taken {
            if let Some(branch) = branch {
                self.spare(path, branch, target).await?;
            }
            self.discard(path).await?;
        }
        let absolute = self.absolute(path);
        let add = self
            .local(
                On::Repo,
                ["worktree", "add", "--quiet", "--force", "--force"],
            )
            .args(["--detach", "--", &absolute, target.as_str()]);
        // side by side with the files, which take longest; neither is dropped half done because the other fails
        let (added, moved) = tokio::join!(self.must(STEP, add), async {
            let Some(branch) = branch else {
                return Ok(());
            };
            if ground == Ground::Vacant {
                self.spare(path, branch, target).await?;
            }
            self.set_ref(On::Repo, &heads(branch), target).await
        });
        added?;
        moved?;
        let (head, on_branch, filled) = tokio::join!(
            self.resolve(On::Admin(path), "HEAD"),
            async {
                match branch {
                    Some(branch) => {
                        let (entered, assigned) =
                            tokio::join!(self.enter(path, branch), self.assign(path, branch));
                        entered.and(assigned)
                    }
                    None => Ok(()),
                }
            },
            self.fill_submodules(path)
        );
        if head?.as_ref() != Some(target) {
            // git knows it by another name: the last part of the path holds what no ref may hold
            let name = name_of(path);
            let message = format!("{name:?} cannot be the name of a worktree in this clone");
            return Err(GitError::says(STEP, message));
        }
        on_branch.and(filled)
    }

    /// Fetches submodules as far as that is possible.
    async fn fill_submodules(&self, path: &WorkspacePath) -> Result<(), GitError> {
        let file = format!("{}/.gitmodules", self.absolute(path));
        if !self.plain(STEP, "test", ["-e", &file]).await?.success() {
            return Ok(());
        }
        let update = self.git(On::Inside(path), Reach::Remote).args([
            "submodule",
            "--quiet",
            "update",
            "--init",
            "--recursive",
        ]);
        let problem = match self.run(STEP, Reach::Remote, update).await {
            Ok(output) if output.success() => return Ok(()),
            Ok(output) => output.stderr_text(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(workspace = %self.workspace, %path, problem, "submodules could not be fetched");
        Ok(())
    }

    /// Removes a worktree with all that is in it, and the local branch `branch` unless another worktree is on it.
    /// No error if there is none. What is to be kept was rescued before.
    pub(crate) async fn remove_worktree(
        &self,
        path: &WorkspacePath,
        branch: Option<&str>,
    ) -> Result<(), GitError> {
        self.discard(path).await?;
        let Some(branch) = branch else {
            return Ok(());
        };
        if !self.has_clone().await? {
            return Ok(());
        }
        let list = self.local(On::Repo, ["worktree", "list", "--porcelain", "-z"]);
        let line = format!("branch {}", heads(branch));
        let used = self
            .must(STEP, list)
            .await?
            .split('\0')
            .any(|field| field == line);
        if used {
            return Ok(());
        }
        self.drop_ref(On::Repo, &heads(branch)).await
    }

    /// Removes a worktree's folder and what the clone knows of it.
    async fn discard(&self, path: &WorkspacePath) -> Result<(), GitError> {
        let (absolute, admin) = (self.absolute(path), self.admin(path));
        let remove = ["-rf", "--", absolute.as_str(), admin.as_str()];
        if self.plain(STEP, "rm", remove).await?.success() {
            return Ok(());
        }
        // caches of some tools are read-only folders
        self.plain(STEP, "chmod", ["-R", "u+rwX", "--", &absolute])
            .await?;
        let removed = self.plain(STEP, "rm", remove).await?;
        if removed.success() {
            Ok(())
        } else {
            Err(GitError::of(STEP, &removed))
        }
    }

    /// The worktrees of the workspace: those that the clone knows and those whose folder is there.
    pub(crate) async fn list_worktrees(&self) -> Result<Vec<WorkspacePath>, GitError> {
        let below = |folder: &str| {
            let folder = format!("{}/{folder}", self.root);
            async move {
                if !self.is_folder(&folder).await? {
                    return Ok(String::new());
                }
                let args = [
                    folder.as_str(),
                    "-mindepth",
                    "1",
                    "-maxdepth",
                    "1",
                    "-type",
                    "d",
                    "-print0",
                ];
                let found = self.plain(STEP, "find", args).await?;
                Ok::<_, GitError>(String::from_utf8_lossy(&found.stdout).into_owned())
            }
        };
        let folders = below(WORKTREES).await?;
        let known = below(&format!("{REPO}/worktrees")).await?;
        let mut names: Vec<&str> = folders
            .split('\0')
            .chain(known.split('\0'))
            .filter_map(|path| path.rsplit('/').next())
            .filter(|name| !name.is_empty())
            .collect();
        names.sort_unstable();
        names.dedup();
        let worktrees = WorkspacePath::root().child(WORKTREES);
        Ok(names
            .into_iter()
            .map(|name| worktrees.child(name))
            .collect())
    }

    /// Whether a worktree is there and the git of whoever works in it finds the same repository as ours.
    async fn is_usable(&self, path: &WorkspacePath) -> Result<bool, GitError> {
        if !self.is_folder(&self.absolute(path)).await?
            || self.resolve(On::Admin(path), "HEAD").await?.is_none()
        {
            return Ok(false);
        }
        let command = self.local(On::Inside(path), ["rev-parse", "--absolute-git-dir"]);
        let found = self.maybe(STEP, command).await?;
        let wanted = format!("/{REPO}/worktrees/{}", name_of(path));
        Ok(found.is_some_and(|found| found.ends_with(&wanted)))
    }
}
