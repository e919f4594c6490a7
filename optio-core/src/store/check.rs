//! What can be said of a commit without a look at what is stored: the same for every backend.

use super::{Commit, RunGuard, Write};
use crate::{
    error::{Error, Result},
    id::TaskId,
    run::Run,
    transcript::LogEntry,
};

impl RunGuard {
    /// The guard under which a run is written.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        Self {
            run: run.id,
            epoch: run.epoch,
        }
    }
}

impl Commit {
    /// Refuses a commit that no store could ever carry out.
    ///
    /// # Errors
    /// `Invalid` if a run is written without a guard of its epoch, or changes hands into an epoch that nothing comes
    /// before; `Conflict` if log entries leave a gap among themselves. They are the backend's, which names itself.
    pub fn check(&self, backend: &'static str) -> Result<()> {
        for write in &self.writes {
            match write {
                Write::Run(run) if !self.guards.contains(&RunGuard::of(run)) => {
                    let message = format!("{} is written without a guard of its epoch", run.id);
                    return Err(Error::invalid(backend, message));
                }
                Write::TakeOver(run) if run.epoch == 0 => {
                    let message = format!("{} is taken over into epoch 0", run.id);
                    return Err(Error::invalid(backend, message));
                }
                Write::Log(task, entries) => check_log(*task, entries, backend)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The guards that have to be looked at by themselves. Whoever carries out the only write of a run that is guarded has
    /// looked at what its guard asks for.
    pub fn open_guards(&self) -> impl Iterator<Item = RunGuard> {
        let guards = self.guards.iter().copied();
        guards.filter(|guard| !self.implies(guard))
    }

    fn implies(&self, guard: &RunGuard) -> bool {
        let mut of_this_run = self.writes.iter().filter(|write| match write {
            Write::Run(run) | Write::NewRun(run) | Write::TakeOver(run) => run.id == guard.run,
            _ => false,
        });
        matches!(
            (of_this_run.next(), of_this_run.next()),
            (Some(Write::Run(run)), None) if run.epoch == guard.epoch
        )
    }
}

fn check_log(task: TaskId, entries: &[LogEntry], backend: &'static str) -> Result<()> {
    for of_one_run in entries.chunk_by(|a, b| a.cursor.run == b.cursor.run) {
        let first = of_one_run.first().map_or(1, |entry| entry.cursor.seq);
        let mut numbered = (first..).zip(of_one_run);
        if first == 0 || numbered.any(|(seq, entry)| entry.cursor.seq != seq) {
            let message =
                format!("the log entries for {task} are not numbered from 1 without a gap");
            return Err(Error::conflict(backend, message));
        }
    }
    Ok(())
}
