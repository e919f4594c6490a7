//! What a worktree holds that the remote does not, as one commit. The worktree and its index stay as they are.

use super::{
    Git, GitError, Identity, Operation,
    command::{On, Reach, tracking, with_env},
    name_of,
};
use crate::{classify::GitStep, pull_request::CommitId, workspace::WorkspacePath};

/// A worktree's own ref: the branch that it was made for, whatever branch the agent is on.
pub(super) const ASSIGNED: &str = "refs/worktree/optio-branch";

/// A worktree's own ref: the snapshot that was last pushed to a rescue ref.
pub(super) const RESCUED: &str = "refs/worktree/optio-rescued";

/// Where work is set aside in the clone.
const KEPT: &str = "refs/optio/kept";

const STEP: GitStep = GitStep::Worktree;

impl Git<'_> {
    /// All that is in a worktree and not on the remote, as a commit: its head, or a new commit on top of it with the
    /// uncommitted files. None if there is nothing of the kind, or no worktree. The same contents always give the same
    /// commit. What the remote has is what was last fetched.
    ///
    /// `base` is what files without any history are compared with.
    pub(super) async fn unsaved(
        &self,
        path: &WorkspacePath,
        base: Option<&str>,
    ) -> Result<Option<CommitId>, GitError> {
        let folder = self.is_folder(&self.absolute(path)).await?;
        let Some(head) = self.resolve(On::Admin(path), "HEAD").await? else {
            return if folder {
                self.stray_files(path, base).await
            } else {
                Ok(None)
            };
        };
        // a worktree whose index is broken counts as dirty: its files are looked at one by one
        let tree = if folder && self.is_dirty(path).await.unwrap_or(true) {
            Some(self.write_tree(path, On::Worktree(path), &head).await?)
        } else {
            None
        };
        let head_tree = self.tree_of(On::Admin(path), &head).await?;
        let tree = tree.filter(|tree| *tree != head_tree);
        let mut parents = vec![head.clone()];
        // in the middle of a rebase or merge, or on another branch, there is work beside the head
        for name in [ASSIGNED, "MERGE_HEAD"] {
            let Some(tip) = self.resolve(On::Admin(path), name).await? else {
                continue;
            };
            let selection = [
                "--max-count=1",
                tip.as_str(),
                "--not",
                head.as_str(),
                "--remotes=origin",
            ];
            if !parents.contains(&tip) && self.count(On::Admin(path), selection).await? > 0 {
                parents.push(tip);
            }
        }
        if tree.is_some() || parents.len() > 1 {
            let tree = tree.unwrap_or(head_tree);
            let commit = self.commit_tree(On::Admin(path), &tree, &parents).await?;
            return Ok(Some(commit));
        }
        let selection = ["--max-count=1", head.as_str(), "--not", "--remotes=origin"];
        let unsaved = self.count(On::Admin(path), selection).await? > 0;
        Ok(unsaved.then_some(head))
    }

    /// The files of a folder that the clone does not know as a worktree, on top of the base branch.
    async fn stray_files(
        &self,
        path: &WorkspacePath,
        base: Option<&str>,
    ) -> Result<Option<CommitId>, GitError> {
        let absolute = self.absolute(path);
        let args = [
            absolute.as_str(),
            "-mindepth",
            "1",
            "-name",
            ".git",
            "-prune",
        ];
        let args = args.into_iter().chain(["-o", "-type", "f", "-print"]);
        if self
            .plain(STEP, "find", args)
            .await?
            .stdout_text()
            .is_empty()
        {
            return Ok(None);
        }
        let base = match base {
            Some(base) => self.resolve(On::Repo, &tracking(base)).await?,
            None => None,
        };
        let parents: Vec<CommitId> = base.into_iter().collect();
        let tree = match parents.first() {
            Some(base) => {
                let tree = self.write_tree(path, On::Folder(path), base).await?;
                if tree == self.tree_of(On::Repo, base).await? {
                    return Ok(None);
                }
                tree
            }
            None => self.index_tree(On::Folder(path), None).await?,
        };
        self.commit_tree(On::Repo, &tree, &parents).await.map(Some)
    }

    /// Sets aside in the clone what discarding a worktree's contents would lose, unless it was rescued before.
    pub(super) async fn keep_aside(&self, path: &WorkspacePath) -> Result<(), GitError> {
        let Some(commit) = self.unsaved(path, None).await? else {
            return Ok(());
        };
        if self.resolve(On::Admin(path), RESCUED).await?.as_ref() == Some(&commit) {
            return Ok(());
        }
        self.keep(name_of(path), &commit).await
    }

    /// Sets a commit aside in the clone.
    pub(super) async fn keep(&self, name: &str, commit: &CommitId) -> Result<(), GitError> {
        let kept = format!("{KEPT}/{name}/{}", commit.short());
        tracing::warn!(workspace = %self.workspace, kept, %commit, "setting work aside that was not rescued");
        self.set_ref(On::Repo, &kept, commit).await
    }

    /// Whether a worktree holds changes that are not committed. Untracked files count, and so do submodules at another
    /// commit, but not files inside of them.
    pub(super) async fn is_dirty(&self, path: &WorkspacePath) -> Result<bool, GitError> {
        let status = self.local(
            On::Worktree(path),
            [
                "status",
                "--porcelain",
                "-z",
                "--untracked-files=normal",
                "--ignore-submodules=dirty",
            ],
        );
        self.must(STEP, status).await.map(|text| !text.is_empty())
    }

    /// What git is in the middle of in a worktree.
    pub(super) async fn operation(
        &self,
        path: &WorkspacePath,
    ) -> Result<Option<Operation>, GitError> {
        let admin = self.admin(path);
        let found = self
            .plain(STEP, "find", [admin.as_str(), "-maxdepth", "1"])
            .await?
            .stdout_text();
        let has = |name: &str| {
            found
                .lines()
                .any(|line| line.ends_with(&format!("/{name}")))
        };
        Ok(if has("rebase-merge") || has("rebase-apply") {
            Some(Operation::Rebase)
        } else if has("MERGE_HEAD") {
            Some(Operation::Merge)
        } else if has("CHERRY_PICK_HEAD") || has("REVERT_HEAD") {
            Some(Operation::CherryPick)
        } else {
            None
        })
    }

    /// The files as they are, as a tree: a copy of the worktree's index knows which ones have not changed.
    async fn write_tree(
        &self,
        path: &WorkspacePath,
        on: On<'_>,
        parent: &CommitId,
    ) -> Result<String, GitError> {
        let index = format!("{}/index", self.admin(path));
        self.index_tree(on, Some((&index, parent))).await
    }

    /// Adds all files to a passing index of their own and writes it as a tree. The index starts as a copy of a file, or
    /// as a commit if there is no such file.
    async fn index_tree(
        &self,
        on: On<'_>,
        start: Option<(&str, &CommitId)>,
    ) -> Result<String, GitError> {
        let index = format!("{}/optio-index-{:016x}", self.repo(), rand::random::<u64>());
        let tree = self.fill_index(on, start, &index).await;
        let lock = format!("{index}.lock");
        self.plain(STEP, "rm", ["-f", "--", &index, &lock]).await?;
        tree
    }

    async fn fill_index(
        &self,
        on: On<'_>,
        start: Option<(&str, &CommitId)>,
        index: &str,
    ) -> Result<String, GitError> {
        let with_index =
            |command| with_env(command, [("GIT_INDEX_FILE".into(), index.into())].into());
        if let Some((file, commit)) = start {
            let copied = self.plain(STEP, "cp", ["--", file, index]).await?;
            let list = with_index(self.local(on, ["ls-files", "--unmerged"]));
            let readable = copied.success() && self.run(STEP, Reach::Local, list).await?.success();
            if !readable {
                self.plain(STEP, "rm", ["-f", "--", index]).await?;
                let read = self.local(on, ["read-tree", commit.as_str()]);
                self.must(STEP, with_index(read)).await?;
            }
        }
        let add = self.local(on, ["add", "--all", "--ignore-errors", "--", ":/"]);
        let added = self.run(STEP, Reach::Local, with_index(add)).await?;
        if !added.success() {
            // a file that cannot be read must not keep the others from being saved
            tracing::warn!(workspace = %self.workspace, error = %added.stderr_text(), "not all files could be saved");
        }
        self.must(STEP, with_index(self.local(on, ["write-tree"])))
            .await
    }

    /// Makes a commit of Optio's. Its time is that of its parent, so that the same contents give the same commit.
    async fn commit_tree(
        &self,
        on: On<'_>,
        tree: &str,
        parents: &[CommitId],
    ) -> Result<CommitId, GitError> {
        let time = match parents.first() {
            Some(parent) => {
                let log = self.local(
                    on,
                    [
                        "log",
                        "-1",
                        "--no-show-signature",
                        "--format=%ct",
                        parent.as_str(),
                        "--",
                    ],
                );
                self.must(STEP, log).await?
            }
            None => "0".to_owned(),
        };
        let mut commit = self.local(on, ["commit-tree", tree]);
        for parent in parents {
            commit = commit.args(["-p", parent.as_str()]);
        }
        commit = commit
            .args(["-F", "-"])
            .stdin("Save uncommitted work\n\nThe files as they were when the run ended.\n")
            .env("GIT_AUTHOR_DATE", format!("@{time} +0000"))
            .env("GIT_COMMITTER_DATE", format!("@{time} +0000"));
        let commit = with_env(commit, Identity::default().env());
        self.must(STEP, commit).await.map(CommitId::new)
    }

    async fn tree_of(&self, on: On<'_>, commit: &CommitId) -> Result<String, GitError> {
        let name = format!("{commit}^{{tree}}");
        let parse = self.local(on, ["rev-parse", "--verify", &name]);
        self.must(STEP, parse).await
    }
}
