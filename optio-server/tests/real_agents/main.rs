//! The program `optio serve` with the real Claude Code and the real Codex, in a network that ends at this machine, and
//! with a stand-in for the models behind them. What a model says is scripted; everything else is as it will be: the
//! programs, their tools, processes, git, the local forge.
//!
//! Each story is told of both programs. `cargo xtask test` installs them; where one is missing, its stories are not
//! told, and a test called `it_is_missing` says so.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "these are tests, which the compiler cannot know of a target without its harness"
)]

mod isolation;
mod programs;
mod model;
mod world;
mod gate;
mod merged;
mod broken_off;
mod refused;
mod told;
mod equipped;
#[path = "../process/room.rs"]
#[allow(dead_code, reason = "the tests without agents use the rest of it")]
mod room;
#[path = "../process/server.rs"]
#[allow(dead_code, reason = "the tests without agents use the rest of it")]
mod server;
#[path = "../process/git.rs"]
#[allow(dead_code, reason = "the tests without agents use the rest of it")]
mod git;

use std::{io, net::TcpStream, pin::Pin, process::ExitCode, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::{isolation::Isolation, programs::Cli};

/// A story about one of the programs.
type Story = fn(Cli) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! stories {
    ($($room:ident::$name:ident,)*) => {
        [$((stringify!($name), |cli| Box::pin($room::$name(cli)))),*]
    };
}

/// All of them, by name.
const STORIES: [(&str, Story); 10] = stories![
    merged::a_task_goes_from_the_queue_to_a_merged_pull_request,
    merged::red_checks_resume_the_session,
    broken_off::an_agent_goes_on_while_its_server_is_killed_and_is_adopted_by_the_next,
    broken_off::a_cancelled_tool_call_leaves_no_process,
    refused::a_refused_key_pauses_its_account_at_once,
    refused::credentials_of_the_machine_are_not_used,
    refused::a_limit_is_waited_for_and_the_session_goes_on,
    equipped::servers_are_started_and_nothing_of_them_is_in_an_argument,
    equipped::an_agent_is_set_up_by_the_file_and_the_repository,
    told::what_is_said_is_heard_at_once_or_by_the_next_run,
];

fn main() -> ExitCode {
    let isolation = isolation::enter();
    let mut trials = vec![isolated(isolation.clone())];
    for cli in Cli::ALL {
        trials.push(installed(cli));
        for (story, told) in STORIES {
            let name = format!("{}::{story}", cli.name());
            let isolation = isolation.clone();
            let trial = Trial::test(name, move || {
                if let Isolation::Refused(why) = isolation {
                    println!("not isolated: {why}");
                }
                tell(told(cli))
            });
            trials.push(trial.with_ignored_flag(cli.find().is_err()));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn tell(story: impl Future<Output = ()>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(story);
    Ok(())
}

/// Passes where a program is missing: it is for the test command to insist. What such a test prints is always shown.
fn installed(cli: Cli) -> Trial {
    let name = cli.name();
    match cli.find() {
        Ok(program) => Trial::test(format!("{name}::it_is_the_pinned_version"), move || {
            cli.check_version(&program);
            Ok(())
        }),
        Err(missing) => Trial::test(format!("{name}::it_is_missing"), move || {
            println!("SKIPPED: the stories of {name}. {missing}");
            Ok(())
        }),
    }
}

/// Neither by a route nor by a guess: an address that documentation uses, which nobody has.
fn isolated(isolation: Isolation) -> Trial {
    match isolation {
        Isolation::Alone => Trial::test("nothing_but_this_machine_can_be_reached", || {
            let address = "192.0.2.1:443".parse()?;
            let error = TcpStream::connect_timeout(&address, Duration::from_secs(60)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable, "{error}");
            Ok(())
        }),
        Isolation::Refused(why) => Trial::test("network_isolation_is_missing", move || {
            println!("NOT ISOLATED: the agents' programs could reach a network. {why}");
            Ok(())
        }),
    }
}
