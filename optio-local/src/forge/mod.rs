//! A git forge on bare repositories of this machine: pull requests without a server and without an account.
//!
//! - `folder`: who has the folder open.
//! - `repository`, over `git`: what branches and commits say; asked at every look, never remembered as truth.
//! - `records`: what git cannot know, in a database file of its own: who wanted what merged, reviews, check results.
//! - `observe`: both laid over each other, a pull request as it is now. Looking also starts what is due.
//! - `check`: a command run on a commit in a clean checkout; `ci`: which ones run, each once, a few at a time.
//! - `merge`: the squash merge. `review`: what reviewers' words add up to.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use optio_core::{
    Clock, Error, Result, SystemClock,
    event_bus::EventBus,
    forge::{Forge, GitCredentials, MergeRequest, NewPullRequest, RepositoryFacts},
    pull_request::{CommitId, PrNumber, PrState, PullRequest, ReviewReport},
    repo::{Repo, RepoUrl},
    store::Sharing,
};
use tokio::sync::Semaphore;

mod git;
mod folder;
mod repository;
mod records;
mod review;
mod check;
mod ci;
mod observe;
mod merge;

pub use self::records::Readiness;
use self::{
    ci::Ci,
    folder::Folder,
    git::Git,
    observe::Settled,
    records::{NewPull, NewReview, News, Records},
    repository::Bare,
};
use crate::runtime::LocalRuntimeOptions;

/// The forge's name, in errors and logs.
const NAME: &str = "local forge";

/// Who gives the reviews that come in through the port.
const OPTIO: &str = "optio";

/// Where a [`LocalForge`] keeps what it knows, and how it checks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LocalForgeOptions {
    /// Its folder, made if it is missing: `forge.db`, and `checks/` for checkouts, which are taken away again.
    pub dir: PathBuf,
    /// The environment of git and of checks. `HOME` and `TMPDIR` of a check are folders of its own, whatever stands here.
    pub env: BTreeMap<String, String>,
    /// The longest that a check may take.
    pub check_timeout: Duration,
    /// How many checks may run at once.
    pub max_checks: usize,
    /// The longest that one git command may take.
    pub git_timeout: Duration,
    /// Whether other processes may have the same folder open.
    pub sharing: Sharing,
    /// Who is told when something happens to a pull request.
    pub bus: Option<Arc<dyn EventBus>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl LocalForgeOptions {
    /// A forge in this folder, with an ordinary environment; two checks at once, ten minutes each.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self {
            env: LocalRuntimeOptions::new(&dir).env,
            dir,
            check_timeout: Duration::from_secs(600),
            max_checks: 2,
            git_timeout: Duration::from_secs(60),
            sharing: Sharing::Exclusive,
            bus: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// The same, telling this bus when something happens to a pull request.
    #[must_use]
    pub fn with_bus(mut self, bus: Arc<dyn EventBus>) -> Self {
        self.bus = Some(bus);
        self
    }

    /// The same for a folder that other processes may have open at the same time.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.sharing = Sharing::Shared;
        self
    }

    /// The same with another time limit for checks.
    #[must_use]
    pub fn with_check_timeout(mut self, timeout: Duration) -> Self {
        self.check_timeout = timeout;
        self
    }
}

/// A [`Forge`] for bare repositories on this machine's disk. See the [module](self) for how it works.
///
/// Beyond the port's contract:
/// - A repository is known by its folder's real path, however its address is spelt. It must be bare: into the checked-out
///   branch of a work tree nothing can be pushed.
/// - Opening or reading a pull request sees to it that its head is checked: by the command in the repository's settings,
///   else by the commit's own file `.optio/check`. Each command judges a commit once; a check that was interrupted runs
///   again. With neither there is nothing to check.
/// - Several processes may have one forge open if all of them share it ([`LocalForgeOptions::shared`]). Whoever looks
///   first checks a commit; if it dies, whoever looks half a minute later.
/// - A pull request whose head branch is gone is closed, or merged if its commits are in the base branch.
/// - Nothing ever requires a review. One who requested changes takes that back by approving.
/// - A merge leaves the head branch where it is.
/// - Dropping it ends running checks, but does not wait until they are gone; [`shut_down`](Self::shut_down) does.
#[derive(Debug)]
pub struct LocalForge {
    git: Arc<Git>,
    records: Records,
    ci: Arc<Ci>,
    clock: Arc<dyn Clock>,
    repositories: Mutex<HashMap<String, Arc<Bare>>>,
    settled: Mutex<HashMap<(String, PrNumber), Settled>>,
    merging: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    locks: Mutex<Option<(Folder, File)>>,
}

/// A review by a person or a program other than Optio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenReview {
    /// Who gives it.
    pub reviewer: String,
    /// What they say.
    pub report: ReviewReport,
}

