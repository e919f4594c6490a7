//! Workspaces: the long-lived places where agents work, each with one clone of one repository.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    clock::Timestamp,
    failure::Failure,
    id::{RepoId, WorkspaceId},
};

/// What the Store knows of a workspace. What truly exists, the runtime tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workspace {
    /// Its key, and the runtime's.
    pub id: WorkspaceId,
    /// The repository it holds a clone of.
    pub repo: RepoId,
    /// Its place among the workspaces of the repository, from 0. The highest is removed first.
    pub ordinal: u32,
    /// How far it is.
    pub state: WorkspaceState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When a run last began or ended here.
    pub used_at: Timestamp,
    /// Counts the changes of this record. Placing a run here is one, so that nobody takes it away meanwhile.
    pub version: u64,
}

/// How far a workspace is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum WorkspaceState {
    /// Asked for; whoever needs it makes it.
    Creating,
    /// The clone is there.
    Ready,
    /// It could not be made, or it died.
    Lost {
        /// Why.
        failure: Failure,
    },
    /// It is being taken away. Nothing may start here.
    Removing,
}

impl WorkspaceState {
    /// Whether a run may be placed here.
    #[must_use]
    pub fn takes_runs(&self) -> bool {
        matches!(self, Self::Creating | Self::Ready)
    }
}

/// A path inside a workspace: relative, with `/`, and without any way out of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkspacePath(String);

/// Text that is not a path inside a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} does not lie inside the workspace: expected a relative path without ..")]
pub struct ParseWorkspacePathError(String);

impl WorkspacePath {
    /// The workspace's own folder.
    #[must_use]
    pub fn root() -> Self {
        Self(String::new())
    }

    /// Reads a path.
    ///
    /// # Errors
    /// It is absolute, holds `..`, an empty part or a NUL.
    pub fn new(path: impl Into<String>) -> Result<Self, ParseWorkspacePathError> {
        let path = path.into();
        let inside = path.is_empty()
            || path
                .split('/')
                .all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'));
        if inside {
            Ok(Self(path))
        } else {
            Err(ParseWorkspacePathError(path))
        }
    }

    /// This path with one more part, whose separators and dots are made harmless.
    #[must_use]
    pub fn child(&self, part: &str) -> Self {
        let part = part.replace(['/', '\0'], "-");
        let part = if matches!(part.as_str(), "" | "." | "..") {
            "_".to_owned()
        } else {
            part
        };
        Self(if self.0.is_empty() {
            part
        } else {
            format!("{}/{part}", self.0)
        })
    }

    /// The path as text; empty for the workspace's own folder.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkspacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

impl TryFrom<String> for WorkspacePath {
    type Error = ParseWorkspacePathError;

    fn try_from(path: String) -> Result<Self, Self::Error> {
        Self::new(path)
    }
}

impl From<WorkspacePath> for String {
    fn from(path: WorkspacePath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out() {
        for text in ["/etc", "..", "a/../b", "a//b", "a/", "./a"] {
            assert!(WorkspacePath::new(text).is_err(), "{text}");
        }
        assert_eq!(
            WorkspacePath::root().child("a/../b").child("..").as_str(),
            "a-..-b/_"
        );
    }
}
