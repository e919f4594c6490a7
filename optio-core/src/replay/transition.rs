//! Where an event leads from a state, by their names: as histories tell it.

use uuid::Uuid;

use crate::{
    clock::Timestamp,
    failure::{Failure, FailureClass},
    id::{RunId, WorkspaceId},
    pull_request::{CommitId, PrNumber, PullRequestRef},
    task::{AttentionReason, Completion, NextRun, StateName, TaskEvent, TaskState},
};

/// The name of the first line of every history, which no state stands before.
const CREATED: &str = "created";

/// The state after an event, as today's state machine has it; none if it refuses, or knows no such event.
///
/// Names are all that decides, but for one case: a queued task can be blocked only if its first run is still to come.
/// A history has the event only where it happened, so that is taken for granted.
#[must_use]
pub fn state_after(from: Option<StateName>, event: &str) -> Option<StateName> {
    let Some(from) = from else {
        return (event == CREATED).then_some(StateName::Pending);
    };
    let next = any_state(from).apply(any_event(event)?, Timestamp::UNIX_EPOCH);
    next.ok().map(|state| state.name())
}

/// A state of this name.
fn any_state(name: StateName) -> TaskState {
    let (run, next, at) = (run(), NextRun::first(), Timestamp::UNIX_EPOCH);
    match name {
        StateName::Pending => TaskState::Pending,
        StateName::WaitingOnDeps => TaskState::WaitingOnDeps,
        StateName::Queued => TaskState::Queued {
            next,
            since: at,
            not_before: None,
            hold: None,
        },
        StateName::Provisioning => TaskState::Provisioning { run, next },
        StateName::Running => TaskState::Running { run, next },
        StateName::NeedsAttention => TaskState::NeedsAttention {
            reason: AttentionReason::CiFailed,
            since: at,
        },
        StateName::PrOpened => TaskState::PrOpened { since: at },
        StateName::Completed => TaskState::Completed { how: merged(), at },
        StateName::Failed => TaskState::Failed {
            failure: failure(),
            at,
        },
        StateName::Cancelled => TaskState::Cancelled { at },
    }
}

/// An event of this name.
fn any_event(name: &str) -> Option<TaskEvent> {
    let next = NextRun::first();
    let events = [
        TaskEvent::Blocked,
        TaskEvent::Enqueued { next: next.clone() },
        TaskEvent::Placed {
            run: run(),
            workspace: WorkspaceId::from_uuid(Uuid::nil()),
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
    ];
    events.into_iter().find(|event| event.name() == name)
}

fn run() -> RunId {
    RunId::from_uuid(Uuid::nil())
}

fn merged() -> Completion {
    Completion::Merged {
        commit: CommitId::new("0"),
    }
}

fn failure() -> Failure {
    Failure::new(FailureClass::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_the_name_that_it_was_asked_for() {
        for name in StateName::ALL {
            assert_eq!(any_state(name).name(), name);
        }
    }

    #[test]
    fn rows() {
        use StateName as S;
        let rows = [
            (None, "created", Some(S::Pending)),
            (None, "enqueued", None),
            (Some(S::Queued), "created", None),
            (Some(S::Pending), "enqueued", Some(S::Queued)),
            (Some(S::Queued), "blocked", Some(S::WaitingOnDeps)),
            (Some(S::Running), "pr_found", Some(S::PrOpened)),
            (Some(S::Completed), "cancelled", None),
            (Some(S::Running), "abducted", None),
        ];
        for (from, event, to) in rows {
            assert_eq!(state_after(from, event), to, "{from:?} {event}");
        }
    }
}