impl LocalForge {
    /// Opens the forge. Until it is shut down or dropped, or the process ends, no other one can be opened there; unless
    /// all of them share it.
    ///
    /// # Errors
    /// Git is missing or too old, another process has the folder, or it cannot be used. The message says what to do.
    pub async fn open(options: LocalForgeOptions) -> Result<Self> {
        let dir = std::path::absolute(&options.dir)
            .map_err(|error| Error::invalid(NAME, format!("the forge needs a folder: {error}")))?;
        let config = dir.join("gitconfig");
        let git = Git::find(&options.env, config.clone(), options.git_timeout).await?;
        let folder = Folder::take(&dir, &config, options.sharing)?;
        let opening = folder.opening().await?;
        let records = Records::open(&dir.join("forge.db")).await?;
        let checkouts = folder.checkouts(&options.env).await?;
        drop(opening);
        let ci = Arc::new(Ci {
            runtime: Arc::new(checkouts.runtime),
            records: records.clone(),
            clock: Arc::clone(&options.clock),
            bus: options.bus,
            owner: match options.sharing {
                Sharing::Exclusive => None,
                Sharing::Shared => Some(format!("{:016x}", options.clock.random())),
            },
            limit: options.check_timeout,
            permits: Arc::new(Semaphore::new(options.max_checks.max(1))),
            flights: Mutex::default(),
            tasks: tokio_util::task::TaskTracker::new(),
            stop: tokio_util::sync::CancellationToken::new(),
        });
        Ok(Self {
            git: Arc::new(git),
            records,
            ci,
            clock: options.clock,
            repositories: Mutex::default(),
            settled: Mutex::default(),
            merging: Mutex::default(),
            locks: Mutex::new(Some((folder, checkouts.lock))),
        })
    }

    /// Kills running checks, which run again after the next start, and gives the folder free. Every call after it
    /// fails as `Unavailable`.
    pub async fn shut_down(&self) {
        self.ci.shut_down().await;
        self.records.close().await;
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        drop(locks.take());
    }

    /// All pull requests of a repository, the latest first.
    ///
    /// # Errors
    /// The repository or the records cannot be read.
    pub async fn list(&self, repo: &Repo) -> Result<Vec<PullRequest>> {
        let bare = self.bare(&repo.url).await?;
        let mut found = Vec::new();
        for number in self.records.pulls(&bare.key).await? {
            found.push(self.observe(repo, number).await?.pull_request);
        }
        Ok(found)
    }

    /// Somebody reviews the present head of a pull request. Saying the same again counts once.
    ///
    /// # Errors
    /// `NotFound` if there is no such pull request.
    pub async fn add_review(
        &self,
        repo: &Repo,
        number: PrNumber,
        review: &GivenReview,
    ) -> Result<()> {
        let head = self.observe(repo, number).await?.pull_request.head;
        self.record_review(repo, number, &head, review).await
    }

    /// Opens a closed pull request again. No error if it is open.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Conflict` if it is merged, its branch is gone or has another open one.
    pub async fn reopen(&self, repo: &Repo, number: PrNumber) -> Result<PullRequest> {
        let seen = self.observe(repo, number).await?;
        if seen.pull_request.state == PrState::Closed {
            let branch = &seen.pull_request.head_branch;
            if let [None] = seen.bare.tips([branch]).await? {
                return Err(Error::conflict(
                    NAME,
                    format!("pull request {number} stays closed: push its branch {branch} first"),
                ));
            }
            self.records.reopened(&seen.bare.key, number).await?;
            self.ci.tell((repo.id, number)).await;
        }
        let now = self.observe(repo, number).await?.pull_request;
        match now.state {
            PrState::Merged { .. } => Err(Error::conflict(
                NAME,
                format!("pull request {number} is merged"),
            )),
            _ => Ok(now),
        }
    }

    /// Marks a pull request as a draft, which is not merged, or as ready.
    ///
    /// # Errors
    /// `NotFound` if there is no such pull request.
    pub async fn mark(&self, repo: &Repo, number: PrNumber, readiness: Readiness) -> Result<()> {
        let bare = self.known(repo, number).await?;
        self.records
            .set_readiness(&bare.key, number, readiness)
            .await?;
        self.ci.tell((repo.id, number)).await;
        Ok(())
    }

    /// The comments on a pull request, the one last written last.
    ///
    /// # Errors
    /// `NotFound` if there is no such pull request.
    pub async fn comments(&self, repo: &Repo, number: PrNumber) -> Result<Vec<String>> {
        let bare = self.known(repo, number).await?;
        self.records.comments(&bare.key, number).await
    }

    /// The repository of an address.
    async fn bare(&self, url: &RepoUrl) -> Result<Arc<Bare>> {
        let known = {
            let repositories = self.repositories.lock();
            let repositories = repositories.unwrap_or_else(PoisonError::into_inner);
            repositories.get(url.as_str()).map(Arc::clone)
        };
        if let Some(known) = known.filter(|bare| bare.is_there()) {
            return Ok(known);
        }
        let found = Arc::new(Bare::locate(Arc::clone(&self.git), url).await?);
        let mut repositories = self
            .repositories
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        repositories.insert(url.as_str().to_owned(), Arc::clone(&found));
        Ok(found)
    }

