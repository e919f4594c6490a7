//! A bare repository on this machine's disk, and what the forge asks of it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::unistd::{AccessFlags, access};
use optio_core::{Error, ErrorKind, Result, Timestamp, pull_request::CommitId, repo::RepoUrl};

use super::{
    NAME,
    git::{Call, Git, Output, failed},
};

/// The file that checks a commit, where the repository's settings name no command.
pub(super) const CHECK_FILE: &str = ".optio/check";

/// A bare repository.
#[derive(Debug)]
pub(super) struct Bare {
    git: Arc<Git>,
    path: PathBuf,
    /// Its real path: what its records are kept under.
    pub(super) key: String,
}

/// What merging two commits gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MergeTree {
    /// This tree.
    Clean { tree: String },
    /// Conflicts in these files.
    Conflicting { files: Vec<String> },
}

/// A squashed commit to be made.
#[derive(Debug)]
pub(super) struct Squash<'a> {
    pub(super) tree: &'a str,
    pub(super) parent: &'a CommitId,
    /// Whose author it gets.
    pub(super) head: &'a CommitId,
    pub(super) message: String,
    pub(super) at: Timestamp,
}

/// A branch to be moved, on the condition that neither it nor the other one has moved meanwhile.
#[derive(Debug)]
pub(super) struct Advance<'a> {
    pub(super) branch: &'a str,
    pub(super) from: &'a CommitId,
    pub(super) to: &'a CommitId,
    pub(super) head_branch: &'a str,
    pub(super) head: &'a CommitId,
}

/// How a commit's own check file is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckFile {
    /// As a program.
    Executable,
    /// By the shell.
    Script,
}

impl Bare {
    /// Finds the repository of an address.
    ///
    /// # Errors
    /// There is none, or not one that can be pushed to; the message says what to do.
    pub(super) async fn locate(git: Arc<Git>, url: &RepoUrl) -> Result<Self> {
        let path = folder(url)?;
        let shown = path.display();
        if !is_git_dir(&path) {
            let refused = if path.join(".git").exists() {
                let bare = format!("{}.git", path.display());
                Error::invalid(
                    NAME,
                    format!(
                        "{shown} is a work tree, whose branches cannot all be pushed to: make a bare repository with `git clone --bare '{shown}' '{bare}'` and add that"
                    ),
                )
            } else if path.exists() {
                Error::invalid(
                    NAME,
                    format!(
                        "{shown} is not a git repository: give the path of a bare one, as `git init --bare` makes it"
                    ),
                )
            } else {
                Error::new(
                    ErrorKind::NotFound,
                    NAME,
                    format!(
                        "there is nothing at {shown}: check the path, or make a repository there with `git clone --bare <source> '{shown}'`"
                    ),
                )
            };
            return Err(refused);
        }
        let path = path.canonicalize().map_err(|error| {
            Error::new(
                ErrorKind::Denied,
                NAME,
                format!("{shown} cannot be entered ({error}): give this user the right to"),
            )
        })?;
        if access(&path.join("objects"), AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
            return Err(Error::new(
                ErrorKind::Denied,
                NAME,
                format!("{shown} cannot be written: give this user the right to"),
            ));
        }
        let Some(key) = path.to_str().map(str::to_owned) else {
            return Err(Error::invalid(
                NAME,
                format!("the path {shown} is not UTF-8: rename it"),
            ));
        };
        let bare = Self { git, path, key };
        let call = bare.call(["rev-parse", "--is-bare-repository"]);
        if bare.git.ask(call).await?.text() != "true" {
            return Err(Error::invalid(
                NAME,
                format!(
                    "{shown} belongs to a work tree, whose branches cannot all be pushed to: make a bare repository with `git clone --bare` and add that"
                ),
            ));
        }
        Ok(bare)
    }

    /// Whether its folder is still where it was found.
    pub(super) fn is_there(&self) -> bool {
        is_git_dir(&self.path)
    }

