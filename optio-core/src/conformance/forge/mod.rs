//! The contract of [`Forge`](crate::forge::Forge). What happens behind a forge's back (pushes, checks) a [`ForgeUnderTest`] does.

mod subject;

pub use self::subject::{Ci, ForgeUnderTest};
use self::subject::{Subject, WORK, look, new, open, opened, report, request, until};
use super::{refused, soon};
use crate::{
    error::ErrorKind,
    pull_request::{
        Checks, Mergeability, PrNumber, PrState, PullRequest, ReviewDecision, ReviewVerdict,
    },
    repo::RepoUrl,
};

/// One test per clause of the [`Forge`](crate::forge::Forge) contract; see [`conformance`](crate::conformance). The expression gives a
/// [`ForgeUnderTest`].
#[macro_export]
macro_rules! forge_conformance {
    (#[$test:meta] $make:expr) => {
        $crate::forge_conformance! { @ #[$test] $make, [
            a_repository_is_known_by_its_address
            a_branch_without_a_pull_request_has_none
            a_pull_request_is_opened_and_found
            opening_again_finds_the_first
            a_branch_that_was_not_pushed_cannot_be_opened
            after_a_closed_one_another_is_opened
            the_head_follows_the_branch
            passing_checks_are_told
            failing_checks_are_told_with_what_failed
            a_conflict_is_told
            a_merge_is_one_commit_on_the_base
            merging_again_gives_the_same_merge
            only_the_expected_head_is_merged
            a_conflict_is_not_merged
            a_closed_pull_request_is_not_merged
            a_review_counts_once
            requested_changes_are_told
            a_comment_may_be_replaced
            closing_twice_is_no_error
            a_number_that_is_not_there_is_not_found
        ] }
    };
    ($make:expr) => {
        $crate::forge_conformance! { #[tokio::test] $make }
    };
    (@ #[$test:meta] $make:expr, [$($clause:ident)+]) => {
        $(
            #[$test]
            async fn $clause() {
                $crate::conformance::forge::$clause(&$make).await;
            }
        )+
    };
}

/// With its default branch; one that does not exist is `NotFound` or `Denied`.
pub async fn a_repository_is_known_by_its_address(subject: &Subject) {
    let (forge, repo) = (subject.forge(), subject.repo());
    assert!(forge.handles(&repo.url));
    let facts = forge.repository(&repo.url).await.expect("repository");
    assert_eq!(facts.default_branch, repo.default_branch);
    let elsewhere: RepoUrl = "https://elsewhere.invalid/acme/shop"
        .parse()
        .expect("a url");
    assert!(!forge.handles(&elsewhere));
    let kind = refused(forge.repository(&subject.missing()).await);
    assert!(
        matches!(kind, ErrorKind::NotFound | ErrorKind::Denied),
        "{kind:?}"
    );
    forge.credentials(&repo).await.expect("credentials");
}

/// Whether it was pushed or not.
pub async fn a_branch_without_a_pull_request_has_none(subject: &Subject) {
    subject
        .push(WORK, &[("cart.txt", "a cart\n")], Ci::Green)
        .await;
    for branch in [WORK, "optio/never-pushed"] {
        let found = subject.forge().find(&subject.repo(), branch).await;
        assert_eq!(found.expect("find"), None);
    }
}

/// By its branch and by its number, the same.
pub async fn a_pull_request_is_opened_and_found(subject: &Subject) {
    let (opened, head) = opened(subject).await;
    assert_eq!(opened.head, head);
    assert_eq!(opened.head_branch, WORK);
    assert_eq!(opened.base_branch, subject.repo().default_branch);
    assert_eq!(opened.title, "Add a \"cart\"");
    assert_eq!(opened.state, PrState::Open);
    assert!(!opened.url.is_empty() && !opened.draft);
    assert_ne!(opened.decision, ReviewDecision::Approved);
    let found = subject.forge().find(&subject.repo(), WORK).await;
    let found = found.expect("find").expect("a pull request");
    assert_eq!(found.to_ref(), opened.to_ref());
    assert_eq!(look(subject, opened.number).await.to_ref(), opened.to_ref());
}

