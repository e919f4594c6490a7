//! Which agents the server knows, and which one works where nobody has named one.

mod built_in;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use optio_agents::{mcp, scripted::Scripted};
use optio_core::{
    Error, Result,
    agent::{Agent, Places, RunSpec},
    id::{RunId, TaskId},
    run::RunKind,
    runtime::Command,
    workspace::WorkspacePath,
};

use self::built_in::{MCP_SERVERS, claude_code, codex, copilot, gemini, opencode};
use crate::config::{AgentAccess, ServerConfig};

/// Every agent that this server knows, by name: those that need no manifest, and those that one describes. Whether its
/// program is installed, `optio doctor` tells.
///
/// # Errors
/// A variable cannot be used, or what is set of an agent does not go together; or this program does not know where it lies, so it cannot start itself as the scripted
/// agent.
pub fn agents(access: &AgentAccess) -> Result<BTreeMap<String, Arc<dyn Agent>>> {
    let scripted = Scripted::from_command(Command::new(own_path()?).arg("scripted-agent"));
    if let Some(servers) = access.secret(MCP_SERVERS) {
        mcp::check(&servers).map_err(|error| {
            Error::invalid("optio", format!("{MCP_SERVERS}: {}", error.message()))
        })?;
    }
    let mut agents: Vec<Arc<dyn Agent>> = vec![
        Arc::new(claude_code(access)),
        Arc::new(codex(access)),
        Arc::new(copilot(access)?),
        Arc::new(gemini(access)),
        Arc::new(opencode(access)),
        Arc::new(scripted),
    ];
    for agent in access.described() {
        agents.push(Arc::new(agent.clone()));
    }
    let agents: BTreeMap<String, Arc<dyn Agent>> = agents
        .into_iter()
        .map(|agent| (agent.name().to_owned(), agent))
        .collect();
    for name in access.adjusted() {
        if let Some(agent) = agents.get(name) {
            can_run(&**agent)?;
        }
    }
    Ok(agents)
}

/// Whether what is set of an agent goes together: what it refuses of every run is better told at the start.
fn can_run(agent: &dyn Agent) -> Result<()> {
    let places = Places {
        root: "/".to_owned(),
        worktree: WorkspacePath::root().child("worktree"),
        files: WorkspacePath::root().child("files"),
    };
    let (task, run) = (
        TaskId::from_uuid(Default::default()),
        RunId::from_uuid(Default::default()),
    );
    let run = RunSpec::new(task, run, RunKind::First, "work".to_owned(), places);
    agent.command(&run).map(drop).map_err(|error| {
        let message = format!(
            "what is set of {} cannot be used: {}",
            agent.name(),
            error.message()
        );
        Error::invalid("optio", message)
    })
}

/// The agent of a task that names none, in a repository that names none: the one that was set; else the only one that
/// is installed; else, with none, the scripted one, which shows what Optio does. With several, whoever submits has to
/// choose.
#[must_use]
pub fn default_agent(config: &ServerConfig) -> Option<String> {
    if config.default_agent.is_some() {
        return config.default_agent.clone();
    }
    let path = config.passed_on.get("PATH").map_or("", String::as_str);
    let known = agents(&config.access).unwrap_or_default();
    let mut installed = known.into_values().filter(|agent| {
        let program = agent.preflight().version.program;
        // the scripted one is this program, and stands for none
        agent.name() != SCRIPTED
            && std::env::split_paths(path).any(|dir| is_program(&dir.join(&program)))
    });
    match (installed.next(), installed.next()) {
        (None, _) => Some(SCRIPTED.to_owned()),
        (Some(only), None) => Some(only.name().to_owned()),
        _ => None,
    }
}

