//! Ticket sync: every open ticket that is meant for Optio becomes one task. Word of what became of it goes out by the relay.

use tokio_util::sync::CancellationToken;

use super::{
    NewTask, Optio,
    shares::{Due, Share},
};
use crate::{
    error::{Error, ErrorKind, Result},
    store::TaskQuery,
    task::{Task, TicketRef},
    tickets::{Ticket, Tickets},
};

impl Optio {
    /// Asks every ticket source once, but for those of other replicas, and returns the tasks that were made.
    ///
    /// # Errors
    /// The store could not be read. What goes wrong with one source or ticket does not keep it from the others.
    pub async fn tick_ticket_sync(&self) -> Result<Vec<Task>> {
        let mut made = Vec::new();
        for source in &self.ports().tickets {
            if self.ask_for_share(&Share::Tickets(source.name())).await? {
                made.extend(self.ask_source(&**source).await);
            }
        }
        Ok(made)
    }

    async fn ask_source(&self, source: &dyn Tickets) -> Vec<Task> {
        let mut made = Vec::new();
        let open = match source.open().await {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(source = source.name(), %error, "tickets could not be read");
                return made;
            }
        };
        for ticket in open {
            let key = ticket.key.clone();
            match self.take_ticket(source, ticket).await {
                Ok(task) => made.extend(task),
                // somebody else has taken it in this moment
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => {
                    tracing::warn!(source = source.name(), ticket = key, %error, "ticket not taken")
                }
            }
        }
        made
    }

    async fn take_ticket(&self, source: &dyn Tickets, ticket: Ticket) -> Result<Option<Task>> {
        let known = TaskQuery {
            ticket: Some((source.name().to_owned(), ticket.key.clone())),
            ..TaskQuery::default()
        };
        if !self.store().tasks(&known).await?.is_empty() {
            return Ok(None);
        }
        let Some(repo) = self.store().repo_by_url(&ticket.repo).await? else {
            return Err(Error::invalid(
                "optio",
                format!("{} is not a repository of Optio: add it first", ticket.repo),
            ));
        };
        let mut new = NewTask::new(repo.id, ticket.title).with_body(ticket.body);
        new.priority = ticket.priority.unwrap_or(new.priority);
        new.ticket = Some(TicketRef {
            source: source.name().to_owned(),
            key: ticket.key,
            url: ticket.url,
        });
        self.submit_as("ticket_sync", new).await.map(Some)
    }

    pub(crate) async fn sync_tickets(&self, shutdown: CancellationToken) {
        if self.ports().tickets.is_empty() {
            return;
        }
        let interval = self.settings().ticket_interval;
        let every = self.keep_every(interval);
        let mut asked: Vec<(&dyn Tickets, Due)> = self
            .ports()
            .tickets
            .iter()
            .map(|source| (&**source, Due::every(interval)))
            .collect();
        loop {
            for (source, due) in &mut asked {
                match self.ask_for_share(&Share::Tickets(source.name())).await {
                    Ok(true) if due.is_now(every) => {
                        self.ask_source(*source).await;
                    }
                    Ok(true) => {}
                    Ok(false) => due.forget(),
                    Err(error) => tracing::warn!(%error, "tickets could not be synced"),
                }
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
    }
}
