//! The schedule worker: makes tasks when their cron line comes round.

use tokio_util::sync::CancellationToken;

use super::{NewTask, Optio};
use crate::{
    clock::Timestamp,
    error::{ErrorKind, Result},
    schedule::Schedule,
    store::Write,
    task::{Task, TicketRef},
};

/// The ticket source of tasks that a schedule made: the key names schedule and moment, so that a moment makes one task.
const SOURCE: &str = "schedule";

impl Optio {
    /// Makes the tasks of every schedule that is due. Of several moments that were missed, only one is made up for.
    ///
    /// # Errors
    /// The store could not be read. What goes wrong with one schedule does not keep it from the others.
    pub async fn tick_schedule_worker(&self) -> Result<Vec<Task>> {
        let now = self.now();
        let mut made = Vec::new();
        for schedule in self.store().schedules().await? {
            let due = schedule
                .next_at
                .filter(|moment| !schedule.paused && *moment <= now);
            let Some(moment) = due else { continue };
            let id = schedule.id;
            match self.fire(schedule, moment).await {
                Ok(task) => made.extend(task),
                // another worker has made it
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => {
                    tracing::warn!(schedule = %id, %error, "schedule could not make its task")
                }
            }
        }
        Ok(made)
    }

    /// First the task, found again by its key if we crash in between; then the schedule moves on.
    async fn fire(&self, mut schedule: Schedule, moment: Timestamp) -> Result<Option<Task>> {
        let key = format!("{}@{moment}", schedule.id);
        let known = crate::store::TaskQuery {
            ticket: Some((SOURCE.to_owned(), key.clone())),
            ..Default::default()
        };
        let task = if self.store().tasks(&known).await?.is_empty() {
            let mut new = NewTask::new(schedule.repo, schedule.title.clone())
                .with_body(schedule.body.clone())
                .with_priority(schedule.priority);
            new.ticket = Some(TicketRef {
                source: SOURCE.to_owned(),
                key,
                url: None,
            });
            Some(self.submit_as("schedule_worker", new).await?)
        } else {
            None
        };
        schedule.last_at = Some(moment);
        schedule.next_at = schedule.cron.next_after(self.now());
        let mut change = self.change("schedule_worker");
        change.write(Write::Schedule(schedule));
        change.commit().await?;
        Ok(task)
    }

    pub(crate) async fn keep_schedules(&self, shutdown: CancellationToken) {
        loop {
            if let Err(error) = self.tick_schedule_worker().await {
                tracing::warn!(%error, "schedules could not be read");
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.settings().schedule_interval) => {}
            }
        }
    }
}
