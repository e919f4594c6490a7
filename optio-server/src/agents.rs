//! Which agents the server knows, and which one works where nobody has named one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use optio_agents::{
    claude_code::{self, ClaudeCode},
    codex::{self, Codex},
    scripted::Scripted,
};
use optio_core::{Error, Result, agent::Agent, runtime::Command};

use crate::config::{AgentAccess, ServerConfig};

/// Every agent that this server knows, by name. Whether its program is installed, `optio doctor` tells.
///
/// # Errors
/// This program does not know where it lies, so it cannot start itself as the scripted agent.
pub fn agents(access: &AgentAccess) -> Result<BTreeMap<String, Arc<dyn Agent>>> {
    let scripted = Scripted::from_command(Command::new(own_path()?).arg("scripted-agent"));
    let agents: [Arc<dyn Agent>; 3] = [
        Arc::new(claude_code(access)),
        Arc::new(codex(access)),
        Arc::new(scripted),
    ];
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
    let installed = [("claude", "claude-code"), ("codex", "codex")]
        .into_iter()
        .filter(|(program, _)| {
            std::env::split_paths(path).any(|dir| is_program(&dir.join(program)))
        });
    match installed
        .map(|(_, name)| name)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => Some("scripted".to_owned()),
        [only] => Some((*only).to_owned()),
        _ => None,
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

fn claude_code(access: &AgentAccess) -> ClaudeCode {
    use claude_code::Auth;
    // in the order in which the program itself prefers them
    let auth = access.anthropic_api_key.clone().map(Auth::ApiKey);
    let auth = auth
        .or_else(|| access.claude_code_oauth_token.clone().map(Auth::OAuthToken))
        .or_else(|| access.anthropic_auth_token.clone().map(Auth::GatewayToken));
    let agent = ClaudeCode::default().with_auth(auth.unwrap_or_default());
    match &access.anthropic_base_url {
        Some(url) => agent.with_base_url(url),
        None => agent,
    }
}

fn codex(access: &AgentAccess) -> Codex {
    use codex::Auth;
    let auth = access.codex_api_key.clone().map(Auth::ApiKey);
    let agent = Codex::default().with_auth(auth.unwrap_or_default());
    match &access.codex_base_url {
        Some(url) => agent.with_base_url(url),
        None => agent,
    }
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
    use optio_core::{
        agent::{Places, RunSpec},
        id::{RunId, TaskId},
        run::RunKind,
        workspace::WorkspacePath,
    };

    use super::*;
    use crate::config::{Environment, Given};

    fn config(variables: [(&str, &str); 3]) -> ServerConfig {
        let home = ("HOME", "/home/ada");
        let [one, two, three] = variables;
        let environment = Environment::from([home, one, two, three]);
        ServerConfig::load(Given::default(), &environment).unwrap()
    }

    const NOTHING: (&str, &str) = ("NOTHING", "x");

    #[test]
    fn an_agent_gets_its_own_key_and_no_other() {
        let config = config([
            ("ANTHROPIC_API_KEY", "the-key-of-claude"),
            ("CODEX_API_KEY", "the-key-of-codex"),
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
                .map(|(name, value)| format!("{name}={}", value.expose()));
            shown.collect::<Vec<_>>()
        };
        let agents = agents(&config.access).unwrap();
        assert_eq!(
            secrets(&*agents["claude-code"]),
            ["ANTHROPIC_API_KEY=the-key-of-claude"]
        );
        assert_eq!(
            secrets(&*agents["codex"]),
            ["CODEX_API_KEY=the-key-of-codex"]
        );
        assert!(secrets(&*agents["scripted"]).is_empty());
        assert_eq!(config.access.secrets().count(), 2);
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
    fn without_a_word_the_only_one_that_is_installed_works() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let default = || default_agent(&config([("PATH", path), NOTHING, NOTHING]));
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
        let named = [
            ("PATH", path),
            ("OPTIO_DEFAULT_AGENT", "claude-code"),
            NOTHING,
        ];
        assert_eq!(
            default_agent(&config(named)).as_deref(),
            Some("claude-code")
        );
    }
}
