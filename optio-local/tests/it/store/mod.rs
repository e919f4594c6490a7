//! The SQLite store: the contract of every store, and what this one promises beyond it.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

mod fixtures;
mod contract;
mod committing;
mod opening;
mod surviving;
