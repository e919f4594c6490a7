//! Copilot CLI: every recording, and the commands.

use optio_agents::copilot::{Auth, Copilot, Permissions, ProviderKind, RepositorySettings};
use optio_core::{
    agent::Agent,
    money::Usage,
    run::RunKind,
    runtime::Command,
    secret::Secret,
    transcript::{RunReport, SessionId},
};

use super::told_all;
use crate::commands::{refused, shown, spec};

#[test]
fn every_recording() {
    let table = told_all("copilot", &Copilot::default(), |_| Usage::default());
    insta::assert_snapshot!("copilot", table);
}

fn provider() -> Auth {
    Auth::Provider {
        kind: ProviderKind::Anthropic,
        base_url: "https://gateway.example/v1".to_owned(),
        key: Some(Secret::new("the-api-key")),
    }
}

#[test]
fn a_run_becomes_a_command() {
    let mut resumed = spec(RunKind::ResumeCi);
    resumed.resume = Some(SessionId("7cc437f3-6b70-4bd6-9e47-b71096f0167d".to_owned()));
    resumed.model = Some("gpt-5.4".to_owned());
    let full = Copilot::from_command(Command::new("/opt/copilot"))
        .with_auth(provider())
        .with_permissions(Permissions::Only(vec![
            "write".to_owned(),
            "shell(git:*)".to_owned(),
        ]))
        .with_repository_settings(RepositorySettings::Load)
        .with_effort("high")
        .with_instructions("be brief")
        .with_mcp_servers(Secret::new(r#"{"mcpServers":{"docs":{"command":"docs"}}}"#))
        .with_max_credits(60);
    let github = Copilot::default().with_auth(Auth::GitHubToken(Secret::new("the-token")));
    let table = [
        shown(&Copilot::default(), &spec(RunKind::First)),
        shown(&github, &spec(RunKind::First)),
        shown(&full, &resumed),
    ];
    insta::assert_snapshot!(table.join("\n\n"), @r#"
    COPILOT_AUTO_UPDATE=false
    trees/a$ copilot --output-format json --stream off --no-ask-user --no-color --no-auto-update --disable-client-telemetry --session-id=00000000-0000-0000-0000-000000000007 --allow-all --usage-output-file /ws/files/a/usage.json < b"fix it"

    COPILOT_AUTO_UPDATE=false
    COPILOT_GITHUB_TOKEN=***
    trees/a$ copilot --output-format json --stream off --no-ask-user --no-color --no-auto-update --disable-client-telemetry --session-id=00000000-0000-0000-0000-000000000007 --allow-all --usage-output-file /ws/files/a/usage.json < b"fix it"

    COPILOT_AUTO_UPDATE=false
    COPILOT_CUSTOM_INSTRUCTIONS_DIRS=/ws/files/a/instructions
    COPILOT_OFFLINE=true
    COPILOT_PROVIDER_BASE_URL=https://gateway.example/v1
    COPILOT_PROVIDER_TYPE=anthropic
    COPILOT_PROVIDER_API_KEY=***
    trees/a$ /opt/copilot --output-format json --stream off --no-ask-user --no-color --no-auto-update --disable-client-telemetry --model gpt-5.4 --reasoning-effort high --resume=7cc437f3-6b70-4bd6-9e47-b71096f0167d --allow-tool=write --allow-tool=shell(git:*) --trust-folder --max-ai-credits 60 --disable-builtin-mcps --additional-mcp-config @/ws/files/a/mcp.json --usage-output-file /ws/files/a/usage.json < b"fix it"
    files/a/instructions/.github/instructions/optio.instructions.md: ---
    applyTo: "**"
    ---
    be brief

    files/a/mcp.json: {"mcpServers":{"docs":{"args":[],"command":"docs","env":{},"tools":["*"],"type":"local"}}}
    "#);
}

#[test]
fn what_it_cannot_do_is_refused() {
    let mut name = spec(RunKind::ResumeCi);
    name.resume = Some(SessionId("0cb916d".to_owned()));
    let table = [
        refused(&Copilot::default(), &name),
        refused(
            &Copilot::default().with_max_credits(5),
            &spec(RunKind::First),
        ),
    ];
    insta::assert_snapshot!(table.join("\n"), @r#"
    0cb916d is not a session of Copilot CLI
    a limit of 5 AI credits is too low: it takes 30 or more
    "#);
}

/// What the file that it leaves adds to the report of a run whose session had used this before.
fn used(file: &str, before: Usage) -> RunReport {
    let mut report = RunReport {
        session_before: before,
        ..RunReport::default()
    };
    for event in Copilot::default()
        .with_auth(provider())
        .read_side_file(file)
    {
        report.fold(&event);
    }
    report
}

#[test]
fn what_was_used_is_in_a_file_and_is_the_sessions() {
    let first = used(
        include_str!("../../fixtures/copilot-usage/first.json"),
        Usage::default(),
    );
    let tokens = |used: Usage| (used.input_tokens, used.cached_tokens, used.output_tokens);
    assert_eq!(tokens(first.usage), (7700, 6900, 280));
    let second = used(
        include_str!("../../fixtures/copilot-usage/resumed.json"),
        first.session_usage.unwrap(),
    );
    assert_eq!(tokens(second.session_usage.unwrap()), (15400, 13800, 560));
    assert_eq!(tokens(second.usage), (7700, 6900, 280));
}

#[test]
fn a_file_that_is_not_as_it_should_be_says_nothing() {
    for file in ["", "{}", "[]", "{\"modelMetrics\": 7}", "not json"] {
        assert_eq!(Copilot::default().read_side_file(file), [], "{file}");
    }
}

#[test]
fn credits_of_github_are_no_money() {
    let file = r#"{"modelMetrics":{"gpt-5.5":{"usage":{"inputTokens":1000000,"outputTokens":0}}}}"#;
    let cost = |agent: Copilot| {
        let mut report = RunReport::default();
        for event in agent.read_side_file(file) {
            report.fold(&event);
        }
        report.usage.cost.to_string()
    };
    assert_eq!(cost(Copilot::default()), "$0.00");
    assert_eq!(cost(Copilot::default().with_auth(provider())), "$5.00");
}
