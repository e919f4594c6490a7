//! What Codex does that one would not expect.

use optio_core::{
    engine::{LineSplitter, MAX_LINE},
    repo::RepoSettings,
};
use serde_json::json;

use super::*;

#[test]
fn codex_gets_no_sandbox_in_which_git_cannot_commit() {
    let command = Codex::default().command(&spec(RunKind::First)).unwrap();
    assert!(
        command
            .args
            .iter()
            .any(|arg| arg == "--dangerously-bypass-approvals-and-sandbox")
    );
}

#[test]
fn codex_does_not_wait_for_a_network_for_ever() {
    let command = Codex::default().command(&spec(RunKind::First)).unwrap();
    let setting = "features.unbounded_connection_retries=false";
    assert!(command.args.iter().any(|arg| arg == setting));
    // and if it did, whoever stops it knows why
    let failure = codex("network-refused").failure(&Codex::default());
    assert_eq!(failure.class, FailureClass::Network);
}

#[test]
fn codex_that_began_another_session_than_the_one_asked_for_has_failed() {
    let agent = Codex::default();
    let recording = codex("resume-7-not-uuid");
    assert_eq!(recording.status(), ExitStatus::SUCCESS);
    let report = recording.report(&agent, Usage::default());
    let asked = recording.resumed();
    assert_eq!(asked, Some(SessionId("nonsense".to_owned())));
    let AgentVerdict::Failed(failure) = recording.verdict(&agent, &report, asked.as_ref()) else {
        panic!("it has finished");
    };
    assert_eq!(failure.class, FailureClass::SessionNotFound);
}

#[test]
fn codex_writes_a_key_twice() {
    let recording = codex("web-search");
    assert!(
        recording
            .stdout
            .contains(r#"{"id":"item_0","type":"web_search","id":"ws_fake0002""#)
    );
    let ids: Vec<String> = recording
        .events(&Codex::default())
        .into_iter()
        .filter_map(|event| match event {
            TranscriptEvent::ToolCall { id, .. } | TranscriptEvent::ToolResult { id, .. } => {
                Some(id)
            }
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["ws_fake0002", "ws_fake0002"]);
}

/// A command's output is cut at a mebibyte, and JSON makes more of it: six bytes of every byte of a colour.
#[test]
fn codex_prints_lines_of_a_mebibyte_and_more() {
    let output = "\u{1b}[31mred\u{1b}[0m\u{0}\"\\".repeat((1 << 20) / 16);
    let item = json!({
        "id": "item_1", "type": "command_execution", "command": "cargo test",
        "aggregated_output": output, "exit_code": 101, "status": "failed",
    });
    let line = json!({"type": "item.completed", "item": item}).to_string();
    assert!(line.len() > 2 << 20 && line.len() < MAX_LINE);
    let mut splitter = LineSplitter::new(0);
    let mut lines = Vec::new();
    for piece in format!("{line}\n").as_bytes().chunks(64 * 1024) {
        lines.extend(splitter.push(piece));
    }
    assert_eq!(lines, [line]);
    let events = Codex::default().read_line(&lines[0]);
    let result = |event: &&TranscriptEvent| matches!(event, TranscriptEvent::ToolResult { failed: true, output: told, .. } if *told == output);
    assert_eq!(events.iter().filter(result).count(), 1);
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, TranscriptEvent::Raw { .. }))
    );
}

/// Trap 7: a server that accepts and says nothing keeps it for ever, and there is no setting for that. The silence limit
/// ends it, and comes well before the time limit; `a_run_that_is_silent_and_idle_has_stalled` of the engine shows it.
#[test]
fn codex_waits_for_a_silent_server_for_ever_and_the_silence_limit_does_not() {
    let settings = RepoSettings::default();
    assert!(settings.silence() < settings.run_timeout());
    let mut silent = codex("sigkill-mid-stream");
    silent.stdout = silent.stdout.lines().next().unwrap().to_owned();
    let report = silent.report(&Codex::default(), Usage::default());
    assert!(report.session.is_some(), "what it had begun can be resumed");
    assert_eq!(report.result, None);
}

/// Trap 17: it is not allowed to write, and says so on its error output alone.
#[test]
fn codex_that_may_only_read_calls_it_a_success_though_nothing_is_done() {
    let agent = Codex::default();
    let recording = codex("sandbox-read-only");
    assert!(
        recording
            .about
            .stderr
            .contains("blocked by read-only sandbox")
    );
    let report = recording.report(&agent, Usage::default());
    let verdict = recording.verdict(&agent, &report, None);
    assert!(
        matches!(verdict, AgentVerdict::Finished { .. }),
        "{verdict:?}"
    );
    let wrote = |event: &TranscriptEvent| matches!(event, TranscriptEvent::ToolCall { name, .. } if name == "file_change");
    assert!(!recording.events(&agent).iter().any(wrote));
}

/// It says this in every run; the reason of a failure is something else.
#[test]
fn codex_that_reads_its_input_does_not_fail_from_it() {
    let killed = codex("sigkill-mid-tool");
    assert!(killed.about.stderr.starts_with("Reading additional input"));
    let failure = killed.failure(&Codex::default());
    assert_eq!(failure.detail(), Some("signal 9"));
}
