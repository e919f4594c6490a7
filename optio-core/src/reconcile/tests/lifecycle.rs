//! Merged, closed, out of sight, at work; and tasks that wait for a person.

use super::*;
use crate::{conformance::sample, task::NextRun};

fn failed() -> TaskState {
    TaskState::Failed {
        failure: Failure::new(FailureClass::AttemptsExhausted),
        at: at(1),
    }
}

fn running() -> TaskState {
    TaskState::Running {
        run: sample::run_id(1),
        next: NextRun::first(),
    }
}

fn queued() -> TaskState {
    TaskState::Queued {
        next: NextRun::first(),
        since: at(1),
        not_before: None,
        hold: None,
    }
}

fn merged(pr: &mut PullRequest) {
    pr.state = PrState::Merged {
        commit: commit_id(9),
    };
}

fn closed(pr: &mut PullRequest) {
    pr.state = PrState::Closed;
}

fn away(scene: &mut Scene) {
    scene.pull_request = Err("connection refused".to_owned());
}

#[test]
fn what_has_ended_elsewhere() {
    check(vec![
        ("merged elsewhere", ready().pr(merged), "merged: complete"),
        (
            "merged while it needed attention",
            ready().pr(merged).needs(AttentionReason::CiFailed),
            "merged: complete",
        ),
        (
            "merged after it had failed",
            ready().pr(merged).state(failed()),
            "merged: complete",
        ),
        (
            "merged while a run of it is at work",
            ready().pr(merged).state(running()),
            "merged: complete",
        ),
        (
            "merged though its checks are red",
            ready().pr(merged).red(),
            "merged: complete",
        ),
        (
            "merged after it was cancelled: it stays cancelled",
            ready().pr(merged).state(TaskState::Cancelled { at: at(1) }),
            "ended: nothing (the task has ended)",
        ),
        (
            "closed without a merge",
            ready().pr(closed),
            "closed: fail pr_closed",
        ),
        (
            "closed while it needed attention",
            ready().pr(closed).asked_a_person("look"),
            "closed: fail pr_closed",
        ),
        (
            "closed after it had failed",
            ready().pr(closed).state(failed()),
            "ended: nothing (the task has ended)",
        ),
        (
            "still open after it has failed",
            ready().state(failed()),
            "ended: nothing (the task has ended)",
        ),
    ]);
}

#[test]
fn nothing_is_started_beside_a_run_of_the_same_task() {
    let at_work = "run_at_work: nothing (a run of it is at work or queued)";
    check(vec![
        ("a run is at work", ready().red().state(running()), at_work),
        ("a run is queued", ready().red().state(queued()), at_work),
        (
            "a run is at work, and all is well",
            ready().state(running()),
            at_work,
        ),
    ]);
}

#[test]
fn what_cannot_be_seen_changes_nothing() {
    let out_of_sight = "unknown: nothing (the forge does not tell all)";
    let away_it_is = "forge_unknown: nothing (the forge could not be read: connection refused)";
    check(vec![
        ("the forge is away", ready().with(away), away_it_is),
        (
            "the forge is away while a person is asked",
            ready().with(away).asked_a_person("look"),
            away_it_is,
        ),
        (
            "the checks are out of sight",
            ready().unknown_checks().needs(AttentionReason::CiFailed),
            out_of_sight,
        ),
        (
            "mergeability is out of sight",
            ready()
                .pr(|pr| pr.mergeability = Mergeability::Unknown)
                .needs(AttentionReason::Conflict),
            out_of_sight,
        ),
        (
            "the reviewers' decision is out of sight",
            ready()
                .decision(ReviewDecision::Unknown)
                .needs(AttentionReason::ChangesRequested),
            out_of_sight,
        ),
    ]);
}

#[test]
fn who_needed_attention_is_watched_again_once_the_cause_is_gone() {
    check(vec![
        (
            "checks of a new head are at work",
            ready().checks(Checks::Pending).asked_a_person("red checks"),
            "checks_pending: wait for its checks to end",
        ),
        (
            "green again",
            ready().asked_a_person("red checks"),
            "ready: merge head",
        ),
        (
            "a push by hand on which the checks are red",
            ready()
                .red()
                .handled(CauseKind::Ci, OLD, "")
                .asked_a_person("red checks"),
            "checks_failed: resume-ci for head",
        ),
    ]);
}

#[test]
fn a_person_is_asked_once() {
    // the run that was to mend it has failed for good: its failure says more than that nothing was pushed
    let scene = ready()
        .red()
        .handled(CauseKind::Ci, HEAD, "")
        .asked_a_person("the API key is not valid; set another one");
    assert_eq!(
        scene.outcome(),
        "checks_failed: nothing (it waits for a person)"
    );

    // what is asked for is what was asked for
    for scene in [
        ready().red().handled(CauseKind::Ci, HEAD, ""),
        ready().red().set(|settings| settings.attempts.ci = 0),
        ready().conflicting().handled_conflict(),
        ready()
            .review_by(ReviewTrigger::OnCiPass)
            .own(HEAD, StateName::Failed),
        ready()
            .request("r1", HEAD)
            .set(|settings| settings.auto_resume_on_review = false),
    ] {
        let Action::Attention { reason } = scene.decide().action else {
            panic!("{}", scene.outcome())
        };
        let asked = scene.needs(reason);
        assert!(
            asked.outcome().ends_with("nothing (it waits for a person)"),
            "{}",
            asked.outcome()
        );
    }
}

#[test]
fn a_cap_met_on_a_new_head_is_something_new_to_tell() {
    let scene = ready()
        .red()
        .set(|settings| settings.attempts.ci = 1)
        .handled(CauseKind::Ci, OLD, "")
        .asked_a_person("a conflict");
    assert_eq!(
        scene.outcome(),
        "checks_failed: ask a person (the agent was resumed 1 times for red checks and did not get over it; push to the branch, retry the task or raise the limit in attempts)"
    );
}
