//! The program `optio`; see `optio_server::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    optio_server::cli::main(std::env::args_os())
}
