//! Reviews: people's, which speak for all heads until taken back, and the review agent's, which speaks of one.

use insta::assert_snapshot;

use super::*;
use crate::pull_request::ReviewComment;

fn by_hand(settings: &mut RepoSettings) {
    settings.auto_resume_on_review = false;
}

#[test]
fn changes_that_people_request() {
    check(vec![
        (
            "for the first time",
            ready().request("r1", HEAD),
            "changes_requested: resume-review for head",
        ),
        (
            "before the checks have ended",
            ready().request("r1", HEAD).checks(Checks::Pending),
            "changes_requested: resume-review for head",
        ),
        (
            "after red checks: first it must be green",
            ready().request("r1", HEAD).red(),
            "checks_failed: resume-ci for head",
        ),
        (
            "autoResumeOnReview is off",
            ready().request("r1", HEAD).set(by_hand),
            "changes_requested_no_auto_resume: attention ChangesRequested",
        ),
        (
            "answered by a newer head: now the reviewer speaks",
            ready()
                .request("r1", OLD)
                .handled(CauseKind::Review, OLD, "r1"),
            "review_stands: wait for the reviewer to look at it again",
        ),
        (
            "the same, with autoResumeOnReview off since",
            ready()
                .request("r1", OLD)
                .handled(CauseKind::Review, OLD, "r1")
                .set(by_hand),
            "review_stands: wait for the reviewer to look at it again",
        ),
        (
            "the reviewer requests more changes of the newer head",
            ready()
                .request("r2", HEAD)
                .handled(CauseKind::Review, OLD, "r1"),
            "changes_requested: resume-review for head",
        ),
        (
            "a second reviewer joins in",
            ready()
                .request("r1", OLD)
                .request("r2", HEAD)
                .handled(CauseKind::Review, OLD, "r1"),
            "changes_requested: resume-review for head",
        ),
        (
            "of two that were answered one takes it back: the other is answered still",
            ready()
                .request("r2", OLD)
                .handled(CauseKind::Review, OLD, "r1,r2"),
            "review_stands: wait for the reviewer to look at it again",
        ),
        (
            "the agent was resumed and pushed nothing",
            ready()
                .request("r1", HEAD)
                .handled(CauseKind::Review, HEAD, "r1"),
            "changes_requested: ask a person (the agent was resumed for requested changes on 00000000 and pushed nothing new...",
        ),
        (
            "the cap is met",
            ready().request("r9", HEAD).with(|scene| {
                scene.task.attempts.review = 5;
            }),
            "changes_requested: ask a person (the agent was resumed 5 times for requested changes...",
        ),
        (
            "taken back",
            ready()
                .says("r1", ReviewVerdict::Approve, HEAD)
                .decision(ReviewDecision::Approved)
                .handled(CauseKind::Review, OLD, "r0"),
            "ready: merge head",
        ),
    ]);
}

#[test]
fn the_review_agent_is_started_when_its_trigger_says_so() {
    use ReviewTrigger::{Manual, OnCiPass, OnPrOpen};
    check(vec![
        (
            "on_ci_pass, green",
            ready().review_by(OnCiPass),
            "review_wanted: review head",
        ),
        (
            "on_ci_pass, checks at work",
            ready().review_by(OnCiPass).checks(Checks::Pending),
            "checks_pending: wait for its checks to end",
        ),
        (
            "on_ci_pass, verdict unknown",
            ready().review_by(OnCiPass).unknown_checks(),
            "checks_unknown: wait for the forge to tell the verdict of its checks",
        ),
        (
            "on_pr_open, checks at work",
            ready().review_by(OnPrOpen).checks(Checks::Pending),
            "review_wanted: review head",
        ),
        (
            "on_pr_open, red: mended first",
            ready().review_by(OnPrOpen).red(),
            "checks_failed: resume-ci for head",
        ),
        (
            "on_pr_open, started already",
            ready()
                .review_by(OnPrOpen)
                .checks(Checks::Pending)
                .own(HEAD, StateName::Queued),
            "checks_pending: wait for its checks to end",
        ),
        (
            "a draft",
            ready().review_by(OnPrOpen).pr(|pr| pr.draft = true),
            "draft: wait for somebody to mark it as ready for review (it is a draft)",
        ),
        (
            "manual",
            ready().review_by(Manual),
            "review_manual: wait for somebody to start the review agent (reviewTrigger is manual)",
        ),
        (
            "at work",
            ready().review_by(OnCiPass).own(HEAD, StateName::Running),
            "review_at_work: wait for the review agent",
        ),
        (
            "a new head since",
            ready()
                .review_by(OnCiPass)
                .own_says(OLD, ReviewVerdict::Approve),
            "review_wanted: review head",
        ),
        ("not enabled, none there", ready(), "ready: merge head"),
    ]);
}

