//! The port for ticket sources: wishes come in, word of what became of them goes out.

use std::fmt;

use async_trait::async_trait;

use crate::{error::Result, repo::RepoUrl};

/// A source of tickets.
///
/// # Contract
/// - [`open`](Self::open) lists every ticket that is meant for Optio and still open; the same ticket again and again
///   until it is closed. The engine makes one task of it.
/// - [`report`](Self::report) is idempotent: the same outcome reported twice is one comment and one state.
#[async_trait]
pub trait Tickets: fmt::Debug + Send + Sync + 'static {
    /// The source's name, kept with each task: `github`, `linear`.
    fn name(&self) -> &'static str;

    /// The tickets that are meant for Optio and still open.
    async fn open(&self) -> Result<Vec<Ticket>>;

    /// Tells a ticket what became of it. `NotFound` if there is no such ticket.
    async fn report(&self, key: &str, outcome: &TicketOutcome) -> Result<()>;
}

/// A wish that somebody wrote down elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its key in its source.
    pub key: String,
    /// The repository that it is about.
    pub repo: RepoUrl,
    /// Its title.
    pub title: String,
    /// Its text, in Markdown.
    pub body: String,
    /// Where a person can look at it.
    pub url: Option<String>,
    /// The priority of its task, if the source has one.
    pub priority: Option<i32>,
}

/// What became of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketOutcome {
    /// The work is merged: the ticket is closed with a comment.
    Completed {
        /// The comment.
        comment: String,
    },
    /// It failed or was cancelled: a comment, and it stays open.
    Stopped {
        /// The comment.
        comment: String,
    },
}
