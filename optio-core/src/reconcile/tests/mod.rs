//! The feedback loop and the pool, row by row: what is seen, and what follows.

mod checks;
mod lifecycle;
mod merge;
mod pool;
mod properties;
mod reviews;

use std::time::Duration;

use super::*;
use crate::{
    clock::Timestamp,
    conformance::sample::{at, commit_id, task},
    failure::{Failure, FailureClass},
    pull_request::{
        Checks, CommitId, FailedCheck, Mergeability, PrNumber, PrState, PullRequest, Review,
        ReviewDecision, ReviewReport, ReviewVerdict,
    },
    repo::{RepoSettings, ReviewTrigger},
    task::{AttentionReason, Blocking, Cause, CauseKind, StateName, Task, TaskState},
};

/// The head that the pull request has unless a row says otherwise.
const HEAD: u64 = 1;
/// A head that it had before.
const OLD: u64 = 2;
/// The commit of its base branch.
const BASE: u64 = 50;

/// What is seen. It begins as a pull request that is ready to be merged, an hour after it was opened, with `autoMerge`.
#[derive(Debug, Clone)]
struct Scene {
    task: Task,
    settings: RepoSettings,
    pull_request: Result<PullRequest, String>,
    reviews: Vec<SeenReview>,
    now: Timestamp,
}

fn ready() -> Scene {
    let opened = at(0);
    Scene {
        task: Task {
            state: TaskState::PrOpened { since: opened },
            ..task(1)
        },
        settings: RepoSettings {
            auto_merge: true,
            ..RepoSettings::default()
        },
        pull_request: Ok(PullRequest {
            number: PrNumber(7),
            url: "https://git.example/acme/shop/pull/7".to_owned(),
            title: "Add a cart".to_owned(),
            head_branch: "optio/add-a-cart".to_owned(),
            head: commit_id(HEAD),
            base_branch: "main".to_owned(),
            base: commit_id(BASE),
            state: PrState::Open,
            draft: false,
            mergeability: Mergeability::Clean,
            checks: Checks::Passed,
            decision: ReviewDecision::NotRequired,
            reviews: Vec::new(),
            opened_at: opened,
            head_at: opened,
        }),
        reviews: Vec::new(),
        now: at(3600),
    }
}

impl Scene {
    fn decide(&self) -> Decision {
        let seen = PrSnapshot {
            task: &self.task,
            settings: &self.settings,
            pull_request: self.pull_request.as_ref().map_err(String::as_str),
            reviews: &self.reviews,
        };
        reconcile_pull_request(&seen, self.now)
    }

