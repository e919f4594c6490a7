//! What the real programs printed, and what the adapters make of it. See `tests/fixtures/README.md`.

mod claude_code;
mod codex;
mod copilot;
mod gemini;
mod lines;
pub(crate) mod manifests;
mod opencode;
mod refusals;
mod streams;
mod traps;
mod unexplained;

use std::{fmt::Write as _, path::Path, sync::LazyLock};

use optio_agents::{
    claude_code::ClaudeCode, codex::Codex, copilot::Copilot, gemini::Gemini, opencode::OpenCode,
};
use optio_core::{
    agent::{Agent, AgentVerdict, Ending},
    clock::Timestamp,
    failure::{ExitStatus, Failure},
    money::Usage,
    transcript::{RunReport, SessionId, TranscriptEvent},
};
use serde::Deserialize;

/// One recording: what a program printed, and how it was called and ended.
#[derive(Debug)]
struct Recording {
    case: String,
    stdout: String,
    about: About,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct About {
    version: String,
    argv: Vec<String>,
    exit_code: Option<i32>,
    signal: Option<String>,
    stderr: String,
}

/// Every adapter, with the folder of its recordings.
fn every_agent() -> &'static [(&'static str, Box<dyn Agent>)] {
    static AGENTS: LazyLock<Vec<(&str, Box<dyn Agent>)>> = LazyLock::new(|| {
        vec![
            ("claude", Box::new(ClaudeCode::default())),
            ("codex", Box::new(Codex::default())),
            ("gemini", Box::new(Gemini::default())),
            ("opencode", Box::new(OpenCode::default())),
            ("copilot", Box::new(Copilot::default())),
            ("qwen", Box::new(manifests::agent("qwen"))),
            ("aider", Box::new(manifests::agent("aider"))),
            ("amp", Box::new(manifests::agent("amp"))),
        ]
    });
    &AGENTS
}

/// All recordings of a program, by name.
fn recordings(of: &str) -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(of);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "ndjson"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| Recording {
            case: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            stdout: String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned(),
            about: serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap())
                .unwrap(),
        })
        .collect()
}

/// The recording of this name.
fn recording(of: &str, case: &str) -> Recording {
    recordings(of)
        .into_iter()
        .find(|recording| recording.case == case)
        .unwrap_or_else(|| panic!("no recording {case}"))
}

impl Recording {
    fn events(&self, agent: &dyn Agent) -> Vec<TranscriptEvent> {
        self.stdout
            .lines()
            .flat_map(|line| agent.read_line(line))
            .collect()
    }

    /// What the engine would have written down.
    fn report(&self, agent: &dyn Agent, session_before: Usage) -> RunReport {
        let mut report = RunReport {
            session_before,
            ..RunReport::default()
        };
        for event in self.events(agent) {
            report.fold(&event);
            if let Some(cost) = agent.price(report.model.as_deref().or(self.model()), &report.usage)
            {
                report.usage.cost = cost;
            }
        }
        report
    }

    fn status(&self) -> ExitStatus {
        let signal = |name: &str| match name {
            "SIGHUP" => 1,
            "SIGINT" => 2,
            "SIGKILL" => 9,
            "SIGTERM" => 15,
            other => panic!("{other}"),
        };
        match (&self.about.signal, self.about.exit_code) {
            (Some(name), _) => ExitStatus::Signal(signal(name)),
            (None, Some(code)) => ExitStatus::Code(code),
            (None, None) => panic!("{} has no end", self.case),
        }
    }

    /// What follows this word among its arguments, after a blank or an equals sign.
    fn argument(&self, flag: &str) -> Option<&str> {
        let argv = &self.about.argv;
        let joined = |word: &'_ String| word.strip_prefix(flag)?.strip_prefix('=').map(str::len);
        argv.iter().enumerate().find_map(|(at, word)| {
            if word == flag {
                return argv.get(at + 1).map(String::as_str);
            }
            joined(word).map(|length| &word[word.len() - length..])
        })
    }

    /// The session it was asked to go on with.
    fn resumed(&self) -> Option<SessionId> {
        let argv = &self.about.argv;
        let says = |word: &str| argv.iter().any(|it| it == word);
        // to Codex it is a command, before whose prompt the session stands
        if says("exec") && says("resume") && !says("--last") {
            let session = argv.get(argv.len() - 2)?;
            return Some(SessionId(session.clone()));
        }
        let flags = ["--resume", "--session"];
        let session = flags.into_iter().find_map(|flag| self.argument(flag))?;
        Some(SessionId(session.to_owned()))
    }

    fn model(&self) -> Option<&str> {
        self.argument("-m").or_else(|| self.argument("--model"))
    }

    fn verdict(
        &self,
        agent: &dyn Agent,
        report: &RunReport,
        resumed: Option<&SessionId>,
    ) -> AgentVerdict {
        let ending = Ending {
            status: Some(self.status()),
            report,
            stderr: &self.about.stderr,
            resumed,
        };
        agent.verdict(&ending, now())
    }

