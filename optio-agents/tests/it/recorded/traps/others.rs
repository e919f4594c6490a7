//! What Gemini CLI, opencode and Copilot CLI do that one would not expect.

use super::*;

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
fn opencode_says_that_a_call_it_made_nothing_of_was_completed() {
    let recording = opencode("unknown-tool");
    let line = recording
        .stdout
        .lines()
        .find(|line| line.contains(r#""tool":"invalid""#));
    let line = line.unwrap();
    assert!(line.contains(r#""status":"completed""#));
    let events = OpenCode::default().read_line(line);
    let failed = events
        .iter()
        .any(|event| matches!(event, TranscriptEvent::ToolResult { failed: true, .. }));
    assert!(failed, "{events:?}");
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

/// Its stream does not tell why the model stopped. Whether there is work to show for it, the engine asks git.
#[test]
fn gemini_calls_an_answer_that_was_cut_off_a_success() {
    let agent = Gemini::default();
    for case in ["safety-stop", "max-tokens-stop"] {
        let recording = gemini(case);
        assert!(!recording.stdout.contains("SAFETY") && !recording.stdout.contains("MAX_TOKENS"));
        let report = recording.report(&agent, Usage::default());
        let verdict = recording.verdict(&agent, &report, None);
        let AgentVerdict::Finished { summary } = verdict else {
            panic!("{case}: {verdict:?}");
        };
        assert_eq!(summary, "Half");
    }
}

/// It says this in every run without a sandbox; the reason of a failure is something else.
#[test]
fn qwen_that_warns_of_what_it_may_do_does_not_fail_from_it() {
    let killed = recording("qwen", "sigkill-mid-tool");
    assert!(
        killed
            .about
            .stderr
            .contains("Warning: running headless with --yolo")
    );
    let failure = killed.failure(&crate::recorded::manifests::agent("qwen"));
    assert_eq!(failure.detail(), Some("signal 9"));
}
