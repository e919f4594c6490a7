//! What the server's environment says of the providers that agents use.
//!
//! The variables are those that the agents' own programs read, so that whoever has set one up need not learn another
//! name. None is passed on as it is: each agent gets its own, as a secret of its run, and logs show `***` instead.

use optio_core::secret::Secret;

use super::Environment;

/// With what agents show providers who they work for, and where those are.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AgentAccess {
    /// `ANTHROPIC_API_KEY`.
    pub anthropic_api_key: Option<Secret>,
    /// `CLAUDE_CODE_OAUTH_TOKEN`, as `claude setup-token` makes it.
    pub claude_code_oauth_token: Option<Secret>,
    /// `ANTHROPIC_AUTH_TOKEN`, for a gateway.
    pub anthropic_auth_token: Option<Secret>,
    /// `ANTHROPIC_BASE_URL`.
    pub anthropic_base_url: Option<String>,
    /// `CODEX_API_KEY`.
    pub codex_api_key: Option<Secret>,
    /// `OPTIO_CODEX_BASE_URL`; Codex itself has no such variable.
    pub codex_base_url: Option<String>,
}

impl AgentAccess {
    pub(super) fn of(environment: &Environment) -> Self {
        let text = |name: &str| environment.text(name).map(str::to_owned);
        let secret = |name: &str| environment.text(name).map(Secret::new);
        Self {
            anthropic_api_key: secret("ANTHROPIC_API_KEY"),
            claude_code_oauth_token: secret("CLAUDE_CODE_OAUTH_TOKEN"),
            anthropic_auth_token: secret("ANTHROPIC_AUTH_TOKEN"),
            anthropic_base_url: text("ANTHROPIC_BASE_URL"),
            codex_api_key: secret("CODEX_API_KEY"),
            codex_base_url: text("OPTIO_CODEX_BASE_URL"),
        }
    }

    /// What must not appear in any log.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        [
            &self.anthropic_api_key,
            &self.claude_code_oauth_token,
            &self.anthropic_auth_token,
            &self.codex_api_key,
        ]
        .into_iter()
        .flatten()
    }
}
