//! What is set of single agents, from the file and the environment to their command lines.

use insta::assert_snapshot;
use optio_core::{
    agent::{Places, RunSpec},
    id::{RunId, TaskId},
    run::RunKind,
    workspace::WorkspacePath,
};
use optio_server::{
    agents::agents,
    config::{Environment, Given, ServerConfig},
};

/// The configuration of a server with this file and these variables.
fn load(file: &str, variables: &[(&str, &str)]) -> Result<ServerConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optio.toml");
    std::fs::write(&path, file).unwrap();
    let given = Given {
        file: Some(path),
        ..Given::default()
    };
    let environment = variables.iter().fold(
        Environment::from([("HOME", "/home/me")]),
        |environment, (name, value)| environment.with(name, value),
    );
    ServerConfig::load(given, &environment).map_err(|mistakes| {
        let folder = folder.path().to_str().unwrap();
        mistakes.to_string().replace(folder, "[folder]")
    })
}

/// The command of an agent's first run: open environment, arguments, files, and what of the secret part these tests set.
fn command(config: &ServerConfig, agent: &str) -> String {
    let place = |path| WorkspacePath::new(path).unwrap();
    let places = Places {
        root: "/ws".to_owned(),
        worktree: place("trees/a"),
        files: place("files/a"),
    };
    let (task, run) = (
        TaskId::from_uuid(Default::default()),
        RunId::from_uuid(Default::default()),
    );
    let run = RunSpec::new(task, run, RunKind::First, "fix it".to_owned(), places);
    let command = agents(&config.access).unwrap()[agent]
        .command(&run)
        .unwrap();
    let mut lines = vec![format!("{} {}", command.program, command.args.join(" "))];
    let open = command.env.iter();
    lines.extend(open.map(|(name, value)| format!("{name}={value}")));
    if let Some(content) = command.secret_env.get("OPENCODE_CONFIG_CONTENT") {
        lines.push(format!("OPENCODE_CONFIG_CONTENT={}", content.expose()));
    }
    for (path, content) in command.files.iter().chain(&command.shared_files) {
        lines.push(format!("{path}: {}", String::from_utf8_lossy(content)));
    }
    lines.join("\n")
}

#[test]
fn what_the_file_sets_reaches_each_agent_in_its_own_words() {
    let config = load(
        r#"
        max_concurrent = 2

        [agent.claude-code]
        effort = "high"
        instructions = "be brief"
        max_budget_usd = 5
        max_retries = 0
        max_turns = 50
        permissions = ["Bash", "Edit"]
        repository_settings = false
        mcp_servers.docs = { command = "docs-server", args = ["--all"] }

        [agent.codex]
        effort = "medium"
        instructions = "be brief"
        permissions = "read"
        [agent.codex.settings]
        model_verbosity = "low"
        tools.web_search = true

        [agent.copilot]
        effort = "minimal"
        instructions = "be brief"
        max_credits = 60
        permissions = ["write", "shell(git:*)"]
        repository_settings = true

        [agent.gemini]
        instructions = "be brief"
        max_turns = 20
        permissions = "edit"

        [agent.opencode]
        effort = "max"
        instructions = "be brief"
        max_steps = 30
        permissions = "read"
        repository_settings = false
        mcp_servers.docs = { url = "https://docs.example/mcp" }
        "#,
        &[("GEMINI_API_KEY", "the-key-of-gemini")],
    )
    .unwrap();
    assert_eq!(config.max_concurrent, 2);
    for agent in ["claude-code", "codex", "copilot", "gemini", "opencode"] {
        assert_snapshot!(agent, command(&config, agent));
    }
}

#[test]
fn variables_win_over_the_file_and_servers_of_an_agent_over_those_of_all() {
    let config = load(
        "[agent.claude-code]\neffort = \"high\"\nmax_turns = 50\nmcp_servers.own = { command = \"own\" }\n",
        &[
            ("OPTIO_CLAUDE_CODE_EFFORT", "low"),
            ("OPTIO_CLAUDE_CODE_PERMISSIONS", "Bash, Edit"),
            ("OPTIO_CODEX_INSTRUCTIONS", "be brief"),
            ("CODEX_API_KEY", "the-key-of-codex"),
            (
                "OPTIO_MCP_SERVERS",
                r#"{"mcpServers": {"all": {"command": "all"}}}"#,
            ),
        ],
    )
    .unwrap();
    let table = ["claude-code", "codex"].map(|agent| {
        let shown = command(&config, agent);
        let lines = shown.lines();
        let told = lines
            .filter(|line| line.contains("-p ") || line.contains("exec ") || line.contains("mcp"));
        told.collect::<Vec<_>>().join("\n")
    });
    assert_snapshot!(table.join("\n"));
}

#[test]
fn what_an_agent_does_not_take_is_told_with_its_place_and_the_way_out() {
    let mistakes = load(
        r#"
        [agent.claude-code]
        effort = "much"
        efort = "high"
        max_turns = 0
        max_budget_usd = "free"
        permissions = ["--dangerous"]
        repository_settings = "perhaps"
        instructions = ""
        mcp_servers.docs = { env = { KEY = "the-secret" } }

        [agent.codex]
        max_turns = 3
        settings = "low"
        permissions = "edit"

        [agent.copilot]
        max_credits = 20

        [agent.clod]
        effort = "high"
        "#,
        &[("OPTIO_GEMINI_MAX_TURNS", "many")],
    )
    .unwrap_err();
    assert!(!mistakes.contains("the-secret"));
    assert_snapshot!(mistakes);

    let rows = [
        "agent = \"codex\"",
        "[agent]\ncodex = \"high\"",
        "[agents.codex]\neffort = \"high\"",
    ];
    let table = rows.map(|file| load(file, &[]).unwrap_err());
    assert_snapshot!(table.join("\n"));
}

#[test]
fn what_does_not_go_together_is_refused_before_the_first_run() {
    let refused = |file: &str| {
        let config = load(file, &[]).unwrap();
        agents(&config.access).unwrap_err().message().to_owned()
    };
    let table = [
        refused("[agent.gemini]\nmax_turns = 3"),
        refused("[agent.codex]\nmcp_servers.\"a b\" = { command = \"a\" }"),
    ];
    assert_snapshot!(table.join("\n"), @r#"
    what is set of gemini cannot be used: a limit of turns, MCP servers and instructions need credentials that are given: with those of the workspace its own settings count
    what is set of codex cannot be used: "a b" cannot be the name of an MCP server: use letters, digits, - and _
    "#);
}

#[test]
fn a_cloud_has_a_gateway_of_its_own() {
    let config = load(
        "",
        &[
            ("CLAUDE_CODE_USE_BEDROCK", "1"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_BEARER_TOKEN_BEDROCK", "the-token"),
            ("ANTHROPIC_BASE_URL", "https://vendor.example"),
            ("ANTHROPIC_BEDROCK_BASE_URL", "https://bedrock.example"),
        ],
    )
    .unwrap();
    let shown = command(&config, "claude-code");
    let addresses: Vec<_> = shown.lines().filter(|line| line.contains("URL")).collect();
    assert_eq!(
        addresses,
        ["ANTHROPIC_BEDROCK_BASE_URL=https://bedrock.example"]
    );
}
