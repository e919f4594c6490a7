//! A forge in memory, over the remotes of a [`FakeGit`]: tests decide what CI and people say.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::FutureExt;

mod port;

use super::git::{FakeGit, Push};
use crate::{
    clock::{Clock, Timestamp},
    error::{Error, Result},
    event_bus::{EventBus, Hint},
    forge::{Forge, GitCredentials, MergeRequest, NewPullRequest, RepositoryFacts},
    id::RepoId,
    pull_request::{
        Checks, CommitId, Mergeability, PrNumber, PrState, PullRequest, Review, ReviewDecision,
        ReviewReport, ReviewVerdict,
    },
    repo::{Repo, RepoUrl},
};

const BACKEND: &str = "memory forge";

/// The host whose repositories a [`MemoryForge`] handles, as in `https://memory.test/acme/shop`.
pub const HOST: &str = "memory.test";

/// Who gives the reviews that come in through the port.
const OPTIO: &str = "optio";

/// A [`Forge`] for the remotes of a [`FakeGit`] on the host [`HOST`]. Clones are the same forge.
///
/// Checks pass at once unless a [plan](Self::plan_checks) or a [word on one commit](Self::set_checks) says otherwise.
/// Conflicts are computed: both sides changed the same file.
#[derive(Debug, Clone)]
pub struct MemoryForge {
    git: FakeGit,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    clock: Arc<dyn Clock>,
    bus: Option<Arc<dyn EventBus>>,
    /// By the identity of their address.
    repos: BTreeMap<String, Shelf>,
    plan: ChecksPlan,
    review: ReviewRule,
    unreachable: Option<String>,
    lost_answers: BTreeSet<&'static str>,
    late_look: Option<Duration>,
    calls: BTreeMap<&'static str, u64>,
}

/// The pull requests of one repository.
#[derive(Debug, Default)]
struct Shelf {
    /// What the engine calls it, once it has asked.
    id: Option<RepoId>,
    pulls: BTreeMap<PrNumber, Pull>,
}

#[derive(Debug)]
struct Pull {
    title: String,
    body: String,
    head_branch: String,
    base_branch: String,
    /// Every head that it had, the present one last.
    heads: Vec<CommitId>,
    head_at: Timestamp,
    opened_at: Timestamp,
    state: PrState,
    /// What was said about single commits.
    checks: BTreeMap<CommitId, Checks>,
    reviews: Vec<Review>,
    comments: BTreeMap<String, String>,
    merges: u32,
}

/// Whether the forge wants a review before a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReviewRule {
    /// It does not, but heeds those that were given.
    #[default]
    Optional,
    /// It wants an approval of the present head.
    Required,
}

/// A commit that CI is to say something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedHead<'a> {
    /// The [identity](RepoUrl::identity) of its repository.
    pub repo: &'a str,
    /// The pull request.
    pub number: PrNumber,
    /// The commit.
    pub head: &'a CommitId,
    /// Which head of the pull request it is, from 1.
    pub nth: usize,
}

#[derive(Clone)]
struct ChecksPlan(Arc<dyn Fn(&CheckedHead<'_>) -> Checks + Send + Sync>);

impl fmt::Debug for ChecksPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChecksPlan")
    }
}

impl MemoryForge {
    /// A forge without pull requests.
    #[must_use]
    pub fn new(git: FakeGit, clock: Arc<dyn Clock>) -> Self {
        let state = Arc::new(Mutex::new(State {
            clock,
            bus: None,
            repos: BTreeMap::new(),
            plan: ChecksPlan(Arc::new(|_| Checks::Passed)),
            review: ReviewRule::Optional,
            unreachable: None,
            lost_answers: BTreeSet::new(),
            late_look: None,
            calls: BTreeMap::new(),
        }));
        let watched: Weak<Mutex<State>> = Arc::downgrade(&state);
        git.on_push(move |push| {
            if let Some(state) = watched.upgrade() {
                lock(&state).heard_of(push);
            }
        });
        Self { git, state }
    }

    /// The same forge, which tells this bus when something happens to a pull request.
    #[must_use]
    pub fn with_bus(self, bus: Arc<dyn EventBus>) -> Self {
        self.lock().bus = Some(bus);
        self
    }

