//! The clone, and what it knows of the remote.

use futures_util::future::try_join_all;

use super::{
    Git, GitError, REPO, WORKTREES,
    command::{On, Reach, heads, tracking},
};
use crate::{classify::GitStep, pull_request::CommitId, workspace::WorkspacePath};

/// How often the remote is asked again because a branch vanished between asking and fetching.
const ASKS: u32 = 3;

impl Git<'_> {
    /// Makes the clone, or finds it; after a crash in the middle it goes on. Any number of callers may do so at once.
    ///
    /// An empty clone is made aside and moved into place in one step; what fills it is an ordinary fetch. So nothing
    /// large is ever left behind half made.
    pub(crate) async fn ensure_clone(&self) -> Result<(), GitError> {
        let step = GitStep::Clone;
        let any = || {
            self.local(
                On::Repo,
                ["for-each-ref", "--count=1", "refs/remotes/origin/"],
            )
        };
        // nearly always it is there and filled, which one command tells
        if let Some(found) = self.maybe(step, any()).await?
            && !found.is_empty()
        {
            return Ok(());
        }
        if !self.has_clone().await? {
            self.make_empty_clone().await?;
        }
        if !self.must(step, any()).await?.is_empty() {
            return Ok(());
        }
        let fill = self
            .git(On::Repo, Reach::Clone)
            .args(["fetch", "--no-tags", "--no-write-fetch-head", "--force"])
            .arg(&self.url)
            .arg("+refs/heads/*:refs/remotes/origin/*");
        let output = self.run(step, Reach::Clone, fill).await?;
        if output.success() {
            Ok(())
        } else {
            Err(GitError::of(step, &output))
        }
    }

    /// Whether there is a clone, be it without any branch yet.
    pub(crate) async fn has_clone(&self) -> Result<bool, GitError> {
        self.is_folder(&format!("{}/objects", self.repo())).await
    }

    async fn make_empty_clone(&self) -> Result<(), GitError> {
        let step = GitStep::Clone;
        let aside = format!("{}/{REPO}.tmp-{:016x}", self.root, rand::random::<u64>());
        let git_dir = format!("--git-dir={aside}/{REPO}");
        // no template: hooks and excludes of this machine's git are not ours
        let init = self
            .local(On::Inside(&WorkspacePath::root()), [])
            .args(["init", "--quiet", "--bare", "--template=", "--"])
            .arg(format!("{aside}/{REPO}"));
        self.must(step, init).await?;
        // so that the agent's own git knows its way; ours does not ask
        for (key, value) in [
            ("remote.origin.url", self.url.as_str()),
            ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
        ] {
            let set = self.local(On::Inside(&WorkspacePath::root()), []).args([
                git_dir.as_str(),
                "config",
                key,
                value,
            ]);
            self.must(step, set).await?;
        }
        let worktrees = format!("{}/{WORKTREES}", self.root);
        self.plain(step, "mkdir", ["-p", "--", &worktrees]).await?;
        // renaming onto a folder that is not empty fails: whoever comes second finds the first one's clone
        let made = format!("{aside}/{REPO}");
        let moved = self.plain(step, "mv", ["--", &made, &self.root]).await?;
        self.plain(step, "rm", ["-rf", "--", &aside]).await?;
        if moved.success() || self.has_clone().await? {
            Ok(())
        } else {
            Err(GitError::of(step, &moved))
        }
    }

    /// Brings what the clone knows of these branches up to date. A branch that the remote does not have is forgotten,
    /// which is no error. Gives where each of them is now. Any number of callers may do so at once.
    pub(crate) async fn fetch(&self, branches: &[&str]) -> Result<Vec<Option<CommitId>>, GitError> {
        let step = GitStep::Fetch;
        let mut asked = 0;
        loop {
            let known = || try_join_all(branches.iter().map(|branch| self.remembered(branch)));
            // side by side: starting a process costs more than what it looks up
            let (remote, here) = tokio::try_join!(self.remote_heads(branches), known())?;
            asked += 1;
            let mut wanted = Vec::new();
            let mut tips = Vec::new();
            for (branch, here) in branches.iter().zip(here) {
                let there = remote.iter().find(|(name, _)| name == branch);
                let there = there.map(|(_, commit)| commit.clone());
                match (&there, &here) {
                    (Some(_), here) if *here != there => {
                        wanted.push(format!("+{}:{}", heads(branch), tracking(branch)));
                    }
                    (None, Some(_)) => self.drop_ref(On::Repo, &tracking(branch)).await?,
                    _ => {}
                }
                tips.push(there);
            }
            if wanted.is_empty() {
                return Ok(tips);
            }
            let command = self
                .git(On::Repo, Reach::Remote)
                .args(["fetch", "--no-tags", "--no-write-fetch-head", "--force"])
                .arg(&self.url)
                .args(wanted);
            let output = self.run(step, Reach::Remote, command).await?;
            if output.success() {
                return known().await; // a branch may have moved on since it was asked for
            }
            let vanished = output.stderr_text().contains("couldn't find remote ref");
            if !vanished || asked == ASKS {
                return Err(GitError::of(step, &output));
            }
        }
    }

    /// Where the remote has a branch right now; none if it has no such branch.
    pub(crate) async fn remote_head(&self, branch: &str) -> Result<Option<CommitId>, GitError> {
        let mut found = self.remote_heads(&[branch]).await?;
        Ok(found.pop().map(|(_, commit)| commit))
    }

    /// Those of these branches that the remote has, and where.
    async fn remote_heads(&self, branches: &[&str]) -> Result<Vec<(String, CommitId)>, GitError> {
        let step = GitStep::Fetch;
        let command = self
            .git(On::Inside(&WorkspacePath::root()), Reach::Remote)
            .arg("ls-remote")
            .arg(&self.url)
            .args(branches.iter().map(|branch| heads(branch)));
        let output = self.run(step, Reach::Remote, command).await?;
        if !output.success() {
            return Err(GitError::of(step, &output));
        }
        // a pattern also matches the ends of longer names
        Ok(output
            .stdout_text()
            .lines()
            .filter_map(|line| {
                let (commit, name) = line.split_once('\t')?;
                let branch = name.strip_prefix("refs/heads/")?;
                branches
                    .contains(&branch)
                    .then(|| (branch.to_owned(), CommitId::new(commit)))
            })
            .collect())
    }

    /// Brings one commit into the clone that no known branch holds.
    pub(super) async fn fetch_commit(&self, commit: &CommitId) -> Result<(), GitError> {
        let step = GitStep::Fetch;
        let command = self
            .git(On::Repo, Reach::Remote)
            .args(["fetch", "--no-tags", "--no-write-fetch-head"])
            .arg(&self.url)
            .arg(commit.as_str());
        let output = self.run(step, Reach::Remote, command).await?;
        if output.success() {
            Ok(())
        } else {
            Err(GitError::of(step, &output))
        }
    }

    /// What to say of a base branch that the remote does not have.
    pub(super) async fn no_such_base(&self, base: &str) -> GitError {
        let any = self.local(
            On::Repo,
            ["for-each-ref", "--count=1", "refs/remotes/origin/"],
        );
        let message = match self.must(GitStep::Worktree, any).await {
            Ok(any) if any.is_empty() => format!(
                "remote branch {base} not found: the repository is empty; push a first commit to {base}"
            ),
            Ok(_) => format!("remote branch {base} not found"),
            Err(error) => return error,
        };
        GitError::says(GitStep::Worktree, message)
    }
}
