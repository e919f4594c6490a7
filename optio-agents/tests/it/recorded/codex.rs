//! Codex: every recording, and the commands.

use optio_agents::codex::{Auth, Codex, Sandbox};
use optio_core::{
    agent::Agent, money::Usage, run::RunKind, runtime::Command, secret::Secret,
    transcript::SessionId,
};

use super::{recording, told_all};
use crate::commands::{refused, shown, spec};

/// What the session of a recording had used before it: the engine knows it from the run that it goes on with.
fn used_before(case: &str) -> Usage {
    let earlier = match case {
        "resume-4-last" => "resume-3-flags-before-subcommand",
        "resume-5-other-cwd" => "resume-4-last",
        "resume-8-fork" => "resume-5-other-cwd",
        _ => return Usage::default(),
    };
    let report = recording("codex", earlier).report(&Codex::default(), Usage::default());
    report.session_usage.unwrap()
}

#[test]
fn every_recording() {
    let table = told_all("codex", &Codex::default(), used_before);
    insta::assert_snapshot!("codex", table);
}

#[test]
fn a_run_becomes_a_command() {
    let mut resumed = spec(RunKind::ResumeCi);
    resumed.resume = Some(SessionId("01a1fb4f-c753-75b1-af86-09dbfb0baca7".to_owned()));
    resumed.model = Some("gpt-5.5".to_owned());
    let full = Codex::from_command(Command::new("/opt/codex"))
        .with_auth(Auth::ApiKey(Secret::new("the-api-key")))
        .with_base_url("https://gateway.example/v1")
        .with_sandbox(Sandbox::ReadOnly)
        .with_effort("high")
        .with_instructions("say \"please\"")
        .with_mcp_servers(Secret::new(
            r#"{"mcpServers": {
                "docs": {"command": "docs-server", "args": ["--all"], "env": {"DOCS_KEY": "k"}},
                "my-shop": {"url": "https://shop.example/mcp", "headers": {"Authorization": "Bearer t"}}
            }}"#,
        ))
        .with_setting("model_verbosity", "\"low\"");
    let table = [
        shown(&Codex::default(), &spec(RunKind::First)),
        shown(&full, &resumed),
    ];
    insta::assert_snapshot!(table.join("\n\n"), @r#"
    TZ=UTC
    trees/a$ codex exec --json -c analytics.enabled=false -c check_for_update_on_startup=false -c features.unbounded_connection_retries=false --dangerously-bypass-approvals-and-sandbox - < b"fix it"

    CODEX_HOME=/ws/agents/codex
    TZ=UTC
    CODEX_API_KEY=***
    trees/a$ /opt/codex exec --json -c analytics.enabled=false -c check_for_update_on_startup=false -c features.unbounded_connection_retries=false -c model_provider="optio" -c model_providers.optio={name="optio",base_url="https://gateway.example/v1",env_key="CODEX_API_KEY",wire_api="responses"} -c model_reasoning_effort="high" -c developer_instructions="say \"please\"" -c model_verbosity="low" -m gpt-5.5 --sandbox read-only -p optio-3bd6649332ff7572 resume 01a1fb4f-c753-75b1-af86-09dbfb0baca7 - < b"fix it"
    shared agents/codex/optio-3bd6649332ff7572.config.toml: [mcp_servers.docs]
    args = ["--all"]
    command = "docs-server"

    [mcp_servers.docs.env]
    DOCS_KEY = "k"

    [mcp_servers.my-shop]
    url = "https://shop.example/mcp"

    [mcp_servers.my-shop.http_headers]
    Authorization = "Bearer t"
    "#);
}

#[test]
fn what_it_would_take_for_a_name_is_refused() {
    let mut run = spec(RunKind::ResumeCi);
    run.resume = Some(SessionId("nonsense".to_owned()));
    let error = Codex::default().command(&run).unwrap_err();
    insta::assert_snapshot!(error.message(), @"nonsense is not a session of Codex");
}

#[test]
fn servers_that_it_cannot_be_given_are_refused() {
    let docs = Secret::new(r#"{"mcpServers": {"docs": {"command": "a"}}}"#);
    let workspace = Codex::default().with_mcp_servers(docs);
    insta::assert_snapshot!(refused(&workspace, &spec(RunKind::First)), @"MCP servers need credentials that are given: with those of the workspace its own configuration counts");
    let odd = Codex::default()
        .with_mcp_servers(Secret::new(r#"{"mcpServers": {"a b": {"command": "a"}}}"#));
    insta::assert_snapshot!(refused(&odd, &spec(RunKind::First)), @r#""a b" cannot be the name of an MCP server: use letters, digits, - and _"#);
}

/// All runs of a workspace share its home: one with other servers must not take those of its neighbour away.
#[test]
fn other_servers_are_in_another_file() {
    let files = |command: &str| {
        let servers = r#"{"mcpServers": {"docs": {"command": "COMMAND"}}}"#;
        let agent = Codex::default()
            .with_auth(Auth::ApiKey(Secret::new("the-api-key")))
            .with_mcp_servers(Secret::new(servers.replace("COMMAND", command)));
        let command = agent.command(&spec(RunKind::First)).unwrap();
        assert!(command.files.is_empty());
        command.shared_files
    };
    let (one, other) = (files("one"), files("other"));
    assert_eq!(one, files("one"));
    assert!(one.keys().all(|file| !other.contains_key(file)));
}
