//! Plays steps: acts on the working directory and tells it on the stream.

use std::{
    io::{self, Write},
    path::PathBuf,
    thread,
    time::Duration,
};

use optio_core::{
    clock::{self, Clock},
    money::Usage,
    pull_request::{ReviewComment, ReviewReport},
};
use serde_json::{Value, json};

use super::{
    session::Session,
    step::{MIN_LONG, OnFailure, Step},
    stream::{StreamLine, StreamWriter},
    tools,
};

/// How often `wait-file` looks. Only the caller knows when the file comes, so there is nothing to be woken by.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How a run that ends by itself ends.
#[derive(Debug)]
pub(super) struct End {
    /// Zero is success.
    pub(super) code: u8,
    /// What the agent says about it.
    pub(super) summary: String,
}

impl End {
    fn failed(summary: impl Into<String>) -> Self {
        Self {
            code: 1,
            summary: summary.into(),
        }
    }
}

/// The agent at work.
#[derive(Debug)]
pub(super) struct Player<'a, W> {
    pub(super) out: StreamWriter<W>,
    pub(super) clock: &'a dyn Clock,
    pub(super) session: &'a Session,
    pub(super) folder: PathBuf,
    pub(super) verdict_file: Option<PathBuf>,
    calls: u32,
    usage: Usage,
    said: Option<String>,
    comments: Vec<ReviewComment>,
}

impl<'a, W: Write> Player<'a, W> {
    pub(super) fn new(
        out: StreamWriter<W>,
        clock: &'a dyn Clock,
        session: &'a Session,
        folder: PathBuf,
    ) -> Self {
        let (calls, usage, said, comments) = (0, Usage::default(), None, Vec::new());
        Self {
            out,
            clock,
            session,
            folder,
            verdict_file: None,
            calls,
            usage,
            said,
            comments,
        }
    }

