//! The pool of workspaces, row by row.

use super::*;
use crate::{
    conformance::sample::{repo_id, workspace, workspace_id},
    id::RepoId,
    runtime::{ObservedWorkspace, WorkspaceHealth},
    workspace::WorkspaceState,
};

const IDLE: u64 = 600;
const PATIENCE: u64 = 900;
/// Every row is looked at at this moment.
const NOW: u64 = 10_000;

/// A workspace that both know: of the repository 1, with this ordinal, ready, without runs, idle for as long as may be.
fn idle(ordinal: u32) -> (SeenWorkspace, Option<WorkspaceHealth>) {
    let mut workspace = workspace(ordinal);
    workspace.used_at = at(NOW - IDLE);
    let seen = SeenWorkspace {
        workspace,
        live_runs: 0,
        awaited_by: 0,
    };
    (seen, Some(WorkspaceHealth::Ready))
}

type Row = (SeenWorkspace, Option<WorkspaceHealth>);

fn with(mut row: Row, change: impl FnOnce(&mut SeenWorkspace)) -> Row {
    change(&mut row.0);
    row
}

fn busy(ordinal: u32) -> Row {
    with(idle(ordinal), |seen| seen.live_runs = 1)
}

/// Idle, but not for long enough.
fn warm(ordinal: u32) -> Row {
    with(idle(ordinal), |seen| {
        seen.workspace.used_at = at(NOW - IDLE + 1);
    })
}

fn in_state(ordinal: u32, state: WorkspaceState) -> Row {
    with(idle(ordinal), |seen| seen.workspace.state = state)
}

fn lost() -> WorkspaceState {
    WorkspaceState::Lost {
        failure: Failure::new(FailureClass::WorkspaceLost),
    }
}

fn gone(mut row: Row) -> Row {
    row.1 = None;
    row
}

fn healthy(mut row: Row, health: WorkspaceHealth) -> Row {
    row.1 = Some(health);
    row
}

fn broken(row: Row) -> Row {
    healthy(
        row,
        WorkspaceHealth::Broken {
            reason: "out of memory".to_owned(),
        },
    )
}

fn of_repo(row: Row, n: u64) -> Row {
    with(row, |seen| seen.workspace.repo = repo_id(n))
}

fn look(rows: &[Row], unknown: &[(u64, RepoId)]) -> Vec<PoolAction> {
    let known: Vec<SeenWorkspace> = rows.iter().map(|(seen, _)| seen.clone()).collect();
    let observed: Vec<ObservedWorkspace> = rows
        .iter()
        .filter_map(|(seen, health)| {
            Some(ObservedWorkspace {
                id: seen.workspace.id,
                repo: seen.workspace.repo,
                health: health.clone()?,
            })
        })
        .chain(unknown.iter().map(|(n, repo)| ObservedWorkspace {
            id: workspace_id(*n),
            repo: *repo,
            health: WorkspaceHealth::Ready,
        }))
        .collect();
    let snapshot = PoolSnapshot {
        known: &known,
        observed: Ok(&observed),
        idle: Duration::from_secs(IDLE),
        patience: Duration::from_secs(PATIENCE),
    };
    reconcile_pool(&snapshot, at(NOW))
}

fn in_short(actions: &[PoolAction]) -> String {
    let number = |id| (0..30).find(|n| workspace_id(*n) == id).unwrap();
    let words: Vec<String> = actions
        .iter()
        .map(|action| match action {
            PoolAction::Retire(id) => format!("retire {}", number(*id)),
            PoolAction::FinishRemoval(id) => format!("remove {}", number(*id)),
            PoolAction::Lost { workspace, reason } => {
                format!("{} is lost: {reason}", number(*workspace))
            }
            PoolAction::RetireUnknown { workspace, .. } => {
                format!("retire the unknown {}", number(*workspace))
            }
        })
        .collect();
    words.join(", ")
}