    /// The branch that HEAD names.
    ///
    /// # Errors
    /// There is no commit on it; the message says what to do.
    pub(super) async fn default_branch(&self) -> Result<String> {
        let shown = &self.key;
        let call = self.call(["symbolic-ref", "--quiet", "HEAD"]);
        let head = self.git.run(call).await?.text();
        let Some(branch) = head.strip_prefix("refs/heads/") else {
            return Err(Error::invalid(
                NAME,
                format!(
                    "HEAD of {shown} names no branch: set one with `git -C '{shown}' symbolic-ref HEAD refs/heads/main`"
                ),
            ));
        };
        if let [Some(_)] = self.tips([branch]).await? {
            return Ok(branch.to_owned());
        }
        let call = self.call(["for-each-ref", "--count=1", "--format=%(refname:lstrip=2)"]);
        let other = self.git.ask(call.arg("refs/heads")).await?.text();
        Err(Error::invalid(
            NAME,
            if other.is_empty() {
                format!("{shown} is empty: push a first commit to its branch {branch}")
            } else {
                format!(
                    "HEAD of {shown} names the branch {branch}, which does not exist: push it, or choose another with `git -C '{shown}' symbolic-ref HEAD refs/heads/{other}`"
                )
            },
        ))
    }

    /// The last commits of branches; none for one that does not exist.
    pub(super) async fn tips<const N: usize>(
        &self,
        branches: [&str; N],
    ) -> Result<[Option<CommitId>; N]> {
        let names = branches.map(|branch| format!("refs/heads/{branch}"));
        let call = self
            .call(["for-each-ref", "--format=%(refname) %(objectname)", "--"])
            .args(&names);
        let output = self.git.ask(call).await?;
        let found = output.text();
        // a pattern also finds what lies below it, so names are compared in full
        Ok(names.map(|name| {
            found
                .lines()
                .filter_map(|line| line.split_once(' '))
                .find(|(refname, _)| *refname == name)
                .map(|(_, commit)| CommitId::new(commit))
        }))
    }

