//! Retention: the logs of runs that ended long ago go, in steps that hold nobody up.

use super::Optio;
use crate::{
    clock::{Timestamp, earlier, elapsed},
    error::Result,
    run::Run,
    store::{Commit, RemovedLog, Write},
    transcript::LogEntry,
};

/// How many logs go in one look, at most. What is left waits for the next one.
const LOGS_AT_ONCE: usize = 200;
/// How many entries go in one commit, or about as many.
const ENTRIES_AT_ONCE: u64 = 5_000;

impl Optio {
    /// Removes the logs that are kept no longer, for as long as a look may take. One that cannot be removed keeps none of
    /// the others. A clock that is set forward makes no log old.
    ///
    /// # Errors
    /// The store could not say which.
    pub(crate) async fn remove_old_logs(&self) -> Result<()> {
        let Some(kept) = self.settings().log_retention else {
            return Ok(());
        };
        let now = self.now();
        let old = self
            .store()
            .old_logs(earlier(self.now_at_least(), kept), LOGS_AT_ONCE)
            .await?;
        let mut removed = 0_usize;
        for run in &old {
            if elapsed(now, self.now()) > self.settings().lease / 3 {
                break; // whoever looks at health also adopts runs, and keeps a lease
            }
            match self.remove_log(run, now).await {
                Ok(()) => removed += 1,
                Err(error) => tracing::warn!(run = %run.id, %error, "log not removed"),
            }
        }
        if removed > 0 {
            tracing::info!(runs = removed, "logs removed that are kept no longer");
        }
        Ok(())
    }

    async fn remove_log(&self, run: &Run, now: Timestamp) -> Result<()> {
        let last = run.progress.seq;
        let mut through = Some(ENTRIES_AT_ONCE);
        while through.is_some() {
            through = through.filter(|through| *through < last);
            let removed = RemovedLog {
                run: run.id,
                task: run.task,
                number: run.number,
                through,
                notice: (last > 0).then(|| LogEntry::removed(run.number, now)),
            };
            let commit = Commit::new().with(Write::RemoveLog(removed));
            self.store().commit(commit).await?;
            through = through.map(|through| through + ENTRIES_AT_ONCE);
        }
        Ok(())
    }
}