    /// The failure of a run that goes on with nothing.
    fn failure(&self, agent: &dyn Agent) -> Failure {
        let report = self.report(agent, Usage::default());
        match self.verdict(agent, &report, None) {
            AgentVerdict::Failed(failure) => failure,
            AgentVerdict::Finished { summary } => panic!("{} finished: {summary}", self.case),
        }
    }
}

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// All recordings of a program, as this agent reads them.
fn told_all(of: &str, agent: &dyn Agent, before: impl Fn(&str) -> Usage) -> String {
    let table: Vec<_> = recordings(of)
        .iter()
        .map(|recording| {
            let report = recording.report(agent, before(&recording.case));
            let verdict = recording.verdict(agent, &report, recording.resumed().as_ref());
            told(recording, &report, &recording.events(agent), &verdict)
        })
        .collect();
    table.join("\n")
}

/// All events of one recording that has some of most kinds, as they are stored.
#[test]
fn a_whole_run_as_it_is_stored() {
    for (name, agent) in every_agent() {
        let case = match *name {
            "aider" => "edit-and-commit",
            "amp" => continue, // it has only failures
            _ => "multi-tool",
        };
        let events = recording(name, case).events(&**agent);
        let lines = events
            .iter()
            .map(|event| serde_json::to_string(event).unwrap());
        let lines: Vec<_> = lines.collect();
        insta::assert_snapshot!(format!("whole_{name}"), lines.join("\n"));
    }
}

/// A recording in a few lines: how it ended, what its stream holds in order, and what the adapter says of it.
fn told(
    recording: &Recording,
    report: &RunReport,
    events: &[TranscriptEvent],
    verdict: &AgentVerdict,
) -> String {
    let used = report.usage;
    let version = report
        .agent_version
        .as_deref()
        .unwrap_or(&recording.about.version);
    let mut text = format!("{} ({version}, {})\n", recording.case, recording.status());
    let _ = writeln!(text, "  {}", sequence(events));
    let _ = match verdict {
        AgentVerdict::Finished { summary } => writeln!(text, "  finished: {}", short(summary)),
        AgentVerdict::Failed(failure) => writeln!(
            text,
            "  {}, {}: {}",
            failure.class,
            failure.retry,
            short(failure.detail().unwrap_or("-"))
        ),
    };
    let _ = writeln!(
        text,
        "  {}, {} tokens in ({} cached), {} out; model {}, session {}",
        used.cost,
        used.input_tokens,
        used.cached_tokens,
        used.output_tokens,
        report.model.as_deref().unwrap_or("-"),
        report.session.as_ref().map_or("-", |session| &session.0)
    );
    text
}

/// The kinds of the events, those of the same kind in a row counted.
fn sequence(events: &[TranscriptEvent]) -> String {
    let mut rows: Vec<(String, usize)> = Vec::new();
    for event in events {
        let name = name(event);
        match rows.last_mut() {
            Some((last, count)) if *last == name => *count += 1,
            _ => rows.push((name, 1)),
        }
    }
    let shown = rows.into_iter().map(|(name, count)| match count {
        1 => name,
        count => format!("{name} x{count}"),
    });
    let shown: Vec<_> = shown.collect();
    if shown.is_empty() {
        "nothing".to_owned()
    } else {
        shown.join(", ")
    }
}

fn name(event: &TranscriptEvent) -> String {
    match event {
        TranscriptEvent::Session { .. } => "session".to_owned(),
        TranscriptEvent::Model { .. } => "model".to_owned(),
        TranscriptEvent::Text { .. } => "text".to_owned(),
        TranscriptEvent::TextPart { .. } => "piece".to_owned(),
        TranscriptEvent::Thinking { .. } => "thinking".to_owned(),
        TranscriptEvent::ToolCall { name, .. } => format!("call {name}"),
        TranscriptEvent::ToolResult { failed: false, .. } => "returned".to_owned(),
        TranscriptEvent::ToolResult { failed: true, .. } => "returned failure".to_owned(),
        TranscriptEvent::Plan { items } => format!("plan of {}", items.len()),
        TranscriptEvent::System { .. } => "system".to_owned(),
        TranscriptEvent::Usage { of, .. } => format!("usage of {of:?}").to_lowercase(),
        TranscriptEvent::RateLimit {
            refused: true,
            resets_at,
        } => {
            format!(
                "refused until {}",
                resets_at.map_or("-".to_owned(), |at| at.to_string())
            )
        }
        TranscriptEvent::RateLimit { refused: false, .. } => "limit is near".to_owned(),
        TranscriptEvent::Error { error } => format!(
            "error {}",
            error
                .kind
                .clone()
                .or_else(|| error.http_status.map(|status| status.to_string()))
                .unwrap_or_else(|| "in words".to_owned())
        ),
        TranscriptEvent::Result { failed: false, .. } => "SUCCESS".to_owned(),
        TranscriptEvent::Result { failed: true, .. } => "FAILURE".to_owned(),
        TranscriptEvent::Raw { .. } => "raw".to_owned(),
        _ => "new".to_owned(),
    }
}

fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(110) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line.to_owned(),
    }
}
