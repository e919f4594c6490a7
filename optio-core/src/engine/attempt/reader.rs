//! What is known of an agent's output while it is followed: lines on their way to the log, and what they have told so far.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Trouble;
use crate::{
    agent::Agent,
    classify::refusal,
    clock::Timestamp,
    engine::{
        Optio,
        transcript::{Batch, LineSplitter, Translated, Translator},
    },
    failure::{Failure, FailureClass},
    run::{Progress, Run},
    transcript::{LogEntry, LogStream, RunReport, SessionId, TranscriptEvent},
};

/// Whether an agent can be told anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ear {
    /// It can, and is at work.
    Busy,
    /// It has said its closing word, and waits for more.
    Waiting,
    /// It cannot, or its input has come to its end.
    Deaf,
}

/// Output on its way to the log, with all that goes into the run's record in the same commit.
pub(super) struct Read {
    pub(super) entries: Vec<LogEntry>,
    progress: Progress,
    report: RunReport,
    heard_at: Timestamp,
}

impl Read {
    /// What the run's record says after it.
    pub(super) fn note(&self, run: &mut Run) {
        run.progress = self.progress;
        run.report = self.report.clone();
        run.heard_at = self.heard_at;
    }
}

/// Reads output and gathers it for the log.
pub(super) struct Reader {
    stdout: LineSplitter,
    stderr: LineSplitter,
    translator: Translator,
    pub(super) agent: Arc<dyn Agent>,
    model: Option<String>,
    /// The session that the agent was given, if it is one that we can know.
    session: Option<SessionId>,
    batch: Batch,
    pub(super) report: RunReport,
    heard_at: Timestamp,
    /// When the model last answered, unless that was looked at.
    pub(super) answered_at: Option<Timestamp>,
    /// What its provider refuses it for, and when it is to be stopped for that.
    pub(super) refused: Option<(Failure, Instant)>,
    ear: Ear,
    pub(super) last_read: Option<Instant>,
    flush_at: Option<Instant>,
    delay: Duration,
}

impl Reader {
    /// Follows on from what is stored of the run.
    ///
    /// # Errors
    /// Nobody knows its agent any more.
    pub(super) fn new(run: &Run, engine: &Optio) -> Result<Self, Trouble> {
        let Some(agent) = engine.ports().agents.get(&run.agent) else {
            return Err(Failure::new(FailureClass::InvalidConfiguration)
                .with_detail(format!("there is no agent called {:?}", run.agent))
                .into());
        };
        Ok(Self {
            stdout: LineSplitter::new(run.progress.stdout),
            stderr: LineSplitter::new(run.progress.stderr),
            translator: Translator::new(Arc::clone(agent), engine.masker().clone()),
            agent: Arc::clone(agent),
            model: run.model.clone(),
            session: agent
                .new_session(run.id)
                .map(|new| run.resumes.clone().unwrap_or(new)),
            batch: Batch::new(run.number, run.progress),
            report: run.report.clone(),
            heard_at: run.heard_at,
            answered_at: None,
            refused: None,
            ear: match agent.message("") {
                None => Ear::Deaf,
                Some(_) if run.report.result.is_some() => Ear::Waiting,
                Some(_) => Ear::Busy,
            },
            last_read: None,
            flush_at: None,
            delay: engine.settings().log_delay,
        })
    }

    /// What was read and is not stored yet. What is read afterwards follows on.
    pub(super) fn take(&mut self) -> Read {
        self.flush_at = None;
        let (entries, progress) = self.batch.take();
        Read {
            entries,
            progress,
            report: self.report.clone(),
            heard_at: self.heard_at,
        }
    }

    /// Whether nothing waits to be stored.
    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Whether so much waits to be stored that it should be, before more is read.
    pub(super) fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    /// Takes in what the agent has written.
    pub(super) fn read(&mut self, stream: LogStream, bytes: &[u8], engine: &Optio) {
        self.heard_at = engine.now();
        self.last_read = Some(Instant::now());
        let splitter = if stream == LogStream::Stdout {
            &mut self.stdout
        } else {
            &mut self.stderr
        };
        for line in splitter.push(bytes) {
            self.line(stream, &line);
        }
        self.covered();
    }

