//! Ten states, twelve events: what follows from each pair, and from no other.

use std::fmt::Write as _;

use insta::assert_snapshot;

use super::*;

#[test]
fn every_state_takes_these_events_and_no_others() {
    let mut text = String::new();
    for state in states() {
        let _ = writeln!(text, "{}", state.name());
        for event in events() {
            let after = match state.clone().apply(event.clone(), now()) {
                Ok(after) => after.name().as_str(),
                Err(_) => "-",
            };
            let _ = writeln!(text, "    {:<17}{after}", event.name());
        }
    }
    assert_snapshot!(text);
}

#[test]
fn the_lists_above_name_each_state_and_each_event_once() {
    assert_eq!(states().map(|state| state.name()), StateName::ALL);
    let mut names = events().map(|event| event.name()).to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 12);
}

#[test]
fn a_refusal_names_both_and_changes_nothing() {
    let mut task = task_in(TaskState::Pending);
    let before = task.clone();
    let refused = task.apply(TaskEvent::Started, now()).unwrap_err();
    assert_snapshot!(refused, @"a pending task cannot take the event started");
    assert_eq!(refused.from, StateName::Pending);
    assert_eq!(task, before);

    let queued = states()[2].clone();
    assert_snapshot!(queued.apply(pr_found(), now()).unwrap_err(), @"a queued task cannot take the event pr_found");
    let completed = states()[7].clone();
    assert_snapshot!(completed.apply(TaskEvent::Cancelled, now()).unwrap_err(), @"a completed task cannot take the event cancelled");
}

#[test]
fn cancel_and_failure_come_from_every_live_state_and_from_no_other() {
    for state in states() {
        let live = !state.is_final();
        for event in [TaskEvent::Cancelled, failed()] {
            assert_eq!(
                state.clone().apply(event.clone(), now()).is_ok(),
                live,
                "{} {}",
                state.name(),
                event.name()
            );
        }
    }
}

#[test]
fn a_retry_comes_from_failed_and_cancelled_alone() {
    let from: Vec<StateName> = states()
        .into_iter()
        .filter(|state| {
            let retried = TaskEvent::Retried { next: retry() };
            state.clone().apply(retried, now()).is_ok()
        })
        .map(|state| state.name())
        .collect();
    assert_eq!(from, [StateName::Failed, StateName::Cancelled]);
}

#[test]
fn merged_elsewhere_completes_also_what_was_given_up() {
    for name in [
        StateName::PrOpened,
        StateName::NeedsAttention,
        StateName::Failed,
    ] {
        let state = states()
            .into_iter()
            .find(|state| state.name() == name)
            .unwrap();
        let after = state.apply(completed(), now()).unwrap();
        assert_eq!(
            after,
            TaskState::Completed {
                how: merged(),
                at: now()
            },
            "{name}"
        );
    }
}

#[test]
fn what_a_queued_run_is_about_is_never_lost_to_a_dependency() {
    let queued = |next| TaskState::Queued {
        next,
        since: at(1),
        not_before: None,
        hold: None,
    };
    assert_eq!(
        queued(NextRun::first()).apply(TaskEvent::Blocked, now()),
        Ok(TaskState::WaitingOnDeps)
    );
    for next in [retry(), resume(CauseKind::Ci, 1)] {
        assert!(
            queued(next.clone())
                .apply(TaskEvent::Blocked, now())
                .is_err(),
            "{next:?}"
        );
    }
}

#[test]
fn what_the_run_is_to_do_stays_with_the_task_from_the_queue_to_the_agent() {
    let next = resume(CauseKind::Review, 3);
    let mut task = task_in(TaskState::PrOpened { since: at(1) });
    task.apply(enqueued(next.clone()), now()).unwrap();
    for event in [placed(), TaskEvent::Started] {
        let (TaskState::Queued { next: kept, .. }
        | TaskState::Provisioning { next: kept, .. }
        | TaskState::Running { next: kept, .. }) = &task.state
        else {
            panic!("{:?}", task.state)
        };
        assert_eq!(*kept, next);
        task.apply(event, now()).unwrap();
    }
    assert_eq!(
        task.state,
        TaskState::Running {
            run: run_id(1),
            next
        }
    );
    assert_eq!(task.state.run(), Some(run_id(1)));
}

#[test]
fn the_names_of_states_are_read_as_they_are_written() {
    for name in StateName::ALL {
        assert_eq!(name.as_str().parse(), Ok(name));
        assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        assert_eq!(
            name.is_final(),
            matches!(
                name,
                StateName::Completed | StateName::Failed | StateName::Cancelled
            )
        );
    }
    assert_snapshot!("Running".parse::<StateName>().unwrap_err(),
        @r#""Running" is not a task state: expected one of pending, waiting_on_deps, queued, provisioning, running, needs_attention, pr_opened, completed, failed, cancelled"#);
}
