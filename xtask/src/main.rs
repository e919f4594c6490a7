//! `cargo xtask`: everything that continuous integration and people run in this repository, in Rust.
//!
//! Needs nothing but the standard library and `anyhow`, so that a fresh machine is at work within seconds.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a command line program: printing is its output"
)]

mod cargo;
mod machine;
mod tidy;
mod bench;
mod chaos;
mod demo;
mod servers;
mod sim;
mod suite;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const HELP: &str = "\
The automation of this repository.

usage: cargo xtask <command> [arguments]

commands:
  test [filter...]   run every check that continuous integration runs;
                     with filters, only the tests whose names contain one of them
  demo [arguments]   build optio and run `optio demo`: the whole loop on this machine
  bench [name...]    measure speed and memory, and compare with the stored numbers
  sim [arguments]    play the engine under faults, seed by seed
  chaos [seed]       kill, freeze and restart servers under several replicas, for some minutes
  tidy               check the order, the names and the length of the sources
  help               print this text

`cargo xtask <command> --help` says more about one command.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let (command, rest) = match arguments.split_first() {
        None => ("help", [].as_slice()),
        Some((command, rest)) => (command.as_str(), rest),
    };
    let asks_help = matches!(rest.first().map(String::as_str), Some("--help" | "-h"));
    let root = root()?;
    match command {
        "help" | "--help" | "-h" => show(HELP),
        "test" if asks_help => show(suite::HELP),
        "test" => suite::run(&root, rest),
        "demo" if asks_help => show(demo::HELP),
        "demo" => demo::run(&root, rest),
        "bench" if asks_help => show(bench::HELP),
        "bench" => bench::run(&root, rest),
        "sim" if asks_help => show(sim::HELP),
        "sim" => sim::run(&root, rest),
        "chaos" if asks_help => show(chaos::HELP),
        "chaos" => chaos::run(&root, rest),
        "tidy" if asks_help => show(tidy::HELP),
        "tidy" => tidy::run(&root, rest),
        unknown => bail!("there is no command `{unknown}`: `cargo xtask help` lists them"),
    }
}

fn show(text: &str) -> Result<ExitCode> {
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// The folder of the workspace, so that the commands work from any folder below it.
fn root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .context(
            "xtask does not lie in a workspace: run it as `cargo xtask` in a checkout of optio",
        )
}