    /// Whether a commit is among those that lead to this one. One that does not exist is not.
    pub(super) async fn contains(&self, tip: &CommitId, commit: &CommitId) -> Result<bool> {
        let call = self
            .call(["merge-base", "--is-ancestor"])
            .args([commit.as_str(), tip.as_str()]);
        let output = self.git.run(call).await?;
        match output.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ if output.stderr.contains("Not a valid commit name") => Ok(false),
            _ => Err(failed("git merge-base", &output)),
        }
    }

    /// The commit that brought `commit` onto the branch that ends in `tip`: itself, or the merge of it.
    pub(super) async fn brought_by(&self, tip: &CommitId, commit: &CommitId) -> Result<CommitId> {
        let call = self
            .call(["rev-list", "--first-parent", "--ancestry-path", "--parents"])
            .args(["--reverse", &format!("{commit}..{tip}")]);
        let output = self.git.ask(call).await?;
        let listed = output.text();
        let mut first = listed.lines().next().unwrap_or_default().split(' ');
        Ok(match (first.next(), first.next()) {
            (Some(merge), Some(parent)) if parent != commit.as_str() => CommitId::new(merge),
            _ => commit.clone(),
        })
    }

    /// Merges two commits without touching any branch.
    pub(super) async fn merge_tree(&self, base: &CommitId, head: &CommitId) -> Result<MergeTree> {
        let call = self
            .call(["merge-tree", "--write-tree", "--no-messages"])
            .args(["--name-only", "-z", base.as_str(), head.as_str()]);
        let output = self.git.run(call).await?;
        let mut fields = output.fields();
        match (output.code, fields.next()) {
            (Some(0), Some(tree)) => Ok(MergeTree::Clean { tree }),
            (Some(1), Some(_tree)) => Ok(MergeTree::Conflicting {
                files: fields.collect(),
            }),
            _ => Err(failed("git merge-tree", &output)),
        }
    }

    /// The tree of a commit.
    pub(super) async fn tree(&self, commit: &CommitId) -> Result<String> {
        let call = self
            .call(["rev-parse", "--verify"])
            .arg(format!("{commit}^{{tree}}"));
        Ok(self.git.ask(call).await?.text())
    }

    /// Makes a commit with a single parent. No branch is moved.
    pub(super) async fn squash(&self, squash: Squash<'_>) -> Result<CommitId> {
        let call = self
            .call(["show", "--no-patch", "--encoding=UTF-8"])
            .args(["--format=%an%x00%ae%x00%ad", "--date=raw"])
            .arg(squash.head.as_str());
        let author = self.git.ask(call).await?;
        let author = author.text();
        let mut author = author.split('\0');
        let mut next = || author.next().unwrap_or_default().to_owned();
        let now = format!("@{} +0000", squash.at.as_second());
        let call = self
            .call(["commit-tree", squash.tree, "-p", squash.parent.as_str()])
            .args(["-F", "-"])
            .env("GIT_AUTHOR_NAME", next())
            .env("GIT_AUTHOR_EMAIL", next())
            .env("GIT_AUTHOR_DATE", format!("@{}", next()))
            .env("GIT_COMMITTER_NAME", "Optio")
            .env("GIT_COMMITTER_EMAIL", "optio@localhost")
            .env("GIT_COMMITTER_DATE", now)
            .stdin(squash.message.replace('\0', ""));
        Ok(CommitId::new(self.git.ask(call).await?.text()))
    }

    /// Moves a branch, in one transaction with the look at the other one. Gives git's words if it refused.
    pub(super) async fn advance(&self, advance: &Advance<'_>) -> Result<Result<(), Output>> {
        let transaction = format!(
            "verify refs/heads/{} {}\nupdate refs/heads/{} {} {}\n",
            advance.head_branch, advance.head, advance.branch, advance.to, advance.from
        );
        let call = self
            .call(["update-ref", "--stdin"])
            .args(["-m", "optio: squash-merge"])
            .stdin(transaction);
        let output = self.git.run(call).await?;
        Ok(if output.code == Some(0) {
            Ok(())
        } else {
            Err(output)
        })
    }

    /// How the commit's own check file is to be run, if it has one.
    pub(super) async fn check_file(&self, commit: &CommitId) -> Result<Option<CheckFile>> {
        let call = self.call(["ls-tree", "-z", "--format=%(objectmode)"]);
        let call = call.args([commit.as_str(), "--", CHECK_FILE]);
        Ok(match self.git.ask(call).await?.fields().next().as_deref() {
            Some("100755") => Some(CheckFile::Executable),
            Some(mode) if mode.starts_with('1') => Some(CheckFile::Script),
            _ => None,
        })
    }

    /// Puts the files of a commit into a folder that does not exist yet: a clone that borrows our objects.
    pub(super) async fn check_out(&self, commit: &CommitId, folder: &Path) -> Result<()> {
        let call = Call::default()
            .args(["clone", "--quiet", "--shared", "--no-checkout"])
            .args(["--template=", "--"])
            .arg(&self.path)
            .arg(folder);
        self.git.ask(call).await?;
        let call = Call::default().arg("-C").arg(folder).args([
            "checkout",
            "--quiet",
            "--detach",
            commit.as_str(),
        ]);
        self.git.ask(call).await.map(|_| ())
    }

    fn call<const N: usize>(&self, args: [&str; N]) -> Call {
        Call::on(&self.path).args(args)
    }
}

/// Whether this is a folder that git would take as a git directory.
fn is_git_dir(path: &Path) -> bool {
    path.join("HEAD").exists() && path.join("objects").is_dir()
}

/// The folder that git itself would take for this address: it may be given without its `.git`.
fn folder(url: &RepoUrl) -> Result<PathBuf> {
    let Some(given) = url.local_path() else {
        return Err(Error::invalid(
            NAME,
            format!("{url} is not on this machine: give an absolute path or a file:// address"),
        ));
    };
    let path = if url.as_str().starts_with("file://") {
        PathBuf::from(decoded(given))
    } else {
        PathBuf::from(given)
    };
    let mut with_suffix = OsString::from(path.as_os_str());
    with_suffix.push(".git");
    let with_suffix = PathBuf::from(with_suffix);
    Ok(if !is_git_dir(&path) && is_git_dir(&with_suffix) {
        with_suffix
    } else {
        path
    })
}

/// `%20` and the like in a file:// address, as git decodes them.
fn decoded(path: &str) -> OsString {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|&byte| byte != 0);
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_addresses_are_decoded_as_git_does() {
        for (given, path) in [
            ("/srv/a%20b/%C3%BC.git", "/srv/a b/ü.git"),
            ("/srv/100%", "/srv/100%"),
            ("/srv/%zz%00", "/srv/%zz%00"),
        ] {
            assert_eq!(decoded(given), OsString::from(path));
        }
    }
}
