//! Lines that no version has printed: whatever comes, nothing panics and no line is lost.

use optio_core::{agent::Agent, transcript::TranscriptEvent};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{every_agent, recordings};

/// Any JSON whose keys and words are those of the streams, so that it gets past the first look.
fn almost_real() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "type",
        "subtype",
        "system",
        "init",
        "assistant",
        "user",
        "result",
        "message",
        "content",
        "text",
        "thinking",
        "tool_use",
        "tool_result",
        "id",
        "name",
        "input",
        "session_id",
        "is_error",
        "success",
        "errors",
        "error",
        "api_retry",
        "rate_limit_event",
        "rate_limit_info",
        "status",
        "rejected",
        "resetsAt",
        "modelUsage",
        "costUSD",
        "model_usage_since_last_result",
        "item",
        "item.started",
        "item.completed",
        "command_execution",
        "todo_list",
        "items",
        "changes",
        "usage",
        "turn.completed",
        "turn.failed",
        "thread.started",
        "thread_id",
        "mcp_tool_call",
        "tool_id",
        "tool_name",
        "parameters",
        "delta",
        "role",
        "stats",
        "models",
        "severity",
        "part",
        "state",
        "metadata",
        "exit",
        "output",
        "callID",
        "tool",
        "sessionID",
        "step_finish",
        "reason",
        "stop",
        "tokens",
        "cost",
        "data",
        "responseBody",
        "assistant.message",
        "tool.execution_start",
        "tool.execution_complete",
        "toolCallId",
        "toolName",
        "session.error",
        "errorType",
        "exitCode",
        "ephemeral",
        "",
        "\u{0}",
        "é",
    ]);
    let word = words.prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn nothing_is_lost(line: &str) -> Result<(), TestCaseError> {
    let mut agents = every_agent().iter();
    agents.try_for_each(|(name, agent)| is_kept(name, &**agent, line))
}

fn is_kept(name: &str, agent: &dyn Agent, line: &str) -> Result<(), TestCaseError> {
    let events = agent.read_line(line);
    prop_assert!(!events.is_empty(), "{name} lost {line:?}");
    prop_assert_eq!(&events, &agent.read_line(line), "{} remembers", name);
    let raw =
        |event: &TranscriptEvent| matches!(event, TranscriptEvent::Raw { text } if text != line);
    prop_assert!(!events.iter().any(raw), "{name} changed {line:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        nothing_is_lost(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn any_json(value in almost_real()) {
        nothing_is_lost(&value.to_string())?;
    }
}

#[test]
fn real_lines_cut_anywhere() {
    for (name, agent) in every_agent() {
        for recording in recordings(name) {
            for line in recording.stdout.lines() {
                // every place of a short line, and some of a long one
                let step = (line.len() / 12).max(1);
                for at in (0..line.len()).step_by(step) {
                    let at = line.floor_char_boundary(at);
                    is_kept(name, &**agent, &line[..at]).unwrap();
                    is_kept(name, &**agent, &line[at..]).unwrap();
                }
            }
        }
    }
}
