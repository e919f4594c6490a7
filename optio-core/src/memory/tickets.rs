//! A ticket source in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::{
    error::{Error, Result},
    tickets::{Ticket, TicketOutcome, Tickets},
};

const BACKEND: &str = "memory tickets";

/// A [`Tickets`] whose tickets a test writes and reads. Clones are the same source.
#[derive(Debug, Clone, Default)]
pub struct MemoryTickets {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    tickets: Vec<Kept>,
    asked: u64,
    unreachable: Option<String>,
}

#[derive(Debug)]
struct Kept {
    ticket: Ticket,
    open: bool,
    outcomes: Vec<TicketOutcome>,
}

impl MemoryTickets {
    /// A source without tickets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody writes a ticket, in place of the one with the same key.
    pub fn write(&self, ticket: Ticket) {
        let mut state = self.lock();
        state.tickets.retain(|kept| kept.ticket.key != ticket.key);
        state.tickets.push(Kept {
            ticket,
            open: true,
            outcomes: Vec::new(),
        });
    }

    /// Somebody closes a ticket.
    pub fn close(&self, key: &str) {
        if let Some(kept) = self.lock().find(key) {
            kept.open = false;
        }
    }

    /// What was reported to a ticket, each outcome once.
    #[must_use]
    pub fn outcomes(&self, key: &str) -> Vec<TicketOutcome> {
        let mut state = self.lock();
        state
            .find(key)
            .map(|kept| kept.outcomes.clone())
            .unwrap_or_default()
    }

    /// How often it was asked for open tickets.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.lock().asked
    }

    /// Lets every call fail as `Unavailable`, or no longer.
    pub fn set_unreachable(&self, reason: Option<&str>) {
        self.lock().unreachable = reason.map(str::to_owned);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&mut self, key: &str) -> Option<&mut Kept> {
        self.tickets.iter_mut().find(|kept| kept.ticket.key == key)
    }

    fn reach(&self) -> Result<()> {
        match &self.unreachable {
            Some(reason) => Err(Error::unavailable(BACKEND, reason)),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Tickets for MemoryTickets {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn open(&self) -> Result<Vec<Ticket>> {
        let mut state = self.lock();
        state.asked += 1;
        state.reach()?;
        let open = state.tickets.iter().filter(|kept| kept.open);
        Ok(open.map(|kept| kept.ticket.clone()).collect())
    }

    async fn report(&self, key: &str, outcome: &TicketOutcome) -> Result<()> {
        let mut state = self.lock();
        state.reach()?;
        let kept = state.find(key);
        let kept = kept.ok_or_else(|| Error::not_found(BACKEND, format!("the ticket {key}")))?;
        if !kept.outcomes.contains(outcome) {
            kept.outcomes.push(outcome.clone());
        }
        if matches!(outcome, TicketOutcome::Completed { .. }) {
            kept.open = false;
        }
        Ok(())
    }
}
