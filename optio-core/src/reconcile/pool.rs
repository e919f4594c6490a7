//! The pool of workspaces: which are lost, which may go because nobody needs them, which nobody knows.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    clock::{Timestamp, elapsed},
    id::{RepoId, WorkspaceId},
    runtime::{ObservedWorkspace, WorkspaceHealth},
    workspace::{Workspace, WorkspaceState},
};

/// What the Store knows and what the runtime showed.
#[derive(Debug, Clone, Copy)]
pub struct PoolSnapshot<'a> {
    /// What the Store knows, each with its live runs.
    pub known: &'a [SeenWorkspace],
    /// What the runtime showed; what went wrong if it could not be asked.
    pub observed: Result<&'a [ObservedWorkspace], &'a str>,
    /// How long a workspace may be idle.
    pub idle: Duration,
    /// How long a workspace may take to appear after it was asked for.
    pub patience: Duration,
}

/// A workspace that the Store knows.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenWorkspace {
    /// Its record.
    pub workspace: Workspace,
    /// How many runs are live in it.
    pub live_runs: u32,
    /// How many queued tasks go on here, with the session and the worktree that they left: it is not idle for them.
    pub awaited_by: u32,
}

/// What is to be done about a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolAction {
    /// It is idle: save what is in it and take it away.
    Retire(WorkspaceId),
    /// It is on its way out, but something came between: take it away and forget it.
    FinishRemoval(WorkspaceId),
    /// It died: its runs are lost with it.
    Lost {
        /// Which.
        workspace: WorkspaceId,
        /// What the runtime says about it.
        reason: String,
    },
    /// Nobody knows it: save what is in it and take it away.
    RetireUnknown {
        /// Which.
        workspace: WorkspaceId,
        /// The repository it says it is for.
        repo: RepoId,
    },
}

/// What follows from what was seen. If the runtime could not be asked, nothing does.
#[must_use]
pub fn reconcile_pool(seen: &PoolSnapshot<'_>, now: Timestamp) -> Vec<PoolAction> {
    let Ok(observed) = seen.observed else {
        return Vec::new();
    };
    let observed: BTreeMap<WorkspaceId, &ObservedWorkspace> = observed
        .iter()
        .map(|workspace| (workspace.id, workspace))
        .collect();
    let mut actions = Vec::new();
    let mut alive: BTreeMap<RepoId, Vec<&SeenWorkspace>> = BTreeMap::new();
    for known in seen.known {
        let workspace = &known.workspace;
        let health = observed.get(&workspace.id).map(|observed| &observed.health);
        match (&workspace.state, health) {
            (WorkspaceState::Removing, _) => actions.push(PoolAction::FinishRemoval(workspace.id)),
            // it is lost and its runs have been told; once none is left the record can go
            (WorkspaceState::Lost { .. }, _) if known.live_runs == 0 => {
                actions.push(PoolAction::FinishRemoval(workspace.id))
            }
            (WorkspaceState::Lost { .. }, _) => {}
            (_, Some(WorkspaceHealth::Broken { reason })) => actions.push(PoolAction::Lost {
                workspace: workspace.id,
                reason: reason.clone(),
            }),
            (WorkspaceState::Ready, None) => actions.push(PoolAction::Lost {
                workspace: workspace.id,
                reason: "it is gone".to_owned(),
            }),
            (WorkspaceState::Creating, None)
                if known.live_runs == 0 && elapsed(workspace.used_at, now) > seen.patience =>
            {
                actions.push(PoolAction::FinishRemoval(workspace.id));
            }
            (WorkspaceState::Creating, None) => {}
            (WorkspaceState::Creating | WorkspaceState::Ready, Some(_)) => {
                alive.entry(workspace.repo).or_default().push(known)
            }
        }
    }
    for workspaces in alive.values_mut() {
        // last in, first out: from the highest ordinal down. One that is in use stays, and keeps nobody below it:
        // new runs go to the lowest, so the highest fall idle first, and a gap is the next ordinal to be made
        workspaces.sort_by_key(|known| std::cmp::Reverse(known.workspace.ordinal));
        let idle = |known: &&&SeenWorkspace| {
            known.live_runs == 0
                && known.awaited_by == 0
                && elapsed(known.workspace.used_at, now) >= seen.idle
        };
        actions.extend(
            workspaces
                .iter()
                .filter(idle)
                .map(|known| PoolAction::Retire(known.workspace.id)),
        );
    }
    let known: std::collections::BTreeSet<WorkspaceId> =
        seen.known.iter().map(|known| known.workspace.id).collect();
    actions.extend(
        observed
            .values()
            .filter(|observed| !known.contains(&observed.id))
            .map(|observed| PoolAction::RetireUnknown {
                workspace: observed.id,
                repo: observed.repo,
            }),
    );
    actions
}
