//! What holds for every snapshot.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{clock::elapsed, task::NextRun};

fn any_checks() -> impl Strategy<Value = Checks> {
    prop_oneof![
        3 => Just(Checks::Passed),
        1 => Just(Checks::NotRequired),
        1 => Just(Checks::None),
        1 => Just(Checks::Pending),
        1 => Just(red()),
        1 => Just(Checks::Unknown { reason: "502".to_owned() }),
    ]
}

fn any_mergeability() -> impl Strategy<Value = Mergeability> {
    prop_oneof![
        3 => Just(Mergeability::Clean),
        1 => Just(Mergeability::Conflicting { files: vec!["a".to_owned()] }),
        1 => Just(Mergeability::Blocked { reason: "rule".to_owned() }),
        1 => Just(Mergeability::Unknown),
    ]
}

fn any_decision() -> impl Strategy<Value = ReviewDecision> {
    select(vec![
        ReviewDecision::NotRequired,
        ReviewDecision::Required,
        ReviewDecision::Approved,
        ReviewDecision::Approved,
        ReviewDecision::ChangesRequested,
        ReviewDecision::Unknown,
    ])
}

fn any_verdict() -> impl Strategy<Value = ReviewVerdict> {
    select(vec![
        ReviewVerdict::Approve,
        ReviewVerdict::RequestChanges,
        ReviewVerdict::Comment,
    ])
}

fn any_state() -> impl Strategy<Value = TaskState> {
    let person = AttentionReason::Person {
        summary: "look".to_owned(),
    };
    let needs = |reason| TaskState::NeedsAttention {
        reason,
        since: at(0),
    };
    select(vec![
        TaskState::PrOpened { since: at(0) },
        TaskState::PrOpened { since: at(0) },
        TaskState::PrOpened { since: at(3590) },
        needs(AttentionReason::CiFailed),
        needs(AttentionReason::ChangesRequested),
        needs(person),
        TaskState::Running {
            run: crate::conformance::sample::run_id(1),
            next: NextRun::first(),
        },
        TaskState::Failed {
            failure: Failure::new(FailureClass::TimedOut),
            at: at(0),
        },
        TaskState::Cancelled { at: at(0) },
    ])
}

fn any_pr_state() -> impl Strategy<Value = PrState> {
    let commit = commit_id(9);
    prop_oneof![
        12 => Just(PrState::Open),
        1 => Just(PrState::Merged { commit }),
        1 => Just(PrState::Closed),
    ]
}

fn any_own() -> impl Strategy<Value = SeenReview> {
    let state = select(vec![
        StateName::Queued,
        StateName::Running,
        StateName::Failed,
        StateName::Cancelled,
        StateName::Completed,
        StateName::Completed,
    ]);
    (select(vec![HEAD, OLD]), state, any_verdict(), any::<bool>()).prop_map(
        |(head, state, verdict, waits)| {
            let given = (state == StateName::Completed).then(|| report(verdict));
            SeenReview {
                blocking: if waits {
                    Blocking::BlocksParent
                } else {
                    Blocking::Independent
                },
                ..review_task(head, state, given)
            }
        },
    )
}

fn any_cause() -> impl Strategy<Value = Cause> {
    let kinds = vec![CauseKind::Ci, CauseKind::Review, CauseKind::Conflict];
    (
        select(kinds),
        select(vec![HEAD, OLD]),
        select(vec!["optio", "r1", "r1,r2", "r2"]),
    )
        .prop_map(|(kind, head, mark)| Cause {
            kind,
            head: commit_id(head),
            mark: match kind {
                CauseKind::Ci => String::new(),
                CauseKind::Review => mark.to_owned(),
                CauseKind::Conflict => commit_id(BASE).to_string(),
            },
        })
}

fn any_scene() -> impl Strategy<Value = Scene> {
    let forge = (
        any_pr_state(),
        any_checks(),
        any_mergeability(),
        any_decision(),
        proptest::bool::weighted(0.15),
        vec(
            (
                select(vec!["r1", "r2"]),
                any_verdict(),
                select(vec![HEAD, OLD]),
            ),
            0..3,
        ),
        select(vec![0_u64, 3500]),
    );
    let settings = (
        proptest::bool::weighted(0.8),
        any::<bool>(),
        proptest::bool::weighted(0.4),
        select(vec![
            ReviewTrigger::OnCiPass,
            ReviewTrigger::OnPrOpen,
            ReviewTrigger::Manual,
        ]),
    );
    let task = (
        any_state(),
        vec(any_cause(), 0..4),
        proptest::bool::weighted(0.05),
    );
    (forge, settings, task, vec(any_own(), 0..3)).prop_map(
        |(
            (state, checks, mergeability, decision, draft, said, head_at),
            (auto_merge, auto_resume, review_enabled, trigger),
            (task_state, causes, away),
            reviews,
        )| {
            let mut scene = ready().state(task_state).with(|scene| {
                scene.settings.auto_merge = auto_merge;
                scene.settings.auto_resume_on_review = auto_resume;
                scene.settings.review_enabled = review_enabled;
                scene.settings.review_trigger = trigger;
                scene.reviews = reviews;
            });
            for (id, verdict, commit) in said {
                scene = scene.says(id, verdict, commit);
            }
            for cause in causes {
                if !scene.task.has_handled(&cause) {
                    scene.task.attempts.count(cause.kind);
                    scene.task.handled.push(cause);
                }
            }
            scene = scene.pr(|pr| {
                pr.state = state;
                pr.checks = checks;
                pr.mergeability = mergeability;
                pr.decision = decision;
                pr.draft = draft;
                pr.head_at = at(head_at);
            });
            if away {
                scene.pull_request = Err("connection refused".to_owned());
            }
            scene
        },
    )
}