    /// Takes in what stands behind the last end of a line: nothing follows.
    pub(super) fn finish(&mut self, engine: &Optio) {
        self.heard_at = engine.now();
        if let Some(line) = self.stdout.finish() {
            self.line(LogStream::Stdout, &line);
        }
        if let Some(line) = self.stderr.finish() {
            self.line(LogStream::Stderr, &line);
        }
        self.covered();
    }

    fn line(&mut self, stream: LogStream, line: &str) {
        let events = match stream {
            LogStream::Stdout => self.translator.stdout_line(line),
            _ => self.translator.stderr_line(line),
        };
        for Translated { event, original } in events {
            self.report.fold(&event);
            if event.is_answer() {
                // there is something to go on with, even if the agent does not come to name it
                if self.report.session.is_none() {
                    self.report.session.clone_from(&self.session);
                }
                self.answered_at = Some(self.heard_at);
                self.refused = None;
            } else if self.refused.is_none() {
                self.refused = refusal(&event, self.heard_at)
                    .map(|refused| (refused.failure, Instant::now() + refused.patience));
            }
            if matches!(event, TranscriptEvent::Result { .. }) && self.ear == Ear::Busy {
                self.ear = Ear::Waiting;
            }
            if matches!(event, TranscriptEvent::Usage { .. }) {
                self.put_a_price_on_it();
            }
            self.batch.push(self.heard_at, stream, event, original);
        }
    }

    /// Takes in the file that the agent has left.
    pub(super) fn side_file(&mut self, text: &str) {
        for event in self.agent.read_side_file(text) {
            self.report.fold(&event);
            self.put_a_price_on_it();
            self.batch
                .push(self.heard_at, LogStream::Optio, event, None);
        }
    }

    /// What was used costs money also where the agent's stream tells tokens alone.
    fn put_a_price_on_it(&mut self) {
        let used = &mut self.report.usage;
        let model = self.report.model.as_deref().or(self.model.as_deref());
        if let Some(cost) = self.agent.price(model, used) {
            used.cost = used.cost.max(cost);
        }
    }

    /// The batch covers all complete lines so far; and is to be stored soon, if there is anything in it.
    fn covered(&mut self) {
        self.batch
            .covers(self.stdout.consumed(), self.stderr.consumed());
        if !self.batch.is_empty() && self.flush_at.is_none() {
            self.flush_at = Some(Instant::now() + self.delay);
        }
    }

    /// Whether it has said its closing word and is not to be told more.
    pub(super) fn is_done(&self) -> bool {
        self.report.result.is_some() && self.ear == Ear::Deaf
    }

    /// The last message it heard, if it can hear another one.
    pub(super) fn can_hear(&self, heard: u32) -> Option<u32> {
        (self.ear != Ear::Deaf).then_some(heard)
    }

    /// Ends when the agent has said its closing word and can be told more.
    pub(super) async fn wants_more(&self) {
        if self.ear != Ear::Waiting {
            std::future::pending().await
        }
    }

    /// It was told this.
    pub(super) fn told(&mut self, event: TranscriptEvent, at: Timestamp) {
        self.batch.push(at, LogStream::Optio, event, None);
    }

    /// It cannot be told anything any more.
    pub(super) fn is_deaf(&mut self) {
        self.ear = Ear::Deaf;
    }

    /// It gets more to do, and will say another closing word.
    pub(super) fn has_more_to_do(&mut self) {
        self.ear = Ear::Busy;
    }

    /// Ends when the agent has to be stopped, because what it tries is refused.
    pub(super) async fn out_of_patience(&self) {
        match &self.refused {
            Some((_, at)) => tokio::time::sleep_until(*at).await,
            None => std::future::pending().await,
        }
    }

    /// Ends when what was gathered is to be stored.
    pub(super) async fn due(&self) {
        match self.flush_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}
