//! The adapter against what the process really prints.

use insta::assert_snapshot;
use optio_agents::scripted::Scripted;
use optio_core::{
    agent::{Agent, AgentVerdict, Ending, Places, RunSpec},
    id::{RunId, TaskId},
    run::RunKind,
    runtime::Command,
    transcript::{RunReport, SessionId},
    workspace::WorkspacePath,
};
use uuid::Uuid;

use crate::room::{Room, Run};

fn spec(kind: RunKind) -> RunSpec {
    let (task, run) = (
        TaskId::from_uuid(Uuid::nil()),
        RunId::from_uuid(Uuid::from_u128(7)),
    );
    let place = |path| WorkspacePath::new(path).unwrap();
    let places = Places {
        root: "/ws".to_owned(),
        worktree: place("trees/a"),
        files: place("runs/a"),
    };
    RunSpec::new(task, run, kind, "fix it".to_owned(), places)
}

fn shown(spec: &RunSpec) -> String {
    let agent = Scripted::from_command(Command::new("optio").arg("scripted-agent"));
    let command = agent.command(spec).unwrap();
    let dir = command.dir.map(|dir| dir.to_string()).unwrap_or_default();
    format!(
        "{dir}$ {} {} < {:?}",
        command.program,
        command.args.join(" "),
        command.stdin
    )
}

fn report(run: &Run) -> RunReport {
    let mut report = RunReport::default();
    for line in String::from_utf8_lossy(&run.stdout).lines() {
        for event in Scripted::default().read_line(line) {
            report.fold(&event);
        }
    }
    report
}

fn verdict(run: &Run) -> String {
    let report = report(run);
    let ending = Ending {
        status: Some(run.exit()),
        report: &report,
        stderr: &run.stderr,
        resumed: None,
    };
    let now = "2026-01-02T03:04:05Z".parse().unwrap();
    match Scripted::default().verdict(&ending, now) {
        AgentVerdict::Finished { summary } => format!("finished: {summary}"),
        AgentVerdict::Failed(failure) => format!(
            "{}, {}: {}",
            failure.class,
            failure.retry,
            failure.detail().unwrap_or("-")
        ),
    }
}