#[test]
fn rows() {
    use WorkspaceState::{Creating, Removing};
    let starting = |row| healthy(row, WorkspaceHealth::Starting);
    let rows: Vec<(&str, Vec<Row>, &str)> = vec![
        ("none", vec![], ""),
        ("in use", vec![busy(0), warm(1)], ""),
        (
            "idle: the last first",
            vec![idle(0), idle(2), idle(1)],
            "retire 2, retire 1, retire 0",
        ),
        (
            "the last is in use: those below it that are idle go all the same",
            vec![idle(0), idle(1), busy(2)],
            "retire 1, retire 0",
        ),
        (
            "one in the middle is in use",
            vec![idle(0), busy(1), idle(2)],
            "retire 2, retire 0",
        ),
        (
            "one was used a moment ago",
            vec![warm(0), idle(1)],
            "retire 1",
        ),
        (
            "a queued task goes on here",
            vec![with(idle(0), |seen| seen.awaited_by = 1), idle(1)],
            "retire 1",
        ),
        (
            "each repository has its own",
            vec![idle(0), of_repo(idle(1), 2), of_repo(busy(2), 2)],
            "retire 0, retire 1",
        ),
        (
            "ready, and gone",
            vec![gone(busy(0))],
            "0 is lost: it is gone",
        ),
        (
            "broken while in use",
            vec![broken(busy(0))],
            "0 is lost: out of memory",
        ),
        (
            "broken while idle",
            vec![broken(idle(0))],
            "0 is lost: out of memory",
        ),
        (
            "broken before it was ready",
            vec![broken(in_state(0, Creating))],
            "0 is lost: out of memory",
        ),
        (
            "being made",
            vec![
                starting(in_state(0, Creating)),
                gone(with(in_state(1, Creating), |seen| seen.live_runs = 1)),
            ],
            "retire 0",
        ),
        (
            "asked for a moment ago",
            vec![gone(in_state(0, Creating))],
            "",
        ),
        (
            "asked for long ago by a run that is still there",
            vec![gone(with(in_state(0, Creating), |seen| {
                seen.workspace.used_at = at(0);
                seen.live_runs = 1;
            }))],
            "",
        ),
        (
            "asked for long ago, and nobody waits for it",
            vec![gone(with(in_state(0, Creating), |seen| {
                seen.workspace.used_at = at(NOW - PATIENCE - 1)
            }))],
            "remove 0",
        ),
        (
            "a removal that was interrupted",
            vec![in_state(0, Removing), gone(in_state(1, Removing))],
            "remove 0, remove 1",
        ),
        (
            "lost, and its runs do not know yet",
            vec![gone(with(in_state(0, lost()), |seen| seen.live_runs = 1))],
            "",
        ),
        (
            "lost, and nobody is in it",
            vec![gone(in_state(0, lost())), broken(in_state(1, lost()))],
            "remove 0, remove 1",
        ),
        (
            "one that starts again after a failure of its machine",
            vec![starting(busy(0))],
            "",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, seen, expected) in rows {
        let outcome = in_short(&look(&seen, &[]));
        if outcome != expected {
            wrong.push(format!(
                "{name}\n  expected {expected}\n  got      {outcome}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_that_nobody_knows_is_retired_for_the_repository_it_names() {
    let actions = look(&[busy(0)], &[(20, repo_id(3))]);
    assert_eq!(
        actions,
        [PoolAction::RetireUnknown {
            workspace: workspace_id(20),
            repo: repo_id(3)
        }]
    );
}

#[test]
fn nothing_follows_from_a_runtime_that_could_not_be_asked() {
    let known: Vec<SeenWorkspace> = [
        idle(0),
        busy(1),
        in_state(2, WorkspaceState::Removing),
        in_state(3, lost()),
    ]
    .into_iter()
    .map(|(seen, _)| seen)
    .collect();
    let snapshot = PoolSnapshot {
        known: &known,
        observed: Err("connection refused"),
        idle: Duration::ZERO,
        patience: Duration::ZERO,
    };
    assert_eq!(reconcile_pool(&snapshot, at(NOW)), []);
}

mod properties {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn any_row() -> impl Strategy<Value = Row> {
        let state = prop_oneof![
            3 => Just(WorkspaceState::Ready),
            1 => Just(WorkspaceState::Creating),
            1 => Just(WorkspaceState::Removing),
            1 => Just(lost()),
        ];
        let health = prop_oneof![
            3 => Just(Some(WorkspaceHealth::Ready)),
            1 => Just(Some(WorkspaceHealth::Starting)),
            1 => Just(Some(WorkspaceHealth::Broken { reason: "died".to_owned() })),
            1 => Just(None),
        ];
        (state, health, 0_u32..3, 0..NOW).prop_map(|(state, health, live_runs, used)| {
            let row = with(in_state(0, state), |seen| {
                seen.live_runs = live_runs;
                seen.workspace.used_at = at(used);
            });
            (row.0, health)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_workspace_with_a_run_goes_and_each_is_acted_on_once(rows in vec(any_row(), 0..12)) {
            let rows: Vec<Row> = (0..).zip(rows).map(|(n, row)| with(row, |seen| {
                seen.workspace.id = workspace_id(n.into());
                seen.workspace.ordinal = n;
            })).collect();
            let mut acted = BTreeSet::new();
            let mut last_retired = u32::MAX;
            for action in look(&rows, &[]) {
                let (PoolAction::Retire(id) | PoolAction::FinishRemoval(id) | PoolAction::Lost { workspace: id, .. }) = action else {
                    panic!("{action:?}")
                };
                prop_assert!(acted.insert(id), "{action:?} came twice");
                let (seen, _) = rows.iter().find(|(seen, _)| seen.workspace.id == id).unwrap();
                match action {
                    PoolAction::Retire(_) => {
                        prop_assert_eq!(seen.live_runs, 0);
                        prop_assert!(seen.workspace.ordinal < last_retired, "the last first");
                        last_retired = seen.workspace.ordinal;
                    }
                    // what is on its way out is taken away by whoever comes by; its runs end first
                    PoolAction::FinishRemoval(_) => prop_assert!(seen.live_runs == 0 || seen.workspace.state == WorkspaceState::Removing),
                    _ => {}
                }
            }
        }
    }
}
