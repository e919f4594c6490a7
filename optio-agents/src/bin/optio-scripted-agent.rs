//! The scripted agent as a program of its own; see `optio_agents::scripted`.

use std::process::ExitCode;

fn main() -> ExitCode {
    optio_agents::scripted::main_entry(std::env::args_os().skip(1))
}
