//! What the server's environment says of the providers that agents use.
//!
//! The variables are those that the agents' own programs read, so that whoever has set one up need not learn another
//! name. None is passed on as it is: each agent gets its own, as a secret of its run, and logs show `***` instead.

use std::collections::BTreeMap;

use optio_agents::command_agent::CommandAgent;
use optio_core::{agent::Agent as _, secret::Secret};

use super::{AgentSettings, Environment};

/// Variables that hold secrets.
const SECRETS: [&str; 16] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN", // for a gateway
    "AWS_BEARER_TOKEN_BEDROCK",
    "CLAUDE_CODE_OAUTH_TOKEN", // as `claude setup-token` makes it
    "CODEX_API_KEY",
    "COPILOT_GITHUB_TOKEN",
    "COPILOT_PROVIDER_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY", // of Vertex AI
    "OPENAI_API_KEY",
    "OPENCODE_AUTH_CONTENT",    // an auth.json of opencode
    "OPTIO_CODEX_LOGIN",        // an auth.json of Codex
    "OPTIO_GEMINI_LOGIN",       // an oauth_creds.json of Gemini CLI
    "OPTIO_GOOGLE_CREDENTIALS", // the file of a service account, as JSON
    "OPTIO_MCP_SERVERS",        // {"mcpServers": {...}}, for every agent
    "OPTIO_OPENCODE_API_KEY",
];

/// Variables that hold none.
const TEXTS: [&str; 18] = [
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_BEDROCK_BASE_URL",
    "ANTHROPIC_VERTEX_BASE_URL",
    "ANTHROPIC_VERTEX_PROJECT_ID",
    "AWS_REGION",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLOUD_ML_REGION",
    "COPILOT_PROVIDER_BASE_URL",
    "COPILOT_PROVIDER_TYPE",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_VERTEX_BASE_URL",
    "OPENAI_BASE_URL",
    "OPTIO_CODEX_BASE_URL",    // Codex itself has no such variable
    "OPTIO_OPENCODE_BASE_URL", // a gateway that speaks OpenAI's chat completions
];

/// With what agents show providers who they work for, where those are, what else is set of them, and which agents
/// manifests describe.
#[derive(Debug, Clone, Default)]
pub struct AgentAccess {
    secrets: BTreeMap<&'static str, Secret>,
    texts: BTreeMap<&'static str, String>,
    settings: BTreeMap<&'static str, AgentSettings>,
    described: Vec<CommandAgent>,
}

impl AgentAccess {
    pub(super) fn of(environment: &Environment) -> Self {
        let text = |name: &'static str| Some((name, environment.text(name)?.to_owned()));
        let secret = |name: &'static str| Some((name, Secret::new(environment.text(name)?)));
        Self {
            secrets: SECRETS.into_iter().filter_map(secret).collect(),
            texts: TEXTS.into_iter().filter_map(text).collect(),
            settings: BTreeMap::new(),
            described: Vec::new(),
        }
    }

    /// With this set of single agents.
    pub(super) fn with_settings(mut self, settings: BTreeMap<&'static str, AgentSettings>) -> Self {
        self.settings = settings;
        self
    }

    /// With these agents, of which each gets the variables that its manifest names.
    pub(super) fn with_described(
        mut self,
        agents: Vec<CommandAgent>,
        environment: &Environment,
    ) -> Self {
        let lookup = |name: &str| environment.text(name).map(str::to_owned);
        self.described = agents
            .into_iter()
            .map(|agent| agent.with_environment(lookup))
            .collect();
        self
    }

    /// The secret in this variable.
    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        self.secrets.get(name).cloned()
    }

    /// The text in this variable.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.texts.get(name).cloned()
    }

    /// Whether this variable switches something on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        let value = self.texts.get(name).map(|value| value.to_ascii_lowercase());
        value.is_some_and(|value| !matches!(value.as_str(), "0" | "false" | "no" | "off"))
    }

    /// What is set of this agent.
    pub(crate) fn settings(&self, agent: &str) -> AgentSettings {
        self.settings.get(agent).cloned().unwrap_or_default()
    }

    /// The agents of which something is set.
    pub(crate) fn adjusted(&self) -> impl Iterator<Item = &'static str> {
        self.settings.keys().copied()
    }

    /// The agents that manifests describe.
    pub(crate) fn described(&self) -> &[CommandAgent] {
        &self.described
    }

    /// What must not appear in any log, beside what the agents that manifests describe tell themselves.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.values()
    }
}

/// The names that are taken: those of the agents that need no manifest.
const BUILT_IN: [&str; 6] = [
    "claude-code",
    "codex",
    "copilot",
    "gemini",
    "opencode",
    "scripted",
];

/// Whether one of these agents may be called like this.
pub(super) fn is_taken(agents: &[CommandAgent], name: &str) -> bool {
    BUILT_IN.contains(&name) || agents.iter().any(|agent| agent.name() == name)
}
