//! The ticket source in memory keeps the contract.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use optio_core::{
    conformance::tickets::TicketsUnderTest,
    memory::MemoryTickets,
    tickets::{Ticket, TicketOutcome, Tickets},
};

optio_core::tickets_conformance!(Desk::default());

#[derive(Default)]
struct Desk {
    tickets: MemoryTickets,
    written: Mutex<u32>,
}

#[async_trait]
impl TicketsUnderTest for Desk {
    fn tickets(&self) -> Arc<dyn Tickets> {
        Arc::new(self.tickets.clone())
    }

    async fn write(&self, title: &str, body: &str) -> String {
        let key = {
            let mut written = self.written.lock().unwrap();
            *written += 1;
            format!("T-{written}")
        };
        self.tickets.write(Ticket {
            key: key.clone(),
            repo: "https://memory.test/acme/shop".parse().unwrap(),
            title: title.to_owned(),
            body: body.to_owned(),
            url: None,
            priority: None,
        });
        key
    }

    async fn close(&self, key: &str) {
        self.tickets.close(key);
    }

    async fn comments(&self, key: &str) -> Vec<String> {
        let comments = self.tickets.outcomes(key).into_iter();
        comments
            .map(|outcome| match outcome {
                TicketOutcome::Completed { comment } | TicketOutcome::Stopped { comment } => {
                    comment
                }
            })
            .collect()
    }
}
