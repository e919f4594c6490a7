//! What holds after any sequence of events.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::failure::FailureClass;

fn any_kind() -> impl Strategy<Value = CauseKind> {
    prop_oneof![
        Just(CauseKind::Ci),
        Just(CauseKind::Review),
        Just(CauseKind::Conflict)
    ]
}

fn any_next() -> impl Strategy<Value = NextRun> {
    prop_oneof![
        Just(NextRun::first()),
        Just(retry()),
        (any_kind(), 0_u64..4).prop_map(|(kind, head)| resume(kind, head)),
    ]
}

fn any_event() -> impl Strategy<Value = TaskEvent> {
    prop_oneof![
        any_next().prop_map(enqueued),
        any_next().prop_map(|next| TaskEvent::Requeued {
            next,
            not_before: None,
            hold: None
        }),
        any_next().prop_map(|next| TaskEvent::Retried { next }),
        Just(TaskEvent::Failed {
            failure: Failure::new(FailureClass::PrClosed)
        }),
        (0_usize..12).prop_map(|n| events()[n].clone()),
        // the way through the middle is long: without these few sequences come to a pull request
        Just(placed()),
        Just(TaskEvent::Started),
        Just(pr_found()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_events_leaves_a_sound_record(events in vec(any_event(), 1..60)) {
        let mut task = task_in(TaskState::Pending);
        let (mut runs, mut moment) = (0, 0);
        for event in events {
            moment += 1;
            let before = task.clone();
            let taken = task.apply(event.clone(), at(moment));
            if taken.is_err() {
                prop_assert_eq!(&task, &before, "a refused event changes nothing");
                continue;
            }
            runs += u32::from(matches!(event, TaskEvent::Placed { .. }));
            prop_assert_eq!(task.runs, runs);
            prop_assert_eq!(task.updated_at, at(moment));
            prop_assert_eq!(task.version, before.version, "that is the store's");

            // an end is left only by a retry, or by a merge of what had failed
            if before.state.is_final() {
                let anew = matches!(event, TaskEvent::Retried { .. } | TaskEvent::Blocked);
                let merged = matches!(event, TaskEvent::Completed { .. }) && before.state.name() == StateName::Failed;
                prop_assert!(anew || merged, "{} left {}", event.name(), before.state.name());
                prop_assert_ne!(before.state.name(), StateName::Completed);
            }
            // a run is in the state exactly from its place to its end
            let at_work = matches!(task.state.name(), StateName::Provisioning | StateName::Running);
            prop_assert_eq!(task.state.run().is_some(), at_work);
            if at_work {
                prop_assert!(task.last_workspace.is_some());
            }
            // a count never falls by itself: only a pull request or a person does that
            let forgives = matches!(event, TaskEvent::PrFound { .. } | TaskEvent::Retried { .. } | TaskEvent::Blocked);
            if !forgives {
                for kind in [CauseKind::Ci, CauseKind::Review, CauseKind::Conflict] {
                    prop_assert!(task.attempts.of(kind) >= before.attempts.of(kind));
                    prop_assert!(task.attempts.of(kind) <= before.attempts.of(kind) + 1);
                }
            }
            // no cause is remembered twice, and each that is was counted
            for (place, cause) in task.handled.iter().enumerate() {
                prop_assert!(!task.handled[..place].contains(cause));
                prop_assert!(task.attempts.of(cause.kind) > 0);
            }
        }
    }
}
