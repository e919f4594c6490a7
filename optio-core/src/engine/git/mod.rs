//! Git work in a workspace, through its runtime: the same on a laptop's disk and in a pod.
//!
//! A workspace holds one bare clone, `repo`, and beside it a folder of worktrees. The clone is shared by every agent of
//! the workspace, so nothing here trusts its configuration: addresses, refs, identity and credentials are given with each
//! command. What the remote has is known from `refs/remotes/origin/*`, which only [`fetch`](Git::fetch) and
//! [`push`](Git::push) move.
//!
//! Only programs with arguments are run, never a line for a shell: `git`, and `chmod cp find grep mkdir mv readlink rm test`,
//! which every system and image has.
//!
//! No work is lost here: whoever discards a worktree's contents calls [`rescue`](Git::rescue) first, and what was not
//! rescued is set aside under `refs/optio/kept/` of the clone before it is discarded.

mod error;
mod command;
mod locks;
mod clone;
mod snapshot;
mod site;
mod rescue;
mod worktree;
mod facts;
mod commit;
mod push;
#[cfg(test)]
mod test_runtime;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use crate::{
    forge::GitCredentials, id::WorkspaceId, pull_request::CommitId, runtime::Runtime,
    secret::Secret, workspace::WorkspacePath,
};

pub(crate) use error::GitError;
pub(crate) use site::Ground;

/// The bare clone, in the workspace's folder.
pub(crate) const REPO: &str = "repo";

/// The file with what git overlooks in all worktrees, in the workspace's folder.
pub(crate) const EXCLUDES: [&str; 3] = [REPO, "info", "exclude"];

/// The folder of worktrees, in the workspace's folder.
pub(crate) const WORKTREES: &str = "worktrees";

/// Git in one workspace.
#[derive(Debug, Clone)]
pub(crate) struct Git<'a> {
    runtime: &'a dyn Runtime,
    workspace: WorkspaceId,
    root: String,
    url: String,
    credentials: Option<GitCredentials>,
    timeouts: GitTimeouts,
}

/// The longest that git may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GitTimeouts {
    /// To clone.
    pub(crate) clone: Duration,
    /// To fetch, push or ask the remote.
    pub(crate) network: Duration,
    /// For everything on disk.
    pub(crate) local: Duration,
    /// To wait for another git to let go of what this one needs.
    pub(crate) lock: Duration,
}

impl Default for GitTimeouts {
    fn default() -> Self {
        Self {
            clone: Duration::from_secs(30 * 60),
            network: Duration::from_secs(5 * 60),
            local: Duration::from_secs(5 * 60),
            lock: Duration::from_secs(15),
        }
    }
}

/// Whose name a commit bears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The name.
    pub(crate) name: String,
    /// The address.
    pub(crate) email: String,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            name: "Optio".to_owned(),
            email: "optio@localhost".to_owned(),
        }
    }
}

impl Identity {
    /// The variables with which git uses it, in our commands and in an agent's own.
    pub(crate) fn env(&self) -> BTreeMap<String, String> {
        [
            ("GIT_AUTHOR_NAME", &self.name),
            ("GIT_AUTHOR_EMAIL", &self.email),
            ("GIT_COMMITTER_NAME", &self.name),
            ("GIT_COMMITTER_EMAIL", &self.email),
        ]
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .into()
    }
}

/// What a worktree is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WorktreeMode {
    /// A new branch from the base branch, whatever was there before.
    Fresh,
    /// The branch with all that is on it, uncommitted files included. Where the remote has commits that the worktree
    /// does not contain, the remote's branch is the truth.
    Resume,
    /// The branch as it is on the remote, or the base branch if it is not there yet; no uncommitted files, no merge in
    /// progress. Ignored files, such as build caches, stay.
    Reset,
    /// Exactly this commit, on no branch: for a review.
    Detached(CommitId),
}

/// What git says about a worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorktreeFacts {
    /// The commit it is at.
    pub(crate) head: CommitId,
    /// The branch it is on; none if its head is detached. The agent may have switched.
    pub(crate) branch: Option<String>,
    /// How many commits its head has that neither the starting point nor the base branch has.
    pub(crate) commits: u64,
    /// How many commits its head has that the base branch does not have.
    pub(crate) ahead: u64,
    /// Whether there are changes that are not committed, files that git does not know yet included.
    pub(crate) dirty: bool,
    /// What git is in the middle of.
    pub(crate) operation: Option<Operation>,
}

/// What git can be in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A merge.
    Merge,
    /// A rebase, or applying patches.
    Rebase,
    /// A cherry-pick or revert.
    CherryPick,
}

/// What came of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PushOutcome {
    /// The remote's branch was already at this commit.
    UpToDate(CommitId),
    /// The remote's branch is at this commit now.
    Pushed(CommitId),
    /// The remote's branch is not where it was expected; nothing was changed.
    Rejected {
        /// In git's words.
        reason: String,
    },
}

impl<'a> Git<'a> {
    /// Git for the repository at `url`. A password in the address is taken out of it and used as credentials, unless
    /// there are others.
    pub(crate) fn new(
        runtime: &'a dyn Runtime,
        workspace: WorkspaceId,
        url: &str,
        credentials: Option<&GitCredentials>,
    ) -> Self {
        let (url, from_url) = without_password(url);
        Self {
            runtime,
            workspace,
            root: runtime.root(workspace),
            url,
            credentials: credentials.cloned().or(from_url),
            timeouts: GitTimeouts::default(),
        }
    }

    /// The same with other timeouts.
    #[cfg(test)]
    pub(crate) fn with_timeouts(mut self, timeouts: GitTimeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// A path in the workspace as git's process sees it.
    fn absolute(&self, path: &WorkspacePath) -> String {
        if path.as_str().is_empty() {
            self.root.clone()
        } else {
            format!("{}/{path}", self.root)
        }
    }

    /// The clone as git's process sees it.
    fn repo(&self) -> String {
        format!("{}/{REPO}", self.root)
    }

    /// Where the clone keeps what belongs to one worktree: its head, its index, what it is in the middle of.
    fn admin(&self, path: &WorkspacePath) -> String {
        format!("{}/worktrees/{}", self.repo(), name_of(path))
    }
}

/// The name under which the clone knows a worktree.
fn name_of(path: &WorkspacePath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or_default()
}

/// The address without user and password, and these.
fn without_password(url: &str) -> (String, Option<GitCredentials>) {
    let http = ["https://", "http://"]
        .into_iter()
        .find_map(|scheme| Some((scheme, url.strip_prefix(scheme)?)));
    let Some((scheme, rest)) = http else {
        return (url.to_owned(), None);
    };
    let host_end = rest.find('/').unwrap_or(rest.len());
    let Some((user, host)) = rest[..host_end].rsplit_once('@') else {
        return (url.to_owned(), None);
    };
    let (username, password) = user.split_once(':').unwrap_or((user, ""));
    let credentials = (!password.is_empty()).then(|| GitCredentials {
        username: username.to_owned(),
        password: Secret::new(password),
    });
    (format!("{scheme}{host}{}", &rest[host_end..]), credentials)
}
