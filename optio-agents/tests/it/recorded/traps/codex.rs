//! What Codex does that one would not expect.

use optio_core::engine::{LineSplitter, MAX_LINE};
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
    let asked = SessionId("nonsense".to_owned());
    let AgentVerdict::Failed(failure) = recording.verdict(&agent, &report, Some(&asked)) else {
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