/// `open` is idempotent by head branch.
pub async fn opening_again_finds_the_first(subject: &Subject) {
    let (first, _) = opened(subject).await;
    assert_eq!(open(subject, WORK).await.to_ref(), first.to_ref());
    subject
        .push(WORK, &[("cart.txt", "a better cart\n")], Ci::Green)
        .await;
    assert_eq!(open(subject, WORK).await.to_ref(), first.to_ref());
}

/// And nothing is opened.
pub async fn a_branch_that_was_not_pushed_cannot_be_opened(subject: &Subject) {
    let opened = subject
        .forge()
        .open(&subject.repo(), &new(subject, WORK))
        .await;
    refused(opened);
    let found = subject.forge().find(&subject.repo(), WORK).await;
    assert_eq!(found.expect("find"), None);
}

/// Under a number that was never used, and found before the closed one.
pub async fn after_a_closed_one_another_is_opened(subject: &Subject) {
    let (first, _) = opened(subject).await;
    let closed = subject.forge().close(&subject.repo(), first.number).await;
    closed.expect("close");
    let found = subject.forge().find(&subject.repo(), WORK).await;
    assert_eq!(
        found.expect("find").map(|it| it.state),
        Some(PrState::Closed)
    );
    let second = open(subject, WORK).await;
    assert!(second.number > first.number);
    let found = subject.forge().find(&subject.repo(), WORK).await;
    assert_eq!(
        found.expect("find").map(|it| it.number),
        Some(second.number)
    );
}

/// And is never older than the pull request.
pub async fn the_head_follows_the_branch(subject: &Subject) {
    let (pull, first) = opened(subject).await;
    let second = subject
        .push(WORK, &[("cart.txt", "a better cart\n")], Ci::Green)
        .await;
    assert_ne!(first, second);
    let seen = until(subject, pull.number, "the new head", |seen| {
        seen.head == second
    })
    .await;
    assert!(seen.head_at >= seen.opened_at);
}

/// Those of the head.
pub async fn passing_checks_are_told(subject: &Subject) {
    let (pull, head) = opened(subject).await;
    let seen = until(subject, pull.number, "green checks", |seen| {
        seen.checks == Checks::Passed
    });
    assert_eq!(seen.await.head, head);
}

/// Until another head passes.
pub async fn failing_checks_are_told_with_what_failed(subject: &Subject) {
    subject
        .push(WORK, &[("cart.txt", "no cart\n")], Ci::Red)
        .await;
    let pull = open(subject, WORK).await;
    let failed = |seen: &PullRequest| matches!(seen.checks, Checks::Failed { .. });
    let seen = until(subject, pull.number, "red checks", failed).await;
    let Checks::Failed { failed } = seen.checks else {
        return;
    };
    assert!(!failed.is_empty());
    for check in failed {
        assert!(
            !check.name.is_empty() && !check.conclusion.is_empty(),
            "{check:?}"
        );
        assert!(
            check.log_tail.len() <= 64 * 1024,
            "{}",
            check.log_tail.len()
        );
    }
    let head = subject
        .push(WORK, &[("cart.txt", "a cart\n")], Ci::Green)
        .await;
    let passed = |seen: &PullRequest| seen.checks == Checks::Passed;
    let seen = until(subject, pull.number, "green checks", passed).await;
    assert_eq!(seen.head, head);
}

/// A clean one is called clean.
pub async fn a_conflict_is_told(subject: &Subject) {
    subject
        .push(WORK, &[("README.md", "ours\n")], Ci::Green)
        .await;
    let pull = open(subject, WORK).await;
    let clean = |seen: &PullRequest| seen.mergeability == Mergeability::Clean;
    until(subject, pull.number, "that it is clean", clean).await;
    let base = subject.repo().default_branch;
    let tip = subject
        .push(&base, &[("README.md", "theirs\n")], Ci::Green)
        .await;
    let conflicts =
        |seen: &PullRequest| matches!(seen.mergeability, Mergeability::Conflicting { .. });
    let seen = until(subject, pull.number, "the conflict", conflicts).await;
    assert_eq!(seen.base, tip);
    if let Mergeability::Conflicting { files } = seen.mergeability {
        // a forge need not tell which
        assert!(files.is_empty() || files == ["README.md"], "{files:?}");
    }
}