    /// The rule and the action, on one line.
    fn outcome(&self) -> String {
        let Decision { action, rule, .. } = self.decide();
        format!("{rule}: {}", in_short(&action))
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn pr(self, change: impl FnOnce(&mut PullRequest)) -> Self {
        self.with(|scene| change(scene.pull_request.as_mut().expect("a pull request")))
    }

    fn set(self, change: impl FnOnce(&mut RepoSettings)) -> Self {
        self.with(|scene| change(&mut scene.settings))
    }

    fn state(self, state: TaskState) -> Self {
        self.with(|scene| scene.task.state = state)
    }

    fn needs(self, reason: AttentionReason) -> Self {
        let since = at(0);
        self.state(TaskState::NeedsAttention { reason, since })
    }

    fn asked_a_person(self, summary: &str) -> Self {
        let summary = summary.to_owned();
        self.needs(AttentionReason::Person { summary })
    }

    fn checks(self, checks: Checks) -> Self {
        self.pr(|pr| pr.checks = checks)
    }

    fn red(self) -> Self {
        self.checks(red())
    }

    fn unknown_checks(self) -> Self {
        self.checks(Checks::Unknown {
            reason: "502".to_owned(),
        })
    }

    fn conflicting(self) -> Self {
        self.pr(|pr| {
            pr.mergeability = Mergeability::Conflicting {
                files: vec!["src/cart.rs".to_owned(), "Cargo.toml".to_owned()],
            };
        })
    }

    fn decision(self, decision: ReviewDecision) -> Self {
        self.pr(|pr| pr.decision = decision)
    }

    /// A person requests changes of a commit; the forge says so.
    fn request(self, id: &str, commit: u64) -> Self {
        self.says(id, ReviewVerdict::RequestChanges, commit)
            .decision(ReviewDecision::ChangesRequested)
    }

    /// A person reviews a commit; nothing follows by the forge's rules.
    fn says(self, id: &str, verdict: ReviewVerdict, commit: u64) -> Self {
        self.pr(|pr| {
            pr.reviews.push(Review {
                id: id.to_owned(),
                reviewer: format!("reviewer of {id}"),
                verdict,
                commit: commit_id(commit),
                body: format!("body of {id}"),
                comments: Vec::new(),
                at: at(10),
            });
        })
    }

    /// A run was started for this cause.
    fn handled(self, kind: CauseKind, head: u64, mark: &str) -> Self {
        self.with(|scene| {
            scene.task.attempts.count(kind);
            scene.task.handled.push(Cause {
                kind,
                head: commit_id(head),
                mark: mark.to_owned(),
            });
        })
    }

    fn handled_conflict(self) -> Self {
        let base = commit_id(BASE);
        self.handled(CauseKind::Conflict, HEAD, base.as_str())
    }

    /// The review agent is to look at each head.
    fn review_by(self, trigger: ReviewTrigger) -> Self {
        self.set(|settings| {
            settings.review_enabled = true;
            settings.review_trigger = trigger;
        })
    }

    /// A review subtask that has come so far.
    fn own(self, head: u64, state: StateName) -> Self {
        self.with(|scene| scene.reviews.push(review_task(head, state, None)))
    }

    /// A review subtask that has given its verdict.
    fn own_says(self, head: u64, verdict: ReviewVerdict) -> Self {
        let state = StateName::Completed;
        self.with(|scene| {
            scene
                .reviews
                .push(review_task(head, state, Some(report(verdict))));
        })
    }

    /// What the review subtask wrote, as the forge shows it.
    fn own_on_the_forge(self, head: u64) -> Self {
        self.request("own", head).pr(|pr| {
            if let Some(review) = pr.reviews.last_mut() {
                review.body = "Optio's review agent: where is the test?".to_owned();
            }
        })
    }
}

fn red() -> Checks {
    Checks::Failed {
        failed: vec![FailedCheck {
            name: "test".to_owned(),
            conclusion: "failure".to_owned(),
            step: Some("cargo test".to_owned()),
            log_tail: "assertion failed: the cart is empty\n".to_owned(),
            url: Some("https://ci.example/1".to_owned()),
        }],
    }
}

fn report(verdict: ReviewVerdict) -> ReviewReport {
    ReviewReport {
        verdict,
        summary: "where is the test?".to_owned(),
        comments: Vec::new(),
    }
}

fn review_task(head: u64, state: StateName, report: Option<ReviewReport>) -> SeenReview {
    SeenReview {
        head: commit_id(head),
        blocking: Blocking::BlocksParent,
        state,
        report,
    }
}

fn letter(commit: &CommitId) -> &'static str {
    if *commit == commit_id(HEAD) {
        "head"
    } else {
        "another commit"
    }
}

fn in_short(action: &Action) -> String {
    match action {
        Action::Nothing { why } => format!("nothing ({why})"),
        Action::Wait { what_for } => format!("wait for {what_for}"),
        Action::Complete { .. } => "complete".to_owned(),
        Action::Fail { failure } => format!("fail {}", failure.class),
        Action::Resume { next, .. } => {
            let cause = next.cause.as_ref().expect("a resume has a cause");
            format!("{} for {}", next.kind, letter(&cause.head))
        }
        Action::Attention { reason } => match reason {
            AttentionReason::Person { summary } => format!("ask a person ({summary})"),
            reason => format!("attention {reason:?}"),
        },
        Action::StartReview { head } => format!("review {}", letter(head)),
        Action::Merge { head } => format!("merge {}", letter(head)),
    }
}

/// Each row: what it is about, what is seen, and the outcome, which may be cut short by `...`.
fn check(rows: Vec<(&str, Scene, &str)>) {
    let mut wrong = Vec::new();
    for (name, scene, expected) in rows {
        let outcome = scene.outcome();
        let fits = match expected.strip_suffix("...") {
            Some(beginning) => outcome.starts_with(beginning),
            None => outcome == expected,
        };
        if !fits {
            wrong.push(format!(
                "{name}\n  expected {expected}\n  got      {outcome}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
