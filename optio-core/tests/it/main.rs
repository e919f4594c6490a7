//! The stand-ins of `optio_core::memory`, held to the contracts of their ports, and stories told with them.

mod memory_event_bus;
mod memory_loop;
mod memory_agent;
mod memory_forge;
mod memory_runtime;
mod memory_tickets;
mod memory_queue;
mod memory_store;
mod stories;
