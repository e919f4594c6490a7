//! `cargo xtask demo`: builds the programs and becomes `optio demo`.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::cargo::{self, Call};
use crate::suite::Stopwatch;

pub(crate) const HELP: &str = "\
Builds optio and runs `optio demo` with the given arguments: a sample repository, several tasks, scripted agents, a red
build, a review, a conflict, all on this machine. The exit code is that of `optio demo`.

usage: cargo xtask demo [arguments of `optio demo`]

`cargo xtask demo -- --help` lists those arguments.
";

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    let arguments = match arguments.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => arguments,
    };
    println!("building optio; the first build takes some minutes, later ones some seconds");
    let watch = Stopwatch::start();
    let build = build();
    let status = build
        .command(root)
        .status()
        .context("cargo could not be started")?;
    if !status.success() {
        bail!("optio does not build: `{}` shows why", build.line());
    }
    println!("built in {}", watch.read());
    let program = cargo::output_folder()?.join("optio");
    // replaced, not started: signals, the terminal and the exit code belong to the demo
    let error = cargo::clean(Command::new(&program))
        .arg("demo")
        .args(arguments)
        .exec();
    Err(error).with_context(|| format!("{} could not be started", program.display()))
}

/// Examples are built only because they keep the choice of features that the tests make, see [`crate::cargo`].
fn build() -> Call {
    Call::whole("build").args(["--exclude", "xtask", "--bins", "--examples"])
}
