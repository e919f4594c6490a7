//! The agents that need no manifest, as the environment and the file have them.

use optio_agents::{
    claude_code::{self, ClaudeCode},
    codex::{self, Codex},
    copilot::{self, Copilot, ProviderKind},
    gemini::{self, Gemini},
    opencode::{self, OpenCode, Provider},
};
use optio_core::{Error, Result, secret::Secret};

use crate::config::{AgentAccess, AgentSettings};

/// The variable with MCP servers for every agent that has none of its own.
pub(super) const MCP_SERVERS: &str = "OPTIO_MCP_SERVERS";

pub(super) fn claude_code(access: &AgentAccess) -> ClaudeCode {
    use claude_code::{Auth, Permissions, RepositorySettings};
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
    let address = match &auth {
        Some(Auth::Bedrock { .. }) => "ANTHROPIC_BEDROCK_BASE_URL",
        Some(Auth::Vertex { .. }) => "ANTHROPIC_VERTEX_BASE_URL",
        _ => "ANTHROPIC_BASE_URL",
    };
    let set = access.settings("claude-code");
    let load = repository_settings(&set, RepositorySettings::Load, RepositorySettings::Ignore);
    let tools = set.list("permissions").map(<[_]>::to_vec);
    ClaudeCode::default()
        .with_auth(auth.unwrap_or_default())
        .given(access.text(address), ClaudeCode::with_base_url)
        .given(servers(access, &set), ClaudeCode::with_mcp_servers)
        .given(set.text("effort"), ClaudeCode::with_effort)
        .given(set.text("instructions"), ClaudeCode::with_instructions)
        .given(set.dollars("max_budget_usd"), ClaudeCode::with_max_budget)
        .given(set.number("max_retries"), ClaudeCode::with_max_retries)
        .given(set.number("max_turns"), ClaudeCode::with_max_turns)
        .given(tools.map(Permissions::Only), ClaudeCode::with_permissions)
        .given(load, ClaudeCode::with_repository_settings)
}

pub(super) fn codex(access: &AgentAccess) -> Codex {
    use codex::{Auth, Sandbox};
    let key = access.secret("CODEX_API_KEY").map(Auth::ApiKey);
    let auth = key.or_else(|| access.secret("OPTIO_CODEX_LOGIN").map(Auth::Login));
    let own_address = matches!(auth, Some(Auth::Login(_)));
    let url = (access.text("OPTIO_CODEX_BASE_URL")).filter(|_| !own_address);
    let set = access.settings("codex");
    let reads = set.text("permissions").filter(|word| *word == "read");
    let mut agent = Codex::default()
        .with_auth(auth.unwrap_or_default())
        .given(url, Codex::with_base_url)
        .given(servers(access, &set), Codex::with_mcp_servers)
        .given(set.text("effort"), Codex::with_effort)
        .given(set.text("instructions"), Codex::with_instructions)
        .given(reads.map(|_| Sandbox::ReadOnly), Codex::with_sandbox);
    for (key, toml) in set.pairs("settings") {
        agent = agent.with_setting(key, toml);
    }
    agent
}

pub(super) fn gemini(access: &AgentAccess) -> Gemini {
    use gemini::{Auth, Permissions};
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
    let set = access.settings("gemini");
    let permissions = set.text("permissions").map(|word| match word {
        "read" => Permissions::Read,
        "edit" => Permissions::Edit,
        _ => Permissions::All,
    });
    Gemini::default()
        .with_auth(auth.unwrap_or_default())
        .given(address, Gemini::with_base_url)
        .given(servers(access, &set), Gemini::with_mcp_servers)
        .given(set.text("instructions"), Gemini::with_instructions)
        .given(set.number("max_turns"), Gemini::with_max_turns)
        .given(permissions, Gemini::with_permissions)
}

pub(super) fn opencode(access: &AgentAccess) -> OpenCode {
    use opencode::{Auth, Permissions, RepositorySettings};
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
    let set = access.settings("opencode");
    let reads = set.text("permissions").filter(|word| *word == "read");
    let load = repository_settings(&set, RepositorySettings::Load, RepositorySettings::Ignore);
    OpenCode::default()
        .with_auth(auth)
        .given(servers(access, &set), OpenCode::with_mcp_servers)
        .given(set.text("effort"), OpenCode::with_effort)
        .given(set.text("instructions"), OpenCode::with_instructions)
        .given(set.number("max_steps"), OpenCode::with_max_steps)
        .given(reads.map(|_| Permissions::Read), OpenCode::with_permissions)
        .given(load, OpenCode::with_repository_settings)
}

pub(super) fn copilot(access: &AgentAccess) -> Result<Copilot> {
    use copilot::{Auth, Permissions, RepositorySettings};
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
    let set = access.settings("copilot");
    let load = repository_settings(&set, RepositorySettings::Load, RepositorySettings::Ignore);
    let tools = set.list("permissions").map(<[_]>::to_vec);
    Ok(Copilot::default()
        .with_auth(auth.unwrap_or_default())
        .given(servers(access, &set), Copilot::with_mcp_servers)
        .given(set.text("effort"), Copilot::with_effort)
        .given(set.text("instructions"), Copilot::with_instructions)
        .given(set.number("max_credits"), Copilot::with_max_credits)
        .given(tools.map(Permissions::Only), Copilot::with_permissions)
        .given(load, Copilot::with_repository_settings))
}

/// Settings that may be set.
trait Given: Sized {
    /// The same with this value, if there is one.
    fn given<T>(self, value: Option<T>, with: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => with(self, value),
            None => self,
        }
    }
}

impl<A> Given for A {}

/// Whether what the repository sets counts, in the agent's own words, if that is set.
fn repository_settings<T>(settings: &AgentSettings, load: T, ignore: T) -> Option<T> {
    let on = settings.switch("repository_settings")?;
    Some(if on { load } else { ignore })
}

/// The MCP servers of this agent: its own, else those for every agent.
fn servers(access: &AgentAccess, settings: &AgentSettings) -> Option<Secret> {
    (settings.servers().cloned()).or_else(|| access.secret(MCP_SERVERS))
}
