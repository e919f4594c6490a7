//! Worktrees: the folder in which the agent of one task works, and what may happen to it.

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, id::WorkspaceId, pull_request::CommitId, workspace::WorkspacePath};

/// The worktree of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Worktree {
    /// The workspace that it is in.
    pub workspace: WorkspaceId,
    /// Where in it.
    pub path: WorkspacePath,
    /// What is known of its contents.
    pub state: WorktreeState,
    /// When that last changed.
    pub since: Timestamp,
}

/// What is known of a worktree's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorktreeState {
    /// In use by a running agent.
    Active,
    /// The agent has finished; not cleaned up yet.
    Dirty,
    /// Made clean again for a retry on the same workspace.
    Reset,
    /// Kept for a resume or for a person to look at.
    Preserved,
    /// Gone. Its work is on the branch or on a rescue ref.
    Removed,
}

/// A ref on the remote that holds the work of a run that ended before it could be merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RescueRef {
    /// Its full name: `refs/optio/rescue/...`.
    pub name: String,
    /// What it points at: all commits, and on top one with the uncommitted files if there were any.
    pub commit: CommitId,
}
