//! What an event changes in the task's record besides its state.

use super::*;
use crate::failure::FailureClass;

/// A task that has been through a lot.
fn worn(state: TaskState) -> Task {
    Task {
        attempts: Attempts {
            failures: 2,
            free: 4,
            ci: 1,
            review: 3,
            conflict: 2,
        },
        handled: vec![cause(CauseKind::Ci, 1), cause(CauseKind::Conflict, 2)],
        pull_request: Some(pull_request()),
        runs: 5,
        last_green: Some(commit_id(1)),
        ..task_in(state)
    }
}

fn failed_by(class: FailureClass) -> TaskState {
    TaskState::Failed {
        failure: Failure::new(class),
        at: at(1),
    }
}

#[test]
fn a_resume_counts_its_cause_and_remembers_it() {
    for kind in [CauseKind::Ci, CauseKind::Review, CauseKind::Conflict] {
        let mut task = task_in(TaskState::PrOpened { since: at(1) });
        let next = resume(kind, 4);
        task.apply(enqueued(next), now()).unwrap();
        assert_eq!(task.attempts.of(kind), 1, "{kind:?}");
        let Attempts {
            failures,
            free,
            ci,
            review,
            conflict,
        } = task.attempts;
        assert_eq!(
            failures + free + ci + review + conflict,
            1,
            "and no other is counted"
        );
        assert!(task.has_handled(&cause(kind, 4)));
        assert!(!task.has_handled(&cause(kind, 5)), "it is about that head");
    }
}

#[test]
fn a_run_without_a_cause_counts_nothing() {
    let mut task = task_in(TaskState::Pending);
    task.apply(enqueued(NextRun::first()), now()).unwrap();
    assert_eq!((task.attempts, task.handled), (Attempts::default(), vec![]));
}

#[test]
fn a_cause_that_comes_again_is_counted_and_remembered_once() {
    let mut task = task_in(TaskState::PrOpened { since: at(1) });
    for _ in 0..2 {
        task.state = TaskState::PrOpened { since: at(1) };
        task.apply(enqueued(resume(CauseKind::Ci, 4)), now())
            .unwrap();
    }
    assert_eq!(task.attempts.ci, 2);
    assert_eq!(task.handled, [cause(CauseKind::Ci, 4)]);
}

#[test]
fn a_run_that_is_tried_again_is_the_same_resume() {
    let next = resume(CauseKind::Ci, 4);
    let mut task = task_in(TaskState::PrOpened { since: at(1) });
    task.apply(enqueued(next.clone()), now()).unwrap();
    task.apply(placed(), now()).unwrap();
    let again = TaskEvent::Requeued {
        next,
        not_before: None,
        hold: None,
    };
    task.apply(again, now()).unwrap();
    assert_eq!(task.attempts.ci, 1);
    assert_eq!(task.handled.len(), 1);
}

#[test]
fn a_place_is_a_run_more_and_the_workspace_is_remembered() {
    let mut task = task_in(states()[2].clone());
    task.apply(placed(), now()).unwrap();
    assert_eq!((task.runs, task.last_workspace), (1, Some(workspace_id(1))));
}

#[test]
fn a_pull_request_ends_a_row_of_failures_and_no_other_count() {
    let mut task = worn(states()[4].clone());
    task.apply(pr_found(), now()).unwrap();
    assert_eq!(
        task.attempts,
        Attempts {
            failures: 0,
            free: 0,
            ci: 1,
            review: 3,
            conflict: 2
        }
    );
}

#[test]
fn whoever_retries_gives_all_attempts_again_at_once_or_behind_a_dependency() {
    for state in [
        failed_by(FailureClass::AttemptsExhausted),
        TaskState::Cancelled { at: at(1) },
    ] {
        for event in [TaskEvent::Retried { next: retry() }, TaskEvent::Blocked] {
            let mut task = worn(state.clone());
            task.apply(event.clone(), now()).unwrap();
            assert_eq!(task.attempts, Attempts::default(), "{}", event.name());
            assert_eq!(task.handled, [], "what was tried may be tried again");
            assert_eq!(task.runs, 5, "runs are counted for ever");
            assert_eq!(task.pull_request, Some(pull_request()));
        }
    }
}

#[test]
fn a_retry_leaves_a_closed_pull_request_behind() {
    let mut task = worn(failed_by(FailureClass::PrClosed));
    task.apply(TaskEvent::Retried { next: retry() }, now())
        .unwrap();
    assert_eq!(
        task.pull_request, None,
        "or it would fail again for the same"
    );
}

#[test]
fn a_new_task_that_waits_loses_nothing() {
    let mut task = worn(TaskState::Pending);
    let attempts = task.attempts;
    task.apply(TaskEvent::Blocked, now()).unwrap();
    assert_eq!(task.attempts, attempts);
}

#[test]
fn its_age_in_the_queue_counts_from_when_it_joined_it() {
    let mut task = task_in(TaskState::Pending);
    task.apply(enqueued(NextRun::first()), at(5)).unwrap();
    assert!(
        matches!(task.state, TaskState::Queued { since, not_before: None, hold: None, .. } if since == at(5))
    );
    task.apply(requeued(), at(8)).unwrap();
    assert!(
        matches!(task.state, TaskState::Queued { since, not_before: Some(_), hold: Some(_), .. } if since == at(8))
    );
    assert_eq!(task.updated_at, at(8));
}

#[test]
fn only_a_review_has_a_parent() {
    let mut review = task_in(TaskState::Pending);
    assert_eq!(review.parent(), None);
    review.role = TaskRole::Review {
        parent: crate::conformance::sample::task_id(8),
        blocks_parent: Blocking::BlocksParent,
        head: commit_id(1),
    };
    assert_eq!(
        review.parent(),
        Some(crate::conformance::sample::task_id(8))
    );
    review.state = states()[4].clone();
    let report = ReviewReport {
        verdict: ReviewVerdict::Approve,
        summary: String::new(),
        comments: vec![],
    };
    let how = Completion::Reviewed {
        head: commit_id(1),
        report,
    };
    review
        .apply(TaskEvent::Completed { how: how.clone() }, now())
        .unwrap();
    assert_eq!(review.state, TaskState::Completed { how, at: now() });
}
