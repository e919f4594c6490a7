//! How much thought a run is asked for: its own wish comes before what its agent is set to.

use optio_agents::{
    claude_code::ClaudeCode, codex::Codex, copilot::Copilot, gemini::Gemini, opencode::OpenCode,
};
use optio_core::{agent::Agent, run::RunKind};

use crate::{
    commands::{refused, spec},
    recorded::manifests,
};

#[test]
fn what_a_run_asks_for_comes_before_what_is_set() {
    let agents: [Box<dyn Agent>; 4] = [
        Box::new(ClaudeCode::default().with_effort("minimal")),
        Box::new(Codex::default().with_effort("minimal")),
        Box::new(Copilot::default().with_effort("minimal")),
        Box::new(OpenCode::default().with_effort("minimal")),
    ];
    for agent in agents {
        let args = |effort: Option<&str>| {
            let mut run = spec(RunKind::First);
            run.effort = effort.map(str::to_owned);
            agent.command(&run).unwrap().args.join(" ")
        };
        assert!(args(None).contains("minimal"), "{}", args(None));
        let asked = args(Some("high"));
        assert!(
            asked.contains("high") && !asked.contains("minimal"),
            "{asked}"
        );
    }
}

#[test]
fn whoever_knows_no_effort_refuses_such_a_run() {
    let mut run = spec(RunKind::First);
    run.effort = Some("high".to_owned());
    let table = [
        refused(&Gemini::default(), &run),
        refused(&manifests::agent("qwen"), &run),
    ];
    insta::assert_snapshot!(table.join("\n"), @r"
    Gemini CLI cannot be told an effort, such as high
    qwen cannot be told an effort, such as high
    ");
}
