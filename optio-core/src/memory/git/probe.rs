//! What is left of files anywhere in the world: how a test knows that no work was lost.

use std::collections::BTreeSet;

use super::{FakeGit, World, object::Objects};
use crate::pull_request::CommitId;

impl FakeGit {
    /// Which of these paths are still to be had: in a worktree of any workspace, or in a commit that some ref of a remote
    /// or of a clone leads to. A path tells nothing of the file's content: ask for paths that are written once.
    #[must_use]
    pub fn still_there(&self, paths: &BTreeSet<String>) -> BTreeSet<String> {
        let world = self.lock();
        let mut found = BTreeSet::new();
        for disk in world.disks.values() {
            for path in disk.below("worktrees").keys() {
                if let Some((_, inside)) = path.split_once('/')
                    && paths.contains(inside)
                {
                    found.insert(inside.to_owned());
                }
            }
        }
        let tips = world.tips();
        let contains = |commit: &CommitId, path: &String| {
            let commit = world.objects.get(commit);
            commit.is_some_and(|commit| commit.tree.contains_key(path))
        };
        let missing = |found: &BTreeSet<String>| -> Vec<String> {
            paths.difference(found).cloned().collect()
        };
        for path in missing(&found) {
            if tips.iter().any(|tip| contains(tip, &path)) {
                found.insert(path);
            }
        }
        let rest = missing(&found);
        if rest.is_empty() {
            return found;
        }
        let reachable = reachable(&world.objects, tips);
        for path in rest {
            if reachable.iter().any(|commit| contains(commit, &path)) {
                found.insert(path);
            }
        }
        found
    }
}

impl World {
    /// Everything that a ref stands for, on remotes and in clones, heads of worktrees included.
    fn tips(&self) -> BTreeSet<CommitId> {
        let remotes = self.remotes.values();
        let mut tips: BTreeSet<CommitId> = remotes
            .flat_map(|remote| remote.refs.values().cloned())
            .collect();
        for disk in self.disks.values() {
            let small = disk
                .below("repo")
                .into_values()
                .filter(|content| content.len() == 40);
            tips.extend(small.map(|content| CommitId::new(String::from_utf8_lossy(content))));
        }
        tips
    }
}

fn reachable(objects: &Objects, tips: BTreeSet<CommitId>) -> BTreeSet<CommitId> {
    let mut found = BTreeSet::new();
    let mut open: Vec<CommitId> = tips.into_iter().collect();
    while let Some(id) = open.pop() {
        if let Some(commit) = objects.get(&id)
            && found.insert(id)
        {
            open.extend(commit.parents.iter().cloned());
        }
    }
    found
}
