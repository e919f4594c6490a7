//! The adapter: the scripted agent behind the port.

use optio_core::{
    agent::{Agent, AgentVerdict, Ending, Preflight, RunSpec},
    clock::Timestamp,
    error::Result,
    failure::{ExitStatus, Failure, FailureClass, ReportedError},
    money::Usage,
    run::RunKind,
    runtime::Command,
    transcript::{SessionId, TranscriptEvent, UsageOf},
};

use super::{process::REFUSED, stream::StreamLine};

/// Drives the scripted agent. Tasks ask for it as `scripted`.
#[derive(Debug, Clone)]
pub struct Scripted {
    command: Command,
}

impl Default for Scripted {
    /// The program `optio-scripted-agent`, to be found on the workspace's PATH.
    fn default() -> Self {
        Self::from_command(Command::new("optio-scripted-agent"))
    }
}

impl Scripted {
    /// The scripted agent is started by this command, to which its own arguments are added: for a program elsewhere, or
    /// one that holds the agent as a subcommand.
    #[must_use]
    pub fn from_command(command: Command) -> Self {
        Self { command }
    }
}

impl Agent for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn command(&self, run: &RunSpec) -> Result<Command> {
        // a new session takes the run's id, so that it is known before the agent has said a word
        let session = match &run.resume {
            Some(session) => ["--resume".to_owned(), session.to_string()],
            None => ["--session".to_owned(), run.run.as_uuid().to_string()],
        };
        let mut command = self
            .command
            .clone()
            .args(["--kind", run.kind.as_str()])
            .args(session);
        command = command.args(["--task-file", &run.task_file]);
        if let Some(model) = &run.model {
            command = command.args(["--model", model]);
        }
        if run.kind == RunKind::Review {
            command = command.args(["--verdict-file", &run.verdict_file]);
        }
        Ok(command
            .in_dir(run.worktree.clone())
            .stdin(run.prompt.clone()))
    }

    fn read_line(&self, line: &str) -> Vec<TranscriptEvent> {
        match serde_json::from_str(line) {
            Ok(line) => events(line),
            Err(_) => vec![TranscriptEvent::Raw {
                text: line.to_owned(),
            }],
        }
    }

    fn verdict(&self, run: &Ending<'_>, now: Timestamp) -> AgentVerdict {
        let refused = run.status == Some(ExitStatus::Code(REFUSED.into()));
        if refused && run.report.session.is_none() {
            let failure = Failure::new(FailureClass::InvalidConfiguration).with_detail(run.stderr);
            return AgentVerdict::Failed(failure);
        }
        run.usual_verdict(now)
    }

    fn preflight(&self) -> Preflight {
        Preflight::new(
            self.command.clone().arg("--version"),
            "install optio-scripted-agent and put it on the PATH",
        )
    }
}

fn events(line: StreamLine) -> Vec<TranscriptEvent> {
    let used = |cost, input_tokens, output_tokens| TranscriptEvent::Usage {
        total: Usage {
            cost,
            input_tokens,
            cached_tokens: 0,
            output_tokens,
        },
        of: UsageOf::Run,
    };
    vec![match line {
        StreamLine::Init {
            session_id,
            model,
            version,
        } => TranscriptEvent::Session {
            id: SessionId(session_id),
            model: Some(model),
            version: Some(version),
        },
        StreamLine::Text { text } => TranscriptEvent::Text { text },
        StreamLine::Thinking { text } => TranscriptEvent::Thinking { text },
        StreamLine::ToolCall { id, name, input } => TranscriptEvent::ToolCall { id, name, input },
        StreamLine::ToolResult {
            id,
            is_error,
            output,
        } => TranscriptEvent::ToolResult {
            id,
            output,
            failed: is_error,
        },
        StreamLine::Usage {
            cost_usd,
            input_tokens,
            output_tokens,
        } => used(cost_usd, input_tokens, output_tokens),
        StreamLine::RateLimit { resets_at } => TranscriptEvent::RateLimit {
            resets_at: Some(resets_at),
            refused: true,
        },
        StreamLine::Error {
            kind,
            http_status,
            message,
        } => TranscriptEvent::Error {
            error: ReportedError {
                kind: Some(kind),
                http_status,
                message,
                resets_at: None,
            },
        },
        StreamLine::Result {
            is_error,
            summary,
            cost_usd,
            input_tokens,
            output_tokens,
            ..
        } => {
            let usage = used(cost_usd, input_tokens, output_tokens);
            return vec![
                usage,
                TranscriptEvent::Result {
                    failed: is_error,
                    summary,
                },
            ];
        }
    }]
}
