//! Recordings that end for no known reason, and why nobody can know it.

use std::collections::BTreeSet;

use optio_core::{agent::AgentVerdict, failure::FailureClass, money::Usage};

use super::{every_agent, recordings};

const KILLED: &str = "it was killed from outside, and the recording holds nothing of who did it";
const SILENT: &str = "it ends as if all were well when it is asked to stop, and says nothing of it";
const FORMAT: &str = "it prints another format than the adapter asks for";
const INPUT: &str =
    "it waited for more input until it was killed, which the adapter never lets it do";

/// Each with its agent and the reason. Whoever adds a recording that ends so has to give one, or a rule that knows better.
const UNEXPLAINED: &[(&str, &str, &str)] = &[
    (
        "claude",
        "html-200",
        "somebody between it and the provider answers with a page for people",
    ),
    ("claude", "resume-after-sigkill-1", KILLED),
    ("claude", "sigkill-group-mid-tool", KILLED),
    ("claude", "sigkill-mid-stream", KILLED),
    ("claude", "sigkill-mid-tool", KILLED),
    ("claude", "stream-hang-idle-timeout", KILLED),
    ("claude", "text-output", FORMAT),
    (
        "codex",
        "cd-missing",
        "it says that something is not there, and not that it is its folder",
    ),
    ("codex", "human-output", FORMAT),
    ("codex", "native-sigkill-mid-tool", KILLED),
    ("codex", "resume-after-sigkill-1", KILLED),
    (
        "codex",
        "sigint-mid-stream",
        "it exits with 1 when it is interrupted, as it does for everything",
    ),
    (
        "codex",
        "sigint-mid-tool",
        "it exits with 1 when it is interrupted, as it does for everything",
    ),
    ("codex", "sigkill-group-mid-tool", KILLED),
    ("codex", "sigkill-mid-stream", KILLED),
    ("codex", "sigkill-mid-tool", KILLED),
    ("codex", "silent-server", KILLED),
    ("codex", "stdin-open-pipe", INPUT),
    (
        "gemini",
        "empty-response",
        "the model answered nothing, and does not say why",
    ),
    ("gemini", "json-output", FORMAT),
    ("gemini", "sigint-group-mid-tool", SILENT),
    ("gemini", "sigint-mid-stream", KILLED),
    ("gemini", "sigint-mid-tool", KILLED),
    ("gemini", "sigint-no-relaunch-mid-stream", SILENT),
    ("gemini", "sigint-no-relaunch-mid-tool", SILENT),
    ("gemini", "sigkill-group-mid-tool", KILLED),
    ("gemini", "sigkill-mid-tool", KILLED),
    ("gemini", "sigterm-group-mid-tool", SILENT),
    ("gemini", "sigterm-mid-stream", KILLED),
    ("gemini", "sigterm-mid-tool", KILLED),
    ("gemini", "sigterm-no-relaunch-mid-stream", SILENT),
    ("gemini", "sigterm-no-relaunch-mid-tool", SILENT),
    ("gemini", "text-output", FORMAT),
    ("opencode", "default-format", FORMAT),
    ("opencode", "export", FORMAT),
    (
        "opencode",
        "perm-ask",
        "a call was rejected, which only its error output tells, and it ends in mid-turn with 0",
    ),
    (
        "opencode",
        "resume-7-other-cwd",
        "it hangs until it is killed: a task keeps its worktree for that",
    ),
    ("opencode", "sigkill-mid-stream", KILLED),
    ("opencode", "sigkill-mid-tool", KILLED),
    ("opencode", "stdin-open-pipe", INPUT),
    ("copilot", "sigkill-mid-stream", KILLED),
    ("copilot", "text-output", FORMAT),
    ("qwen", "sigkill-mid-tool", KILLED),
    (
        "amp",
        "auth-key-404-server",
        "a server that is not its vendor's knows no such address",
    ),
    (
        "amp",
        "auth-none",
        "it asks for a login in words for people and waits until it is killed; the preflight tells",
    ),
];

#[test]
fn no_recording_ends_for_no_known_reason_unless_nobody_can_know_it() {
    let mut found = BTreeSet::new();
    for (name, agent) in every_agent() {
        for recording in recordings(name) {
            let report = recording.report(&**agent, Usage::default());
            let resumed = recording.resumed();
            let verdict = recording.verdict(&**agent, &report, resumed.as_ref());
            use FailureClass::{AgentCrashed, AgentReported, Unknown};
            if let AgentVerdict::Failed(failure) = verdict
                && matches!(failure.class, AgentCrashed | AgentReported | Unknown)
            {
                found.insert(format!("{name} {}", recording.case));
            }
        }
    }
    let stated = UNEXPLAINED.iter();
    let stated: BTreeSet<_> = stated
        .map(|(name, case, _)| format!("{name} {case}"))
        .collect();
    let unstated: Vec<_> = found.difference(&stated).collect();
    let explained: Vec<_> = stated.difference(&found).collect();
    assert_eq!((unstated, explained), (Vec::new(), Vec::new()));
    assert_eq!(stated.len(), UNEXPLAINED.len(), "one stands twice");
}
