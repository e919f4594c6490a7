//! Which agents the server knows, and which one works where nobody has named one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use optio_agents::{
    claude_code::{self, ClaudeCode},
    codex::{self, Codex},
    copilot::{self, Copilot, ProviderKind},
    gemini::{self, Gemini},
    mcp,
    opencode::{self, OpenCode, Provider},
    scripted::Scripted,
};
use optio_core::{Error, Result, agent::Agent, runtime::Command};

use crate::config::{AgentAccess, ServerConfig};

/// Every agent that this server knows, by name: those that need no manifest, and those that one describes. Whether its
/// program is installed, `optio doctor` tells.
///
/// # Errors
/// A variable cannot be used; or this program does not know where it lies, so it cannot start itself as the scripted
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
    Ok(agents
        .into_iter()
        .map(|agent| (agent.name().to_owned(), agent))
        .collect())
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

fn claude_code(access: &AgentAccess) -> ClaudeCode {
    use claude_code::Auth;
    let bedrock = || {
        Some(Auth::Bedrock {
            region: access.text("AWS_REGION")?,
            token: access.secret("AWS_BEARER_TOKEN_BEDROCK")?,
        })
    };
    let vertex = || {
        Some(Auth::Vertex {
            project: access.text("ANTHROPIC_VERTEX_PROJECT_ID")?,
            region: access.text("CLOUD_ML_REGION")?,
        })
    };
    // in the order in which the program itself prefers them
    let auth = if access.is_on("CLAUDE_CODE_USE_BEDROCK") {
        bedrock()
    } else if access.is_on("CLAUDE_CODE_USE_VERTEX") {
        vertex()
    } else {
        let secret = |name, auth: fn(_) -> Auth| access.secret(name).map(auth);
        secret("ANTHROPIC_API_KEY", Auth::ApiKey)
            .or_else(|| secret("CLAUDE_CODE_OAUTH_TOKEN", Auth::OAuthToken))
            .or_else(|| secret("ANTHROPIC_AUTH_TOKEN", Auth::GatewayToken))
    };
    let mut agent = ClaudeCode::default().with_auth(auth.unwrap_or_default());
    if let Some(url) = access.text("ANTHROPIC_BASE_URL") {
        agent = agent.with_base_url(url);
    }
    match access.secret(MCP_SERVERS) {
        Some(servers) => agent.with_mcp_servers(servers),
        None => agent,
    }
}

fn codex(access: &AgentAccess) -> Codex {
    use codex::Auth;
    let key = access.secret("CODEX_API_KEY").map(Auth::ApiKey);
    let auth = key.or_else(|| access.secret("OPTIO_CODEX_LOGIN").map(Auth::Login));
    let own_address = matches!(auth, Some(Auth::Login(_)));
    let mut agent = Codex::default().with_auth(auth.unwrap_or_default());
    if let Some(url) = access.text("OPTIO_CODEX_BASE_URL").filter(|_| !own_address) {
        agent = agent.with_base_url(url);
    }
    match access.secret(MCP_SERVERS) {
        Some(servers) => agent.with_mcp_servers(servers),
        None => agent,
    }
}

fn gemini(access: &AgentAccess) -> Gemini {
    use gemini::Auth;
    let vertex = || {
        let key = access.secret("GOOGLE_API_KEY").map(Auth::VertexKey);
        key.or_else(|| {
            Some(Auth::Vertex {
                project: access.text("GOOGLE_CLOUD_PROJECT")?,
                location: access.text("GOOGLE_CLOUD_LOCATION")?,
                credentials: access.secret("OPTIO_GOOGLE_CREDENTIALS"),
            })
        })
    };
    let auth = if access.is_on("GOOGLE_GENAI_USE_VERTEXAI") {
        vertex()
    } else {
        let key = access.secret("GEMINI_API_KEY").map(Auth::ApiKey);
        key.or_else(|| access.secret("OPTIO_GEMINI_LOGIN").map(Auth::Login))
    };
    let address = match &auth {
        Some(Auth::ApiKey(_)) => access.text("GOOGLE_GEMINI_BASE_URL"),
        Some(Auth::Vertex { .. } | Auth::VertexKey(_)) => access.text("GOOGLE_VERTEX_BASE_URL"),
        _ => None,
    };
    let mut agent = Gemini::default().with_auth(auth.unwrap_or_default());
    if let Some(url) = address {
        agent = agent.with_base_url(url);
    }
    match access.secret(MCP_SERVERS) {
        Some(servers) => agent.with_mcp_servers(servers),
        None => agent,
    }
}

fn opencode(access: &AgentAccess) -> OpenCode {
    use opencode::Auth;
    let mut providers = Vec::new();
    if let Some(key) = access.secret("ANTHROPIC_API_KEY") {
        let provider = Provider::new("anthropic").with_key(key);
        // its address has the version of the interface in it
        providers.push(match access.text("ANTHROPIC_BASE_URL") {
            Some(url) => provider.with_base_url(format!("{}/v1", url.trim_end_matches('/'))),
            None => provider,
        });
    }
    if let Some(key) = access.secret("OPENAI_API_KEY") {
        let provider = Provider::new("openai").with_key(key);
        providers.push(match access.text("OPENAI_BASE_URL") {
            Some(url) => provider.with_base_url(url),
            None => provider,
        });
    }
    if let Some(url) = access.text("OPTIO_OPENCODE_BASE_URL") {
        let provider = Provider::gateway("gateway", url);
        providers.push(match access.secret("OPTIO_OPENCODE_API_KEY") {
            Some(key) => provider.with_key(key),
            None => provider,
        });
    }
    let auth = match access.secret("OPENCODE_AUTH_CONTENT") {
        Some(logins) => Auth::Logins(logins),
        None if providers.is_empty() => Auth::Workspace,
        None => Auth::Providers(providers),
    };
    let agent = OpenCode::default().with_auth(auth);
    match access.secret(MCP_SERVERS) {
        Some(servers) => agent.with_mcp_servers(servers),
        None => agent,
    }
}

fn copilot(access: &AgentAccess) -> Result<Copilot> {
    use copilot::Auth;
    let kind = match access.text("COPILOT_PROVIDER_TYPE").as_deref() {
        None | Some("openai") => ProviderKind::OpenAi,
        Some("azure") => ProviderKind::Azure,
        Some("anthropic") => ProviderKind::Anthropic,
        Some(other) => {
            let message =
                format!("COPILOT_PROVIDER_TYPE is {other}: set it to openai, azure or anthropic");
            return Err(Error::invalid("optio", message));
        }
    };
    let auth = match access.text("COPILOT_PROVIDER_BASE_URL") {
        Some(base_url) => Some(Auth::Provider {
            kind,
            base_url,
            key: access.secret("COPILOT_PROVIDER_API_KEY"),
        }),
        None => access.secret("COPILOT_GITHUB_TOKEN").map(Auth::GitHubToken),
    };
    let agent = Copilot::default().with_auth(auth.unwrap_or_default());
    Ok(match access.secret(MCP_SERVERS) {
        Some(servers) => agent.with_mcp_servers(servers),
        None => agent,
    })
}

/// The variable with MCP servers for every agent.
const MCP_SERVERS: &str = "OPTIO_MCP_SERVERS";

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
