//! `cargo xtask test`: every check of this repository, step by step, with a summary at the end.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cargo::{self, Call};
use crate::servers::Servers;
use crate::{machine, tidy};

pub(crate) const HELP: &str = "\
Runs every check of this repository, the same as continuous integration: format, tidy, clippy, tests, documentation
tests, examples, documentation. A failed step does not hide the ones after it; the summary names each failure and how to
run just that step. Tests run by cargo-nextest if it is installed, else by `cargo test`. With CI set in the environment,
snapshots are never written. The servers that tests use are started before them, in private, and stopped at the end;
what OPTIO_TEST_DATABASE_URL names is used instead. Claude Code and Codex are installed from npm, once, into the target
folder; what OPTIO_TEST_CLAUDE and OPTIO_TEST_CODEX name is used instead.

usage: cargo xtask test [filter...]

With filters only the tests whose names contain one of them run, and no other step.
";

/// Runs all steps, or with filters the tests they select.
pub(crate) fn run(root: &Path, filters: &[String]) -> Result<ExitCode> {
    if let Some(option) = filters.iter().find(|filter| filter.starts_with('-')) {
        bail!(
            "`cargo xtask test` has no option `{option}`: it takes parts of the names of tests, or nothing"
        );
    }
    machine::check(root)?;
    let runner = if machine::has_nextest(root) {
        Runner::Nextest
    } else {
        Runner::Cargo
    };
    let steps = if filters.is_empty() {
        every_step(root, runner)?
    } else {
        vec![servers(), tests(runner, filters)]
    };
    let mut servers = None; // they end with this function, however it ends
    let mut done = Vec::new();
    let whole = Stopwatch::start();
    for (index, step) in steps.iter().enumerate() {
        println!(
            "\n── {}/{} {}: {}",
            index + 1,
            steps.len(),
            step.name,
            step.by_hand()
        );
        let watch = Stopwatch::start();
        let outcome = step.run(root, &mut servers);
        let time = watch.read();
        match &outcome {
            Ok(()) => println!("── {} ok in {time}", step.name),
            Err(error) => println!("── {} failed in {time}: {error:#}", step.name),
        }
        done.push(Done {
            step,
            time,
            failed: outcome.is_err(),
        });
    }
    println!("\n{}", summary(&done, whole.read()));
    Ok(if done.iter().any(|done| done.failed) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

#[derive(Debug, Clone, Copy)]
enum Runner {
    Nextest,
    Cargo,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    does: Does,
}

#[derive(Debug)]
enum Does {
    Calls(Call),
    ReadsSources,
    StartsServers,
    RunsExamples(Vec<String>),
}

impl Step {
    /// What a person types to run just this step.
    fn by_hand(&self) -> String {
        match &self.does {
            Does::Calls(call) => call.line(),
            Does::ReadsSources => "cargo xtask tidy".to_owned(),
            Does::StartsServers => "without them, each test starts its own".to_owned(),
            Does::RunsExamples(names) if names.is_empty() => "no examples yet".to_owned(),
            Does::RunsExamples(names) => names
                .iter()
                .map(|name| example_by_hand(name))
                .collect::<Vec<_>>()
                .join(" && "),
        }
    }

    fn run(&self, root: &Path, servers: &mut Option<Servers>) -> Result<()> {
        match &self.does {
            Does::Calls(call) => {
                let mut command = call.command(root);
                if let Some(servers) = servers {
                    command.envs(servers.env());
                }
                if is_ci() {
                    command.env("INSTA_UPDATE", "no");
                }
                finish(&mut command)
            }
            Does::ReadsSources => tidy::check(root),
            Does::StartsServers => {
                let target = cargo::output_folder()?.join("..");
                *servers = Some(Servers::start(&target)?);
                Ok(())
            }
            Does::RunsExamples(names) => run_examples(root, names),
        }
    }
}

fn every_step(root: &Path, runner: Runner) -> Result<Vec<Step>> {
    Ok(vec![
        Step {
            name: "format",
            does: Does::Calls(Call::new("fmt --all --check")),
        },
        Step {
            name: "tidy",
            does: Does::ReadsSources,
        },
        Step {
            name: "clippy",
            does: Does::Calls(Call::whole("clippy").args([
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ])),
        },
        servers(),
        tests(runner, &[]),
        Step {
            name: "doctests",
            does: Does::Calls(Call::whole("test --doc")),
        },
        Step {
            name: "examples",
            does: Does::RunsExamples(examples(&root.join("examples"))?),
        },
        Step {
            name: "docs",
            // the kinds of targets are named because examples keep the features that clippy chose
            does: Does::Calls(
                Call::whole("doc --no-deps")
                    .args(["--lib", "--bins", "--examples"])
                    .env("RUSTDOCFLAGS", "-D warnings"),
            ),
        },
    ])
}

/// The servers of the tests after it.
fn servers() -> Step {
    Step {
        name: "servers",
        does: Does::StartsServers,
    }
}

/// Documentation tests are a step of their own because nextest has none.
fn tests(runner: Runner, filters: &[String]) -> Step {
    let filters = filters.iter().map(String::as_str);
    let call = match runner {
        Runner::Nextest => Call::whole("nextest run").args(filters),
        Runner::Cargo => Call::whole("test")
            .args(["--tests", "--no-fail-fast", "--"])
            .args(filters),
    };
    Step {
        name: "tests",
        does: Does::Calls(call),
    }
}

/// The names of the examples: every `.rs` file directly in the folder.
fn examples(folder: &Path) -> Result<Vec<String>> {
    let entries = folder
        .read_dir()
        .with_context(|| format!("the folder {} cannot be read", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path: PathBuf = entry
            .context("the folder of the examples cannot be read")?
            .path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn example_by_hand(name: &str) -> String {
    Call::new("run --package optio-examples --example")
        .arg(name)
        .line()
}

/// Builds as the tests did, so that nothing is built again, and starts the programs themselves.
fn run_examples(root: &Path, names: &[String]) -> Result<()> {
    finish(&mut Call::whole("build --examples").command(root))?;
    let folder = cargo::output_folder()?.join("examples");
    for name in names {
        println!("── example {name}");
        let mut program = cargo::clean(Command::new(folder.join(name)));
        finish(program.current_dir(root).stdin(Stdio::null()))
            .with_context(|| format!("example {name}, on its own: {}", example_by_hand(name)))?;
    }
    Ok(())
}

fn finish(command: &mut Command) -> Result<()> {
    let program = Path::new(command.get_program()).display().to_string();
    let status = command
        .status()
        .with_context(|| format!("{program} could not be started"))?;
    if !status.success() {
        bail!("ended with {status}");
    }
    Ok(())
}

fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// A step that has run.
#[derive(Debug)]
struct Done<'a> {
    step: &'a Step,
    time: Seconds,
    failed: bool,
}

fn summary(done: &[Done<'_>], whole: Seconds) -> String {
    let mut lines = vec!["── summary".to_owned()];
    for Done { step, time, failed } in done {
        let result = if *failed { "FAILED" } else { "ok" };
        lines.push(format!(
            "{:<10} {result:<6} {:>9}",
            step.name,
            time.to_string()
        ));
    }
    lines.push(format!(
        "{:<10} {:<6} {:>9}",
        "together",
        "",
        whole.to_string()
    ));
    let failures = done.iter().filter(|done| done.failed);
    lines.extend(
        failures.map(|Done { step, .. }| {
            format!("{} failed; on its own: {}", step.name, step.by_hand())
        }),
    );
    lines.join("\n")
}

/// Measures how long a step takes.
#[derive(Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[allow(
        clippy::disallowed_methods,
        reason = "the time that a build takes is shown to a person, nothing depends on it"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn read(&self) -> Seconds {
        Seconds(self.0.elapsed())
    }
}

/// A duration as people read it: `0.4 s`, `2 min 05 s`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds < 60 {
            write!(f, "{:.1} s", self.0.as_secs_f64())
        } else {
            write!(f, "{} min {:02} s", seconds / 60, seconds % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Seconds {
        Seconds(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn the_summary_names_the_failure_and_how_to_repeat_it() {
        let format = Step {
            name: "format",
            does: Does::Calls(Call::new("fmt --all --check")),
        };
        let tests = tests(Runner::Nextest, &[]);
        let done = [
            Done {
                step: &format,
                time: seconds(0.41),
                failed: false,
            },
            Done {
                step: &tests,
                time: seconds(125.0),
                failed: true,
            },
        ];
        let expected = "\
── summary
format     ok         0.4 s
tests      FAILED 2 min 05 s
together          2 min 05 s
tests failed; on its own: cargo nextest run --workspace --all-features";
        assert_eq!(summary(&done, seconds(125.4)), expected);
    }

    #[test]
    fn filters_reach_either_runner() {
        let filters = ["claim".to_owned(), "lease".to_owned()];
        assert_eq!(
            tests(Runner::Nextest, &filters).by_hand(),
            "cargo nextest run --workspace --all-features claim lease"
        );
        assert_eq!(
            tests(Runner::Cargo, &filters).by_hand(),
            "cargo test --workspace --all-features --tests --no-fail-fast -- claim lease"
        );
    }

    #[test]
    fn an_option_is_refused_not_ignored() {
        let error = run(Path::new("."), &["--fast".to_owned()]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("`cargo xtask test` has no option `--fast`"),
            "{error}"
        );
    }

    #[test]
    fn every_call_on_the_workspace_selects_the_same_features() {
        let root = crate::root().unwrap();
        for runner in [Runner::Nextest, Runner::Cargo] {
            for step in every_step(&root, runner).unwrap() {
                if let Does::Calls(call) = step.does
                    && step.name != "format"
                {
                    assert!(
                        call.line().contains("--workspace --all-features"),
                        "{}",
                        call.line()
                    );
                }
            }
        }
    }
}
