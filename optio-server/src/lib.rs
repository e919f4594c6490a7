//! The reference server of Optio and its command line: composes the core and its backends into the whole service.
//!
//! - [`config`]: flags, environment and file; nothing else reads the environment.
//! - [`agents`]: which agents the server knows. [`backends`]: which backends make up an engine: [`state`] opens database,
//!   queue and bus, [`home`] keeps replicas on one data folder.
//! - [`app`]: what requests share. [`serve`]: the server from start to drain.
//! - [`router`]: all routes and who may use them. [`api`]: REST. [`live`]: WebSockets. [`error`]: errors over HTTP.
//! - [`doctor`]: whether everything that is needed is there.
//! - [`demo`]: a sample repository and a handful of tasks.
//! - [`cli`]: the program `optio`, which talks to a running server over HTTP alone.

pub mod config;
mod tls;
mod patience;
pub mod error;
pub mod doctor;
pub mod app;
pub mod api;
pub mod live;
pub mod router;
pub mod webhook_sender;
pub mod agents;
pub mod state;
pub mod home;
pub mod backends;
pub mod telemetry;
pub mod serve;
pub mod demo;
pub mod cli;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
