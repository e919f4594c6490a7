//! Git in memory: remotes, clones and worktrees as maps, and answers to the git commands that the engine gives.
//!
//! It is no git: it knows the commands and options that Optio uses, and says `fake git does not know` to all others, so
//! that a test fails loudly when the two drift apart.

mod object;
mod disk;
mod clone;
mod command;
mod plain;
mod plumbing;
mod transport;
mod probe;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

pub(super) use self::disk::{path_in, root_of};
use self::{
    clone::GitDir,
    disk::Disk,
    object::{Merged, Objects},
};
use crate::{
    id::WorkspaceId,
    pull_request::CommitId,
    repo::RepoUrl,
    runtime::{Command, ExecOutput},
    workspace::WorkspacePath,
};

/// A world of git repositories, shared between a [`MemoryRuntime`](super::MemoryRuntime) and a
/// [`MemoryForge`](super::MemoryForge). Clones are the same world.
#[derive(Debug, Clone, Default)]
pub struct FakeGit {
    world: Arc<Mutex<World>>,
    listeners: Arc<Mutex<Vec<Listener>>>,
}

#[derive(Debug, Default)]
struct World {
    objects: Objects,
    /// By the identity of their address.
    remotes: BTreeMap<String, Remote>,
    disks: BTreeMap<WorkspaceId, Disk>,
    unknown: Vec<String>,
}

#[derive(Debug, Default)]
struct Remote {
    default_branch: String,
    refs: BTreeMap<String, CommitId>,
    unreachable: Option<String>,
    declines: Option<String>,
}

#[derive(Clone)]
struct Listener(Arc<dyn Fn(&Push) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// A ref of a remote that moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The [identity](RepoUrl::identity) of the remote.
    pub repo: String,
    /// The ref's full name.
    pub name: String,
    /// Where it is now; none if it was deleted.
    pub to: Option<CommitId>,
}

impl FakeGit {
    /// A world without repositories.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a remote whose default branch holds these files, and gives that branch's commit.
    pub fn add_remote(
        &self,
        url: &RepoUrl,
        default_branch: &str,
        files: &[(&str, &str)],
    ) -> CommitId {
        let remote = Remote {
            default_branch: default_branch.to_owned(),
            ..Remote::default()
        };
        self.lock()
            .remotes
            .insert(url.identity().to_owned(), remote);
        self.push(url, default_branch, files, "Start")
    }

    /// Pushes a commit with these files changed on top of a branch of a remote; one that is not there yet starts at the
    /// default branch. Somebody else's push, as the engine sees it.
    pub fn push(
        &self,
        url: &RepoUrl,
        branch: &str,
        files: &[(&str, &str)],
        message: &str,
    ) -> CommitId {
        let name = heads(branch);
        let commit = {
            let mut world = self.lock();
            let World {
                objects, remotes, ..
            } = &mut *world;
            let remote = remotes.entry(url.identity().to_owned()).or_default();
            let parent = remote
                .refs
                .get(&name)
                .or_else(|| remote.refs.get(&heads(&remote.default_branch)));
            let mut tree = parent
                .map(|parent| objects.tree(parent))
                .unwrap_or_default();
            for (path, content) in files {
                tree.insert(
                    (*path).to_owned(),
                    Bytes::copy_from_slice(content.as_bytes()),
                );
            }
            let commit = objects.commit(tree, parent.cloned().into_iter().collect(), message);
            remote.refs.insert(name.clone(), commit.clone());
            commit
        };
        self.tell(&[Push {
            repo: url.identity().to_owned(),
            name,
            to: Some(commit.clone()),
        }]);
        commit
    }

    /// Lets a remote answer nothing but this message, or work again.
    pub fn set_unreachable(&self, url: &RepoUrl, message: Option<&str>) {
        if let Some(remote) = self.lock().remotes.get_mut(url.identity()) {
            remote.unreachable = message.map(str::to_owned);
        }
    }

