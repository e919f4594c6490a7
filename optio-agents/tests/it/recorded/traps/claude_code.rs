//! What Claude Code does that one would not expect.

use std::time::Duration;

use optio_agents::claude_code::Auth;
use optio_core::{repo::RepoSettings, secret::Secret};

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

/// Trap 9: of a stream that stalls it says nothing for five minutes, and nothing makes it say so earlier.
#[test]
fn claude_may_be_silent_for_five_minutes_before_it_counts_as_stalled() {
    let silence = RepoSettings::default().silence();
    assert!(silence > Duration::from_secs(300), "{silence:?}");
    // then it asks once more and finishes: whoever had ended it earlier would have lost that
    let agent = ClaudeCode::default();
    let recording = claude("stream-hang");
    let report = recording.report(&agent, Usage::default());
    let verdict = recording.verdict(&agent, &report, None);
    assert!(
        matches!(verdict, AgentVerdict::Finished { .. }),
        "{verdict:?}"
    );
}

/// Trap 15: an old npm takes an old version without a word.
#[test]
fn npm_installs_an_old_claude_under_an_old_node_so_the_remedy_names_both() {
    let preflight = ClaudeCode::default().preflight();
    assert!(preflight.remedy.contains("Node 22"), "{}", preflight.remedy);
    let pinned = "npm install -g @anthropic-ai/claude-code@2.1.329";
    assert!(preflight.remedy.ends_with(pinned), "{}", preflight.remedy);
    // the one that it would take is among the tested ones, an older one is not
    assert_eq!(preflight.doubt("2.1.197 (Claude Code)"), None);
    assert!(preflight.doubt("2.1.100 (Claude Code)").is_some());
}

/// Trap 16: it goes on with the system prompt that its session began with, whatever the flag says then. An instruction for
/// one run belongs into its prompt.
#[test]
fn claude_is_given_instructions_only_when_its_session_begins() {
    let agent = ClaudeCode::default().with_instructions("be brief");
    let args = |run: &RunSpec| agent.command(run).unwrap().args;
    let first = args(&spec(RunKind::First));
    let at = first.iter().position(|arg| arg == "--append-system-prompt");
    assert_eq!(first[at.unwrap() + 1], "be brief");
    let mut resumed = spec(RunKind::ResumeCi);
    resumed.resume = Some(SessionId("7cc437f3-6b70-4bd6-9e47-b71096f0167d".to_owned()));
    let resumed = args(&resumed);
    // older versions refuse the flag that would make it listen
    for flag in [
        "--append-system-prompt",
        "be brief",
        "--system-prompt-snapshot",
    ] {
        assert!(!resumed.iter().any(|arg| arg == flag), "{flag}");
    }
}

/// It takes the key if it has a token too, and then a subscription is not what pays. So it is never given both.
#[test]
fn claude_is_given_one_credential_for_of_two_the_key_wins() {
    assert!(
        claude("auth-key-and-oauth")
            .stdout
            .contains(r#""apiKeySource":"ANTHROPIC_API_KEY""#)
    );
    let secret = || Secret::new("the-secret");
    for (auth, variable) in [
        (Auth::ApiKey(secret()), "ANTHROPIC_API_KEY"),
        (Auth::OAuthToken(secret()), "CLAUDE_CODE_OAUTH_TOKEN"),
        (Auth::GatewayToken(secret()), "ANTHROPIC_AUTH_TOKEN"),
    ] {
        let agent = ClaudeCode::default().with_auth(auth);
        let command = agent.command(&spec(RunKind::First)).unwrap();
        let given: Vec<_> = command.secret_env.keys().collect();
        assert_eq!(given, [variable]);
    }
}
