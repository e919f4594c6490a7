//! Dependencies between tasks: a graph without cycles, and what it means for the one that waits.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::StateName;
use crate::id::TaskId;

/// Tasks that would wait for each other for ever.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("these tasks would wait for each other for ever: {}", path(.cycle))]
pub struct CycleError {
    /// The tasks, each depending on the next, the first repeated at the end.
    pub cycle: Vec<TaskId>,
}

fn path(cycle: &[TaskId]) -> String {
    cycle
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" -> ")
}

/// Refuses a cycle. `edges` holds, for each task, those it depends on; a task that is missing depends on none.
///
/// # Errors
/// A cycle, named.
pub fn check_acyclic(edges: &BTreeMap<TaskId, Vec<TaskId>>) -> Result<(), CycleError> {
    let mut done = BTreeSet::new();
    for &start in edges.keys() {
        if done.contains(&start) {
            continue;
        }
        // depth first with a stack of our own: a chain of ten thousand tasks must not overflow the thread's
        let mut trail: Vec<(TaskId, usize)> = vec![(start, 0)];
        let mut on_trail = BTreeSet::from([start]);
        while let Some((task, next)) = trail.last_mut() {
            let followed = edges.get(task).and_then(|to| to.get(*next)).copied();
            *next += 1;
            match followed {
                None => {
                    done.insert(*task);
                    on_trail.remove(task);
                    trail.pop();
                }
                Some(to) if done.contains(&to) => {}
                Some(to) if on_trail.insert(to) => trail.push((to, 0)),
                Some(to) => {
                    let mut cycle: Vec<TaskId> = trail
                        .iter()
                        .map(|(seen, _)| *seen)
                        .skip_while(|seen| *seen != to)
                        .collect();
                    cycle.push(to);
                    return Err(CycleError { cycle });
                }
            }
        }
    }
    Ok(())
}

/// What its dependencies mean for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyVerdict {
    /// All are completed.
    Ready,
    /// These are not completed yet.
    Waiting(Vec<TaskId>),
    /// This one has failed or was cancelled.
    Broken(TaskId, StateName),
}

/// What the states of its dependencies mean for a task. One that does not exist counts as failed.
#[must_use]
pub fn dependencies<'a>(
    states: impl IntoIterator<Item = (TaskId, Option<&'a StateName>)>,
) -> DependencyVerdict {
    let mut waiting = Vec::new();
    for (task, state) in states {
        match state.copied().unwrap_or(StateName::Failed) {
            StateName::Completed => {}
            broken @ (StateName::Failed | StateName::Cancelled) => {
                return DependencyVerdict::Broken(task, broken);
            }
            _ => waiting.push(task),
        }
    }
    if waiting.is_empty() {
        DependencyVerdict::Ready
    } else {
        DependencyVerdict::Waiting(waiting)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn task(n: u128) -> TaskId {
        TaskId::from_uuid(Uuid::from_u128(n))
    }

    fn graph(edges: &[(u128, &[u128])]) -> BTreeMap<TaskId, Vec<TaskId>> {
        edges
            .iter()
            .map(|(from, to)| (task(*from), to.iter().copied().map(task).collect()))
            .collect()
    }

    #[test]
    fn a_diamond_is_fine_and_a_cycle_is_named() {
        assert_eq!(
            check_acyclic(&graph(&[(1, &[2, 3]), (2, &[4]), (3, &[4]), (4, &[])])),
            Ok(())
        );
        let error = check_acyclic(&graph(&[(1, &[2]), (2, &[3]), (3, &[2])])).unwrap_err();
        assert_eq!(error.cycle, [task(2), task(3), task(2)]);
        assert_eq!(
            check_acyclic(&graph(&[(1, &[1])])).unwrap_err().cycle,
            [task(1), task(1)]
        );
    }

    #[test]
    fn a_long_chain_does_not_overflow() {
        let edges = (0..50_000).map(|n| (task(n), vec![task(n + 1)])).collect();
        assert_eq!(check_acyclic(&edges), Ok(()));
    }

    #[test]
    fn one_that_failed_breaks_it_and_one_that_works_makes_it_wait() {
        use StateName::{Completed, Failed, Running};
        assert_eq!(
            dependencies([(task(1), Some(&Completed))]),
            DependencyVerdict::Ready
        );
        assert_eq!(
            dependencies([(task(1), Some(&Completed)), (task(2), Some(&Running))]),
            DependencyVerdict::Waiting(vec![task(2)])
        );
        assert_eq!(
            dependencies([(task(2), Some(&Running)), (task(3), Some(&Failed))]),
            DependencyVerdict::Broken(task(3), Failed)
        );
        assert_eq!(
            dependencies([(task(9), None)]),
            DependencyVerdict::Broken(task(9), Failed)
        );
    }
}
