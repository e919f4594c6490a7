//! Every port in memory: for tests, for simulations, and for whoever embeds Optio without keeping anything.
//!
//! Each stand-in keeps the contract of its port and is held to the same suite as the real backends
//! (`conformance`). Nothing here outlives the process.

mod clock;
mod event_bus;
mod queue;
mod store;

pub use self::{clock::TokioClock, event_bus::MemoryBus, queue::MemoryQueue, store::MemoryStore};
