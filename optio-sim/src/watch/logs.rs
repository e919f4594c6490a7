//! Logs: every entry that was ever written, and how much of it may be gone.

use std::{collections::BTreeMap, time::Duration};

use optio_core::{
    Timestamp,
    clock::elapsed,
    id::TaskId,
    run::Run,
    store::RemovedLog,
    transcript::{LogCursor, LogEntry},
};

/// The logs as they were written, and what was removed of them.
#[derive(Debug)]
pub(super) struct Logs {
    /// How long those of runs that have ended are kept; for ever if none.
    kept: Option<Duration>,
    written: BTreeMap<TaskId, BTreeMap<LogCursor, LogEntry>>,
    removed: BTreeMap<(TaskId, u32), RemovedLog>,
}

impl Logs {
    pub(super) fn new(kept: Option<Duration>) -> Self {
        Self {
            kept,
            written: BTreeMap::new(),
            removed: BTreeMap::new(),
        }
    }

    pub(super) fn write(&mut self, task: TaskId, entries: &[LogEntry]) {
        let log = self.written.entry(task).or_default();
        log.extend(entries.iter().map(|entry| (entry.cursor, entry.clone())));
    }

    /// A log is removed at this moment. Why it may not be.
    pub(super) fn remove(
        &mut self,
        removed: &RemovedLog,
        run: Option<&Run>,
        now: Timestamp,
    ) -> Option<String> {
        let id = removed.run;
        self.removed
            .insert((removed.task, removed.number), removed.clone());
        let Some(kept) = self.kept else {
            return Some(format!("the log of {id} is removed, and logs are kept"));
        };
        let Some(run) = run.filter(|run| (run.task, run.number) == (removed.task, removed.number))
        else {
            return Some(format!("the log of {id} is removed, which wrote none"));
        };
        match run.ended_at() {
            None => Some(format!("the log of {id} is removed, which is live")),
            Some(at) if elapsed(at, now) < kept => Some(format!(
                "the log of {id} is removed {:?} after its end",
                elapsed(at, now)
            )),
            Some(_) => None,
        }
    }

    /// All that was ever written for a task.
    pub(super) fn written(&self, task: TaskId) -> Vec<LogEntry> {
        let log = self.written.get(&task).into_iter();
        log.flat_map(|log| log.values().cloned()).collect()
    }

    /// What is left of it.
    pub(super) fn left(&self, task: TaskId) -> Vec<LogEntry> {
        let mut log = self.written.get(&task).cloned().unwrap_or_default();
        for removed in self.removed.values().filter(|it| it.task == task) {
            let last = removed.through.unwrap_or(u64::MAX);
            log.retain(|at, _| at.run != removed.number || at.seq > last);
            let notice = removed.notice.iter().cloned();
            log.extend(notice.map(|notice| (notice.cursor, notice)));
        }
        log.into_values().collect()
    }
}