    /// Decides what CI says about each head on which no word was given.
    pub fn plan_checks(&self, plan: impl Fn(&CheckedHead<'_>) -> Checks + Send + Sync + 'static) {
        self.lock().plan = ChecksPlan(Arc::new(plan));
    }

    /// Lets CI say this about the present head of a pull request.
    pub fn set_checks(&self, url: &RepoUrl, number: PrNumber, checks: Checks) {
        self.on(url, number, |pull, _| {
            let head = pull.head().clone();
            pull.checks.insert(head, checks);
        });
    }

    /// Whether reviews are needed, from now on.
    pub fn set_review_rule(&self, rule: ReviewRule) {
        self.lock().review = rule;
    }

    /// Somebody reviews the present head of a pull request.
    pub fn add_review(
        &self,
        url: &RepoUrl,
        number: PrNumber,
        reviewer: &str,
        report: ReviewReport,
    ) {
        self.on(url, number, |pull, at| {
            let head = pull.head().clone();
            pull.add_review(reviewer, &head, report, at);
        });
    }

    /// Somebody merges a pull request without asking us; no commit if there are conflicts.
    pub fn merge_elsewhere(&self, url: &RepoUrl, number: PrNumber) -> Option<CommitId> {
        let (base, head) = self.on(url, number, |pull, _| {
            (pull.base_branch.clone(), pull.head().clone())
        })?;
        let commit = self.git.squash(url, &base, &head, "Merged elsewhere")?;
        self.on(url, number, |pull, _| pull.merged_as(&commit));
        Some(commit)
    }

    /// Somebody closes a pull request without asking us.
    pub fn close_elsewhere(&self, url: &RepoUrl, number: PrNumber) {
        self.on(url, number, |pull, _| pull.close());
    }

    /// Lets every call fail as `Unavailable`, or no longer.
    pub fn set_unreachable(&self, reason: Option<&str>) {
        self.lock().unreachable = reason.map(str::to_owned);
    }

    /// Lets the next call of this method do its work and then fail as `Unavailable`, as when the connection breaks
    /// before the answer has come.
    pub fn lose_next_answer(&self, method: &'static str) {
        self.lock().lost_answers.insert(method);
    }

    /// Lets the next answer about a pull request come so much later, and say what was true when it was asked for.
    pub fn delay_next_look(&self, late: Duration) {
        self.lock().late_look = Some(late);
    }

    /// How often a method of the port was called.
    #[must_use]
    pub fn calls(&self, method: &str) -> u64 {
        self.lock().calls.get(method).copied().unwrap_or(0)
    }

    /// How often a pull request was merged.
    #[must_use]
    pub fn merges(&self, url: &RepoUrl, number: PrNumber) -> u32 {
        self.see(url, number, |pull| pull.merges).unwrap_or(0)
    }

    /// The pull requests of a repository, the oldest first.
    #[must_use]
    pub fn pull_requests(&self, url: &RepoUrl) -> Vec<PullRequest> {
        let numbers: Vec<PrNumber> = {
            let state = self.lock();
            let shelf = state.repos.get(url.identity());
            shelf
                .iter()
                .flat_map(|shelf| shelf.pulls.keys().copied())
                .collect()
        };
        numbers
            .into_iter()
            .filter_map(|number| self.look(url, number))
            .collect()
    }

    /// The body of a pull request.
    #[must_use]
    pub fn body(&self, url: &RepoUrl, number: PrNumber) -> Option<String> {
        self.see(url, number, |pull| pull.body.clone())
    }

    /// The comments on a pull request, by their marker.
    #[must_use]
    pub fn comments(&self, url: &RepoUrl, number: PrNumber) -> BTreeMap<String, String> {
        self.see(url, number, |pull| pull.comments.clone())
            .unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn see<T>(&self, url: &RepoUrl, number: PrNumber, see: impl FnOnce(&Pull) -> T) -> Option<T> {
        let state = self.lock();
        let pull = state.repos.get(url.identity())?.pulls.get(&number)?;
        Some(see(pull))
    }

    /// Changes a pull request and tells whoever listens.
    fn on<T>(
        &self,
        url: &RepoUrl,
        number: PrNumber,
        change: impl FnOnce(&mut Pull, Timestamp) -> T,
    ) -> Option<T> {
        let mut state = self.lock();
        let now = state.clock.now();
        let pull = state
            .repos
            .get_mut(url.identity())?
            .pulls
            .get_mut(&number)?;
        let changed = change(pull, now);
        state.hint(url.identity(), number);
        Some(changed)
    }

    /// Notes a call. Fails if the forge is out of reach.
    fn call(&self, method: &'static str, repo: Option<&Repo>) -> Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        *state.calls.entry(method).or_default() += 1;
        if let Some(reason) = &state.unreachable {
            return Err(Error::unavailable(BACKEND, reason));
        }
        if let Some(repo) = repo {
            let shelf = state
                .repos
                .entry(repo.url.identity().to_owned())
                .or_default();
            shelf.id = Some(repo.id);
        }
        Ok(state)
    }

    /// Loses the answer of a call that has done its work, if it is to be lost.
    fn answer<T>(&self, method: &'static str, answer: T) -> Result<T> {
        if self.lock().lost_answers.remove(method) {
            return Err(Error::unavailable(
                BACKEND,
                "the connection was closed before an answer came",
            ));
        }
        Ok(answer)
    }

    fn look(&self, url: &RepoUrl, number: PrNumber) -> Option<PullRequest> {
        let plan = self.lock().plan.clone();
        let (mut seen, word, nth) = {
            let state = self.lock();
            let pull = state.repos.get(url.identity())?.pulls.get(&number)?;
            let seen = pull.seen(url, number, state.review);
            (
                seen,
                pull.checks.get(pull.head()).cloned(),
                pull.heads.len(),
            )
        };
        if let Some(base) = self.git.branch(url, &seen.base_branch) {
            let files = self.git.conflicts(&base, &seen.head);
            if seen.state == PrState::Open && !files.is_empty() {
                seen.mergeability = Mergeability::Conflicting { files };
            }
            seen.base = base;
        }
        // whoever wrote the plan may ask us something, so no lock is held
        seen.checks = word.unwrap_or_else(|| {
            (plan.0)(&CheckedHead {
                repo: url.identity(),
                number,
                head: &seen.head,
                nth,
            })
        });
        Some(seen)
    }

    fn must_look(&self, repo: &Repo, number: PrNumber) -> Result<PullRequest> {
        self.look(&repo.url, number)
            .ok_or_else(|| unknown(repo, number))
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unknown(repo: &Repo, number: PrNumber) -> Error {
    Error::not_found(BACKEND, format!("pull request {number} of {}", repo.url))
}

impl State {
    fn heard_of(&mut self, push: &Push) {
        let now = self.clock.now();
        let Some(shelf) = self.repos.get_mut(&push.repo) else {
            return;
        };
        let Some(branch) = push.name.strip_prefix("refs/heads/") else {
            return;
        };
        let mut touched = Vec::new();
        for (number, pull) in &mut shelf.pulls {
            if pull.state != PrState::Open {
                continue;
            }
            if let Some(head) = push.to.as_ref().filter(|_| pull.head_branch == branch) {
                pull.heads.push(head.clone());
                pull.head_at = now;
                touched.push(*number);
            } else if pull.base_branch == branch {
                touched.push(*number);
            }
        }
        for number in touched {
            self.hint(&push.repo, number);
        }
    }

    /// Tells whoever listens. A hint may be lost, so nobody waits for a bus that is slow.
    fn hint(&self, repo: &str, number: PrNumber) {
        let id = self.repos.get(repo).and_then(|shelf| shelf.id);
        if let (Some(bus), Some(repo)) = (&self.bus, id) {
            let _ = bus
                .publish(Hint::PullRequest { repo, number })
                .now_or_never();
        }
    }
}

impl Pull {
    fn head(&self) -> &CommitId {
        // it is opened with one, and they only get more
        &self.heads[self.heads.len() - 1]
    }

    /// What can be seen of it without looking at git or asking CI.
    fn seen(&self, url: &RepoUrl, number: PrNumber, rule: ReviewRule) -> PullRequest {
        PullRequest {
            number,
            url: format!("https://{}/pull/{}", url.identity(), number.0),
            title: self.title.clone(),
            head_branch: self.head_branch.clone(),
            head: self.head().clone(),
            base_branch: self.base_branch.clone(),
            base: self.head().clone(),
            state: self.state.clone(),
            draft: false,
            mergeability: Mergeability::Clean,
            checks: Checks::None,
            decision: self.decision(rule),
            reviews: self.latest_reviews(),
            opened_at: self.opened_at,
            head_at: self.head_at,
        }
    }

    fn merged_as(&mut self, commit: &CommitId) {
        self.merges += 1;
        self.state = PrState::Merged {
            commit: commit.clone(),
        };
    }

    fn close(&mut self) {
        if self.state == PrState::Open {
            self.state = PrState::Closed;
        }
    }

    fn add_review(
        &mut self,
        reviewer: &str,
        commit: &CommitId,
        report: ReviewReport,
        at: Timestamp,
    ) {
        let same = |review: &Review| {
            review.reviewer == reviewer
                && review.commit == *commit
                && review.verdict == report.verdict
                && review.body == report.summary
                && review.comments == report.comments
        };
        if !self.reviews.iter().any(same) {
            self.reviews.push(Review {
                id: format!("review-{}", self.reviews.len() + 1),
                reviewer: reviewer.to_owned(),
                verdict: report.verdict,
                commit: commit.clone(),
                body: report.summary,
                comments: report.comments,
                at,
            });
        }
    }

    fn latest_reviews(&self) -> Vec<Review> {
        let mut latest: Vec<Review> = Vec::new();
        for review in self.reviews.iter().rev() {
            if !latest.iter().any(|other| other.reviewer == review.reviewer) {
                latest.push(review.clone());
            }
        }
        latest.reverse();
        latest
    }

    fn decision(&self, rule: ReviewRule) -> ReviewDecision {
        // a comment takes nothing back
        let mut decided: BTreeMap<&str, &Review> = BTreeMap::new();
        for review in &self.reviews {
            if review.verdict != ReviewVerdict::Comment {
                decided.insert(&review.reviewer, review);
            }
        }
        let has = |verdict| decided.values().any(|review| review.verdict == verdict);
        let approved = |review: &&Review| {
            review.verdict == ReviewVerdict::Approve && review.commit == *self.head()
        };
        if has(ReviewVerdict::RequestChanges) {
            ReviewDecision::ChangesRequested
        } else if decided.into_values().any(|review| approved(&review)) {
            ReviewDecision::Approved
        } else {
            match rule {
                ReviewRule::Optional => ReviewDecision::NotRequired,
                ReviewRule::Required => ReviewDecision::Required,
            }
        }
    }
}
