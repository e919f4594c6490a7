//! `cargo xtask chaos`: the chaos test of several replicas, for some minutes.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::cargo::Call;

pub(crate) const HELP: &str = "\
Starts a PostgreSQL, a Redis and three servers, has them work on two hundred tasks, and meanwhile kills and freezes
servers, empties and restarts Redis, takes it away for longer than a lease, and restarts PostgreSQL, 240 times. In the end
every task has to have come to its right end, once. `cargo xtask test` plays 24 such blows over fifty tasks.

usage: cargo xtask chaos [SEED]

What happens when is decided by the seed, 3 without one; what it meets depends on the machine.
";

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    let seed = match arguments {
        [] => "3",
        [seed] if seed.parse::<u64>().is_ok() => seed,
        _ => bail!("`cargo xtask chaos` takes a seed, a whole number, or nothing"),
    };
    // not by nextest, which ends tests that take this long
    let call = Call::whole("test").args(["--test", "replicas"]);
    let call = call.args(["--", "--nocapture", "whatever_dies"]);
    let status = call
        .env("OPTIO_TEST_CHAOS", "long")
        .command(root)
        .env("OPTIO_TEST_SEED", seed)
        .status()
        .context("cargo could not be started")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
