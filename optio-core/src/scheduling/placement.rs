//! Where a run goes: the task's last workspace, else the least loaded one, else a new one, else it waits.

use serde::{Deserialize, Serialize};

use crate::{id::WorkspaceId, repo::RepoSettings};

/// A workspace of the repository that takes runs, and how many it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its place among the workspaces of the repository.
    pub ordinal: u32,
    /// How many runs are live in it.
    pub runs: u32,
}

/// Where a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// Into this workspace.
    Use(WorkspaceId),
    /// Into a new workspace with this ordinal.
    ScaleUp {
        /// The lowest ordinal that is free.
        ordinal: u32,
    },
    /// Every workspace is full and there may not be another one.
    Full,
}

/// Places a run. `last` is the workspace of the task's last run: its worktree and session are there.
#[must_use]
pub fn place(settings: &RepoSettings, places: &[Place], last: Option<WorkspaceId>) -> Placement {
    let has_room = |place: &&Place| place.runs < settings.max_agents_per_pod;
    if let Some(place) = places
        .iter()
        .filter(has_room)
        .find(|place| Some(place.workspace) == last)
    {
        return Placement::Use(place.workspace);
    }
    // the least loaded; of equals the lowest ordinal, so that the highest falls idle and can go
    if let Some(place) = places
        .iter()
        .filter(has_room)
        .min_by_key(|place| (place.runs, place.ordinal))
    {
        return Placement::Use(place.workspace);
    }
    let in_use = u32::try_from(places.len()).unwrap_or(u32::MAX);
    if in_use < settings.max_pod_instances {
        let free =
            (0..=in_use).find(|ordinal| places.iter().all(|place| place.ordinal != *ordinal));
        return Placement::ScaleUp {
            ordinal: free.unwrap_or(in_use),
        };
    }
    Placement::Full
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn ws(n: u128) -> WorkspaceId {
        WorkspaceId::from_uuid(Uuid::from_u128(n))
    }

    fn places(runs: &[u32]) -> Vec<Place> {
        (0..)
            .zip(runs)
            .map(|(ordinal, &runs)| Place {
                workspace: ws(ordinal.into()),
                ordinal,
                runs,
            })
            .collect()
    }

    fn settings(pods: u32, agents: u32) -> RepoSettings {
        RepoSettings {
            max_pod_instances: pods,
            max_agents_per_pod: agents,
            ..RepoSettings::default()
        }
    }

    #[test]
    fn rows() {
        /// A name, pods and agents per pod, the runs of each workspace, the last workspace, and where it goes.
        type Row = (
            &'static str,
            (u32, u32),
            &'static [u32],
            Option<u128>,
            Placement,
        );
        let rows: &[Row] = &[
            (
                "nothing there: make the first",
                (1, 2),
                &[],
                None,
                Placement::ScaleUp { ordinal: 0 },
            ),
            (
                "the last workspace first, though it is busier",
                (2, 3),
                &[0, 2],
                Some(1),
                Placement::Use(ws(1)),
            ),
            (
                "the last one is full: the least loaded",
                (3, 2),
                &[1, 2, 0],
                Some(1),
                Placement::Use(ws(2)),
            ),
            (
                "of equals the lowest",
                (3, 2),
                &[1, 1],
                None,
                Placement::Use(ws(0)),
            ),
            (
                "all full and room for one more",
                (3, 2),
                &[2, 2],
                None,
                Placement::ScaleUp { ordinal: 2 },
            ),
            ("all full", (2, 2), &[2, 2], Some(0), Placement::Full),
            (
                "limits were lowered",
                (1, 1),
                &[2, 2],
                None,
                Placement::Full,
            ),
        ];
        for (name, (pods, agents), runs, last, expected) in rows {
            assert_eq!(
                place(&settings(*pods, *agents), &places(runs), last.map(ws)),
                *expected,
                "{name}"
            );
        }
    }

    #[test]
    fn a_gap_in_the_ordinals_is_filled_first() {
        let mut all = places(&[1, 1, 1]);
        all.remove(1);
        assert_eq!(
            place(&settings(3, 1), &all, None),
            Placement::ScaleUp { ordinal: 1 }
        );
    }
}
