//! The program `optio`: its commands, their arguments, and how they end.
//!
//! All but `serve`, `demo`, `doctor`, `migrate` and `replay` talk to a running server over HTTP and know nothing else of it.

mod account;
pub mod client;
mod configuration;
mod demo;
mod doctor;
mod follow;
mod log_lines;
mod migrate;
mod out;
mod replay;
mod repo;
mod serve;
mod table;
mod task;

use std::{ffi::OsString, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use self::out::Out;
use crate::config::Environment;

/// How a command ended. What it means is told in `optio task wait --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done; the task is completed.
    Done,
    /// The task failed, or a check did.
    Failed,
    /// The task was cancelled.
    Cancelled,
    /// The task needs a person.
    NeedsAttention,
    /// Time is up.
    TimedOut,
}

impl Outcome {
    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Cancelled => 3,
            Self::NeedsAttention => 4,
            Self::TimedOut => 5,
        }
    }
}

/// The code of a command that could not be carried out, and of arguments that make no sense.
const REFUSED: u8 = 2;

/// Turns tickets into merged pull requests.
#[derive(Debug, Parser)]
#[command(
    name = "optio",
    version,
    max_term_width = 110,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Demo(demo::DemoArgs),
    Task(task::TaskArgs),
    Repo(repo::RepoArgs),
    Account(account::AccountArgs),
    Doctor(doctor::DoctorArgs),
    Migrate(migrate::MigrateArgs),
    Replay(replay::ReplayArgs),
    /// The scripted agent, as the server starts it
    #[command(hide = true, disable_help_flag = true)]
    ScriptedAgent(ScriptedAgentArgs),
}

#[derive(Debug, Args)]
struct ScriptedAgentArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Runs the program with these arguments, its own name first.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(refusal) => {
            // help and version are no refusal; nobody is there to be told if printing fails
            let _ = refusal.print();
            return ExitCode::from(if refusal.use_stderr() { REFUSED } else { 0 });
        }
    };
    if let Command::ScriptedAgent(agent) = cli.command {
        return optio_agents::scripted::main_entry(agent.args);
    }
    crate::tls::choose();
    let environment = Environment::of_process();
    let mut out = Out::of_process(&environment);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return refuse(
                &mut out,
                &anyhow::anyhow!("the program cannot be started: {error}"),
            );
        }
    };
    let result = runtime.block_on(run(cli.command, &environment, &mut out));
    // what still blocks, such as reading from a terminal, must not hold up the end
    runtime.shutdown_background();
    match result.and_then(|outcome| out.flush().map(|()| outcome).map_err(Into::into)) {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(error) => refuse(&mut out, &error),
    }
}

async fn run(
    command: Command,
    environment: &Environment,
    out: &mut Out,
) -> anyhow::Result<Outcome> {
    match command {
        Command::Serve(args) => args.run(environment, out).await,
        Command::Demo(args) => args.run(environment, out).await,
        Command::Task(args) => args.run(environment, out).await,
        Command::Repo(args) => args.run(environment, out).await,
        Command::Account(args) => args.run(environment, out).await,
        Command::Doctor(args) => args.run(environment, out).await,
        Command::Migrate(args) => args.run(environment, out).await,
        Command::Replay(args) => args.run(out),
        // handled before there is a runtime
        Command::ScriptedAgent(_) => Ok(Outcome::Done),
    }
}

/// Tells why nothing was done. Whoever stopped reading our output, as `head` does, is told nothing.
fn refuse(out: &mut Out, error: &anyhow::Error) -> ExitCode {
    let unread = error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
    if unread {
        return ExitCode::SUCCESS;
    }
    out.refuse(error);
    ExitCode::from(REFUSED)
}
