//! What the agents do that one would not expect, one test for each.

use optio_agents::{claude_code::ClaudeCode, codex::Codex};
use optio_core::{
    agent::{Agent, AgentVerdict},
    failure::{ExitStatus, FailureClass, RetryAdvice},
    money::Usage,
    run::RunKind,
    runtime::InputEnd,
    transcript::{Failed, SessionId, TranscriptEvent},
};

use super::{recording, recordings};
use crate::commands::spec;

fn claude(case: &str) -> super::Recording {
    recording("claude", case)
}

fn codex(case: &str) -> super::Recording {
    recording("codex", case)
}

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
fn without_a_closing_word_nothing_is_finished_whatever_the_exit_code() {
    for case in ["sigterm-mid-tool", "sigkill-mid-stream"] {
        let agent = ClaudeCode::default();
        let mut cut = claude(case);
        cut.about.signal = None;
        cut.about.exit_code = Some(0);
        assert_eq!(
            cut.failure(&agent).class,
            FailureClass::AgentCrashed,
            "{case}"
        );
    }
    let agent = Codex::default();
    let mut cut = codex("sigterm-mid-tool");
    cut.about.signal = None;
    cut.about.exit_code = Some(0);
    assert_eq!(cut.failure(&agent).class, FailureClass::AgentCrashed);
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

/// It would wait for ever for the end of an open pipe.
#[test]
fn codex_reads_its_prompt_and_then_the_end() {
    let command = Codex::default().command(&spec(RunKind::First)).unwrap();
    assert_eq!(command.stdin, "fix it");
    assert_eq!(command.stdin_end, InputEnd::AtOnce);
    assert!(!command.args.iter().any(|arg| arg.contains("fix it")));
}

/// As the first line of an input that stays open until the engine ends it.
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
fn what_a_run_costs_is_not_what_its_session_costs() {
    let resumed = claude("resume-2-resumed");
    assert!(resumed.stdout.contains(r#""total_cost_usd":0.021"#));
    let report = resumed.report(&ClaudeCode::default(), Usage::default());
    assert_eq!(report.usage.cost.to_string(), "$0.0096");
    // an older version counted by the run
    let old =
        claude("old-2.1.197-resume-same-cwd").report(&ClaudeCode::default(), Usage::default());
    assert_eq!(old.usage.cost.to_string(), "$0.0048");

    let agent = Codex::default();
    let before = codex("resume-3-flags-before-subcommand").report(&agent, Usage::default());
    let resumed = codex("resume-4-last").report(&agent, before.session_usage.unwrap());
    assert_eq!(resumed.session, before.session);
    assert_eq!(
        (resumed.usage.input_tokens, resumed.usage.output_tokens),
        (1200, 80)
    );
    assert_eq!(resumed.session_usage.unwrap().input_tokens, 7800);
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
fn what_commands_print_may_be_no_text() {
    for (name, agent) in [
        ("claude", &ClaudeCode::default() as &dyn Agent),
        ("codex", &Codex::default()),
    ] {
        let outputs = recording(name, "binary-output").events(agent);
        let odd = |event: &TranscriptEvent| match event {
            TranscriptEvent::ToolResult { output, .. } => {
                output.contains(['\u{0}', '\u{fffd}', '\u{1b}'])
            }
            _ => false,
        };
        assert!(outputs.iter().any(odd), "{name}");
    }
}

#[test]
fn a_session_that_is_gone_is_told_apart() {
    let gone = [
        "resume-unknown",
        "resume-not-uuid",
        "old-2.1.197-resume-other-cwd",
        "resume-portable-empty-home",
    ];
    for case in gone {
        let failure = claude(case).failure(&ClaudeCode::default());
        assert_eq!(failure.class, FailureClass::SessionNotFound, "{case}");
    }
    let failure = codex("resume-6-unknown-id").failure(&Codex::default());
    assert_eq!(failure.class, FailureClass::SessionNotFound);
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

#[test]
fn a_limit_that_was_hit_says_when_to_come_back() {
    let at = "2100-01-01T00:00:00Z".parse().unwrap();
    let failure = claude("rate-limit-subscription").failure(&ClaudeCode::default());
    assert_eq!(
        (failure.class, failure.retry),
        (FailureClass::RateLimited, RetryAdvice::Until(at))
    );
    let failure = codex("usage-limit-reached").failure(&Codex::default());
    assert_eq!(
        (failure.class, failure.retry),
        (FailureClass::RateLimited, RetryAdvice::Until(at))
    );
}

#[test]
fn no_recording_ends_for_no_known_reason() {
    for (name, agent) in [
        ("claude", &ClaudeCode::default() as &dyn Agent),
        ("codex", &Codex::default()),
    ] {
        for recording in recordings(name) {
            let report = recording.report(agent, Usage::default());
            if let AgentVerdict::Failed(failure) = recording.verdict(agent, &report, None) {
                assert_ne!(
                    failure.class,
                    FailureClass::Unknown,
                    "{name} {}",
                    recording.case
                );
            }
        }
    }
}
