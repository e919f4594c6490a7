//! Real git on real repositories, in folders with blanks and letters beyond ASCII in their names.

mod clone;
mod commit;
mod push;
mod rescue;
mod worktree;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{Git, WorktreeMode, test_runtime::ProcessRuntime};
use crate::{id::WorkspaceId, pull_request::CommitId, workspace::WorkspacePath};

/// The branch of the task.
const TASK: &str = "optio/fix-ä-b";

/// A remote, somebody else's clone of it, and a workspace.
struct World {
    folder: TempDir,
    runtime: ProcessRuntime,
    url: String,
}

/// Runs git as an agent or a person would, and gives its output.
fn git_in(dir: &Path, args: &[&str]) -> String {
    let (ok, text) = try_git_in(dir, args);
    assert!(ok, "git {args:?}: {text}");
    text
}

fn try_git_in(dir: &Path, args: &[&str]) -> (bool, String) {
    let output = Command::new("git")
        .args([
            "-c",
            "core.quotePath=false",
            "-c",
            "protocol.file.allow=always",
        ])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_EDITOR", "true")
        .env("GIT_AUTHOR_NAME", "Agent")
        .env("GIT_AUTHOR_EMAIL", "agent@localhost")
        .env("GIT_COMMITTER_NAME", "Agent")
        .env("GIT_COMMITTER_EMAIL", "agent@localhost")
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned();
    if !output.status.success() {
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    (output.status.success(), text)
}

impl World {
    /// With an empty remote.
    fn empty() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("optio gït ")
            .tempdir()
            .unwrap();
        let root = folder.path().join("work späce");
        fs::create_dir(&root).unwrap();
        git_in(
            folder.path(),
            &["init", "-q", "--bare", "-b", "main", "origin repo.git"],
        );
        let url = folder.path().join("origin repo.git");
        let url = url.to_str().unwrap().to_owned();
        Self {
            folder,
            runtime: ProcessRuntime { root },
            url,
        }
    }

    /// With one commit on `main`, and a clone in the workspace.
    async fn new() -> Self {
        let world = Self::empty();
        git_in(world.folder.path(), &["clone", "-q", &world.url, "other"]);
        world.other_commits("main", "readme.md", "hello\n");
        world.git().ensure_clone().await.unwrap();
        world
    }

    fn git(&self) -> Git<'_> {
        Git::new(&self.runtime, workspace(), &self.url, None)
    }

    /// Somebody else commits a file to a branch of the remote.
    fn other_commits(&self, branch: &str, file: &str, content: &str) -> CommitId {
        let other = self.folder.path().join("other");
        let _ = try_git_in(&other, &["fetch", "-q", "origin"]);
        let remote = format!("origin/{branch}");
        if !try_git_in(&other, &["checkout", "-q", "-B", branch, &remote]).0 {
            let _ = try_git_in(&other, &["checkout", "-q", "-B", branch]);
        }
        commit(&other, file, content);
        git_in(&other, &["push", "-q", "origin", &format!("HEAD:{branch}")]);
        head(&other)
    }

    fn root(&self) -> &Path {
        &self.runtime.root
    }

    fn dir(&self, path: &WorkspacePath) -> PathBuf {
        self.root().join(path.as_str())
    }

    /// A ref of the remote.
    fn on_remote(&self, name: &str) -> Option<CommitId> {
        let (found, text) =
            try_git_in(Path::new(&self.url), &["rev-parse", "-q", "--verify", name]);
        found.then(|| CommitId::new(text))
    }

    /// A file in a commit of the remote.
    fn file_on_remote(&self, commit: &str, file: &str) -> String {
        git_in(Path::new(&self.url), &["show", &format!("{commit}:{file}")])
    }

    /// A worktree for the task, fresh.
    async fn fresh(&self, path: &WorkspacePath) -> CommitId {
        self.ensure(path, WorktreeMode::Fresh).await
    }

    async fn ensure(&self, path: &WorkspacePath, mode: WorktreeMode) -> CommitId {
        let git = self.git();
        let site = git.survey(path, TASK, "main").await.unwrap();
        git.ensure_worktree(&site, mode).await.unwrap()
    }
}

fn workspace() -> WorkspaceId {
    WorkspaceId::from_uuid(uuid::Uuid::from_u128(7))
}

fn task(name: &str) -> WorkspacePath {
    WorkspacePath::root().child("worktrees").child(name)
}

fn commit(dir: &Path, file: &str, content: &str) -> CommitId {
    write(dir, file, content);
    git_in(dir, &["add", "--all"]);
    git_in(dir, &["commit", "-q", "-m", &format!("write {file}")]);
    head(dir)
}

fn write(dir: &Path, file: &str, content: &str) {
    let file = dir.join(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

fn head(dir: &Path) -> CommitId {
    CommitId::new(git_in(dir, &["rev-parse", "HEAD"]))
}

/// Leaves a worktree in the middle of a rebase that has a conflict in `clash.txt`.
fn stop_in_rebase(world: &World, dir: &Path) {
    commit(dir, "mine.txt", "mine\n");
    commit(dir, "clash.txt", "ours\n");
    world.other_commits("main", "clash.txt", "theirs\n");
    git_in(dir, &["fetch", "-q", "origin"]);
    assert!(!try_git_in(dir, &["rebase", "-q", "origin/main"]).0);
}
