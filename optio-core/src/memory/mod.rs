//! Every port in memory: for tests, for simulations, and for whoever embeds Optio without keeping anything.
//!
//! Each stand-in keeps the contract of its port and is held to the same suite as the real backends
//! (`conformance`). Nothing here outlives the process.

mod clock;
mod event_bus;
mod queue;
mod store;
mod git;
mod agent;
mod runtime;
mod forge;
mod tickets;
mod webhook;

pub use self::{
    agent::{Behaviour, MemoryAgent, Signal, SpawnedRun, Step, diligent},
    forge::{CheckedHead, HOST, MemoryForge, ReviewRule},
    git::{FakeGit, Push},
    runtime::{LiveRun, MemoryRuntime},
    tickets::MemoryTickets,
    webhook::MemoryWebhooks,
};
pub use self::{clock::TokioClock, event_bus::MemoryBus, queue::MemoryQueue, store::MemoryStore};
