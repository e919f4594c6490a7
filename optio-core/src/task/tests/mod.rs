//! A task's life: the whole grid of states and events, what follows from each in the record, and what is stored.

mod grid;
mod properties;
mod record;
mod stored;

use super::*;
use crate::{
    clock::Timestamp,
    conformance::sample::{at, commit_id, failure, run_id, task, workspace_id},
    failure::Failure,
    pull_request::{PrNumber, ReviewReport, ReviewVerdict},
};

fn cause(kind: CauseKind, head: u64) -> Cause {
    Cause {
        kind,
        head: commit_id(head),
        mark: String::new(),
    }
}

fn resume(kind: CauseKind, head: u64) -> NextRun {
    NextRun {
        kind: match kind {
            CauseKind::Ci => RunKind::ResumeCi,
            CauseKind::Review => RunKind::ResumeReview,
            CauseKind::Conflict => RunKind::ResumeConflict,
        },
        cause: Some(cause(kind, head)),
        briefing: Briefing::default(),
    }
}

fn retry() -> NextRun {
    NextRun {
        kind: RunKind::Retry,
        ..NextRun::first()
    }
}

fn pull_request() -> PullRequestRef {
    PullRequestRef {
        number: PrNumber(7),
        url: "https://git.example/acme/shop/pull/7".to_owned(),
    }
}

fn merged() -> Completion {
    Completion::Merged {
        commit: commit_id(9),
    }
}

fn enqueued(next: NextRun) -> TaskEvent {
    TaskEvent::Enqueued { next }
}

fn placed() -> TaskEvent {
    TaskEvent::Placed {
        run: run_id(1),
        workspace: workspace_id(1),
    }
}

fn requeued() -> TaskEvent {
    TaskEvent::Requeued {
        next: retry(),
        not_before: Some(at(60)),
        hold: Some("the workspace died".to_owned()),
    }
}

fn pr_found() -> TaskEvent {
    TaskEvent::PrFound {
        pull_request: pull_request(),
    }
}

fn attention() -> TaskEvent {
    TaskEvent::AttentionNeeded {
        reason: AttentionReason::CiFailed,
    }
}

fn completed() -> TaskEvent {
    TaskEvent::Completed { how: merged() }
}

fn failed() -> TaskEvent {
    TaskEvent::Failed { failure: failure() }
}

/// One event of each kind, in the order in which they are declared.
fn events() -> [TaskEvent; 12] {
    [
        TaskEvent::Blocked,
        enqueued(NextRun::first()),
        placed(),
        TaskEvent::Started,
        requeued(),
        pr_found(),
        attention(),
        completed(),
        failed(),
        TaskEvent::Cancelled,
        TaskEvent::Retried { next: retry() },
        TaskEvent::Watched,
    ]
}

/// One state of each kind, in the order of [`StateName::ALL`]; a queued one waits for its first run.
fn states() -> [TaskState; 10] {
    let (run, next, now) = (run_id(1), NextRun::first(), at(1));
    [
        TaskState::Pending,
        TaskState::WaitingOnDeps,
        TaskState::Queued {
            next: next.clone(),
            since: now,
            not_before: None,
            hold: None,
        },
        TaskState::Provisioning {
            run,
            next: next.clone(),
        },
        TaskState::Running { run, next },
        TaskState::NeedsAttention {
            reason: AttentionReason::Conflict,
            since: now,
        },
        TaskState::PrOpened { since: now },
        TaskState::Completed {
            how: merged(),
            at: now,
        },
        TaskState::Failed {
            failure: failure(),
            at: now,
        },
        TaskState::Cancelled { at: now },
    ]
}

/// A task in this state.
fn task_in(state: TaskState) -> Task {
    Task { state, ..task(1) }
}

/// The moment of every event.
fn now() -> Timestamp {
    at(1000)
}
