//! Commits and trees in memory: the part of git that knows neither folders nor remotes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::pull_request::CommitId;

/// All files of a commit or folder, by path.
pub(super) type Tree = BTreeMap<String, Bytes>;

#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub(super) tree: Tree,
    pub(super) parents: Vec<CommitId>,
    pub(super) message: String,
    /// Grows with every commit, so a parent's is lower than its children's.
    order: u64,
}

/// Every commit and tree that was ever made. All clones and remotes share them, which no git command can tell.
#[derive(Debug, Default)]
pub(super) struct Objects {
    commits: HashMap<CommitId, Commit>,
    trees: HashMap<String, Tree>,
    count: u64,
}

/// What a merge comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Merged {
    Clean(Tree),
    /// The merged files, with ours where both sides changed one; and these.
    Conflicting(Tree, Vec<String>),
}

impl Objects {
    /// A commit that differs from all others, as if made at another time.
    pub(super) fn commit(&mut self, tree: Tree, parents: Vec<CommitId>, message: &str) -> CommitId {
        let unique = self.count.to_string();
        let id = digest([unique.as_bytes(), message.as_bytes()]);
        self.insert(id, tree, parents, message)
    }

    /// The commit with this content, whenever it is made.
    pub(super) fn same_commit(
        &mut self,
        tree: Tree,
        parents: Vec<CommitId>,
        message: &str,
    ) -> CommitId {
        let tree_id = tree_id(&tree);
        let parts = [b"same", tree_id.as_bytes(), message.as_bytes()];
        let id = digest(
            parts
                .into_iter()
                .chain(parents.iter().map(|it| it.as_str().as_bytes())),
        );
        self.insert(id, tree, parents, message)
    }

    fn insert(
        &mut self,
        id: String,
        tree: Tree,
        parents: Vec<CommitId>,
        message: &str,
    ) -> CommitId {
        let id = CommitId::new(id);
        if self.commits.contains_key(&id) {
            return id;
        }
        self.count += 1;
        let commit = Commit {
            tree,
            parents,
            message: message.to_owned(),
            order: self.count,
        };
        self.commits.insert(id.clone(), commit);
        id
    }

    pub(super) fn get(&self, id: &CommitId) -> Option<&Commit> {
        self.commits.get(id)
    }

    /// The files of a commit; none for one that does not exist.
    pub(super) fn tree(&self, id: &CommitId) -> Tree {
        self.get(id)
            .map(|commit| commit.tree.clone())
            .unwrap_or_default()
    }

    pub(super) fn write_tree(&mut self, tree: Tree) -> String {
        let id = tree_id(&tree);
        self.trees.insert(id.clone(), tree);
        id
    }

    pub(super) fn read_tree(&self, id: &str) -> Option<&Tree> {
        self.trees.get(id)
    }

    /// A commit with all that lead to it, the newest first.
    pub(super) fn history(&self, tip: &CommitId) -> Vec<CommitId> {
        let mut found = BTreeSet::new();
        let mut todo = vec![tip];
        while let Some(id) = todo.pop() {
            if let Some(commit) = self.commits.get(id)
                && found.insert((commit.order, id))
            {
                todo.extend(&commit.parents);
            }
        }
        found.into_iter().rev().map(|(_, id)| id.clone()).collect()
    }

    pub(super) fn is_ancestor(&self, ancestor: &CommitId, of: &CommitId) -> bool {
        self.history(of).contains(ancestor)
    }

    pub(super) fn merge_base(&self, one: &CommitId, other: &CommitId) -> Option<CommitId> {
        let known: BTreeSet<_> = self.history(one).into_iter().collect();
        self.history(other)
            .into_iter()
            .find(|id| known.contains(id))
    }

    pub(super) fn merge(&self, ours: &CommitId, theirs: &CommitId) -> Merged {
        let base = self.merge_base(ours, theirs);
        let base = base.map(|base| self.tree(&base)).unwrap_or_default();
        let (mut merged, theirs) = (self.tree(ours), self.tree(theirs));
        let mut conflicts = Vec::new();
        for path in changed(&base, &theirs) {
            let (was, now, mine) = (base.get(&path), theirs.get(&path), merged.get(&path));
            if mine == now {
                continue;
            }
            if mine != was {
                conflicts.push(path);
                continue;
            }
            match now.cloned() {
                Some(content) => merged.insert(path, content),
                None => merged.remove(&path),
            };
        }
        if conflicts.is_empty() {
            Merged::Clean(merged)
        } else {
            Merged::Conflicting(merged, conflicts)
        }
    }
}

/// The paths in which two trees differ.
pub(super) fn changed(one: &Tree, other: &Tree) -> BTreeSet<String> {
    let paths = one.keys().chain(other.keys());
    paths
        .filter(|path| one.get(*path) != other.get(*path))
        .cloned()
        .collect()
}

fn tree_id(tree: &Tree) -> String {
    let parts = tree
        .iter()
        .flat_map(|(path, content)| [path.as_bytes(), content]);
    digest([&b"tree"[..]].into_iter().chain(parts))
}

/// 40 hexadecimal digits.
fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digits = hash.finalize();
    digits
        .iter()
        .take(20)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