/// With what happened there meanwhile.
pub async fn a_merge_is_one_commit_on_the_base(subject: &Subject) {
    let (pull, _) = opened(subject).await;
    let head = subject
        .push(WORK, &[("more.txt", "more\n")], Ci::Green)
        .await;
    let base = subject.repo().default_branch;
    subject
        .push(&base, &[("other.txt", "other\n")], Ci::Green)
        .await;
    until(subject, pull.number, "the new head", |seen| {
        seen.head == head
    })
    .await;
    let merge = subject
        .forge()
        .merge(&subject.repo(), pull.number, &request(&head))
        .await;
    let commit = merge.expect("merge");
    let merged = PrState::Merged {
        commit: commit.clone(),
    };
    let seen = until(subject, pull.number, "the merge", |seen| {
        seen.state == merged
    })
    .await;
    assert_eq!(seen.head, head);
    for (path, content) in [
        ("cart.txt", "a cart\n"),
        ("more.txt", "more\n"),
        ("other.txt", "other\n"),
    ] {
        assert_eq!(
            subject.base_file(path).await.as_deref(),
            Some(content),
            "{path}"
        );
    }
    let found = subject
        .forge()
        .find(&subject.repo(), WORK)
        .await
        .expect("find");
    assert_eq!(found.map(|found| found.number), Some(pull.number));
}

/// Also if the base has moved on since.
pub async fn merging_again_gives_the_same_merge(subject: &Subject) {
    let (pull, head) = opened(subject).await;
    let merge = || async {
        let merged = subject
            .forge()
            .merge(&subject.repo(), pull.number, &request(&head))
            .await;
        merged.expect("merge")
    };
    let first = merge().await;
    let base = subject.repo().default_branch;
    subject
        .push(&base, &[("cart.txt", "another cart\n")], Ci::Green)
        .await;
    assert_eq!(merge().await, first);
    assert_eq!(
        subject.base_file("cart.txt").await.as_deref(),
        Some("another cart\n")
    );
}

/// `Conflict`, and nothing is merged.
pub async fn only_the_expected_head_is_merged(subject: &Subject) {
    let (pull, decided) = opened(subject).await;
    let pushed = subject
        .push(WORK, &[("late.txt", "late\n")], Ci::Green)
        .await;
    let merge = subject
        .forge()
        .merge(&subject.repo(), pull.number, &request(&decided))
        .await;
    assert_eq!(refused(merge), ErrorKind::Conflict);
    let seen = until(subject, pull.number, "the new head", |seen| {
        seen.head == pushed
    })
    .await;
    assert_eq!(seen.state, PrState::Open);
    assert_eq!(subject.base_file("cart.txt").await, None);
}

/// `Conflict`, and nothing is merged.
pub async fn a_conflict_is_not_merged(subject: &Subject) {
    let head = subject
        .push(WORK, &[("README.md", "ours\n")], Ci::Green)
        .await;
    let pull = open(subject, WORK).await;
    let base = subject.repo().default_branch;
    subject
        .push(&base, &[("README.md", "theirs\n")], Ci::Green)
        .await;
    let merge = subject
        .forge()
        .merge(&subject.repo(), pull.number, &request(&head))
        .await;
    assert_eq!(refused(merge), ErrorKind::Conflict);
    assert_eq!(look(subject, pull.number).await.state, PrState::Open);
    assert_eq!(
        subject.base_file("README.md").await.as_deref(),
        Some("theirs\n")
    );
}

