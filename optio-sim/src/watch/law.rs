//! What may follow on what: every transition of a task that its state machine allows, found by trying all of them.

use std::collections::BTreeSet;

use optio_core::{
    Timestamp,
    failure::{Failure, FailureClass},
    id::{RunId, WorkspaceId},
    pull_request::{CommitId, PrNumber, PullRequestRef},
    run::{RunKind, RunPhase},
    task::{AttentionReason, Briefing, Completion, NextRun, StateName, TaskEvent, TaskState},
};

/// The transitions that are allowed, by name.
#[derive(Debug)]
pub(crate) struct Law {
    allowed: BTreeSet<(StateName, &'static str, StateName)>,
}

impl Law {
    pub(super) fn new() -> Self {
        let mut allowed = BTreeSet::new();
        for state in states() {
            for event in events() {
                let (from, name) = (state.name(), event.name());
                if let Ok(to) = state.clone().apply(event, Timestamp::UNIX_EPOCH) {
                    allowed.insert((from, name, to.name()));
                }
            }
        }
        Self { allowed }
    }

    pub(super) fn allows(&self, from: StateName, event: &str, to: StateName) -> bool {
        self.allowed
            .iter()
            .any(|(was, name, is)| *was == from && *name == event && *is == to)
    }
}

/// Whether a run may go from one phase to the other.
pub(super) fn allows_phase(from: &RunPhase, to: &RunPhase) -> bool {
    match (from, to) {
        (RunPhase::Ended { .. }, _) => false,
        (_, RunPhase::Ended { .. }) => true,
        (RunPhase::Preparing, RunPhase::Exited { .. }) => false,
        (RunPhase::Exited { .. }, RunPhase::Preparing | RunPhase::Spawned { .. }) => false,
        _ => true,
    }
}

fn next(kind: RunKind) -> NextRun {
    NextRun {
        kind,
        cause: None,
        briefing: Briefing::default(),
    }
}

fn states() -> Vec<TaskState> {
    let (run, at) = (run(), Timestamp::UNIX_EPOCH);
    let queued = |kind| TaskState::Queued {
        next: next(kind),
        since: at,
        not_before: None,
        hold: None,
    };
    let next = next(RunKind::First);
    vec![
        TaskState::Pending,
        TaskState::WaitingOnDeps,
        queued(RunKind::First),
        queued(RunKind::Retry),
        TaskState::Provisioning {
            run,
            next: next.clone(),
        },
        TaskState::Running { run, next },
        TaskState::NeedsAttention {
            reason: AttentionReason::CiFailed,
            since: at,
        },
        TaskState::PrOpened { since: at },
        TaskState::Completed { how: merged(), at },
        TaskState::Failed {
            failure: failure(),
            at,
        },
        TaskState::Cancelled { at },
    ]
}

fn events() -> Vec<TaskEvent> {
    let next = next(RunKind::First);
    vec![
        TaskEvent::Blocked,
        TaskEvent::Enqueued { next: next.clone() },
        TaskEvent::Placed {
            run: run(),
            workspace: "ws_00000000000000000000000000"
                .parse::<WorkspaceId>()
                .unwrap_or_else(|_| unreachable!("it is one")),
        },
        TaskEvent::Started,
        TaskEvent::Requeued {
            next: next.clone(),
            not_before: None,
            hold: None,
        },
        TaskEvent::PrFound {
            pull_request: PullRequestRef {
                number: PrNumber(1),
                url: String::new(),
            },
        },
        TaskEvent::AttentionNeeded {
            reason: AttentionReason::CiFailed,
        },
        TaskEvent::Completed { how: merged() },
        TaskEvent::Failed { failure: failure() },
        TaskEvent::Cancelled,
        TaskEvent::Retried { next },
        TaskEvent::Watched,
    ]
}

fn run() -> RunId {
    "run_00000000000000000000000000"
        .parse()
        .unwrap_or_else(|_| unreachable!("it is one"))
}

fn merged() -> Completion {
    Completion::Merged {
        commit: CommitId::new("0"),
    }
}

fn failure() -> Failure {
    Failure::new(FailureClass::Unknown)
}