    /// Plays the steps up to the first that ends the run, and prints the result.
    ///
    /// # Errors
    /// Only if the stream cannot be written.
    pub(super) fn play(mut self, model: String, steps: &[Step]) -> io::Result<End> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        self.out.line(&StreamLine::Init {
            session_id: self.session.id.clone(),
            model,
            version,
        })?;
        let mut end = None;
        for step in steps {
            end = self.step(step)?;
            if end.is_some() {
                break;
            }
        }
        let end = end.unwrap_or_else(|| End {
            code: 0,
            summary: self
                .said
                .take()
                .unwrap_or_else(|| "the script is finished".to_owned()),
        });
        self.out.line(&StreamLine::Result {
            is_error: end.code != 0,
            summary: end.summary.clone(),
            session_id: self.session.id.clone(),
            cost_usd: self.usage.cost,
            input_tokens: self.usage.input_tokens,
            output_tokens: self.usage.output_tokens,
            turns: self.session.turns,
        })?;
        Ok(end)
    }

    fn step(&mut self, step: &Step) -> io::Result<Option<End>> {
        match step {
            Step::Say(text) => {
                self.said = Some(text.clone());
                self.out.line(&StreamLine::Text { text: text.clone() })?;
            }
            Step::Think(text) => self
                .out
                .line(&StreamLine::Thinking { text: text.clone() })?,
            Step::Edit { path, content } => {
                let input = json!({ "path": path, "content": content });
                return self.must("edit", &input, |player| {
                    tools::edit(&player.folder, path, content)
                });
            }
            Step::Append { path, content } => {
                let input = json!({ "path": path, "content": content });
                return self.must("append", &input, |player| {
                    tools::append(&player.folder, path, content)
                });
            }
            Step::Delete { path } => {
                return self.must("delete", &json!({ "path": path }), |player| {
                    tools::delete(&player.folder, path)
                });
            }
            Step::Run {
                command,
                on_failure,
            } => {
                let input = json!({ "command": command });
                let end = self.must("bash", &input, |player| {
                    tools::shell(&player.folder, command)
                })?;
                return Ok(end.filter(|_| *on_failure == OnFailure::Stop));
            }
            Step::When(command) => {
                let input = json!({ "command": command });
                let failed = self.must("bash", &input, |player| {
                    tools::shell(&player.folder, command)
                })?;
                return Ok(failed.map(|_| End {
                    code: 0,
                    summary: self.said.take().unwrap_or_default(),
                }));
            }
            Step::Commit(message) => {
                let input = json!({ "message": message });
                return self.must("commit", &input, |player| {
                    tools::commit(&player.folder, message)
                });
            }
            Step::Comment(comment) => self.comments.push(comment.clone()),
            Step::Verdict { verdict, summary } => {
                let comments = std::mem::take(&mut self.comments);
                let report = ReviewReport {
                    verdict: *verdict,
                    summary: summary.clone(),
                    comments,
                };
                let input = serde_json::to_value(&report)?;
                self.said = Some(summary.clone());
                return self.must("verdict", &input, |player| {
                    tools::verdict(player.verdict_file.as_deref(), &report)
                });
            }
            Step::Cost {
                usd,
                input_tokens,
                output_tokens,
            } => {
                let (input_tokens, output_tokens) = (*input_tokens, *output_tokens);
                self.usage += Usage {
                    cost: *usd,
                    input_tokens,
                    cached_tokens: 0,
                    output_tokens,
                };
                let Usage {
                    cost: cost_usd,
                    input_tokens,
                    output_tokens,
                    ..
                } = self.usage;
                self.out.line(&StreamLine::Usage {
                    cost_usd,
                    input_tokens,
                    output_tokens,
                })?;
            }
            Step::RateLimit(wait) => {
                let resets_at = clock::later(self.clock.now(), *wait);
                self.out.line(&StreamLine::RateLimit { resets_at })?;
                return Ok(Some(End::failed(format!(
                    "rate limit reached; it resets at {resets_at}"
                ))));
            }
            Step::Fail { code, message } => {
                let message = message
                    .clone()
                    .unwrap_or_else(|| format!("the script ends with exit code {code}"));
                tools::complain(&message);
                return Ok(Some(End {
                    code: *code,
                    summary: message,
                }));
            }
            Step::Error { kind, message } => {
                let (kind, message) = (kind.clone(), message.clone());
                let http_status = http_status(&kind);
                self.out.line(&StreamLine::Error {
                    kind,
                    http_status,
                    message: message.clone(),
                })?;
                return Ok(Some(End::failed(message)));
            }
            Step::Hang => loop {
                thread::park();
            },
            Step::Sleep(time) => thread::sleep(*time),
            Step::Spam(lines) => {
                for line in 1..=*lines {
                    self.out.line(&StreamLine::Text {
                        text: format!("line {line} of {lines}"),
                    })?;
                }
            }
            Step::Raw(text) => self.out.raw(text)?,
            Step::Bytes(bytes) => self.out.bytes(bytes)?,
            Step::Long(length) => self.out.line(&StreamLine::Text {
                text: "x".repeat(length - MIN_LONG),
            })?,
            Step::Lie => {
                let summary = "done: the change is implemented, committed, and all tests pass";
                return Ok(Some(End {
                    code: 0,
                    summary: summary.to_owned(),
                }));
            }
            Step::Crash => tools::crash(),
            Step::SpawnStray(command) => {
                let input = json!({ "command": command, "background": true });
                return self.must("bash", &input, |player| {
                    tools::spawn_stray(&player.folder, command)
                });
            }
            Step::WaitFile(path) => {
                let path = self.folder.join(path);
                while !path.exists() {
                    thread::sleep(LOOK_AGAIN);
                }
            }
        }
        Ok(None)
    }

    /// Uses a tool; its failure ends the run.
    fn must(
        &mut self,
        name: &str,
        input: &Value,
        act: impl FnOnce(&Self) -> Result<String, String>,
    ) -> io::Result<Option<End>> {
        self.calls += 1;
        let id = format!("call_{}", self.calls);
        self.out.line(&StreamLine::ToolCall {
            id: id.clone(),
            name: name.to_owned(),
            input: input.clone(),
        })?;
        let done = act(self);
        let (is_error, output) = match &done {
            Ok(output) => (false, output.clone()),
            Err(output) => (true, output.clone()),
        };
        self.out.line(&StreamLine::ToolResult {
            id,
            is_error,
            output,
        })?;
        Ok(done
            .err()
            .map(|why| End::failed(format!("{name} failed: {}", last_line(&why)))))
    }
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().next_back().unwrap_or_default()
}

/// What a provider answers with in such a case.
pub(super) fn http_status(kind: &str) -> Option<u16> {
    Some(match kind {
        "invalid_request" => 400,
        "authentication_failed" => 401,
        "billing_error" => 402,
        "permission_denied" => 403,
        "model_not_found" => 404,
        "rate_limit" => 429,
        "server_error" => 500,
        "overloaded" => 529,
        _ => return None,
    })
}