#[test]
fn the_review_agents_word() {
    let enabled = || ready().review_by(ReviewTrigger::OnCiPass);
    let failed = "review_failed: ask a person (the review agent's task has failed: review by hand, or start the review agent again)";
    let comments = "review_not_positive: ask a person (the review agent did not approve this commit; approve or change it by hand)";
    check(vec![
        (
            "it approves this head",
            enabled().own_says(HEAD, ReviewVerdict::Approve),
            "ready: merge head",
        ),
        (
            "it approves, and a person has not",
            enabled()
                .own_says(HEAD, ReviewVerdict::Approve)
                .decision(ReviewDecision::Required),
            "review_required: wait for a reviewer to approve it",
        ),
        (
            "it requests changes",
            enabled().own_says(HEAD, ReviewVerdict::RequestChanges),
            "changes_requested: resume-review for head",
        ),
        (
            "it requests changes of a head that is gone",
            enabled()
                .own_says(OLD, ReviewVerdict::RequestChanges)
                .handled(CauseKind::Review, OLD, "optio"),
            "review_wanted: review head",
        ),
        (
            "the same, and the forge still shows what it wrote: no second run for that",
            enabled()
                .own_says(OLD, ReviewVerdict::RequestChanges)
                .own_on_the_forge(OLD)
                .handled(CauseKind::Review, OLD, "optio"),
            "review_wanted: review head",
        ),
        (
            "it requests changes, which the forge shows too: one run",
            enabled()
                .own_says(HEAD, ReviewVerdict::RequestChanges)
                .own_on_the_forge(HEAD),
            "changes_requested: resume-review for head",
        ),
        (
            "it has put its review on the forge and is about to end",
            enabled()
                .own(HEAD, StateName::Running)
                .own_on_the_forge(HEAD),
            "review_at_work: wait for the review agent",
        ),
        (
            "autoResumeOnReview is off",
            enabled()
                .own_says(HEAD, ReviewVerdict::RequestChanges)
                .set(by_hand),
            "changes_requested_no_auto_resume: attention ChangesRequested",
        ),
        (
            "it only comments",
            enabled().own_says(HEAD, ReviewVerdict::Comment),
            comments,
        ),
        (
            "it only comments, and a person approves",
            enabled()
                .own_says(HEAD, ReviewVerdict::Comment)
                .decision(ReviewDecision::Approved),
            "ready: merge head",
        ),
        (
            "it crashed: that is no approval",
            enabled().own(HEAD, StateName::Failed),
            failed,
        ),
        (
            "it crashed, and a person approves",
            enabled()
                .own(HEAD, StateName::Failed)
                .decision(ReviewDecision::Approved),
            "ready: merge head",
        ),
        (
            "it was cancelled",
            enabled().own(HEAD, StateName::Cancelled),
            "review_failed: ask a person (the review agent's task was cancelled...",
        ),
        (
            "it crashed and was started again",
            enabled()
                .own(HEAD, StateName::Failed)
                .own(HEAD, StateName::Running),
            "review_at_work: wait for the review agent",
        ),
        (
            "it is at work, and a person has approved already",
            enabled()
                .own(HEAD, StateName::Running)
                .decision(ReviewDecision::Approved),
            "review_at_work: wait for the review agent",
        ),
    ]);
}

#[test]
fn a_review_that_somebody_asked_for_binds_though_none_is_enabled() {
    check(vec![
        (
            "at work",
            ready().own(HEAD, StateName::Running),
            "review_at_work: wait for the review agent",
        ),
        (
            "a new head since: it is asked for again",
            ready().own_says(OLD, ReviewVerdict::RequestChanges),
            "review_wanted: review head",
        ),
        (
            "taken back",
            ready().own(HEAD, StateName::Cancelled),
            "ready: merge head",
        ),
        (
            "one that nobody waits for",
            ready().own(HEAD, StateName::Running).with(|scene| {
                scene.reviews[0].blocking = Blocking::Independent;
            }),
            "ready: merge head",
        ),
    ]);
}

#[test]
fn all_that_is_asked_for_goes_into_one_run() {
    let comment = ReviewComment {
        path: "src/cart.rs".to_owned(),
        line: Some(7),
        body: " off by one ".to_owned(),
    };
    let scene = ready()
        .own_says(HEAD, ReviewVerdict::RequestChanges)
        .own_on_the_forge(HEAD)
        .request("r2", HEAD)
        .request("r1", HEAD)
        .handled(CauseKind::Review, OLD, "r1")
        .with(|scene| {
            scene.reviews[0]
                .report
                .as_mut()
                .unwrap()
                .comments
                .push(comment)
        });
    let Action::Resume { reason, next } = scene.decide().action else {
        panic!("{}", scene.outcome())
    };
    assert_eq!(reason, AttentionReason::ChangesRequested);
    assert_eq!(
        next.cause,
        Some(Cause {
            kind: CauseKind::Review,
            head: commit_id(HEAD),
            mark: "optio,r2".to_owned()
        })
    );
    assert_snapshot!(next.briefing.review_comments.unwrap(), @r"
    From the review agent: where is the test?
    - src/cart.rs:7: off by one

    From reviewer of r2: body of r2
    ");
}

#[test]
fn a_person_who_says_the_same_as_the_review_agent_of_another_commit_is_heard() {
    let scene = ready()
        .review_by(ReviewTrigger::OnCiPass)
        .own_says(OLD, ReviewVerdict::RequestChanges)
        .own_on_the_forge(HEAD);
    assert_eq!(scene.outcome(), "changes_requested: resume-review for head");
}
