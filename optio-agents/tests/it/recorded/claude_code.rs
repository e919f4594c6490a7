//! Claude Code: every recording, and the commands.

use optio_agents::claude_code::{Auth, ClaudeCode, Permissions, RepositorySettings};
use optio_core::{
    agent::Agent,
    money::{Usage, Usd},
    run::RunKind,
    runtime::Command,
    secret::Secret,
    transcript::{RunReport, SessionId, TranscriptEvent, UsageOf},
};

use super::{recordings, told};
use crate::commands::{shown, spec};

#[test]
fn every_recording() {
    let agent = ClaudeCode::default();
    let table: Vec<_> = recordings("claude")
        .iter()
        .map(|recording| {
            let report = recording.report(&agent, Usage::default());
            let resumed = recording
                .argument("--resume")
                .map(|id| SessionId(id.to_owned()));
            let verdict = recording.verdict(&agent, &report, resumed.as_ref());
            told(recording, &report, &recording.events(&agent), &verdict)
        })
        .collect();
    insta::assert_snapshot!("claude_code", table.join("\n"));
}

/// What is seen of the costs in the middle of a run stops it at its budget; it must never be more than they are.
#[test]
fn the_cost_so_far_is_seen_and_never_too_high() {
    let agent = ClaudeCode::default();
    let mut table = Vec::new();
    for recording in recordings("claude") {
        let events = recording.events(&agent);
        let estimates = |event: &TranscriptEvent| {
            matches!(
                event,
                TranscriptEvent::Usage {
                    of: UsageOf::Answer(_),
                    ..
                }
            )
        };
        let told = |event: &TranscriptEvent| {
            matches!(event, TranscriptEvent::Usage { .. }) && !estimates(event)
        };
        let total = |count: &dyn Fn(&TranscriptEvent) -> bool| {
            let mut report = RunReport::default();
            let counted = events.iter().filter(|event| count(event));
            counted.for_each(|event| report.fold(event));
            report.usage.cost
        };
        let (seen, told) = (total(&estimates), total(&told));
        let both = recording.report(&agent, Usage::default()).usage.cost;
        let case = &recording.case;
        if told > Usd::ZERO {
            assert_eq!(both, told, "{case}: what it tells counts");
            assert!(seen <= told, "{case}: {seen} of {told}");
        } else {
            assert_eq!(both, seen, "{case}: nothing else is known");
        }
        if seen > Usd::ZERO {
            table.push(format!(
                "{case}: {} of {} micros",
                seen.micros(),
                told.micros()
            ));
        }
    }
    insta::assert_snapshot!("cost_so_far", table.join("\n"));
}

#[test]
fn a_run_becomes_a_command() {
    let mut resumed = spec(RunKind::ResumeCi);
    resumed.resume = Some(SessionId("7cc437f3-6b70-4bd6-9e47-b71096f0167d".to_owned()));
    resumed.model = Some("claude-sonnet-4-5".to_owned());
    let full = ClaudeCode::from_command(Command::new("/opt/claude"))
        .with_auth(Auth::ApiKey(Secret::new("the-api-key")))
        .with_base_url("https://gateway.example")
        .with_permissions(Permissions::Only(vec![
            "Bash".to_owned(),
            "Edit".to_owned(),
        ]))
        .with_repository_settings(RepositorySettings::Ignore)
        .with_effort("high")
        .with_instructions("be brief")
        .with_mcp_servers(Secret::new(r#"{"mcpServers":{}}"#))
        .with_max_turns(20)
        .with_max_budget(Usd::from_dollars(2.5))
        .with_max_retries(2);
    let table = [
        shown(&ClaudeCode::default(), &spec(RunKind::First)),
        shown(&full, &resumed),
    ];
    insta::assert_snapshot!(table.join("\n\n"), @r#"
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
    CLAUDE_CODE_MAX_RETRIES=6
    CLAUDE_CODE_STARTUP_FAILURE_RESULTS=1
    DISABLE_AUTOUPDATER=1
    DISABLE_ERROR_REPORTING=1
    DISABLE_TELEMETRY=1
    IS_SANDBOX=1
    trees/a$ claude -p --output-format stream-json --verbose --input-format stream-json --session-id 00000000-0000-0000-0000-000000000007 --dangerously-skip-permissions < b"{\"message\":{\"content\":\"fix it\",\"role\":\"user\"},\"type\":\"user\"}\n"

    ANTHROPIC_BASE_URL=https://gateway.example
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
    CLAUDE_CODE_MAX_RETRIES=2
    CLAUDE_CODE_STARTUP_FAILURE_RESULTS=1
    DISABLE_AUTOUPDATER=1
    DISABLE_ERROR_REPORTING=1
    DISABLE_TELEMETRY=1
    ANTHROPIC_API_KEY=***
    trees/a$ /opt/claude -p --output-format stream-json --verbose --input-format stream-json --model claude-sonnet-4-5 --effort high --resume 7cc437f3-6b70-4bd6-9e47-b71096f0167d --max-turns 20 --max-budget-usd 2.5 --setting-sources user --mcp-config /ws/files/a/mcp.json --strict-mcp-config --permission-mode acceptEdits --allowedTools Bash Edit < b"{\"message\":{\"content\":\"fix it\",\"role\":\"user\"},\"type\":\"user\"}\n"
    files/a/mcp.json: {"mcpServers":{}}
    "#);
}

#[test]
fn every_way_to_show_who_it_works_for_is_in_its_environment() {
    let secret = || Secret::new("the-secret");
    let table: Vec<_> = [
        Auth::Workspace,
        Auth::ApiKey(secret()),
        Auth::OAuthToken(secret()),
        Auth::GatewayToken(secret()),
        Auth::Bedrock {
            region: "eu-west-1".to_owned(),
            token: secret(),
        },
        Auth::Vertex {
            project: "shop".to_owned(),
            region: "europe-west1".to_owned(),
        },
    ]
    .into_iter()
    .map(|auth| {
        let plain = ClaudeCode::default()
            .command(&spec(RunKind::First))
            .unwrap();
        let command = ClaudeCode::default()
            .with_auth(auth)
            .with_base_url("https://gateway.example")
            .command(&spec(RunKind::First))
            .unwrap();
        let added = command
            .env
            .into_iter()
            .filter(|(name, _)| !plain.env.contains_key(name));
        let added = added.map(|(name, value)| format!("{name}={value}"));
        let secrets = command.secret_env.keys().map(|name| format!("{name}=***"));
        added.chain(secrets).collect::<Vec<_>>().join(" ")
    })
    .collect();
    // each with the address that it looks at
    insta::assert_snapshot!(table.join("\n"), @r#"
    ANTHROPIC_BASE_URL=https://gateway.example
    ANTHROPIC_BASE_URL=https://gateway.example ANTHROPIC_API_KEY=***
    ANTHROPIC_BASE_URL=https://gateway.example CLAUDE_CODE_OAUTH_TOKEN=***
    ANTHROPIC_BASE_URL=https://gateway.example ANTHROPIC_AUTH_TOKEN=***
    ANTHROPIC_BEDROCK_BASE_URL=https://gateway.example AWS_REGION=eu-west-1 CLAUDE_CODE_USE_BEDROCK=1 AWS_BEARER_TOKEN_BEDROCK=***
    ANTHROPIC_VERTEX_BASE_URL=https://gateway.example ANTHROPIC_VERTEX_PROJECT_ID=shop CLAUDE_CODE_USE_VERTEX=1 CLOUD_ML_REGION=europe-west1
    "#);
}