#[test]
fn a_run_becomes_a_command() {
    let mut resumed = spec(RunKind::ResumeCi);
    resumed.resume = Some(SessionId("s-1".to_owned()));
    resumed.model = Some("small".to_owned());
    let table = [spec(RunKind::First), resumed, spec(RunKind::Review)]
        .iter()
        .map(shown)
        .collect::<Vec<_>>();
    assert_snapshot!(table.join("\n"), @r#"
    trees/a$ optio scripted-agent --kind first --session 00000000-0000-0000-0000-000000000007 --task-file /ws/runs/a/task.md < b"fix it"
    trees/a$ optio scripted-agent --kind resume-ci --resume s-1 --task-file /ws/runs/a/task.md --model small < b"fix it"
    trees/a$ optio scripted-agent --kind review --session 00000000-0000-0000-0000-000000000007 --task-file /ws/runs/a/task.md --verdict-file /ws/runs/a/verdict.json < b"fix it"
    "#);
}

#[test]
fn the_stream_becomes_a_transcript() {
    let room = Room::new();
    let run = room.agent(
        "think hm\nsay hello\ntry exit 3\ncost 0.5 10 2\nraw not json\nraw {\"type\":\"news\"}\nerror overloaded busy",
        &["--session", "s-1"],
    );
    let lines = String::from_utf8(run.stdout).unwrap();
    let events = lines
        .lines()
        .flat_map(|line| Scripted::default().read_line(line));
    let table: Vec<_> = events
        .map(|event| serde_json::to_string(&event).unwrap())
        .collect();
    assert_snapshot!(table.join("\n"), @r#"
    {"type":"session","id":"s-1","model":"scripted","version":"0.1.0"}
    {"type":"thinking","text":"hm"}
    {"type":"text","text":"hello"}
    {"type":"tool_call","id":"call_1","name":"bash","input":{"command":"exit 3"}}
    {"type":"tool_result","id":"call_1","output":"exit status: 3","failed":true}
    {"type":"usage","total":{"cost":0.5,"inputTokens":10,"cachedTokens":0,"outputTokens":2},"of":"run"}
    {"type":"raw","text":"not json"}
    {"type":"raw","text":"{\"type\":\"news\"}"}
    {"type":"error","error":{"kind":"overloaded","http_status":529,"message":"busy"}}
    {"type":"usage","total":{"cost":0.5,"inputTokens":10,"cachedTokens":0,"outputTokens":2},"of":"run"}
    {"type":"result","failed":true,"summary":"busy"}
    "#);
}

#[test]
fn what_a_run_used_is_reported_once() {
    let room = Room::new();
    let report = report(&room.agent(
        "cost 0.1 10 1\ncost 0.2 20 2\nsay done",
        &["--session", "s-1"],
    ));
    assert_snapshot!(format!("{} {:?}", report.usage.cost, report.usage), @"$0.30 Usage { cost: Usd(300000), input_tokens: 30, cached_tokens: 0, output_tokens: 3 }");
    assert_eq!(report.session, Some(SessionId("s-1".to_owned())));
}

#[test]
fn every_way_to_end_gets_its_verdict() {
    let room = Room::new();
    let rows = [
        "say all done",
        "lie",
        "run echo broken; exit 4",
        "fail 7 the licence has run out",
        "fail 2",
        "error authentication_failed Invalid API key",
        "error overloaded try again later",
        "error something_new nobody knows this",
        "crash",
        "sya hello",
    ];
    let table: Vec<_> = rows
        .iter()
        .map(|script| format!("{script}\n  {}", verdict(&room.play(script))))
        .collect();
    assert_snapshot!(table.join("\n"), @r#"
    say all done
      finished: all done
    lie
      finished: done: the change is implemented, committed, and all tests pass
    run echo broken; exit 4
      agent_reported, attempt: bash failed: exit status: 4
    fail 7 the licence has run out
      agent_reported, attempt: the licence has run out
    fail 2
      agent_reported, attempt: the script ends with exit code 2
    error authentication_failed Invalid API key
      auth_expired, never: Invalid API key
    error overloaded try again later
      overloaded, free: try again later
    error something_new nobody knows this
      agent_reported, attempt: nobody knows this
    crash
      agent_crashed, attempt: signal 9
    sya hello
      invalid_configuration, never: optio-scripted-agent: the script in the prompt, line 1: there is no step "sya"; the steps are say, think, edit, append, delete, run, try, when, commit, comment, verdict, cost, rate-limit, fail, error, hang, sleep, spam, raw, bytes, long, lie, crash, spawn-stray, wait-file
    "#);
    assert_snapshot!(verdict(&room.agent("say hello", &["--resume", "s-9"])), @"session_not_found, attempt: no conversation found with session id s-9");
    assert_snapshot!(verdict(&room.prompt("fix it", &[])), @"invalid_configuration, never: optio-scripted-agent: there is no script; put one into the task between a line ```optio-script and a line ```, name a file with --script, or write .optio/script");
}

#[test]
fn a_rate_limit_waits_for_its_reset() {
    let room = Room::new();
    let run = room.play("rate-limit 3600");
    let resets_at = report(&run).rate_limited.unwrap().resets_at.unwrap();
    assert!(
        verdict(&run).starts_with(&format!("rate_limited, until {resets_at}")),
        "{}",
        verdict(&run)
    );
}

#[test]
fn the_preflight_command_prints_the_version() {
    let preflight = Scripted::default().preflight();
    assert_eq!(preflight.version.args, ["--version"]);
    let said = Room::new().prompt("", &["--version"]).stdout;
    assert_eq!(
        String::from_utf8(said).unwrap(),
        format!("optio-scripted-agent {}\n", env!("CARGO_PKG_VERSION"))
    );
}

mod contract {
    use optio_agents::scripted::Scripted;
    use optio_core::conformance::agent::AgentUnderTest;

    optio_core::agent_conformance!(AgentUnderTest::new(
        Scripted::default(),
        [
            r#"{"type":"init","session_id":"s","model":"m","version":"1"}"#,
            r#"{"type":"tool_call","id":"1","name":"edit","input":{"path":"ž"}}"#,
            r#"{"type":"result","is_error":false,"summary":"done","cost_usd":0.1,"input_tokens":1,"output_tokens":2}"#,
        ]
    ));
}
