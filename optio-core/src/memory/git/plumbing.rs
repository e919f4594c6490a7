//! What git does on the disk: refs, commits, indexes and worktrees.

use std::collections::BTreeSet;

use super::{
    clone::{GitDir, join},
    command::{Answer, Call, Refusal},
    object::Tree,
};
use crate::pull_request::CommitId;

impl Call<'_> {
    pub(super) fn init(&mut self, path: &str) -> Answer {
        let path = self.path(path)?;
        self.disk.make_folder(&join(&path, "objects"));
        GitDir(path).set_symbolic(self.disk, "HEAD", "refs/heads/main");
        done()
    }

    pub(super) fn config(&mut self, key: &str, value: &str) -> Answer {
        let dir = self.git_dir()?;
        self.disk
            .write(&join(&dir.0, &format!("config/{key}")), value.to_owned());
        done()
    }

    pub(super) fn first_ref(&self, prefix: &str) -> Answer {
        let found = self.git_dir()?.refs(self.disk, prefix).into_iter().next();
        Ok(found
            .map(|(name, commit)| format!("{commit} commit\t{name}\n"))
            .unwrap_or_default())
    }

    pub(super) fn refs_below(&self, prefixes: &[&str]) -> Answer {
        let dir = self.git_dir()?;
        let below = |prefix: &&str| dir.refs(self.disk, prefix);
        let found = prefixes.iter().flat_map(below);
        Ok(found
            .map(|(name, commit)| format!("{commit} {name}\n"))
            .collect())
    }

    pub(super) fn rev_parse(&mut self, name: &str) -> Answer {
        let Some(name) = name.strip_suffix("^{tree}") else {
            return Ok(self.resolve(name)?.to_string());
        };
        let tree = self.objects.tree(&self.resolve(name)?);
        Ok(self.objects.write_tree(tree))
    }

    pub(super) fn set(&mut self, name: &str, commit: &str) -> Answer {
        let (dir, commit) = (self.git_dir()?, self.resolve(commit)?);
        dir.set(self.disk, name, &commit);
        done()
    }

    pub(super) fn unset(&mut self, name: &str) -> Answer {
        self.git_dir()?.unset(self.disk, name);
        done()
    }

    pub(super) fn symbolic(&self, name: &str) -> Answer {
        let target = self.git_dir()?.symbolic(self.disk, name);
        target.ok_or_else(|| Refusal::silent(1))
    }

    pub(super) fn set_symbolic(&mut self, name: &str, target: &str) -> Answer {
        self.git_dir()?.set_symbolic(self.disk, name, target);
        done()
    }

    /// Answers `rev-list --count`; none if there is an option that is not known.
    pub(super) fn count(&self, selection: &[&str]) -> Option<Answer> {
        let (mut with, mut without) = (BTreeSet::new(), BTreeSet::new());
        let (mut most, mut negated) = (usize::MAX, Selected::With);
        for arg in selection {
            let mut take = |side: Selected, commit: &CommitId| match side {
                Selected::With => with.extend(self.objects.history(commit)),
                Selected::Without => without.extend(self.objects.history(commit)),
            };
            let pattern = match *arg {
                "--remotes=origin" => Some("refs/remotes/origin/"),
                _ => arg
                    .strip_prefix("--glob=")
                    .and_then(|glob| glob.strip_suffix('*')),
            };
            if *arg == "--not" {
                negated = Selected::Without;
            } else if let Some(count) = arg.strip_prefix("--max-count=") {
                most = count.parse().ok()?;
            } else if let Some(prefix) = pattern {
                for commit in self.git_dir().ok()?.refs(self.disk, prefix).values() {
                    take(negated, commit);
                }
            } else if arg.starts_with('-') {
                return None;
            } else {
                let (left, right) = arg.split_once("..").unwrap_or(("", arg));
                let sides = [(left, Selected::Without), (right, negated)];
                for (name, side) in sides.into_iter().filter(|(name, _)| !name.is_empty()) {
                    match self.resolve(name) {
                        Ok(commit) => take(side, &commit),
                        Err(refusal) => return Some(Err(refusal)),
                    }
                }
            }
        }
        let count = with.difference(&without).count().min(most);
        Some(Ok(format!("{count}\n")))
    }

    fn head_tree(&self) -> Tree {
        let head = self.resolve("HEAD");
        head.map(|head| self.objects.tree(&head))
            .unwrap_or_default()
    }

    pub(super) fn is_staged(&self) -> Answer {
        let staged = GitDir::read_index(self.disk, self.objects, &self.index()?);
        if staged == self.head_tree() {
            done()
        } else {
            Err(Refusal::silent(1))
        }
    }

    pub(super) fn status(&self) -> Answer {
        let files = self.disk.tree(&self.folder()?);
        let changed = super::object::changed(&self.head_tree(), &files).into_iter();
        Ok(changed.map(|path| format!(" M {path}\0")).collect())
    }

    pub(super) fn add(&mut self) -> Answer {
        let (index, files) = (self.index()?, self.disk.tree(&self.folder()?));
        GitDir::write_index(self.disk, self.objects, &index, files);
        done()
    }

    pub(super) fn read_tree(&mut self, commit: &str) -> Answer {
        let (index, tree) = (self.index()?, self.objects.tree(&self.resolve(commit)?));
        GitDir::write_index(self.disk, self.objects, &index, tree);
        done()
    }

    pub(super) fn write_tree(&mut self) -> Answer {
        let tree = GitDir::read_index(self.disk, self.objects, &self.index()?);
        Ok(self.objects.write_tree(tree))
    }

    pub(super) fn commit(&mut self) -> Answer {
        let dir = self.git_dir()?;
        let tree = GitDir::read_index(self.disk, self.objects, &self.index()?);
        let mut parents: Vec<_> = self.resolve("HEAD").into_iter().collect();
        parents.extend(dir.get(self.disk, "MERGE_HEAD"));
        dir.unset(self.disk, "MERGE_HEAD");
        let message = self.input().to_owned();
        let commit = self.objects.commit(tree, parents, &message);
        dir.set(self.disk, "HEAD", &commit);
        done()
    }

    /// Answers `commit-tree`; none if there is an option that is not known.
    pub(super) fn commit_tree(&mut self, tree: &str, parents: &[&str]) -> Option<Answer> {
        let mut ids = Vec::new();
        for pair in parents.chunks(2) {
            let ["-p", parent] = pair else {
                return None;
            };
            ids.push(CommitId::new(parent));
        }
        let Some(tree) = self.objects.read_tree(tree).cloned() else {
            return Some(Err(Refusal::fatal(format_args!("{tree} is not a tree"))));
        };
        let message = self.input().to_owned();
        Some(Ok(self
            .objects
            .same_commit(tree, ids, &message)
            .to_string()))
    }

    pub(super) fn check_out(&mut self, branch: Option<&str>, commit: &str) -> Answer {
        let (dir, folder) = (self.git_dir()?, self.folder()?);
        let commit = self.resolve(commit)?;
        self.fill(&dir, &folder, branch, &commit);
        done()
    }

    pub(super) fn clean(&mut self) -> Answer {
        let folder = self.folder()?;
        let tracked = GitDir::read_index(self.disk, self.objects, &self.index()?);
        for path in self
            .disk
            .tree(&folder)
            .keys()
            .filter(|path| !tracked.contains_key(*path))
        {
            self.disk.remove(&join(&folder, path));
        }
        done()
    }

    pub(super) fn add_worktree(
        &mut self,
        path: &str,
        branch: Option<&str>,
        commit: &str,
    ) -> Answer {
        let (folder, commit) = (self.path(path)?, self.resolve(commit)?);
        let common = self.git_dir()?.common().to_owned();
        let name = folder.rsplit('/').next().unwrap_or_default();
        let admin = GitDir(format!("{common}/worktrees/{name}"));
        if self.disk.exists(&folder) || self.disk.exists(&admin.0) {
            return Err(Refusal::fatal(format_args!("'{path}' already exists")));
        }
        self.disk.write(&join(&admin.0, "gitdir"), folder.clone());
        self.disk
            .write(&join(&folder, ".git"), format!("gitdir: {}", admin.0));
        self.fill(&admin, &folder, branch, &commit);
        done()
    }

    fn fill(&mut self, dir: &GitDir, folder: &str, branch: Option<&str>, commit: &CommitId) {
        dir.unset(self.disk, "HEAD");
        if let Some(branch) = branch {
            dir.set_symbolic(self.disk, "HEAD", &super::heads(branch));
        }
        dir.set(self.disk, "HEAD", commit);
        let tree = self.objects.tree(commit);
        self.disk.check_out(folder, &tree);
        GitDir::write_index(self.disk, self.objects, &dir.index(), tree);
    }

    pub(super) fn list_worktrees(&self) -> Answer {
        let worktrees = self.git_dir()?.worktrees(self.disk).into_iter();
        let lines = worktrees.map(|(admin, folder)| {
            let on = match admin.symbolic(self.disk, "HEAD") {
                Some(branch) => format!("branch {branch}"),
                None => "detached".to_owned(),
            };
            format!("worktree {}\0{on}\0\0", self.absolute(&folder))
        });
        Ok(lines.collect())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selected {
    With,
    Without,
}

fn done() -> Answer {
    Ok(String::new())
}
