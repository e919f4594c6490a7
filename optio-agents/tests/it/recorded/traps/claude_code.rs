//! What Claude Code does that one would not expect.

use super::*;

#[test]
fn claude_calls_a_refused_request_a_success() {
    let row = |case| claude(case).failure(&ClaudeCode::default()).class;
    assert_eq!(row("auth-401"), FailureClass::AuthExpired);
    assert_eq!(row("rate-limit-429-forever"), FailureClass::RateLimited);
    assert_eq!(row("overloaded-529-forever"), FailureClass::Overloaded);
    assert_eq!(row("model-not-found"), FailureClass::ModelNotFound);
    assert_eq!(row("context-length"), FailureClass::ContextLength);
    assert_eq!(row("refusal"), FailureClass::ContentFilter);
    assert!(claude("auth-401").stdout.contains(r#""subtype":"success""#));
}

#[test]
fn of_several_results_the_last_one_counts_and_what_was_used_adds_up() {
    let report = claude("background-bash").report(&ClaudeCode::default(), Usage::default());
    assert_eq!(report.result, Some((Failed::No, "It finished.".to_owned())));
    assert_eq!(report.usage.cost.to_string(), "$0.0144");
}

#[test]
fn claude_exits_with_0_when_it_is_interrupted() {
    for case in ["sigint-mid-tool", "sigint-mid-stream"] {
        let recording = claude(case);
        assert_eq!(recording.status(), ExitStatus::SUCCESS);
        let failure = recording.failure(&ClaudeCode::default());
        assert_eq!(failure.class, FailureClass::Interrupted, "{case}");
    }
}

#[test]
fn claude_reads_its_prompt_as_it_reads_all_that_it_is_told() {
    let agent = ClaudeCode::default();
    let command = agent.command(&spec(RunKind::First)).unwrap();
    assert_eq!(command.stdin, agent.message("fix it").unwrap());
    assert_eq!(command.stdin_end, InputEnd::WhenTold);
    assert!(!command.args.iter().any(|arg| arg.contains("fix it")));
    let told = agent.message("two\nlines: \"é\"").unwrap();
    insta::assert_snapshot!(told, @r#"{"message":{"content":"two\nlines: \"é\"","role":"user"},"type":"user"}"#);
}

#[test]
fn claude_does_not_try_a_refused_key_for_minutes_and_tells_of_the_first_refusal() {
    let command = ClaudeCode::default()
        .command(&spec(RunKind::First))
        .unwrap();
    assert_eq!(command.env["CLAUDE_CODE_MAX_RETRIES"], "6");
    let events = claude("auth-401").events(&ClaudeCode::default());
    let first = events.iter().find_map(|event| match event {
        TranscriptEvent::Error { error } => Some(error),
        _ => None,
    });
    let first = first.unwrap();
    assert_eq!(first.http_status, Some(401));
    assert_eq!(first.kind.as_deref(), Some("authentication_failed"));
}

#[test]
fn keys_stand_in_any_order_and_the_first_line_may_be_anything() {
    let bare = claude("bare");
    let first = bare.stdout.lines().next().unwrap();
    assert!(first.contains("ui_invalidate"));
    let raw = TranscriptEvent::Raw {
        text: first.to_owned(),
    };
    assert_eq!(ClaudeCode::default().read_line(first), [raw]);
    let report = bare.report(&ClaudeCode::default(), Usage::default());
    assert!(report.session.is_some() && report.result.is_some());
}

#[test]
fn a_call_that_was_denied_is_no_failure_but_it_is_told() {
    let agent = ClaudeCode::default();
    let recording = claude("perm-default-denied");
    let report = recording.report(&agent, Usage::default());
    assert!(matches!(
        recording.verdict(&agent, &report, None),
        AgentVerdict::Finished { .. }
    ));
    let told = |event: &TranscriptEvent| matches!(event, TranscriptEvent::System { text } if text.contains("denied"));
    assert!(recording.events(&agent).iter().any(told));
}
