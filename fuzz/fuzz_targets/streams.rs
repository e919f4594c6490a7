//! Any bytes in any pieces, through the line splitter and every adapter: nothing panics, no line is lost, and what waits
//! for the end of its line is bounded.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use optio_agents::{
    claude_code::ClaudeCode, codex::Codex, command_agent::CommandAgent, copilot::Copilot,
    gemini::Gemini, opencode::OpenCode, scripted::Scripted,
};
use optio_core::{agent::Agent, engine::LineSplitter, transcript::RunReport};

/// So short that a fuzzer's inputs reach it.
const LIMIT: usize = 1024;

static AGENTS: LazyLock<Vec<Box<dyn Agent>>> = LazyLock::new(|| {
    let described = [
        include_str!("../../optio-agents/manifests/qwen.toml"),
        include_str!("../../optio-agents/manifests/aider.toml"),
        include_str!("../../optio-agents/manifests/amp.toml"),
    ];
    let described = described.map(|manifest| CommandAgent::parse(manifest).expect("it is tested"));
    let mut agents: Vec<Box<dyn Agent>> = vec![
        Box::new(ClaudeCode::default()),
        Box::new(Codex::default()),
        Box::new(Gemini::default()),
        Box::new(OpenCode::default()),
        Box::new(Copilot::default()),
        Box::new(Scripted::default()),
    ];
    for agent in described {
        agents.push(Box::new(agent));
    }
    agents
});

fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let mut splitter = LineSplitter::with_limit(0, LIMIT);
    let mut lines = Vec::new();
    for piece in &pieces {
        lines.extend(splitter.push(piece));
        assert!(splitter.waiting() <= LIMIT);
    }
    lines.extend(splitter.finish());
    let whole = pieces.concat();
    assert_eq!(splitter.consumed(), whole.len() as u64);
    let ends = whole.iter().filter(|byte| **byte == b'\n').count();
    let open = whole.last().is_some_and(|byte| *byte != b'\n');
    assert_eq!(lines.len(), ends + usize::from(open));
    for agent in AGENTS.iter() {
        let mut report = RunReport::default();
        for line in &lines {
            let events = agent.read_line(line);
            assert!(!events.is_empty(), "{} lost {line:?}", agent.name());
            for event in &events {
                report.fold(event);
            }
            agent.read_side_file(line);
        }
    }
});
