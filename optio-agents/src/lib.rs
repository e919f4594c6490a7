//! Adapters that drive coding agents and read their streams.
//!
//! Each is a translator without any I/O: a run becomes a command as a value, and a line of the agent's output becomes
//! events of the one transcript model of [`optio_core`]. [`claude_code`] and [`codex`] drive command-line agents as
//! their vendors ship them. [`scripted`] also holds the agent itself, a real process that follows a script, for
//! demonstrations, tests and benchmarks.

pub mod claude_code;
pub mod codex;
mod json;
pub mod price;
pub mod scripted;
