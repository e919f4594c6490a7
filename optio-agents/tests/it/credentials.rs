//! Credentials: whoever an agent works for, and however it shows that, no secret is where others can see it.

use optio_agents::{claude_code, codex, copilot, gemini, opencode};
use optio_core::{
    agent::Agent,
    run::RunKind,
    secret::{Masker, Secret},
    transcript::SessionId,
};

use crate::commands::spec;

const SECRET: &str = "the-secret-of-the-account";

/// What MCP servers are started with is secret too.
const MCP: &str = r#"{"mcpServers": {
    "docs": {"command": "docs-server", "args": ["--key", "the-secret-of-a-server"], "env": {"DOCS_KEY": "the-secret-of-a-server"}},
    "shop": {"url": "https://shop.example/mcp?key=the-secret-of-a-server", "headers": {"Authorization": "Bearer the-secret-of-a-server"}}
}}"#;

/// Every adapter, with every way to show who it works for.
fn everybody() -> Vec<Box<dyn Agent>> {
    let secret = || Secret::new(SECRET);
    let mcp = || Secret::new(MCP);
    let mut all: Vec<Box<dyn Agent>> = Vec::new();
    for auth in [
        claude_code::Auth::Workspace,
        claude_code::Auth::ApiKey(secret()),
        claude_code::Auth::OAuthToken(secret()),
        claude_code::Auth::GatewayToken(secret()),
        claude_code::Auth::Bedrock {
            region: "eu-west-1".to_owned(),
            token: secret(),
        },
        claude_code::Auth::Vertex {
            project: "shop".to_owned(),
            region: "global".to_owned(),
        },
    ] {
        let agent = claude_code::ClaudeCode::default().with_auth(auth);
        all.push(Box::new(agent.with_mcp_servers(mcp())));
    }
    all.push(Box::new(codex::Codex::default()));
    let key = codex::Codex::default().with_auth(codex::Auth::ApiKey(secret()));
    let key = key.with_base_url("https://gateway.example/v1");
    let login = codex::Codex::default().with_auth(codex::Auth::Login(secret()));
    for agent in [key, login] {
        all.push(Box::new(agent.with_mcp_servers(mcp())));
    }
    all.push(Box::new(gemini::Gemini::default()));
    for auth in [
        gemini::Auth::ApiKey(secret()),
        gemini::Auth::VertexKey(secret()),
        gemini::Auth::Vertex {
            project: "shop".to_owned(),
            location: "global".to_owned(),
            credentials: Some(secret()),
        },
        gemini::Auth::Login(secret()),
    ] {
        let agent = gemini::Gemini::default().with_auth(auth);
        all.push(Box::new(agent.with_mcp_servers(mcp())));
    }
    for auth in [
        opencode::Auth::Workspace,
        opencode::Auth::Providers(vec![
            opencode::Provider::new("anthropic").with_key(secret()),
        ]),
        opencode::Auth::Logins(secret()),
        opencode::Auth::Bedrock {
            region: "eu-west-1".to_owned(),
            token: secret(),
        },
        opencode::Auth::Vertex {
            project: "shop".to_owned(),
            location: "global".to_owned(),
        },
    ] {
        let agent = opencode::OpenCode::default().with_auth(auth);
        all.push(Box::new(agent.with_mcp_servers(mcp())));
    }
    for auth in [
        copilot::Auth::Workspace,
        copilot::Auth::GitHubToken(secret()),
        copilot::Auth::Provider {
            kind: copilot::ProviderKind::OpenAi,
            base_url: "https://gateway.example/v1".to_owned(),
            key: Some(secret()),
        },
    ] {
        let agent = copilot::Copilot::default().with_auth(auth);
        all.push(Box::new(agent.with_mcp_servers(mcp())));
    }
    all
}

#[test]
fn no_secret_is_in_an_argument_in_the_open_environment_or_in_the_worktree() {
    let everybody = everybody();
    assert!(everybody.len() > 20);
    for agent in everybody {
        let who = format!("{agent:?}");
        let mut first = spec(RunKind::First);
        first.model = Some("provider/model".to_owned());
        let mut resumed = spec(RunKind::ResumeCi);
        let session = match agent.name() {
            "opencode" => "ses_e048df49bffebOWc7FP7b1wEAI",
            _ => "7cc437f3-6b70-4bd6-9e47-b71096f0167d",
        };
        resumed.resume = Some(SessionId(session.to_owned()));
        for run in [first, resumed] {
            let command = agent.command(&run).unwrap();
            let open = command.args.iter().chain(command.env.values());
            for text in open.chain([&command.program]) {
                assert!(!text.contains("the-secret"), "{who}: {text}");
            }
            let inside = format!("{}/", run.worktree.as_str());
            for path in command.files.keys().chain(command.shared_files.keys()) {
                assert!(!path.as_str().starts_with(&inside), "{who}: {path}");
            }
            assert!(!String::from_utf8_lossy(&command.stdin).contains("the-secret"));
        }
    }
}

