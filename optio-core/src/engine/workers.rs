//! All workers together, from start to drain.

use tokio_util::sync::CancellationToken;

use super::Optio;
use crate::error::Result;

impl Optio {
    /// Works until `shutdown` is cancelled: takes tasks, watches pull requests and health, keeps schedules, syncs
    /// tickets, delivers what is to be delivered.
    ///
    /// Then it drains: nothing new is taken, what is being written is written, and agents that are at work are left
    /// to work on. The next process to run on the same backends adopts them. To drain no longer than a given time,
    /// wrap the call in a timeout: dropping it at any point loses nothing.
    ///
    /// # Errors
    /// None at present: what goes wrong with a backend is logged and tried again.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<()> {
        // the relay ends last: it delivers what the others leave behind
        let others_ended = CancellationToken::new();
        let workers = async {
            tokio::join!(
                self.work(shutdown.clone()),
                self.watch_pull_requests(shutdown.clone()),
                self.monitor_health(shutdown.clone()),
                self.keep_schedules(shutdown.clone()),
                self.sync_tickets(shutdown.clone()),
            );
            self.give_up_shares().await;
            others_ended.cancel();
        };
        tokio::join!(
            Box::pin(workers),
            Box::pin(self.relay(others_ended.clone()))
        );
        Ok(())
    }
}