/// What must be so before anything is merged, written down a second time.
fn may_be_merged(scene: &Scene) -> bool {
    let Ok(pr) = &scene.pull_request else {
        return false;
    };
    let green = match &pr.checks {
        Checks::Passed | Checks::NotRequired => true,
        Checks::None => elapsed(pr.head_at, scene.now) >= scene.settings.ci_grace(),
        Checks::Pending | Checks::Failed { .. } | Checks::Unknown { .. } => false,
    };
    let accepted = matches!(
        pr.decision,
        ReviewDecision::Approved | ReviewDecision::NotRequired
    );
    let reviewed = !scene.settings.review_enabled
        || pr.decision == ReviewDecision::Approved
        || scene.reviews.iter().any(|review| {
            let verdict = review.report.as_ref().map(|report| report.verdict);
            review.head == pr.head && verdict == Some(ReviewVerdict::Approve)
        });
    scene.settings.auto_merge
        && pr.state == PrState::Open
        && green
        && accepted
        && reviewed
        && pr.mergeability == Mergeability::Clean
        && !pr.draft
        && matches!(
            scene.task.state.name(),
            StateName::PrOpened | StateName::NeedsAttention
        )
}

/// What the engine keeps of a decision.
fn carried_out(scene: &Scene, action: &Action) -> Scene {
    match action {
        Action::Attention { reason } => scene.clone().needs(reason.clone()),
        Action::Wait { .. } | Action::StartReview { .. } | Action::Merge { .. }
            if scene.task.state.name() == StateName::NeedsAttention =>
        {
            scene.clone().state(TaskState::PrOpened { since: at(0) })
        }
        _ => scene.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_what_is_green_wanted_and_clean_is_merged(scene in any_scene()) {
        if let Action::Merge { head } = scene.decide().action {
            prop_assert!(may_be_merged(&scene), "{}", scene.outcome());
            prop_assert_eq!(head, commit_id(HEAD), "the very commit that was seen");
        }
    }

    #[test]
    fn the_same_snapshot_gives_the_same_answer(scene in any_scene()) {
        prop_assert_eq!(scene.decide(), scene.decide());
    }

    #[test]
    fn a_cause_resumes_once_and_never_above_its_cap(scene in any_scene()) {
        let Action::Resume { next, .. } = scene.decide().action else { return Ok(()) };
        let cause = next.cause.clone().expect("a resume has a cause");
        prop_assert!(!scene.task.has_handled(&cause));
        let (used, limits) = (scene.task.attempts.of(cause.kind), scene.settings.attempts);
        let limit = match cause.kind {
            CauseKind::Ci => limits.ci,
            CauseKind::Review => limits.review,
            CauseKind::Conflict => limits.conflict,
        };
        prop_assert!(used < limit, "{used} of {limit}");
        // the same sight once more, after the run has ended and whatever the forge shows of it
        let again = scene.clone().handled(cause.kind, HEAD, &cause.mark).state(TaskState::PrOpened { since: at(0) });
        let decided = again.decide().action;
        prop_assert!(!matches!(decided, Action::Resume { .. }), "{}", again.outcome());
    }

    #[test]
    fn what_was_decided_is_not_decided_again_in_another_way(scene in any_scene()) {
        // a state that goes to and fro would wake people and fill the history for ever
        let first = scene.decide();
        let next = carried_out(&scene, &first.action);
        let second = next.decide();
        if matches!(first.action, Action::Attention { .. }) {
            prop_assert!(matches!(second.action, Action::Nothing { .. }), "{} then {}", scene.outcome(), next.outcome());
        }
        if matches!(first.action, Action::Wait { .. } | Action::StartReview { .. } | Action::Merge { .. }) {
            prop_assert_eq!(second.action, first.action);
        }
    }

    #[test]
    fn an_end_is_an_end(scene in any_scene()) {
        let merged = matches!(&scene.pull_request, Ok(pr) if matches!(pr.state, PrState::Merged { .. }));
        match (scene.task.state.name(), scene.decide().action) {
            (StateName::Failed, Action::Complete { .. }) => prop_assert!(merged),
            (StateName::Failed | StateName::Cancelled, action) => {
                let stays = matches!(action, Action::Nothing { .. });
                prop_assert!(stays, "{action:?}");
            }
            (_, action) => prop_assert_eq!(matches!(action, Action::Complete { .. }), merged),
        }
    }
}
