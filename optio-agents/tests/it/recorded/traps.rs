//! What the agents do that one would not expect, one test for each.

use optio_agents::{
    claude_code::ClaudeCode, codex::Codex, copilot::Copilot, gemini::Gemini, opencode::OpenCode,
};
use optio_core::{
    agent::{Agent, AgentVerdict},
    failure::{ExitStatus, FailureClass, RetryAdvice},
    money::Usage,
    run::RunKind,
    runtime::InputEnd,
    transcript::{Failed, SessionId, TranscriptEvent},
};

use super::{every_agent, recording, recordings};
use crate::commands::spec;

fn claude(case: &str) -> super::Recording {
    recording("claude", case)
}

fn codex(case: &str) -> super::Recording {
    recording("codex", case)
}

fn gemini(case: &str) -> super::Recording {
    recording("gemini", case)
}

fn opencode(case: &str) -> super::Recording {
    recording("opencode", case)
}

fn copilot(case: &str) -> super::Recording {
    recording("copilot", case)
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
fn the_prompt_is_all_that_is_ever_read() {
    for (_, agent) in every_agent() {
        let command = agent.command(&spec(RunKind::First)).unwrap();
        assert!(!command.args.iter().any(|arg| arg.contains("fix it")));
        if agent.message("more").is_none() {
            let mut files = command.files.values();
            assert!(
                command.stdin == "fix it" || files.any(|content| content == "fix it"),
                "{}",
                agent.name()
            );
            assert_eq!(command.stdin_end, InputEnd::AtOnce, "{}", agent.name());
        }
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
    for (name, agent, case) in [
        (
            "codex",
            &Codex::default() as &dyn Agent,
            "resume-6-unknown-id",
        ),
        ("gemini", &Gemini::default(), "resume-4-unknown"),
        ("opencode", &OpenCode::default(), "resume-5-unknown"),
        ("copilot", &Copilot::default(), "resume-3-unknown"),
    ] {
        let failure = recording(name, case).failure(agent);
        assert_eq!(failure.class, FailureClass::SessionNotFound, "{name}");
    }
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
    for (name, agent) in every_agent() {
        for recording in recordings(name) {
            let report = recording.report(&**agent, Usage::default());
            if let AgentVerdict::Failed(failure) = recording.verdict(&**agent, &report, None) {
                let case = &recording.case;
                assert_ne!(failure.class, FailureClass::Unknown, "{name} {case}");
            }
        }
    }
}

#[test]
fn gemini_and_copilot_exit_with_0_when_they_are_ended_and_say_nothing_of_it() {
    for case in [
        "sigterm-no-relaunch-mid-tool",
        "sigint-no-relaunch-mid-stream",
    ] {
        let recording = gemini(case);
        assert_eq!(recording.status(), ExitStatus::SUCCESS, "{case}");
        let failure = recording.failure(&Gemini::default());
        assert_eq!(failure.class, FailureClass::AgentCrashed, "{case}");
    }
    for case in ["native-sigterm-mid-tool", "native-sigint-mid-tool"] {
        let recording = copilot(case);
        assert_eq!(recording.status(), ExitStatus::SUCCESS, "{case}");
        let failure = recording.failure(&Copilot::default());
        assert_eq!(failure.class, FailureClass::Interrupted, "{case}");
    }
}

#[test]
fn the_launcher_of_gemini_lets_signals_through() {
    let command = Gemini::default().command(&spec(RunKind::First)).unwrap();
    assert_eq!(command.env["GEMINI_CLI_NO_RELAUNCH"], "true");
}

#[test]
fn gemini_exits_with_the_status_of_http_modulo_256() {
    let agent = Gemini::default();
    for (case, code, class) in [
        ("auth-401", 145, FailureClass::AuthExpired),
        ("auth-403", 147, FailureClass::AuthForbidden),
        ("rate-limit-429-forever", 173, FailureClass::RateLimited),
        ("server-error-500-forever", 244, FailureClass::Overloaded),
        ("overloaded-503-forever", 247, FailureClass::Overloaded),
        ("max-turns", 53, FailureClass::MaxTurns),
    ] {
        let mut recording = gemini(case);
        assert_eq!(recording.status(), ExitStatus::Code(code), "{case}");
        assert_eq!(recording.failure(&agent).class, class, "{case}");
        // should the closing word be lost, the code still tells
        let lines = recording.stdout.lines();
        let kept: Vec<_> = lines.filter(|line| !line.contains("\"result\"")).collect();
        recording.stdout = kept.join("\n");
        recording.about.stderr.clear();
        assert_eq!(recording.failure(&agent).class, class, "{case} by its code");
    }
}

#[test]
fn gemini_says_it_in_pieces_which_are_one_summary() {
    let recording = gemini("multi-tool");
    assert!(recording.stdout.contains("committed") ^ recording.stdout.contains("mmitted it."));
    let report = recording.report(&Gemini::default(), Usage::default());
    let summary = "Created hello.txt and committed it.".to_owned();
    assert_eq!(report.result, Some((Failed::No, summary)));
}

#[test]
fn an_empty_answer_is_a_failure_though_gemini_exits_with_0() {
    let recording = gemini("empty-response");
    assert_eq!(recording.status(), ExitStatus::SUCCESS);
    let failure = recording.failure(&Gemini::default());
    assert_eq!(failure.class, FailureClass::AgentReported);
}

#[test]
fn gemini_counts_its_thoughts_in_the_total_alone() {
    let report = gemini("multi-tool").report(&Gemini::default(), Usage::default());
    let stats = r#""total_tokens":8010,"input_tokens":7700,"output_tokens":280"#;
    assert!(gemini("multi-tool").stdout.contains(stats));
    assert_eq!(report.usage.output_tokens, 310);
}

#[test]
fn gemini_and_opencode_count_by_the_run() {
    for (name, agent, case) in [
        ("gemini", &Gemini::default() as &dyn Agent, "resume-2-by-id"),
        ("opencode", &OpenCode::default(), "resume-2-resumed"),
    ] {
        let used = recording(name, case).report(agent, Usage::default()).usage;
        assert_eq!(
            (used.input_tokens, used.output_tokens),
            (2400, 160),
            "{name}"
        );
    }
}

#[test]
fn opencode_that_got_over_an_error_exits_with_1_and_has_finished() {
    let agent = OpenCode::default();
    let recording = opencode("context-length");
    assert_eq!(recording.status(), ExitStatus::Code(1));
    let report = recording.report(&agent, Usage::default());
    assert!(report.overcame.is_some());
    let verdict = recording.verdict(&agent, &report, None);
    assert!(
        matches!(verdict, AgentVerdict::Finished { .. }),
        "{verdict:?}"
    );
    // and one that did not get over it has not
    let failure = opencode("auth-401-mid-session").failure(&agent);
    assert_eq!(failure.class, FailureClass::AuthExpired);
}

#[test]
fn opencode_has_not_finished_if_its_last_step_called_tools_whatever_the_exit_code() {
    let recording = opencode("perm-ask");
    assert_eq!(recording.status(), ExitStatus::SUCCESS);
    let failure = recording.failure(&OpenCode::default());
    assert_eq!(failure.class, FailureClass::AgentCrashed);
    // not even if an earlier round of work had ended well
    let mut longer = opencode("perm-ask");
    longer.stdout = format!("{}{}", opencode("stream-cut").stdout, longer.stdout);
    let failure = longer.failure(&OpenCode::default());
    assert_eq!(failure.class, FailureClass::AgentCrashed);
}

#[test]
fn opencode_that_shortens_a_conversation_for_ever_was_too_long() {
    let failure = opencode("context-length-forever").failure(&OpenCode::default());
    assert_eq!(failure.class, FailureClass::ContextLength);
}

#[test]
fn a_missing_key_is_no_unexpected_error_of_a_server() {
    for case in [
        "auth-none",
        "model-not-configured",
        "provider-not-configured",
    ] {
        let failure = opencode(case).failure(&OpenCode::default());
        assert_eq!(failure.class, FailureClass::InvalidConfiguration, "{case}");
        assert_eq!(failure.retry, RetryAdvice::Never, "{case}");
    }
}

#[test]
fn copilot_names_its_session_only_at_the_end() {
    let agent = Copilot::default();
    let recording = copilot("multi-tool");
    let (last, before) = {
        let lines: Vec<_> = recording.stdout.lines().collect();
        let (last, before) = lines.split_last().unwrap();
        ((*last).to_owned(), before.join("\n"))
    };
    let named = |text: &str| {
        let mut events = text.lines().flat_map(|line| agent.read_line(line));
        events.any(|event| matches!(event, TranscriptEvent::Session { .. }))
    };
    assert!(!named(&before) && named(&last));
}

#[test]
fn a_command_that_failed_is_told_where_the_exit_code_is() {
    for (name, agent) in [
        ("claude", &ClaudeCode::default() as &dyn Agent),
        ("codex", &Codex::default()),
        ("opencode", &OpenCode::default()),
        ("copilot", &Copilot::default()),
    ] {
        let events = recording(name, "multi-tool").events(agent);
        let failed = |event: &TranscriptEvent| matches!(event, TranscriptEvent::ToolResult { failed: true, output, .. } if output.contains("oops"));
        assert!(events.iter().any(failed), "{name}");
    }
    // Gemini CLI tells none: to it the command has succeeded
    let events = gemini("multi-tool").events(&Gemini::default());
    let oops = |event: &TranscriptEvent| matches!(event, TranscriptEvent::ToolResult { failed: false, output, .. } if output == "oops");
    assert!(events.iter().any(oops));
}

#[test]
fn a_tool_that_was_not_allowed_is_told_though_the_run_is_called_a_success() {
    for (name, agent) in [
        ("gemini", &Gemini::default() as &dyn Agent),
        ("copilot", &Copilot::default()),
    ] {
        let recording = recording(name, "perm-default");
        let report = recording.report(agent, Usage::default());
        let verdict = recording.verdict(agent, &report, None);
        assert!(matches!(verdict, AgentVerdict::Finished { .. }), "{name}");
        let events = recording.events(agent);
        let failed = |event: &TranscriptEvent| {
            matches!(event, TranscriptEvent::ToolResult { failed: true, .. })
        };
        assert!(events.iter().any(failed), "{name}");
    }
}
