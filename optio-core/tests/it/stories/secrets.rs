//! What agents were given and must not tell.

use optio_core::{
    memory::{MemoryAgent, Step, diligent},
    secret::Secret,
    task::StateName,
    transcript::LogCursor,
};

use super::world::{World, auto_merge};

const SERVERS: &str =
    r#"{"mcpServers":{"docs":{"command":"docs-server","env":{"DOCS_TOKEN":"token-of-the-docs"}}}}"#;

/// Nobody but the agent was told of them: an embedder names a key once.
#[tokio::test(start_paused = true)]
async fn an_agent_that_prints_its_environment_leaves_no_key_in_the_log() {
    let agent = MemoryAgent::new()
        .with_secret(Secret::new("key-of-the-account"))
        .with_secret(Secret::new(SERVERS));
    let world = World::with_agents(auto_merge(), |_| (), [agent]).await;
    world.agents_do(|run| {
        let environment = format!("API_KEY=key-of-the-account SERVERS={SERVERS}");
        let mut steps = vec![
            Step::say(environment.clone()),
            Step::Print(environment),
            Step::Complain("docs-server: DOCS_TOKEN=token-of-the-docs is refused".to_owned()),
        ];
        steps.extend(diligent(run));
        steps
    });
    let task = world.submit("Look around").await;
    let _running = world.run();
    world.until(task, StateName::Completed).await;
    let log = world.engine.store().log(task, LogCursor::default(), 1_000);
    let log = format!("{:?}", log.await.unwrap());
    assert!(log.contains("API_KEY=***"), "{log}");
    assert!(
        log.contains("docs-server: DOCS_TOKEN=*** is refused"),
        "{log}"
    );
    for secret in ["key-of-the-account", "token-of-the-docs"] {
        assert!(!log.contains(secret), "{log}");
    }
}
