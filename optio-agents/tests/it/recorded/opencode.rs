//! opencode: every recording, and the commands.

use optio_agents::opencode::{Auth, OpenCode, Permissions, Provider, RepositorySettings};
use optio_core::{
    agent::Agent, money::Usage, run::RunKind, runtime::Command, secret::Secret,
    transcript::SessionId,
};

use super::told_all;
use crate::commands::{refused, shown_with, spec};

/// The configuration is in a secret variable, for it may hold secrets of MCP servers; none of these does.
const CONFIG: &[&str] = &["OPENCODE_CONFIG_CONTENT"];

#[test]
fn every_recording() {
    let table = told_all("opencode", &OpenCode::default(), |_| Usage::default());
    insta::assert_snapshot!("opencode", table);
}

#[test]
fn a_run_becomes_a_command() {
    let mut resumed = spec(RunKind::ResumeCi);
    resumed.resume = Some(SessionId("ses_e048df49bffebOWc7FP7b1wEAI".to_owned()));
    resumed.model = Some("gateway/large".to_owned());
    let provider = Provider::gateway("gateway", "https://gateway.example/v1")
        .with_key(Secret::new("the-api-key"));
    let full = OpenCode::from_command(Command::new("/opt/opencode"))
        .with_auth(Auth::Providers(vec![provider]))
        .with_permissions(Permissions::Read)
        .with_repository_settings(RepositorySettings::Ignore)
        .with_effort("high")
        .with_instructions("be brief")
        .with_mcp_servers(Secret::new(r#"{"mcpServers":{"docs":{"command":"docs"}}}"#))
        .with_max_steps(20);
    let table = [
        shown_with(&OpenCode::default(), &spec(RunKind::First), CONFIG),
        shown_with(&full, &resumed, CONFIG),
    ];
    insta::assert_snapshot!(table.join("\n\n"), @r#"
    OPENCODE_DISABLE_AUTOUPDATE=1
    OPENCODE_DISABLE_LSP_DOWNLOAD=1
    OPENCODE_DISABLE_MODELS_FETCH=1
    OPENCODE_CONFIG_CONTENT={"autoupdate":false,"permission":"allow","share":"disabled"}
    trees/a$ opencode run --format json --thinking < b"fix it"

    OPENCODE_DISABLE_AUTOUPDATE=1
    OPENCODE_DISABLE_LSP_DOWNLOAD=1
    OPENCODE_DISABLE_MODELS_FETCH=1
    OPENCODE_DISABLE_PROJECT_CONFIG=1
    OPENCODE_CONFIG_CONTENT={"agent":{"build":{"steps":20}},"autoupdate":false,"instructions":["/ws/files/a/instructions.md"],"mcp":{"docs":{"command":["docs"],"enabled":true,"environment":{},"type":"local"}},"permission":{"bash":"deny","edit":"deny"},"provider":{"gateway":{"models":{"large":{}},"npm":"@ai-sdk/openai-compatible","options":{"apiKey":"{env:OPTIO_OPENCODE_KEY_0}","baseURL":"https://gateway.example/v1"}}},"share":"disabled"}
    OPTIO_OPENCODE_KEY_0=***
    trees/a$ /opt/opencode run --format json --thinking -m gateway/large --variant high --session ses_e048df49bffebOWc7FP7b1wEAI < b"fix it"
    files/a/instructions.md: be brief
    "#);
}

#[test]
fn every_way_to_show_who_it_works_for_is_in_its_environment() {
    let secret = || Secret::new("the-secret");
    let mut run = spec(RunKind::First);
    run.model = Some("anthropic/claude-sonnet-4-5".to_owned());
    let table = [
        Auth::Workspace,
        Auth::Providers(vec![Provider::new("anthropic").with_key(secret())]),
        Auth::Logins(secret()),
        Auth::Bedrock {
            region: "eu-west-1".to_owned(),
            token: secret(),
        },
        Auth::Vertex {
            project: "shop".to_owned(),
            location: "global".to_owned(),
        },
    ]
    .map(|auth| shown_with(&OpenCode::default().with_auth(auth), &run, CONFIG));
    insta::assert_snapshot!(table.join("\n\n"), @r#"
    OPENCODE_DISABLE_AUTOUPDATE=1
    OPENCODE_DISABLE_LSP_DOWNLOAD=1
    OPENCODE_DISABLE_MODELS_FETCH=1
    OPENCODE_CONFIG_CONTENT={"autoupdate":false,"permission":"allow","share":"disabled"}
    trees/a$ opencode run --format json --thinking -m anthropic/claude-sonnet-4-5 < b"fix it"

    OPENCODE_DISABLE_AUTOUPDATE=1
    OPENCODE_DISABLE_LSP_DOWNLOAD=1
    OPENCODE_DISABLE_MODELS_FETCH=1
    OPENCODE_CONFIG_CONTENT={"autoupdate":false,"permission":"allow","provider":{"anthropic":{"options":{"apiKey":"{env:OPTIO_OPENCODE_KEY_0}"}}},"share":"disabled"}
    OPTIO_OPENCODE_KEY_0=***
    trees/a$ opencode run --format json --thinking -m anthropic/claude-sonnet-4-5 < b"fix it"

    OPENCODE_DISABLE_AUTOUPDATE=1
    OPENCODE_DISABLE_LSP_DOWNLOAD=1
    OPENCODE_DISABLE_MODELS_FETCH=1
    OPENCODE_AUTH_CONTENT=***
    OPENCODE_CONFIG_CONTENT={"autoupdate":false,"permission":"allow","share":"disabled"}
    trees/a$ opencode run --format json --thinking -m anthropic/claude-sonnet-4-5 < b"fix it"

    AWS_REGION=eu-west-1
    OPENCODE_DISABLE_AUTOUPDATE=1
    OPENCODE_DISABLE_LSP_DOWNLOAD=1
    OPENCODE_DISABLE_MODELS_FETCH=1
    AWS_BEARER_TOKEN_BEDROCK=***
    OPENCODE_CONFIG_CONTENT={"autoupdate":false,"permission":"allow","share":"disabled"}
    trees/a$ opencode run --format json --thinking -m anthropic/claude-sonnet-4-5 < b"fix it"

    GOOGLE_CLOUD_PROJECT=shop
    GOOGLE_VERTEX_LOCATION=global
    GOOGLE_VERTEX_PROJECT=shop
    OPENCODE_DISABLE_AUTOUPDATE=1
    OPENCODE_DISABLE_LSP_DOWNLOAD=1
    OPENCODE_DISABLE_MODELS_FETCH=1
    VERTEX_LOCATION=global
    OPENCODE_CONFIG_CONTENT={"autoupdate":false,"permission":"allow","share":"disabled"}
    trees/a$ opencode run --format json --thinking -m anthropic/claude-sonnet-4-5 < b"fix it"
    "#);
}

#[test]
fn what_it_cannot_do_is_refused() {
    let mut other = spec(RunKind::ResumeCi);
    other.resume = Some(SessionId("--continue".to_owned()));
    let mut bare = spec(RunKind::First);
    bare.model = Some("large".to_owned());
    let table = [
        refused(&OpenCode::default(), &other),
        refused(&OpenCode::default(), &bare),
    ];
    insta::assert_snapshot!(table.join("\n"), @r#"
    --continue is not a session of opencode
    large names no provider: opencode calls a model provider/model
    "#);
}

#[test]
fn a_model_of_a_gateway_costs_what_the_lists_say() {
    let used = Usage {
        input_tokens: 1_000_000,
        output_tokens: 100_000,
        ..Usage::default()
    };
    let agent = OpenCode::default().with_auth(Auth::Providers(vec![
        Provider::new("openai"),
        Provider::gateway("gateway", "https://gateway.example/v1"),
    ]));
    let cost = |model| {
        let cost = agent.price(model, &used);
        cost.map_or("-".to_owned(), |cost| cost.to_string())
    };
    assert_eq!(cost(Some("gateway/gpt-5.5")), "$8.00");
    assert_eq!(cost(Some("gateway/openai/gpt-5.5-2026-04-01")), "$8.00");
    assert_eq!(cost(Some("gateway/large")), "-");
    assert_eq!(cost(Some("openai/gpt-5.5")), "-", "that it tells itself");
    assert_eq!(cost(None), "-");
}
