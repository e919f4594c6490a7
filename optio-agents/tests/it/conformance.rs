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

mod gemini {
    use optio_agents::gemini::{Auth, Gemini};
    use optio_core::{conformance::agent::AgentUnderTest, secret::Secret};

    optio_core::agent_conformance!(AgentUnderTest::new(
        Gemini::default().with_auth(Auth::ApiKey(Secret::new("the-api-key"))),
        include_str!("../fixtures/gemini/multi-tool.ndjson").lines(),
    ));
}

mod opencode {
    use optio_agents::opencode::{Auth, OpenCode, Provider};
    use optio_core::{conformance::agent::AgentUnderTest, secret::Secret};

    optio_core::agent_conformance!(AgentUnderTest::new(
        OpenCode::default().with_auth(Auth::Providers(vec![
            Provider::new("anthropic").with_key(Secret::new("the-api-key"))
        ])),
        include_str!("../fixtures/opencode/multi-tool.ndjson").lines(),
    ));
}

mod copilot {
    use optio_agents::copilot::{Auth, Copilot};
    use optio_core::{conformance::agent::AgentUnderTest, secret::Secret};

    optio_core::agent_conformance!(AgentUnderTest::new(
        Copilot::default().with_auth(Auth::GitHubToken(Secret::new("the-token"))),
        include_str!("../fixtures/copilot/multi-tool.ndjson").lines(),
    ));
}

mod qwen {
    use optio_core::conformance::agent::AgentUnderTest;

    use crate::recorded::manifests::agent;

    optio_core::agent_conformance!(AgentUnderTest::new(
        agent("qwen")
            .with_environment(|name| name.ends_with("KEY").then(|| "the-api-key".to_owned())),
        include_str!("../fixtures/qwen/multi-tool.ndjson").lines(),
    ));
}

mod aider {
    use optio_core::conformance::agent::AgentUnderTest;

    use crate::recorded::manifests::agent;

    optio_core::agent_conformance!(AgentUnderTest::new(
        agent("aider")
            .with_environment(|name| name.ends_with("KEY").then(|| "the-api-key".to_owned())),
        include_str!("../fixtures/aider/edit-and-commit.ndjson").lines(),
    ));
}

mod amp {
    use optio_core::conformance::agent::AgentUnderTest;

    use crate::recorded::manifests::agent;

    // only its failures are recorded; besides it prints what Claude Code prints
    optio_core::agent_conformance!(AgentUnderTest::new(
        agent("amp")
            .with_environment(|name| name.ends_with("KEY").then(|| "the-api-key".to_owned())),
        include_str!("../fixtures/claude/multi-tool.ndjson").lines(),
    ));
}
