//! The agent in memory keeps the contract.

use optio_core::{conformance::agent::AgentUnderTest, memory::MemoryAgent};

optio_core::agent_conformance!(AgentUnderTest::new(
    MemoryAgent::new(),
    [
        r#"{"type":"session","id":"a","model":null,"version":"1.0"}"#,
        r#"{"type":"text","text":"on it"}"#,
        r#"{"type":"result","failed":false,"summary":"done"}"#,
    ]
));