    /// The repository of a pull request that exists.
    async fn known(&self, repo: &Repo, number: PrNumber) -> Result<Arc<Bare>> {
        let bare = self.bare(&repo.url).await?;
        let pull = self.records.pull(&bare.key, number).await?;
        pull.map(|_| bare).ok_or_else(|| unknown(repo, number))
    }

    async fn record_review(
        &self,
        repo: &Repo,
        number: PrNumber,
        commit: &CommitId,
        GivenReview { reviewer, report }: &GivenReview,
    ) -> Result<()> {
        let bare = self.known(repo, number).await?;
        let new = NewReview {
            reviewer,
            verdict: report.verdict,
            commit,
            body: &report.summary,
            comments: &report.comments,
            at: self.clock.now(),
        };
        if self.records.review(&bare.key, number, new).await? == News::Fresh {
            self.ci.tell((repo.id, number)).await;
        }
        Ok(())
    }
}

impl Drop for LocalForge {
    fn drop(&mut self) {
        self.ci.stop.cancel();
    }
}

#[async_trait]
impl Forge for LocalForge {
    fn name(&self) -> &'static str {
        "local"
    }

    fn handles(&self, url: &RepoUrl) -> bool {
        url.local_path().is_some()
    }

    async fn repository(&self, url: &RepoUrl) -> Result<RepositoryFacts> {
        let default_branch = self.bare(url).await?.default_branch().await?;
        Ok(RepositoryFacts { default_branch })
    }

    async fn credentials(&self, _repo: &Repo) -> Result<Option<GitCredentials>> {
        Ok(None) // whoever runs us may read and write the folder, or may not
    }

    async fn find(&self, repo: &Repo, head_branch: &str) -> Result<Option<PullRequest>> {
        let bare = self.bare(&repo.url).await?;
        loop {
            let Some(number) = self.records.pull_of(&bare.key, head_branch).await? else {
                return Ok(None);
            };
            let found = self.observe(repo, number).await?.pull_request;
            // the look may have shown that it is no longer the open one
            if found.state == PrState::Open
                || self.records.pull_of(&bare.key, head_branch).await? == Some(number)
            {
                return Ok(Some(found));
            }
        }
    }

    async fn open(&self, repo: &Repo, new: &NewPullRequest) -> Result<PullRequest> {
        if let Some(open) = self.find(repo, &new.head_branch).await?
            && open.state == PrState::Open
        {
            return Ok(open);
        }
        let bare = self.bare(&repo.url).await?;
        let branches = [new.head_branch.as_str(), new.base_branch.as_str()];
        let missing = |branch: &str| {
            let message = format!("there is no branch {branch} in {}: push it first", repo.url);
            Error::invalid(NAME, message)
        };
        let (head, base) = match bare.tips(branches).await? {
            [Some(head), Some(base)] => (head, base),
            [None, _] => return Err(missing(&new.head_branch)),
            [_, None] => return Err(missing(&new.base_branch)),
        };
        if bare.contains(&base, &head).await? {
            return Err(Error::invalid(
                NAME,
                format!(
                    "the branch {} has no commits that {} does not have: commit and push first",
                    new.head_branch, new.base_branch
                ),
            ));
        }
        let new = NewPull {
            title: &new.title,
            body: &new.body,
            head_branch: &new.head_branch,
            base_branch: &new.base_branch,
            head: &head,
            base: &base,
            at: self.clock.now(),
        };
        let number = self.records.open_pull(&bare.key, new).await?;
        let opened = self.observe(repo, number).await?.pull_request;
        self.ci.tell((repo.id, number)).await;
        Ok(opened)
    }

    async fn pull_request(&self, repo: &Repo, number: PrNumber) -> Result<PullRequest> {
        Ok(self.observe(repo, number).await?.pull_request)
    }

    async fn review(
        &self,
        repo: &Repo,
        number: PrNumber,
        head: &CommitId,
        report: &ReviewReport,
    ) -> Result<()> {
        let review = GivenReview {
            reviewer: OPTIO.to_owned(),
            report: report.clone(),
        };
        self.record_review(repo, number, head, &review).await
    }

    async fn merge(
        &self,
        repo: &Repo,
        number: PrNumber,
        request: &MergeRequest,
    ) -> Result<CommitId> {
        self.squash_merge(repo, number, request).await
    }

    async fn comment(&self, repo: &Repo, number: PrNumber, marker: &str, body: &str) -> Result<()> {
        let bare = self.known(repo, number).await?;
        let at = self.clock.now();
        self.records
            .comment(&bare.key, number, (marker, body), at)
            .await
    }

    /// A merged pull request stays merged; that is no error either.
    async fn close(&self, repo: &Repo, number: PrNumber) -> Result<()> {
        // it may be merged and not recorded as such
        let seen = self.observe(repo, number).await?;
        if seen.pull_request.state == PrState::Open {
            self.records.closed(&seen.bare.key, number).await?;
            self.ci.abandon(&seen.bare.key, (repo.id, number), None);
            self.ci.tell((repo.id, number)).await;
        }
        Ok(())
    }
}

fn unknown(repo: &Repo, number: PrNumber) -> Error {
    Error::not_found(NAME, format!("pull request {number} of {}", repo.url))
}
