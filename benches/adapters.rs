//! How many megabytes per second does each adapter turn into events?
//!
//! Lines of real recordings, with what agents say and tools give back made as long as it is in real work: prose of some
//! hundred bytes, source code of up to four kilobytes. The peer is what a reader in Rust plainly does with the same lines:
//! serde_json into structs of what events are made of, borrowed where it can be. Beside it the least that can be done:
//! only the outermost fields, each as it stands there, so that no text is read and nothing in it unescaped.

use std::{borrow::Cow, path::Path};

use anyhow::{Context, Result, ensure};
use optio_agents::{
    claude_code::ClaudeCode, codex::Codex, command_agent::CommandAgent, copilot::Copilot,
    gemini::Gemini, opencode::OpenCode,
};
use optio_benches::{Report, Row, Target, median, megabytes_per_second, read_typed};
use optio_core::agent::Agent;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tokio::time::Instant;

const MEGABYTES: usize = 20;
const REPEATS: usize = 5;

fn main() -> Result<()> {
    let mut report = Report::begin("adapters", "megabytes per second from lines to events")?;
    let qwen = CommandAgent::parse(include_str!("../optio-agents/manifests/qwen.toml"))?;
    let agents: [(&str, Box<dyn Agent>); 6] = [
        ("claude", Box::new(ClaudeCode::default())),
        ("codex", Box::new(Codex::default())),
        ("gemini", Box::new(Gemini::default())),
        ("opencode", Box::new(OpenCode::default())),
        ("copilot", Box::new(Copilot::default())),
        ("qwen", Box::new(qwen)),
    ];
    for (name, agent) in agents {
        let lines = lines(name)?;
        let (mut ours, mut typed, mut outermost) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            typed.push(rate(&lines, |line| read_typed(name, line))?);
            outermost.push(rate(&lines, read_outermost)?);
            ours.push(rate(&lines, |line| Ok(agent.read_line(line).len()))?);
        }
        let ours = median(ours);
        let what = match name {
            "qwen" => "qwen, by its manifest",
            name => name,
        };
        report.row(
            Row::rate(what, ours, "MB/s")
                .against("typed serde_json", median(typed))
                .target(Target::Ratio(0.6)),
        );
        report.row(
            Row::rate(
                format!("{what}, beside outermost fields alone"),
                ours,
                "MB/s",
            )
            .against("outermost fields, raw", median(outermost)),
        );
    }
    report.end()
}

/// Lines of a recording over and over, with long texts in them.
fn lines(agent: &str) -> Result<Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../optio-agents/tests/fixtures")
        .join(agent)
        .join("multi-tool.ndjson");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let templates: Vec<Value> = text
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    ensure!(
        !templates.is_empty(),
        "there is nothing in {}",
        file.display()
    );
    let (mut lines, mut size, mut turn) = (Vec::new(), 0, 0);
    while size < MEGABYTES * 1_000_000 {
        for template in &templates {
            turn += 1;
            let mut line = template.clone();
            lengthen(&mut line, turn);
            let line = line.to_string();
            size += line.len();
            lines.push(line);
        }
    }
    Ok(lines)
}

/// Makes what was said and what tools gave back as long as in real work.
fn lengthen(value: &mut Value, turn: usize) {
    let source = "    let total: u64 = rows.iter().map(|row| row.amount(\"net\")).sum();\n";
    let prose = "The sum is taken before the filter, so it counts rows that were dropped. ";
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| lengthen(value, turn)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("text" | "thinking", Value::String(text)) => {
                        *text = prose.repeat(1 + turn % 5)
                    }
                    (
                        "output" | "content" | "stdout" | "aggregated_output" | "detailedContent"
                        | "file_text",
                        Value::String(text),
                    ) => *text = source.repeat(1 + turn * 7 % 60),
                    (_, value) => lengthen(value, turn),
                }
            }
        }
        _ => {}
    }
}

/// The fields with what a line is about.
#[derive(Deserialize)]
struct Outermost<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    part: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

fn read_outermost(line: &str) -> Result<usize> {
    let line: Outermost<'_> = serde_json::from_str(line)?;
    let payload = [line.message, line.item, line.part, line.data]
        .into_iter()
        .chain([line.content, line.parameters, line.output])
        .flatten();
    Ok(line.kind.len() + payload.map(|raw| raw.get().len()).sum::<usize>())
}

/// How fast all lines are read in this way; each of them has something in it.
fn rate(lines: &[String], mut read: impl FnMut(&str) -> Result<usize>) -> Result<f64> {
    let start = Instant::now();
    for line in lines {
        ensure!(std::hint::black_box(read(line)?) > 0, "a line was lost");
    }
    let took = start.elapsed();
    Ok(megabytes_per_second(
        lines.iter().map(String::len).sum(),
        took,
    ))
}
