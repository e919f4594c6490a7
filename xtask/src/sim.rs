//! `cargo xtask sim`: plays seeds of the simulation, as many as wanted.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::cargo::{self, Call};

pub(crate) const HELP: &str = "\
Plays the engine under faults on paused time, seed by seed, on all processors, and stops at the first seed that breaks an
invariant: it names the invariant, the last events, and how to play that seed again. The tests play seeds 0 to 999.

usage: cargo xtask sim [--seeds N] [--from S] [--threads T]
       cargo xtask sim --replay SEED

  --seeds N       how many seeds; 1000 without it
  --from S        the first one; 0 without it
  --threads T     how many at once; as many as there are processors without it
  --replay SEED   plays one seed and prints its whole story, commands of git included

It is built optimised, which takes some minutes the first time and plays several times as many seeds in the same time.
";

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    let build = build();
    let status = build
        .command(root)
        .status()
        .context("cargo could not be started")?;
    if !status.success() {
        bail!("optio-sim does not build: `{}` shows why", build.line());
    }
    let program = cargo::output_folder()?.join("../release/optio-sim");
    let error = cargo::clean(Command::new(&program)).args(arguments).exec();
    Err(error).with_context(|| format!("{} could not be started", program.display()))
}

/// By itself: the optimised build shares nothing with that of the tests.
fn build() -> Call {
    Call::new("build --quiet --release --package optio-sim")
}
