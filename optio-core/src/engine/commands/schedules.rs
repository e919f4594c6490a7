//! Schedules: adding and removing them.

use crate::{
    engine::Optio,
    error::{Error, Result},
    id::{RepoId, ScheduleId},
    schedule::{CronLine, Schedule},
    store::Write,
};

/// A wish for a schedule.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// When.
    pub cron: CronLine,
    /// The repository of its tasks.
    pub repo: RepoId,
    /// The title of its tasks.
    pub title: String,
    /// The body of its tasks.
    pub body: String,
    /// The priority of its tasks.
    pub priority: i32,
}

impl Optio {
    /// Adds a schedule.
    ///
    /// # Errors
    /// The repository does not exist, the title is empty, or the line never comes round.
    pub async fn add_schedule(&self, new: NewSchedule) -> Result<Schedule> {
        self.store().repo(new.repo).await?;
        if new.title.trim().is_empty() {
            return Err(Error::invalid(
                "optio",
                "the tasks of a schedule need a title",
            ));
        }
        let next_at = new.cron.next_after(self.now());
        if next_at.is_none() {
            return Err(Error::invalid(
                "optio",
                format!("{:?} never comes round", new.cron.line()),
            ));
        }
        let mut schedule = Schedule {
            id: ScheduleId::generate(self.clock()),
            cron: new.cron,
            repo: new.repo,
            title: new.title,
            body: new.body,
            priority: new.priority,
            paused: false,
            next_at,
            last_at: None,
            version: 0,
        };
        let mut change = self.change("api");
        change.write(Write::Schedule(schedule.clone()));
        change.commit().await?;
        schedule.version = 1;
        Ok(schedule)
    }

    /// Removes a schedule. No error if there is none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_schedule(&self, id: ScheduleId) -> Result<()> {
        let mut change = self.change("api");
        change.write(Write::ForgetSchedule(id));
        change.commit().await
    }
}
