//! `cargo xtask bench`: builds the benches for speed and runs them, one after the other.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::cargo::{self, Call};
use crate::suite::Stopwatch;

pub(crate) const HELP: &str = "\
Measures how fast Optio is. Each bench prints a table: today's number, a peer or the limit of this machine from the same
run, their ratio, the target, and the number that is stored in benches/results/. Close what else is at work first; on
another machine compare the ratios, not the numbers. Nothing fails because it is slow.

usage: cargo xtask bench [name...] [--save]

  --save   store today's numbers

Without names all of them run; `ls benches/*.rs` lists them.
";

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    let (options, names): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|it| it.starts_with('-'));
    if let Some(option) = options.iter().find(|option| **option != "--save") {
        bail!("`cargo xtask bench` has no option `{option}`: it takes names of benches and --save");
    }
    let known = known(root)?;
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        bail!(
            "there is no bench `{name}`: choose from {}",
            known.join(", ")
        );
    }
    let build = Call::new("build --release --package optio-benches");
    println!("{}", build.line());
    let watch = Stopwatch::start();
    let status = build
        .command(root)
        .status()
        .context("cargo could not be started")?;
    if !status.success() {
        bail!("the benches do not build: `{}` shows why", build.line());
    }
    println!("built in {}", watch.read());
    let programs = cargo::output_folder()?.with_file_name("release");
    let wanted = known
        .iter()
        .filter(|name| names.is_empty() || names.contains(name));
    for name in wanted {
        let program = programs.join(format!("bench-{name}"));
        let status = cargo::clean(Command::new(&program))
            .args(&options)
            .current_dir(root)
            .status()
            .with_context(|| format!("{} could not be started", program.display()))?;
        if !status.success() {
            bail!("the bench `{name}` could not measure anything, see above");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The benches that there are: one file each.
fn known(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("benches");
    let mut names = Vec::new();
    for entry in folder
        .read_dir()
        .with_context(|| format!("cannot read {}", folder.display()))?
    {
        let name = entry?.file_name();
        if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".rs")) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}
