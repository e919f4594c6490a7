//! A lock for each task, as long as somebody wants it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::id::TaskId;

/// Locks by task. Those that nobody holds or waits for are forgotten.
#[derive(Debug, Default)]
pub(crate) struct TaskLocks(Mutex<HashMap<TaskId, Arc<tokio::sync::Mutex<()>>>>);

impl TaskLocks {
    /// The lock of a task.
    pub(crate) fn of(&self, task: TaskId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(task).or_default())
    }
}