    /// Lets a remote decline every push in these words, as a rule or hook does, or take them again.
    pub fn set_declines(&self, url: &RepoUrl, reason: Option<&str>) {
        if let Some(remote) = self.lock().remotes.get_mut(url.identity()) {
            remote.declines = reason.map(str::to_owned);
        }
    }

    /// The default branch of a remote; none if there is no such remote.
    #[must_use]
    pub fn default_branch(&self, url: &RepoUrl) -> Option<String> {
        (self.lock().remotes.get(url.identity())).map(|remote| remote.default_branch.clone())
    }

    /// The last commit of a branch of a remote.
    #[must_use]
    pub fn branch(&self, url: &RepoUrl, branch: &str) -> Option<CommitId> {
        self.refs(url).remove(&heads(branch))
    }

    /// The refs of a remote, by full name.
    #[must_use]
    pub fn refs(&self, url: &RepoUrl) -> BTreeMap<String, CommitId> {
        (self.lock().remotes.get(url.identity()))
            .map(|remote| remote.refs.clone())
            .unwrap_or_default()
    }

    /// The files of a commit as text, by path.
    #[must_use]
    pub fn files(&self, commit: &CommitId) -> BTreeMap<String, String> {
        let tree = self.lock().objects.tree(commit).into_iter();
        tree.map(|(path, content)| (path, String::from_utf8_lossy(&content).into_owned()))
            .collect()
    }

    /// The messages of a commit and all that lead to it, the newest first.
    #[must_use]
    pub fn log(&self, commit: &CommitId) -> Vec<String> {
        let world = self.lock();
        let history = world.objects.history(commit).into_iter();
        history
            .filter_map(|id| Some(world.objects.get(&id)?.message.clone()))
            .collect()
    }

    /// The files that both commits changed, differently, since they parted.
    #[must_use]
    pub fn conflicts(&self, one: &CommitId, other: &CommitId) -> Vec<String> {
        match self.lock().objects.merge(one, other) {
            Merged::Clean(_) => Vec::new(),
            Merged::Conflicting(_, files) => files,
        }
    }

    /// Whether all of one commit is contained in another.
    #[must_use]
    pub fn is_ancestor(&self, ancestor: &CommitId, of: &CommitId) -> bool {
        self.lock().objects.is_ancestor(ancestor, of)
    }

    /// Puts the changes of a commit onto a branch of a remote as one commit, unless there are conflicts.
    pub(super) fn squash(
        &self,
        url: &RepoUrl,
        base: &str,
        head: &CommitId,
        message: &str,
    ) -> Option<CommitId> {
        let name = heads(base);
        let commit = {
            let mut world = self.lock();
            let World {
                objects, remotes, ..
            } = &mut *world;
            let onto = remotes.get_mut(url.identity())?.refs.get_mut(&name)?;
            let Merged::Clean(tree) = objects.merge(onto, head) else {
                return None;
            };
            *onto = objects.commit(tree, vec![onto.clone()], message);
            onto.clone()
        };
        self.tell(&[Push {
            repo: url.identity().to_owned(),
            name,
            to: Some(commit.clone()),
        }]);
        Some(commit)
    }

    /// Calls this after every push.
    pub(super) fn on_push(&self, listener: impl Fn(&Push) + Send + Sync + 'static) {
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.push(Listener(Arc::new(listener)));
    }

    fn tell(&self, pushes: &[Push]) {
        let listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for push in pushes {
            for listener in &listeners {
                (listener.0)(push);
            }
        }
    }

    /// Every command that it did not know: empty as long as the engine and this world agree.
    #[must_use]
    pub fn unknown_commands(&self) -> Vec<String> {
        self.lock().unknown.clone()
    }

    /// Answers a command of a workspace; none if it is no program of this world.
    pub(super) fn exec(&self, workspace: WorkspaceId, command: &Command) -> Option<ExecOutput> {
        let mut pushes = Vec::new();
        let output = command::exec(&mut self.lock(), workspace, command, &mut pushes);
        self.tell(&pushes);
        output
    }

