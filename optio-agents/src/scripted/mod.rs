//! The scripted agent: a real process that stands in for a coding agent and does exactly what a small script says.
//!
//! It reads its prompt from stdin, finds the script in it (or in the task's file, or in the repository), and plays the
//! section for the kind of run it was started for: it edits files, runs commands, commits, costs money, hits rate
//! limits, hangs, crashes or lies, and prints all that as a [stream](StreamLine) of JSON lines, as coding agents do.
//! Nothing is random and no account is needed, so demonstrations, tests and benchmarks can hold an agent at any point
//! and know what comes next.
//!
//! The whole script is parsed before its first step; a malformed one changes nothing. The steps are listed at
//! [`Script`], the arguments in [`USAGE`]. [`Scripted`] is its adapter.

mod adapter;
mod args;
mod player;
mod process;
mod script;
mod session;
mod step;
mod stream;
mod tools;

pub use adapter::Scripted;
pub use args::USAGE;
pub use process::main_entry;
pub use script::{Problem, Script, ScriptError};
pub use step::{OnFailure, Step};
pub use stream::StreamLine;
