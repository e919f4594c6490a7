//! The contract of [`Tickets`].

use std::sync::Arc;

use async_trait::async_trait;

use super::refused;
use crate::{
    error::ErrorKind,
    tickets::{TicketOutcome, Tickets},
};

/// One test per clause of the [`Tickets`] contract; see [`conformance`](crate::conformance). The expression gives a
/// [`TicketsUnderTest`].
#[macro_export]
macro_rules! tickets_conformance {
    (#[$test:meta] $make:expr) => {
        $crate::tickets_conformance! { @ #[$test] $make, [
            an_open_ticket_is_listed_again_and_again_until_it_is_closed
            a_completed_ticket_is_closed_with_a_comment
            a_stopped_ticket_stays_open_with_a_comment
            the_same_outcome_reported_twice_is_one_comment
            a_ticket_that_is_not_there_is_not_found
        ] }
    };
    ($make:expr) => {
        $crate::tickets_conformance! { #[tokio::test] $make }
    };
    (@ #[$test:meta] $make:expr, [$($clause:ident)+]) => {
        $(
            #[$test]
            async fn $clause() {
                $crate::conformance::tickets::$clause(&$make).await;
            }
        )+
    };
}

/// A ticket source under test, without tickets, and the people who use it.
#[async_trait]
pub trait TicketsUnderTest: Send + Sync {
    /// The source.
    fn tickets(&self) -> Arc<dyn Tickets>;

    /// Somebody writes a ticket that is meant for Optio; its key.
    async fn write(&self, title: &str, body: &str) -> String;

    /// Somebody closes a ticket.
    async fn close(&self, key: &str);

    /// The comments on a ticket.
    async fn comments(&self, key: &str) -> Vec<String>;
}

async fn open(subject: &dyn TicketsUnderTest) -> Vec<String> {
    let mut tickets = subject.tickets().open().await.expect("open");
    tickets.sort_by(|one, other| one.key.cmp(&other.key));
    tickets.into_iter().map(|ticket| ticket.key).collect()
}

async fn report(subject: &dyn TicketsUnderTest, key: &str, outcome: &TicketOutcome) {
    let reported = subject.tickets().report(key, outcome).await;
    reported.expect("report");
}

/// With its title and text.
pub async fn an_open_ticket_is_listed_again_and_again_until_it_is_closed(
    subject: &dyn TicketsUnderTest,
) {
    assert_eq!(open(subject).await, [""; 0]);
    let key = subject.write("Add a cart", "With *all* of it.").await;
    for _ in 0..2 {
        let listed = subject.tickets().open().await.expect("open");
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].key, key);
        assert_eq!(listed[0].title, "Add a cart");
        assert_eq!(listed[0].body, "With *all* of it.");
    }
    subject.close(&key).await;
    assert_eq!(open(subject).await, [""; 0]);
}

/// And is listed no longer.
pub async fn a_completed_ticket_is_closed_with_a_comment(subject: &dyn TicketsUnderTest) {
    let key = subject.write("Add a cart", "").await;
    let comment = "merged as 1234".to_owned();
    report(subject, &key, &TicketOutcome::Completed { comment }).await;
    assert_eq!(open(subject).await, [""; 0]);
    assert_eq!(subject.comments(&key).await.len(), 1);
    assert!(subject.comments(&key).await[0].contains("merged as 1234"));
}

/// For a person to look at.
pub async fn a_stopped_ticket_stays_open_with_a_comment(subject: &dyn TicketsUnderTest) {
    let key = subject.write("Add a cart", "").await;
    let comment = "it failed".to_owned();
    report(subject, &key, &TicketOutcome::Stopped { comment }).await;
    assert_eq!(open(subject).await, [key.as_str()]);
    assert!(subject.comments(&key).await[0].contains("it failed"));
}

/// And one state.
pub async fn the_same_outcome_reported_twice_is_one_comment(subject: &dyn TicketsUnderTest) {
    let key = subject.write("Add a cart", "").await;
    let stopped = TicketOutcome::Stopped {
        comment: "it failed".to_owned(),
    };
    let completed = TicketOutcome::Completed {
        comment: "merged".to_owned(),
    };
    for outcome in [&stopped, &stopped, &completed, &completed] {
        report(subject, &key, outcome).await;
    }
    assert_eq!(subject.comments(&key).await.len(), 2);
    assert_eq!(open(subject).await, [""; 0]);
}

/// When it is reported on.
pub async fn a_ticket_that_is_not_there_is_not_found(subject: &dyn TicketsUnderTest) {
    let key = subject.write("Add a cart", "").await;
    let outcome = TicketOutcome::Stopped {
        comment: "it failed".to_owned(),
    };
    let missing = format!("{key}999");
    let reported = subject.tickets().report(&missing, &outcome).await;
    assert_eq!(refused(reported), ErrorKind::NotFound);
}
