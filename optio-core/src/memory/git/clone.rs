//! A clone on the disk of a workspace: refs, heads and indexes of it and of its worktrees, as files.

use std::collections::BTreeMap;

use super::{
    disk::{DOT_GIT, Disk},
    object::{Objects, Tree},
};
use crate::pull_request::CommitId;

/// The git folder of a clone or of one of its worktrees, as a path on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GitDir(pub(super) String);

impl GitDir {
    /// That of a worktree, by its folder.
    pub(super) fn of_worktree(disk: &Disk, folder: &str) -> Option<Self> {
        let file = disk.read_text(&join(folder, DOT_GIT))?;
        file.strip_prefix("gitdir: ")
            .map(|path| Self(path.to_owned()))
    }

    /// That of the clone, which a worktree's refs are in as well.
    pub(super) fn common(&self) -> &str {
        (self.0.split_once("/worktrees/")).map_or(&self.0, |(common, _)| common)
    }

    /// The file of a ref.
    fn file(&self, name: &str) -> String {
        if name.starts_with("refs/") && !name.starts_with("refs/worktree/") {
            join(self.common(), name)
        } else {
            join(&self.0, name)
        }
    }

    pub(super) fn index(&self) -> String {
        join(&self.0, "index")
    }

    /// What a ref that names another ref names.
    pub(super) fn symbolic(&self, disk: &Disk, name: &str) -> Option<String> {
        let content = disk.read_text(&self.file(name))?;
        content.strip_prefix("ref: ").map(str::to_owned)
    }

    pub(super) fn set_symbolic(&self, disk: &mut Disk, name: &str, target: &str) {
        disk.write(&self.file(name), format!("ref: {target}"));
    }

    /// The commit that a ref stands for, through one that it names.
    pub(super) fn get(&self, disk: &Disk, name: &str) -> Option<CommitId> {
        let name = self.symbolic(disk, name).unwrap_or_else(|| name.to_owned());
        disk.read_text(&self.file(&name)).map(CommitId::new)
    }

    /// Makes a ref stand for a commit; one that names another ref moves that one.
    pub(super) fn set(&self, disk: &mut Disk, name: &str, to: &CommitId) {
        let name = self.symbolic(disk, name).unwrap_or_else(|| name.to_owned());
        disk.write(&self.file(&name), to.to_string());
    }

    pub(super) fn unset(&self, disk: &mut Disk, name: &str) {
        disk.remove(&self.file(name));
    }

    /// The refs of the clone below a prefix, by full name.
    pub(super) fn refs(&self, disk: &Disk, prefix: &str) -> BTreeMap<String, CommitId> {
        let files = disk.below(self.common()).into_iter();
        files
            .filter(|(name, _)| name.starts_with("refs/") && name.starts_with(prefix))
            .map(|(name, content)| {
                let commit = CommitId::new(String::from_utf8_lossy(content));
                (name.to_owned(), commit)
            })
            .collect()
    }

    /// The commit that a name stands for: a ref, or a commit by its full name.
    pub(super) fn resolve(&self, disk: &Disk, objects: &Objects, name: &str) -> Option<CommitId> {
        let commit = CommitId::new(name);
        if objects.get(&commit).is_some() {
            return Some(commit);
        }
        self.get(disk, name)
    }

    /// The files of an index.
    pub(super) fn read_index(disk: &Disk, objects: &Objects, index: &str) -> Tree {
        let id = disk.read_text(index).unwrap_or_default();
        objects.read_tree(&id).cloned().unwrap_or_default()
    }

    pub(super) fn write_index(disk: &mut Disk, objects: &mut Objects, index: &str, tree: Tree) {
        let id = objects.write_tree(tree);
        disk.write(index, id);
    }

    /// The worktrees of the clone: their git folder and their folder.
    pub(super) fn worktrees(&self, disk: &Disk) -> Vec<(Self, String)> {
        let folder = join(self.common(), "worktrees");
        let names = disk.names_in(&folder).into_iter();
        names
            .filter_map(|name| {
                let admin = Self(join(&folder, name));
                let folder = disk.read_text(&join(&admin.0, "gitdir"))?;
                Some((admin, folder))
            })
            .collect()
    }
}

pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}
