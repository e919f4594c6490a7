//! The core of Optio: a ticket goes in, a merged pull request comes out.
//!
//! Domain values and pure policy stand at the bottom, the ports that backends implement above them, and the engine
//! that joins both on top. In this list a module uses only modules that stand above it.
//!
//! - **Ground**: [`clock`], [`id`], [`error`], [`money`].
//! - **Domain**, values without I/O: [`failure`], [`prompt`], [`repo`], [`pull_request`], [`workspace`], [`worktree`],
//!   [`transcript`], [`secret`], [`account`], [`run`], [`task`], [`schedule`], [`decision`].
//! - **Policy**, pure functions: [`classify`], [`scheduling`].
//! - **Ports**, traits with their contracts: [`store`], [`queue`], [`runtime`], [`agent`], [`forge`], [`tickets`],
//!   [`event_bus`], [`webhook`].
//! - **Decisions** over what ports showed: [`reconcile`]; and once more, from what was recorded: [`replay`].
//! - **Stand-ins** of every port: [`memory`]. Their contracts as tests: `conformance`, behind the feature of that name.

pub mod clock;
pub mod id;
pub mod error;
pub mod money;

pub mod failure;
pub mod prompt;
pub mod repo;
pub mod pull_request;
pub mod workspace;
pub mod worktree;
pub mod transcript;
pub mod secret;
pub mod account;
pub mod run;
pub mod task;
pub mod schedule;
pub mod decision;

pub mod classify;
pub mod scheduling;

pub mod webhook;
pub mod store;
pub mod queue;
pub mod runtime;
pub mod agent;
pub mod forge;
pub mod tickets;
pub mod event_bus;

pub mod reconcile;
pub mod replay;

pub mod engine;

pub mod memory;
#[cfg(feature = "conformance")]
pub mod conformance;

mod builder;

pub use crate::{
    builder::{BuildError, OptioBuilder},
    clock::{Clock, SystemClock, Timestamp},
    engine::{Limits, NewTask, Optio},
    error::{Error, ErrorKind, Result, Retry},
};
