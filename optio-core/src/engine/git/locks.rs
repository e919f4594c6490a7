//! What a killed git left behind and every later one stumbles over: lock files, and worktrees that are half made.

use super::{Git, GitError, command::Reach};
use crate::{classify::GitStep, runtime::Command, workspace::WorkspacePath};

/// The age from which a lock counts as left behind where it cannot be told who is alive. Minutes.
const OLD_MINUTES: &str = "+15";

impl Git<'_> {
    /// Clears away what `stderr` complains of, if it belongs to this workspace and no git is at work here.
    pub(super) async fn clear_leftovers(
        &self,
        step: GitStep,
        stderr: &str,
    ) -> Result<(), GitError> {
        self.clear_stale_lock(step, stderr).await?;
        self.mend_worktree(step, stderr).await
    }

    /// Gives a worktree the file back that says where its repository is. Git writes it when it adds one; as long as it
    /// is empty, every git command that looks at worktrees dies. What is in it is the same for all.
    async fn mend_worktree(&self, step: GitStep, stderr: &str) -> Result<(), GitError> {
        let Some(file) = half_written(stderr).filter(|file| {
            file.starts_with(&format!("{}/worktrees/", self.repo())) && !file.contains("/../")
        }) else {
            return Ok(());
        };
        if self.git_is_alive(step).await? == Some(true) {
            return Ok(());
        }
        tracing::warn!(workspace = %self.workspace, file, "mending a worktree that a killed git left half made");
        let command = Command::new("tee")
            .args(["--", file])
            .in_dir(WorkspacePath::root())
            .stdin("../..\n");
        self.once(step, Reach::Local, command).await.map(drop)
    }

    /// Removes a lock file.
    async fn clear_stale_lock(&self, step: GitStep, stderr: &str) -> Result<(), GitError> {
        let Some(lock) = lock_file(stderr).filter(|lock| {
            lock.starts_with(&format!("{}/", self.repo())) && !lock.contains("/../")
        }) else {
            return Ok(());
        };
        let left_behind = match self.git_is_alive(step).await? {
            Some(alive) => !alive,
            None => {
                let args = [lock, "-maxdepth", "0", "-mmin", OLD_MINUTES];
                let old = self.plain(step, "find", args).await?;
                !old.stdout_text().is_empty()
            }
        };
        if left_behind {
            tracing::warn!(workspace = %self.workspace, lock, "removing a lock that a killed git left behind");
            self.plain(step, "rm", ["-f", "--", lock]).await?;
        }
        Ok(())
    }

    /// Whether a git is at work in this workspace; none if this system does not tell. An agent's git and ours both run
    /// in a folder of the workspace.
    async fn git_is_alive(&self, step: GitStep) -> Result<Option<bool>, GitError> {
        let args = [
            "/proc",
            "-maxdepth",
            "2",
            "-path",
            "/proc/[0-9]*/comm",
            "-exec",
            "grep",
            "-lx",
            "git",
            "{}",
            "+",
        ];
        if !self.is_folder("/proc/self").await? {
            return Ok(None);
        }
        // both complain of processes that ended meanwhile; what they print counts
        let found = self.plain(step, "find", args).await?.stdout_text();
        for comm in found.lines() {
            let Some(process) = comm.strip_suffix("/comm") else {
                continue;
            };
            let folder = self
                .plain(step, "readlink", [format!("{process}/cwd").as_str()])
                .await?
                .stdout_text();
            // no folder: it has ended, or it is somebody else's
            if !folder.is_empty() && self.is_ours(step, &folder).await? {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }

    /// Whether a folder, all links resolved, lies in this workspace.
    async fn is_ours(&self, step: GitStep, folder: &str) -> Result<bool, GitError> {
        let root = self
            .plain(step, "readlink", ["-f", self.root.as_str()])
            .await?;
        let root = root.stdout_text();
        let root = if root.is_empty() { &self.root } else { &root };
        Ok(folder == root || folder.starts_with(&format!("{root}/")))
    }
}

/// The file in `fatal: failed to read .../worktrees/NAME/commondir: Success`: reading worked, and there was nothing.
pub(super) fn half_written(stderr: &str) -> Option<&str> {
    const FILE: &str = "/commondir";
    let (_, rest) = stderr.split_once("failed to read ")?;
    rest.get(..rest.find(FILE)? + FILE.len())
}

/// The lock file in `Unable to create '....lock': File exists`.
fn lock_file(stderr: &str) -> Option<&str> {
    let (_, rest) = stderr.split_once("nable to create '")?;
    let (path, _) = rest.split_once("': File exists")?;
    path.ends_with(".lock").then_some(path)
}
