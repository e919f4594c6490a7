//! An agent of your own: a translator between Optio and any program that prints what it does.
//!
//! This one drives a shell script which prints lines such as `SAY hello`, `COST 0.02` and `DONE all good`. Optio needs
//! three things of an agent: the command for a run, the meaning of a line, and the verdict at the end.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use optio_core::{
    agent::{Agent, AgentVerdict, Ending, Preflight, RunSpec},
    clock::Timestamp,
    error::Result,
    failure::ExitStatus,
    id::{RunId, TaskId},
    money::{Usage, Usd},
    run::RunKind,
    runtime::Command,
    transcript::{RunReport, TranscriptEvent, UsageOf},
    workspace::WorkspacePath,
};

/// Drives `shell-agent`, a program that prints one word and a text on each line.
#[derive(Debug)]
struct ShellAgent;

impl Agent for ShellAgent {
    fn name(&self) -> &str {
        "shell-agent"
    }

    fn command(&self, run: &RunSpec) -> Result<Command> {
        // the prompt goes in by stdin: it may be long, and arguments can be seen by everybody
        let command = Command::new("shell-agent")
            .args(["--kind", run.kind.as_str()])
            .in_dir(run.worktree.clone());
        Ok(command.stdin(run.prompt.clone()))
    }

    fn read_line(&self, line: &str) -> Vec<TranscriptEvent> {
        let (word, text) = line.split_once(' ').unwrap_or((line, ""));
        vec![match word {
            "SAY" => TranscriptEvent::Text {
                text: text.to_owned(),
            },
            "COST" => match text.parse::<Usd>() {
                Ok(cost) => TranscriptEvent::Usage {
                    total: Usage {
                        cost,
                        ..Usage::default()
                    },
                    of: UsageOf::Run,
                },
                Err(_) => TranscriptEvent::Raw {
                    text: line.to_owned(),
                },
            },
            "DONE" => TranscriptEvent::Result {
                failed: false,
                summary: text.to_owned(),
            },
            // what an agent does not know is kept as it is, and is never an error
            _ => TranscriptEvent::Raw {
                text: line.to_owned(),
            },
        }]
    }

    fn verdict(&self, run: &Ending<'_>, now: Timestamp) -> AgentVerdict {
        // exit code 0 and a closing word; anything else is classified by the core
        run.usual_verdict(now)
    }

    fn preflight(&self) -> Preflight {
        Preflight::new(
            Command::new("shell-agent").arg("--version"),
            "put shell-agent on the PATH",
        )
    }
}

fn main() -> anyhow::Result<()> {
    let places = optio_core::agent::Places {
        root: "/srv/workspace".to_owned(),
        worktree: WorkspacePath::new("worktrees/fix-login")?,
        files: WorkspacePath::new("files/run-1")?,
    };
    let clock = optio_core::SystemClock;
    let run = RunSpec::new(
        TaskId::generate(&clock),
        RunId::generate(&clock),
        RunKind::First,
        "Fix the login".to_owned(),
        places,
    );
    let command = ShellAgent.command(&run)?;
    println!(
        "runs {} {:?} in {}",
        command.program, command.args, run.worktree_dir
    );

    let mut report = RunReport::default();
    for line in [
        "SAY I look at the test first",
        "COST 0.02",
        "what is this line?",
        "DONE the login works",
    ] {
        for event in ShellAgent.read_line(line) {
            report.fold(&event);
            println!("{line:<30} -> {event:?}");
        }
    }
    let ending = Ending {
        status: Some(ExitStatus::Code(0)),
        report: &report,
        stderr: "",
        resumed: None,
    };
    let verdict = ShellAgent.verdict(&ending, Timestamp::UNIX_EPOCH);
    println!("verdict: {verdict:?}, for {}", report.usage.cost);
    anyhow::ensure!(
        matches!(verdict, AgentVerdict::Finished { .. }),
        "the agent should have finished"
    );
    Ok(())
}
