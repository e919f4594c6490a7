//! Lock files that a killed git left behind.

use super::{Git, GitError};
use crate::classify::GitStep;

/// The age from which a lock counts as left behind where it cannot be told who is alive. Minutes.
const OLD_MINUTES: &str = "+15";

impl Git<'_> {
    /// Removes the lock file that `stderr` complains of, if it belongs to this workspace and no git is at work here.
    pub(super) async fn clear_stale_lock(
        &self,
        step: GitStep,
        stderr: &str,
    ) -> Result<(), GitError> {
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

/// The lock file in `Unable to create '....lock': File exists`.
fn lock_file(stderr: &str) -> Option<&str> {
    let (_, rest) = stderr.split_once("nable to create '")?;
    let (path, _) = rest.split_once("': File exists")?;
    path.ends_with(".lock").then_some(path)
}
