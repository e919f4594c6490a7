//! The disk of a workspace in memory. Clones lie on it as folders, as those of real git do: refs, heads and indexes are
//! files, so that whatever moves, copies or removes files does the same to them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::object::Tree;
use crate::{id::WorkspaceId, workspace::WorkspacePath};

/// The folder of a workspace as its commands see it.
pub(in crate::memory) fn root_of(workspace: WorkspaceId) -> String {
    format!("/memory/{workspace}")
}

/// A path as a command spells it, seen from `dir`; none if it lies outside the workspace.
pub(in crate::memory) fn path_in(
    workspace: WorkspaceId,
    dir: &WorkspacePath,
    path: &str,
) -> Option<WorkspacePath> {
    let path = match path.strip_prefix(&root_of(workspace)) {
        Some(inside) => inside.to_owned(),
        None if path.starts_with('/') => return None,
        None => format!("{}/{path}", dir.as_str()),
    };
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    WorkspacePath::new(parts.collect::<Vec<_>>().join("/")).ok()
}

/// All that lies in one workspace.
#[derive(Debug, Default)]
pub(super) struct Disk {
    files: BTreeMap<String, Bytes>,
    /// Folders that were made by themselves; those of files are there anyway.
    folders: BTreeSet<String>,
}

/// What stands in each worktree to name its clone; never part of a commit.
pub(super) const DOT_GIT: &str = ".git";

impl Disk {
    pub(super) fn read(&self, path: &str) -> Option<&Bytes> {
        self.files.get(path)
    }

    pub(super) fn read_text(&self, path: &str) -> Option<String> {
        let content = self.read(path)?;
        Some(String::from_utf8_lossy(content).trim_end().to_owned())
    }

    pub(super) fn write(&mut self, path: &str, content: impl Into<Bytes>) {
        self.files.insert(path.to_owned(), content.into());
    }

    pub(super) fn make_folder(&mut self, path: &str) {
        self.folders.insert(path.to_owned());
    }

    pub(super) fn is_folder(&self, path: &str) -> bool {
        let below = |other: &String| inside(other, path).is_some();
        path.is_empty()
            || self.folders.contains(path)
            || self.files.keys().any(below)
            || self.folders.iter().any(below)
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.is_folder(path)
    }

    /// Takes a file away, or a folder with all that is in it.
    pub(super) fn remove(&mut self, path: &str) {
        let stays = |other: &String| other != path && inside(other, path).is_none();
        self.files.retain(|other, _| stays(other));
        self.folders.retain(stays);
    }

    /// Gives a file or folder another name.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let moved = |path: String| match path.strip_prefix(from) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{to}{rest}"),
            _ => path,
        };
        let files = std::mem::take(&mut self.files).into_iter();
        self.files = files
            .map(|(path, content)| (moved(path), content))
            .collect();
        let folders = std::mem::take(&mut self.folders).into_iter();
        self.folders = folders.map(moved).collect();
    }

    /// The files below a folder, by their path from there.
    pub(super) fn below(&self, folder: &str) -> BTreeMap<&str, &Bytes> {
        let files = self.files.iter();
        files
            .filter_map(|(path, content)| Some((inside(path, folder)?, content)))
            .collect()
    }

    /// The names of what lies directly in a folder.
    pub(super) fn names_in(&self, folder: &str) -> BTreeSet<&str> {
        let paths = self.files.keys().chain(&self.folders);
        paths
            .filter_map(|path| inside(path, folder)?.split('/').next())
            .collect()
    }

    /// What a folder holds, as git would add it.
    pub(super) fn tree(&self, folder: &str) -> Tree {
        let files = self.below(folder).into_iter();
        files
            .filter(|(path, _)| *path != DOT_GIT)
            .map(|(path, content)| (path.to_owned(), content.clone()))
            .collect()
    }

    /// Makes a folder hold exactly this.
    pub(super) fn check_out(&mut self, folder: &str, tree: &Tree) {
        self.files
            .retain(|path, _| inside(path, folder).is_none_or(|path| path == DOT_GIT));
        self.make_folder(folder);
        for (path, content) in tree {
            self.write(&format!("{folder}/{path}"), content.clone());
        }
    }
}

/// A path seen from a folder that it lies in.
fn inside<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    if folder.is_empty() {
        return Some(path).filter(|path| !path.is_empty());
    }
    path.strip_prefix(folder)?.strip_prefix('/')
}
