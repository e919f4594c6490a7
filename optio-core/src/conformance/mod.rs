//! The contract of every port as a suite of tests: one async function per clause, named as the sentence that it proves,
//! and one macro per port that makes a test of each.
//!
//! ```text
//! # Cargo.toml of a backend
//! [dev-dependencies]
//! optio-core = { version = "...", features = ["conformance"] }
//! tokio = { version = "1", features = ["macros", "rt", "time"] }
//!
//! // its tests
//! optio_core::store_conformance!(MyStore::empty().await);
//! ```
//!
//! The expression is evaluated anew in each test, may await, and gives a fresh, empty backend, or a [`Subject`] where the
//! suite has to know more: the clock that the backend goes by, or what must live as long as it does. An attribute in front
//! of it replaces `#[tokio::test]`, for another flavour of runtime or for a paused one (`start_paused`, which needs
//! tokio's `test-util`):
//!
//! ```text
//! optio_core::queue_conformance!(#[tokio::test(start_paused = true)] {
//!     let clock = Arc::new(TokioClock::new());
//!     Subject::queue(MemoryQueue::new(clock.clone())).with_clock(clock)
//! });
//! ```

pub mod agent;
pub mod event_bus;
pub mod forge;
pub mod queue;
pub mod runtime;
pub mod sample;
pub mod store;
pub mod tickets;

use std::{any::Any, fmt, sync::Arc, time::Duration};

use crate::{
    clock::{Clock, SystemClock},
    error::{ErrorKind, Result},
    event_bus::EventBus,
    queue::Queue,
    store::Store,
};

/// A backend under test, behind its port.
pub struct Subject<P: ?Sized> {
    port: Arc<P>,
    clock: Arc<dyn Clock>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl<P: ?Sized> Subject<P> {
    /// A backend that goes by the machine's clock.
    #[must_use]
    pub fn new(port: Arc<P>) -> Self {
        Self {
            port,
            clock: Arc::new(SystemClock),
            kept: Vec::new(),
        }
    }

    /// The same backend, which goes by this clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The same backend, with something that is dropped after it: a temporary folder, a schema, a process.
    #[must_use]
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(kept));
        self
    }

    /// The backend.
    #[must_use]
    pub fn port(&self) -> &P {
        &self.port
    }

    /// The backend, to be given to other tasks.
    #[must_use]
    pub fn shared(&self) -> Arc<P> {
        Arc::clone(&self.port)
    }

    /// The clock that it goes by.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
}

impl<P: ?Sized> fmt::Debug for Subject<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// Lets a backend stand for itself where nothing more is to be said about it, and names the way to say more.
macro_rules! subjects {
    ($($name:ident: $port:ident)+) => {
        $(
            impl Subject<dyn $port> {
                /// A backend of this port that goes by the machine's clock.
                #[must_use]
                pub fn $name(backend: impl $port) -> Self {
                    Self::new(Arc::new(backend))
                }
            }

            impl<T: $port> From<T> for Subject<dyn $port> {
                fn from(backend: T) -> Self {
                    Self::$name(backend)
                }
            }
        )+
    };
}

subjects! {
    event_bus: EventBus
    queue: Queue
    store: Store
}

/// One test for each clause of a suite.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    (#[$test:meta] $suite:ident: $port:path, $make:expr, [$($clause:ident)+]) => {
        $(
            #[$test]
            async fn $clause() {
                let subject = $crate::conformance::Subject::<dyn $port>::from($make);
                $crate::conformance::$suite::$clause(&subject).await;
            }
        )+
    };
}

/// The kind of an error that has to come.
fn refused<T: fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("this should be refused").kind()
}

/// Waits for what has to come soon; the time only bounds a failure.
async fn soon<T>(what: &str, come: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), come)
        .await
        .unwrap_or_else(|_| panic!("{what} should have come within 20 s"))
}

#[cfg(test)]
mod tests {
    /// Clauses that a file defines, and whether the macro of the suite lists them.
    fn forgotten(list: &str, files: &[&str]) -> Vec<String> {
        let listed = list.split_once("macro_rules!").unwrap().1;
        (files.iter().flat_map(|file| file.lines()))
            .filter_map(|line| line.strip_prefix("pub async fn "))
            .filter_map(|line| line.split('(').next())
            .filter(|clause| !listed.lines().any(|line| line.trim() == *clause))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn every_clause_is_in_its_macro() {
        let store = [
            include_str!("store/concurrency.rs"),
            include_str!("store/log.rs"),
            include_str!("store/outbox.rs"),
            include_str!("store/pauses.rs"),
            include_str!("store/queries.rs"),
            include_str!("store/records.rs"),
            include_str!("store/runs.rs"),
            include_str!("store/whole.rs"),
        ];
        let queue = [
            include_str!("queue/changes.rs"),
            include_str!("queue/claims.rs"),
            include_str!("queue/entries.rs"),
        ];
        let runtime = [
            include_str!("runtime/inputs.rs"),
            include_str!("runtime/processes.rs"),
            include_str!("runtime/runs.rs"),
            include_str!("runtime/workspaces.rs"),
        ];
        let bus = include_str!("event_bus.rs");
        let (forge, tickets) = (include_str!("forge/mod.rs"), include_str!("tickets.rs"));
        assert_eq!(forgotten(include_str!("store/mod.rs"), &store), [""; 0]);
        assert_eq!(forgotten(include_str!("queue/mod.rs"), &queue), [""; 0]);
        assert_eq!(forgotten(include_str!("runtime/mod.rs"), &runtime), [""; 0]);
        assert_eq!(forgotten(bus, &[bus]), [""; 0]);
        assert_eq!(forgotten(forge, &[forge]), [""; 0]);
        assert_eq!(forgotten(tickets, &[tickets]), [""; 0]);
    }
}