/// The name of the scripted agent.
const SCRIPTED: &str = "scripted";

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// Where this program lies.
fn own_path() -> Result<String> {
    let path: PathBuf = std::env::current_exe().map_err(|error| {
        Error::unavailable("optio", format!("this program cannot find itself: {error}"))
    })?;
    path.into_os_string().into_string().map_err(|path| {
        Error::invalid(
            "optio",
            format!("{} is not UTF-8: install optio elsewhere", path.display()),
        )
    })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use optio_core::{
        agent::{Places, RunSpec},
        id::{RunId, TaskId},
        run::RunKind,
        workspace::WorkspacePath,
    };

    use super::*;
    use crate::config::{Environment, Given};

    fn config<const N: usize>(variables: [(&str, &str); N]) -> ServerConfig {
        // nothing of this machine's: an absolute folder that is not there
        let environment = Environment::from(variables).with("HOME", "/nonexistent/home");
        ServerConfig::load(Given::default(), &environment).unwrap()
    }

    #[test]
    fn an_agent_gets_its_own_key_and_no_other() {
        let config = config([
            ("ANTHROPIC_API_KEY", "the-key-of-claude"),
            ("CODEX_API_KEY", "the-key-of-codex"),
            ("GEMINI_API_KEY", "the-key-of-gemini"),
            ("COPILOT_GITHUB_TOKEN", "the-key-of-copilot"),
            ("OPTIO_CODEX_BASE_URL", "https://gateway.example/v1"),
        ]);
        let place = |path| WorkspacePath::new(path).unwrap();
        let places = Places {
            root: "/ws".to_owned(),
            worktree: place("trees/a"),
            files: place("files/a"),
        };
        let ids = (
            TaskId::from_uuid(Default::default()),
            RunId::from_uuid(Default::default()),
        );
        let run = RunSpec::new(ids.0, ids.1, RunKind::First, "go".to_owned(), places);
        let secrets = |agent: &dyn Agent| {
            let command = agent.command(&run).unwrap();
            let shown = command
                .secret_env
                .iter()
                .filter(|(name, _)| *name != "OPENCODE_CONFIG_CONTENT")
                .map(|(name, value)| format!("{name}={}", value.expose()));
            shown.collect::<Vec<_>>()
        };
        let agents = agents(&config.access).unwrap();
        let table = agents.values().map(|agent| {
            let account = agent
                .account()
                .map_or("-".to_owned(), |account| account.to_string());
            format!(
                "{} ({account}): {}",
                agent.name(),
                secrets(&**agent).join(", ")
            )
        });
        let table: Vec<_> = table.collect();
        assert_snapshot!(table.join("\n"), @r#"
        claude-code (claude-code:api-key:8b08725b): ANTHROPIC_API_KEY=the-key-of-claude
        codex (codex:api-key:e24cb470): CODEX_API_KEY=the-key-of-codex
        copilot (copilot:github:99a46591): COPILOT_GITHUB_TOKEN=the-key-of-copilot
        gemini (gemini:api-key:3baa2697): GEMINI_API_KEY=the-key-of-gemini
        opencode (opencode:anthropic:2066f593): OPTIO_OPENCODE_KEY_0=the-key-of-claude
        scripted (-):
        "#);
        assert_eq!(config.access.secrets().count(), 4);
        assert!(!format!("{config:?}").contains("the-key"));
        let command = agents["codex"].command(&run).unwrap();
        assert!(
            command
                .args
                .iter()
                .any(|arg| arg.contains("https://gateway.example/v1"))
        );
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_refused() {
        let refused = |name, value| {
            let config = config([(name, value)]);
            agents(&config.access).unwrap_err().message().to_owned()
        };
        let table = [
            refused("COPILOT_PROVIDER_TYPE", "openrouter"),
            refused(MCP_SERVERS, "{\"docs\": {\"env\": \"the-secret\"}}"),
        ];
        assert_snapshot!(table.join("\n"), @r#"
        COPILOT_PROVIDER_TYPE is openrouter: set it to openai, azure or anthropic
        OPTIO_MCP_SERVERS: the MCP servers are not JSON like {"mcpServers": {"name": {"command": "program"}}}: line 1, column 31
        "#);
    }

    #[test]
    fn clouds_are_worked_with_where_their_switches_are_on() {
        let accounts = |variables: [(&str, &str); 5]| {
            let config = config(variables);
            let agents = agents(&config.access).unwrap();
            let of = |name: &str| agents[name].account().unwrap().to_string();
            format!("{}, {}", of("claude-code"), of("gemini"))
        };
        let nothing = ("NOTHING", "x");
        let table = [
            accounts([
                ("CLAUDE_CODE_USE_BEDROCK", "1"),
                ("AWS_BEARER_TOKEN_BEDROCK", "t"),
                ("AWS_REGION", "eu-west-1"),
                ("ANTHROPIC_API_KEY", "k"),
                nothing,
            ]),
            accounts([
                ("CLAUDE_CODE_USE_VERTEX", "1"),
                ("ANTHROPIC_VERTEX_PROJECT_ID", "shop"),
                ("CLOUD_ML_REGION", "global"),
                ("GOOGLE_GENAI_USE_VERTEXAI", "true"),
                ("GOOGLE_API_KEY", "k"),
            ]),
            accounts([
                ("CLAUDE_CODE_USE_BEDROCK", "0"),
                ("ANTHROPIC_API_KEY", "k"),
                ("GOOGLE_GENAI_USE_VERTEXAI", "true"),
                ("GOOGLE_CLOUD_PROJECT", "shop"),
                ("GOOGLE_CLOUD_LOCATION", "global"),
            ]),
        ];
        assert_snapshot!(table.join("\n"), @r#"
        claude-code:bedrock:2ed8951c, gemini:workspace
        claude-code:vertex:shop, gemini:vertex-key:42239d34
        claude-code:api-key:1922db57, gemini:vertex:shop
        "#);
    }

    #[test]
    fn without_a_word_the_only_one_that_is_installed_works() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let default = || default_agent(&config([("PATH", path)]));
        let install = |name: &str, mode| {
            let file = folder.path().join(name);
            std::fs::write(&file, "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        assert_eq!(default().as_deref(), Some("scripted"));
        install("claude", 0o644);
        assert_eq!(default().as_deref(), Some("scripted"), "it cannot be run");
        install("codex", 0o755);
        assert_eq!(default().as_deref(), Some("codex"));
        install("claude", 0o755);
        assert_eq!(default(), None, "somebody has to choose");
        let named = [("PATH", path), ("OPTIO_DEFAULT_AGENT", "claude-code")];
        assert_eq!(
            default_agent(&config(named)).as_deref(),
            Some("claude-code")
        );
    }
}
