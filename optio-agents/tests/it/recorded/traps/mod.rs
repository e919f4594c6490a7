//! What the agents do that one would not expect, one test for each; here what several of them do.

mod claude_code;
mod codex;
mod others;

use optio_agents::{
    claude_code::ClaudeCode, codex::Codex, copilot::Copilot, gemini::Gemini, opencode::OpenCode,
};
use optio_core::{
    agent::{Agent, AgentVerdict, RunSpec},
    failure::{ExitStatus, FailureClass, RetryAdvice},
    money::Usage,
    run::RunKind,
    runtime::InputEnd,
    transcript::{Failed, SessionId, TranscriptEvent},
};

use super::{every_agent, recording};
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