#[test]
fn no_secret_is_shown_by_an_agent_that_is_logged() {
    for agent in everybody() {
        assert!(
            !format!("{agent:?}").contains("the-secret"),
            "{}",
            agent.name()
        );
    }
}

#[test]
fn whoever_has_credentials_hands_them_over() {
    for agent in everybody() {
        let mut run = spec(RunKind::First);
        run.model = Some("provider/model".to_owned());
        let command = agent.command(&run).unwrap();
        let secrets = command
            .secret_env
            .values()
            .map(|secret| secret.expose().to_owned());
        let files = (command.files.values()).chain(command.shared_files.values());
        let files = files.map(|content| String::from_utf8_lossy(content).into_owned());
        let handed: Vec<String> = secrets.chain(files).collect();
        let account = agent.account().unwrap();
        // an account that can be told from another is known by the fingerprint of its secret
        let last = account.as_str().rsplit(':').next().unwrap_or_default();
        let is_known = last.len() == 8 && last.bytes().all(|digit| digit.is_ascii_hexdigit());
        assert_eq!(
            handed.iter().any(|text| text.contains(SECRET)),
            is_known,
            "{account}"
        );
    }
}

/// As an agent does that runs `env`, or `cat` on a file that it was given.
#[test]
fn whoever_prints_what_it_was_given_shows_no_secret() {
    for agent in everybody() {
        let mut run = spec(RunKind::First);
        run.model = Some("provider/model".to_owned());
        let command = agent.command(&run).unwrap();
        let masker = Masker::new(&agent.secrets());
        let variables = command.secret_env.iter();
        let variables = variables.map(|(name, value)| format!("{name}={}", value.expose()));
        let files = command.files.values().chain(command.shared_files.values());
        let files = files.map(|content| String::from_utf8_lossy(content).into_owned());
        for text in variables.chain(files) {
            let shown = masker.mask(&text);
            assert!(!shown.contains("the-secret"), "{agent:?}: {shown}");
        }
    }
}

#[test]
fn what_other_runs_need_is_no_file_of_one_run() {
    for agent in everybody() {
        let run = spec(RunKind::First);
        let command = agent.command(&run).unwrap();
        for path in command.files.keys() {
            let own = format!("{}/", run.files.as_str());
            assert!(path.as_str().starts_with(&own), "{agent:?}: {path}");
        }
    }
}

/// Of one that is refused, the others know nothing: each has an account of its own.
#[test]
fn other_credentials_are_another_account() {
    let gemini = |project: &str, credentials: Option<&str>| {
        let auth = gemini::Auth::Vertex {
            project: project.to_owned(),
            location: "global".to_owned(),
            credentials: credentials.map(Secret::new),
        };
        gemini::Gemini::default().with_auth(auth).account()
    };
    let opencode = |keys: &[(&str, Option<&str>)]| {
        let providers = keys.iter().map(|(id, key)| {
            let provider = opencode::Provider::new(*id);
            match key {
                Some(key) => provider.with_key(Secret::new(*key)),
                None => provider,
            }
        });
        let auth = opencode::Auth::Providers(providers.collect());
        opencode::OpenCode::default().with_auth(auth).account()
    };
    let accounts = [
        gemini("shop", None),
        gemini("shop", Some("one")),
        gemini("shop", Some("two")),
        gemini("bank", Some("one")),
        opencode(&[("anthropic", Some("one"))]),
        opencode(&[("anthropic", Some("one")), ("openai", Some("one"))]),
        opencode(&[("anthropic", Some("one")), ("openai", Some("two"))]),
        opencode(&[("anthropic", None), ("gateway", None)]),
    ];
    let table = accounts.map(|account| account.unwrap().to_string());
    insta::assert_snapshot!(table.join("\n"), @r"
    gemini:vertex:shop
    gemini:vertex:shop:40d3014c
    gemini:vertex:shop:2ff6754b
    gemini:vertex:bank:14da2849
    opencode:anthropic:183f42b8
    opencode:anthropic+openai:3b412434
    opencode:anthropic+openai:ef5cc3fb
    opencode:anthropic+gateway
    ");
}
