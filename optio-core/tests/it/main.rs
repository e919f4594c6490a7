//! The stand-ins of `optio_core::memory`, held to the contracts of their ports, and stories told with them.

mod memory_event_bus;
#[cfg(test)]
mod memory_loop;
#[cfg(test)]
mod memory_agent;
#[cfg(test)]
mod memory_forge;
#[cfg(test)]
mod memory_runtime;
#[cfg(test)]
mod memory_tickets;
mod memory_queue;
mod memory_store;
#[cfg(test)]
mod stories;
