//! The agent in memory keeps the contract, and ends as its steps say.

use std::time::Duration;

use insta::assert_snapshot;
use optio_core::{
    SystemClock, Timestamp,
    agent::{Agent, AgentVerdict, Ending, Places, RunSpec},
    conformance::agent::AgentUnderTest,
    id::{RepoId, RunId, TaskId, WorkspaceId},
    memory::{Behaviour, FakeGit, MemoryAgent, MemoryRuntime, Step},
    money::Usd,
    run::RunKind,
    runtime::{OutputOffset, Piece, Runtime, WorkspaceSpec},
    transcript::RunReport,
    workspace::WorkspacePath,
};

optio_core::agent_conformance!(AgentUnderTest::new(
    MemoryAgent::new(),
    [
        r#"{"type":"session","id":"a","model":null,"version":"1.0"}"#,
        r#"{"type":"text","text":"on it"}"#,
        r#"{"type":"result","failed":false,"summary":"done"}"#,
    ]
));

/// Plays these steps, kills what then still runs, and tells what the agent's account comes to.
async fn verdict(steps: &[Step]) -> String {
    let (agent, runtime) = (MemoryAgent::new(), MemoryRuntime::new(FakeGit::new()));
    let steps = steps.to_vec();
    runtime.behave(Behaviour::new(move |_| steps.clone()));
    let (workspace, run) = (
        WorkspaceId::generate(&SystemClock),
        RunId::generate(&SystemClock),
    );
    let spec = WorkspaceSpec {
        id: workspace,
        repo: RepoId::generate(&SystemClock),
        name: "shop".to_owned(),
    };
    runtime.create(&spec).await.unwrap();
    let places = Places {
        root: runtime.root(workspace),
        worktree: WorkspacePath::root().child("tree"),
        files: WorkspacePath::root().child("files"),
    };
    let task = TaskId::generate(&SystemClock);
    let spec = RunSpec::new(task, run, RunKind::First, "do it".to_owned(), places);
    let command = agent.command(&spec).unwrap();
    runtime.spawn(workspace, run, command).await.unwrap();

    let start = OutputOffset::default();
    let mut output = runtime.attach(workspace, run, start).await.unwrap();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let status = loop {
        match tokio::time::timeout(Duration::from_secs(60), output.next()).await {
            Err(_) => runtime
                .kill(workspace, run, Duration::from_secs(5))
                .await
                .unwrap(),
            Ok(piece) => match piece.unwrap() {
                Piece::Stdout(bytes) => stdout.extend(bytes),
                Piece::Stderr(bytes) => stderr.extend(bytes),
                Piece::Ended(status) => break status,
            },
        }
    };
    assert_eq!(runtime.processes(), []);
    let mut report = RunReport::default();
    for line in String::from_utf8(stdout).unwrap().lines() {
        for event in agent.read_line(line) {
            report.fold(&event);
        }
    }
    let ending = Ending {
        status,
        report: &report,
        stderr: &String::from_utf8(stderr).unwrap(),
        resumed: None,
    };
    let status = status.map_or("vanished".to_owned(), |status| status.to_string());
    match agent.verdict(&ending, Timestamp::UNIX_EPOCH) {
        AgentVerdict::Finished { summary } => format!("{status}, {}: {summary}", report.usage.cost),
        AgentVerdict::Failed(failure) => format!("{status}: {}", failure.class.name()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_as_its_last_step_says() {
    let cent = Step::Cost(Usd::from_micros(10_000));
    assert_snapshot!(verdict(&[cent.clone(), cent]).await, @"exit code 0, $0.02: done");
    assert_snapshot!(verdict(&[Step::Wait(Duration::from_secs(30)), Step::Lie]).await, @"exit code 0, $0.00: everything is done and all tests pass");
    assert_snapshot!(verdict(&[Step::Exit(3), Step::say("never said")]).await, @"exit code 3: agent_crashed");
    assert_snapshot!(verdict(&[Step::Fail("cannot be done".to_owned())]).await, @"exit code 1: agent_reported");
    assert_snapshot!(verdict(&[Step::RateLimit(None)]).await, @"exit code 1: rate_limited");
    assert_snapshot!(verdict(&[Step::Complain("401 invalid x-api-key".to_owned()), Step::Exit(1)]).await, @"exit code 1: auth_expired");
    assert_snapshot!(verdict(&[Step::Crash]).await, @"signal 9: agent_crashed");
    assert_snapshot!(verdict(&[Step::Vanish]).await, @"vanished: unknown");
    assert_snapshot!(verdict(&[Step::Hang]).await, @"signal 9: agent_crashed");
    assert_snapshot!(verdict(&[Step::Wait(Duration::from_secs(600))]).await, @"signal 15: interrupted");
}