    /// Whether a folder of a workspace has uncommitted changes; none if it is no worktree.
    #[must_use]
    pub fn is_dirty(&self, workspace: WorkspaceId, worktree: &WorkspacePath) -> Option<bool> {
        self.in_worktree(workspace, worktree, |objects, disk, dir| {
            let head = dir.get(disk, "HEAD").map(|head| objects.tree(&head));
            disk.tree(worktree.as_str()) != head.unwrap_or_default()
        })
    }

    pub(super) fn read(&self, workspace: WorkspaceId, path: &WorkspacePath) -> Option<Bytes> {
        self.lock()
            .disks
            .get(&workspace)?
            .read(path.as_str())
            .cloned()
    }

    pub(super) fn write(&self, workspace: WorkspaceId, path: &WorkspacePath, content: Bytes) {
        self.disk(workspace, |disk| disk.write(path.as_str(), content));
    }

    pub(super) fn delete(&self, workspace: WorkspaceId, path: &WorkspacePath) {
        self.disk(workspace, |disk| disk.remove(path.as_str()));
    }

    /// Forgets the disk of a workspace.
    pub(super) fn forget(&self, workspace: WorkspaceId) {
        self.lock().disks.remove(&workspace);
    }

    /// Commits all that a worktree holds; none if nothing changed or it is no worktree.
    pub(super) fn commit_all(
        &self,
        workspace: WorkspaceId,
        worktree: &WorkspacePath,
        message: &str,
    ) -> Option<CommitId> {
        self.in_worktree(workspace, worktree, |objects, disk, dir| {
            let (files, parent) = (disk.tree(worktree.as_str()), dir.get(disk, "HEAD"));
            if parent
                .as_ref()
                .is_some_and(|parent| objects.tree(parent) == files)
            {
                return None;
            }
            let commit = objects.commit(files.clone(), parent.into_iter().collect(), message);
            GitDir::write_index(disk, objects, &dir.index(), files);
            dir.set(disk, "HEAD", &commit);
            Some(commit)
        })?
    }

    /// Merges a branch of the remote, as the clone knows it, into a worktree; the worktree's own files win.
    pub(super) fn merge_into(
        &self,
        workspace: WorkspaceId,
        worktree: &WorkspacePath,
        branch: &str,
    ) -> Option<CommitId> {
        self.in_worktree(workspace, worktree, |objects, disk, dir| {
            let theirs = dir.get(disk, &format!("refs/remotes/origin/{branch}"))?;
            let ours = dir.get(disk, "HEAD")?;
            let before = objects.tree(&ours);
            let (Merged::Clean(tree) | Merged::Conflicting(tree, _)) =
                objects.merge(&ours, &theirs);
            let commit =
                objects.commit(tree.clone(), vec![ours, theirs], &format!("Merge {branch}"));
            // what was not committed stays, as real git leaves it
            let mut files = tree.clone();
            for (path, content) in disk.tree(worktree.as_str()) {
                if before.get(&path) != Some(&content) {
                    files.insert(path, content);
                }
            }
            disk.check_out(worktree.as_str(), &files);
            GitDir::write_index(disk, objects, &dir.index(), tree);
            dir.set(disk, "HEAD", &commit);
            Some(commit)
        })?
    }

    fn in_worktree<T>(
        &self,
        workspace: WorkspaceId,
        worktree: &WorkspacePath,
        act: impl FnOnce(&mut Objects, &mut Disk, &GitDir) -> T,
    ) -> Option<T> {
        let mut world = self.lock();
        let World { objects, disks, .. } = &mut *world;
        let disk = disks.get_mut(&workspace)?;
        let dir = GitDir::of_worktree(disk, worktree.as_str())?;
        Some(act(objects, disk, &dir))
    }

    fn disk<T>(&self, workspace: WorkspaceId, act: impl FnOnce(&mut Disk) -> T) -> T {
        act(self.lock().disks.entry(workspace).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The full name of a branch.
fn heads(branch: &str) -> String {
    format!("refs/heads/{branch}")
}
