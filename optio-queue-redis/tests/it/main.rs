//! The queue and the bus on a real server.

mod batches;
mod bus;
mod claims;
mod model;
mod outages;
mod queue;
mod server;
mod way;
