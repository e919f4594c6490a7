//! Adapters that drive coding agents and read their streams.
//!
//! Each is a translator without any I/O: a run becomes a command as a value, and a line of the agent's output becomes
//! events of the one transcript model of [`optio_core`]. [`claude_code`], [`codex`], [`gemini`], [`opencode`] and
//! [`copilot`] drive command-line agents as their vendors ship them; any other is driven by a small
//! manifest. [`scripted`] also holds the agent itself, a real process that follows a script, for
//! demonstrations, tests and benchmarks.

pub mod claude_code;
pub mod codex;
pub mod command_agent;
pub mod copilot;
pub mod gemini;
mod given;
mod hum;
mod json;
pub mod mcp;
pub mod opencode;
pub mod price;
pub mod scripted;
