//! The contract of agents, held against the adapters of real programs.

mod claude_code {
    use optio_agents::claude_code::{Auth, ClaudeCode};
    use optio_core::{conformance::agent::AgentUnderTest, secret::Secret};

    optio_core::agent_conformance!(AgentUnderTest::new(
        ClaudeCode::default().with_auth(Auth::ApiKey(Secret::new("the-api-key"))),
        include_str!("../fixtures/claude/multi-tool.ndjson").lines(),
    ));
}

mod codex {
    use optio_agents::codex::{Auth, Codex};
    use optio_core::{conformance::agent::AgentUnderTest, secret::Secret};

    optio_core::agent_conformance!(AgentUnderTest::new(
        Codex::default().with_auth(Auth::ApiKey(Secret::new("the-api-key"))),
        include_str!("../fixtures/codex/multi-tool.ndjson").lines(),
    ));
}
