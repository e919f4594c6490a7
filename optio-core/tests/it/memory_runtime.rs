//! The runtime in memory keeps the contract, as far as it needs no shell.

use std::collections::BTreeMap;

use optio_core::{
    agent::{Agent, Places, RunSpec},
    conformance::runtime::{Job, RuntimeUnderTest},
    failure::ExitStatus,
    id::{RunId, TaskId},
    memory::{Behaviour, FakeGit, MemoryAgent, MemoryRuntime, Step},
    run::RunKind,
    runtime::{Command, ExecOutput},
    workspace::WorkspacePath,
};
use uuid::Uuid;

optio_core::runtime_conformance!(runtime());

fn runtime() -> RuntimeUnderTest {
    let runtime = MemoryRuntime::new(FakeGit::new());
    runtime.set_programs(|_, command| (command.program == "print").then(|| print(&command.env)));
    runtime.behave(Behaviour::new(|run| {
        let then = match run.prompt.as_str() {
            "first\n" => Step::HearAll,
            _ => Step::Hang,
        };
        vec![Step::Print(run.prompt.trim_end().to_owned()), then]
    }));
    RuntimeUnderTest::new(runtime.clone(), runtime).scripted(|job| match job {
        Job::Print {
            stdout,
            stderr,
            code,
        } => Command::new("print")
            .env("OUT", stdout)
            .env("ERR", stderr)
            .env("CODE", code.to_string()),
        Job::PrintAndStay(line) => agent(line),
        Job::Echo => agent("first\n".to_owned()).open_stdin(),
    })
}

fn print(env: &BTreeMap<String, String>) -> ExecOutput {
    ExecOutput {
        status: ExitStatus::Code(env["CODE"].parse().unwrap()),
        stdout: env["OUT"].clone().into(),
        stderr: env["ERR"].clone().into(),
    }
}

fn agent(prompt: String) -> Command {
    let places = Places {
        root: String::new(),
        worktree: WorkspacePath::root().child("tree"),
        files: WorkspacePath::root().child("files"),
    };
    let (task, run) = (
        TaskId::from_uuid(Uuid::nil()),
        RunId::from_uuid(Uuid::nil()),
    );
    let spec = RunSpec::new(task, run, RunKind::First, prompt, places);
    MemoryAgent::new().command(&spec).unwrap()
}