/// It stays closed.
pub async fn a_closed_pull_request_is_not_merged(subject: &Subject) {
    let (pull, head) = opened(subject).await;
    let closed = subject.forge().close(&subject.repo(), pull.number).await;
    closed.expect("close");
    refused(
        subject
            .forge()
            .merge(&subject.repo(), pull.number, &request(&head))
            .await,
    );
    assert_eq!(look(subject, pull.number).await.state, PrState::Closed);
    assert_eq!(subject.base_file("cart.txt").await, None);
}

/// The same review of the same commit given twice counts once, bound to its commit.
pub async fn a_review_counts_once(subject: &Subject) {
    let (pull, head) = opened(subject).await;
    let approval = report(ReviewVerdict::Approve, "looks right");
    for _ in 0..2 {
        let given = subject
            .forge()
            .review(&subject.repo(), pull.number, &head, &approval)
            .await;
        given.expect("review");
    }
    let seen = until(subject, pull.number, "the review", |seen| {
        !seen.reviews.is_empty()
    })
    .await;
    assert_eq!(seen.reviews.len(), 1, "{:?}", seen.reviews);
    assert_eq!(seen.reviews[0].commit, head);
    assert_eq!(seen.reviews[0].verdict, ReviewVerdict::Approve);
    assert!(seen.reviews[0].body.contains("looks right"));
    assert_ne!(seen.decision, ReviewDecision::ChangesRequested);
}

/// Until the same reviewer approves.
pub async fn requested_changes_are_told(subject: &Subject) {
    let (pull, head) = opened(subject).await;
    let review = |verdict, summary| {
        let (forge, repo, head) = (subject.forge(), subject.repo(), head.clone());
        let report = report(verdict, summary);
        async move {
            let given = forge.review(&repo, pull.number, &head, &report).await;
            given.expect("review");
        }
    };
    review(ReviewVerdict::RequestChanges, "no tests").await;
    let wanted = |decision| move |seen: &PullRequest| seen.decision == decision;
    let changes = wanted(ReviewDecision::ChangesRequested);
    let seen = until(subject, pull.number, "the request", changes).await;
    assert!(
        seen.reviews
            .iter()
            .any(|review| review.body.contains("no tests"))
    );
    review(ReviewVerdict::Approve, "now there are").await;
    until(
        subject,
        pull.number,
        "the approval",
        wanted(ReviewDecision::Approved),
    )
    .await;
}

/// Under the same marker.
pub async fn a_comment_may_be_replaced(subject: &Subject) {
    let (pull, _) = opened(subject).await;
    for body in ["1 of 2", "2 of 2"] {
        let written = subject
            .forge()
            .comment(&subject.repo(), pull.number, "optio", body)
            .await;
        written.expect("comment");
    }
}

/// Nor is anything merged by it.
pub async fn closing_twice_is_no_error(subject: &Subject) {
    let (pull, _) = opened(subject).await;
    for _ in 0..2 {
        let closed = subject.forge().close(&subject.repo(), pull.number).await;
        closed.expect("close");
    }
    assert_eq!(look(subject, pull.number).await.state, PrState::Closed);
}

/// Whatever is asked of it.
pub async fn a_number_that_is_not_there_is_not_found(subject: &Subject) {
    let (pull, head) = opened(subject).await;
    let (forge, repo, missing) = (
        subject.forge(),
        subject.repo(),
        PrNumber(pull.number.0 + 999),
    );
    assert_eq!(
        refused(forge.pull_request(&repo, missing).await),
        ErrorKind::NotFound
    );
    assert_eq!(
        refused(forge.merge(&repo, missing, &request(&head)).await),
        ErrorKind::NotFound
    );
    assert_eq!(
        refused(forge.comment(&repo, missing, "optio", "hello").await),
        ErrorKind::NotFound
    );
    assert_eq!(
        refused(forge.close(&repo, missing).await),
        ErrorKind::NotFound
    );
    let approval = report(ReviewVerdict::Approve, "fine");
    let review = forge.review(&repo, missing, &head, &approval).await;
    assert_eq!(refused(review), ErrorKind::NotFound);
}
