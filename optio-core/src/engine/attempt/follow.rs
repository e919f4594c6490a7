//! Following: the agent's output becomes the run's log, exactly once each byte; watchdogs end a run that takes too
//! long, is stalled, has spent what it may, or is not wanted any more.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Trouble, messages::Called, prepare::run_files};
use crate::{
    agent::Agent,
    classify::refusal,
    clock::{Timestamp, elapsed},
    engine::{
        Optio,
        held::Held,
        transcript::{Batch, LineSplitter, Translated, Translator},
    },
    error::{ErrorKind, Result, Retry},
    event_bus::Hint,
    failure::{ExitStatus, Failure, FailureClass},
    repo::Repo,
    run::{Run, RunPhase, StopReason},
    runtime::{OutputOffset, Piece, RunStatus, Runtime},
    store::Write,
    transcript::{LogStream, RunReport, TranscriptEvent},
};

/// How following a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    /// The run is in another phase now.
    Exited,
    /// We are shutting down; the agent works on.
    Detached,
}

/// The largest side file that is read.
const MAX_SIDE_FILE: usize = 1 << 20;

/// How long an agent that has said its closing word may be silent and idle before it is ended. What it left running in the
/// background may still lead to something.
const LINGER: Duration = Duration::from_secs(5 * 60);

/// How often the watchdogs look.
const WATCH: Duration = Duration::from_secs(5);

impl Optio {
    /// Follows a run that was started, from where its log ends, until its agent has ended.
    pub(super) async fn follow(
        &self,
        held: &Held,
        shutdown: &CancellationToken,
    ) -> Result<Followed, Trouble> {
        let run = held.run().await;
        match self.runtime().status(run.workspace, run.id).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return self.not_there(held, &run).await;
            }
            Err(error) => return Err(Trouble::Backend(error)),
        }
        self.mark_started(held).await?;
        let repo = self.store().repo(run.repo).await?;
        let offset = OutputOffset {
            stdout: run.progress.stdout,
            stderr: run.progress.stderr,
        };
        let mut output = self.runtime().attach(run.workspace, run.id, offset).await?;
        let mut reader = self.reader(&run)?;
        let mut watchdog = Watchdog::new(&repo, &run, self.now());
        let mut watch = tokio::time::interval(WATCH);
        watch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let whose = (run.task, run.id);
        let mut called = pin!(self.until_called(whose, reader.can_hear(run.heard)));
        let mut asked_to_stop = false;
        loop {
            tokio::select! {
                biased;
                piece = output.next() => match piece? {
                    Piece::Stdout(bytes) => reader.read(LogStream::Stdout, &bytes, self),
                    Piece::Stderr(bytes) => reader.read(LogStream::Stderr, &bytes, self),
                    Piece::Ended(status) => {
                        reader.finish(self);
                        self.read_side_file(&run, &mut reader).await?;
                        return self.exited(held, reader, status).await;
                    }
                },
                () = reader.due() => self.flush(held, &mut reader).await?,
                () = shutdown.cancelled() => {
                    self.flush(held, &mut reader).await?;
                    return Ok(Followed::Detached);
                }
                () = reader.out_of_patience() => {
                    if let Some((refused, _)) = reader.refused.take() {
                        self.flush(held, &mut reader).await?;
                        self.stop(held, StopReason::Failing(refused)).await?;
                    }
                }
                () = reader.wants_more() => self.tell_or_dismiss(held, &mut reader).await?,
                call = &mut called, if !asked_to_stop => match call {
                    Called::Unwanted => {
                        asked_to_stop = true;
                        self.stop(held, StopReason::Cancelled).await?;
                    }
                    Called::Message => {
                        self.tell(held, &mut reader).await?;
                        let heard = held.run().await.heard;
                        called.set(self.until_called(whose, reader.can_hear(heard)));
                    }
                },
                _ = watch.tick() => {
                    if let Some(at) = reader.answered_at.take() {
                        self.account_works(&held.run().await, at).await?;
                    }
                    if let Some(reason) = self.watch(held, &mut watchdog, &reader).await? {
                        self.stop(held, reason).await?;
                    }
                }
            }
            if reader.batch.is_full() {
                self.flush(held, &mut reader).await?;
            }
        }
    }

    /// The runtime does not know the run: it was never started, or it went with its workspace.
    async fn not_there(&self, held: &Held, run: &Run) -> Result<Followed, Trouble> {
        let RunPhase::Spawned { from, stopping, .. } = run.phase.clone() else {
            return Ok(Followed::Exited);
        };
        if stopping.is_some() {
            held.update(|run, _| {
                run.phase = RunPhase::Exited {
                    from: from.clone(),
                    status: None,
                    stopped: stopping.clone(),
                }
            })
            .await?;
        } else if (run.progress.stdout, run.progress.stderr) == (0, 0) {
            held.update(|run, _| run.phase = RunPhase::Preparing)
                .await?;
        } else {
            return Err(Failure::new(FailureClass::WorkspaceLost)
                .with_detail("the run is gone from its workspace")
                .into());
        }
        Ok(Followed::Exited)
    }

    fn reader(&self, run: &Run) -> Result<Reader, Trouble> {
        let Some(agent) = self.ports().agents.get(&run.agent) else {
            return Err(Failure::new(FailureClass::InvalidConfiguration)
                .with_detail(format!("there is no agent called {:?}", run.agent))
                .into());
        };
        Ok(Reader {
            stdout: LineSplitter::new(run.progress.stdout),
            stderr: LineSplitter::new(run.progress.stderr),
            translator: Translator::new(Arc::clone(agent), self.masker().clone()),
            agent: Arc::clone(agent),
            model: run.model.clone(),
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
            delay: self.settings().log_delay,
        })
    }

    /// Stores what was read, with how far it was read.
    async fn flush(&self, held: &Held, reader: &mut Reader) -> Result<(), Trouble> {
        if reader.batch.is_empty() {
            reader.flush_at = None;
            return Ok(());
        }
        self.flush_with(held, reader, |_| ()).await
    }

    /// The same together with something else about the run.
    pub(super) async fn flush_with(
        &self,
        held: &Held,
        reader: &mut Reader,
        edit: impl FnOnce(&mut Run),
    ) -> Result<(), Trouble> {
        reader.flush_at = None;
        let (entries, progress) = reader.batch.take();
        held.update(|run, change| {
            edit(run);
            run.progress = progress;
            run.report = reader.report.clone();
            run.heard_at = reader.heard_at;
            change.write(Write::Log(run.task, entries));
        })
        .await?;
        self.hint(Hint::Log { task: held.task() }).await;
        Ok(())
    }

    /// What the agent left in a file because its stream does not tell it. A file that is not there, or not as it should
    /// be, fails no run: it costs no more than a figure.
    async fn read_side_file(&self, run: &Run, reader: &mut Reader) -> Result<(), Trouble> {
        let Some(name) = reader.agent.side_file() else {
            return Ok(());
        };
        let path = run_files(run.id).child(name);
        let read = self
            .runtime()
            .read_file(run.workspace, &path, MAX_SIDE_FILE)
            .await;
        match read {
            Ok(bytes) => reader.side_file(&String::from_utf8_lossy(&bytes)),
            Err(error) if error.retry() == Retry::Later => return Err(Trouble::Backend(error)),
            Err(error) => tracing::debug!(run = %run.id, %error, "no side file"),
        }
        Ok(())
    }

    /// The last of its output and its end, in one commit.
    async fn exited(
        &self,
        held: &Held,
        mut reader: Reader,
        status: Option<ExitStatus>,
    ) -> Result<Followed, Trouble> {
        if let Some(at) = reader.answered_at.take() {
            self.account_works(&held.run().await, at).await?;
        }
        let (entries, progress) = reader.batch.take();
        held.update(|run, change| {
            if let RunPhase::Spawned { from, stopping, .. } = run.phase.clone() {
                run.phase = RunPhase::Exited {
                    from,
                    status,
                    stopped: stopping,
                };
            }
            run.progress = progress;
            run.report = reader.report;
            run.heard_at = reader.heard_at;
            if !entries.is_empty() {
                change.write(Write::Log(run.task, entries));
            }
        })
        .await?;
        self.hint(Hint::Log { task: held.task() }).await;
        Ok(Followed::Exited)
    }

    /// Writes down why the run is to end, and ends it.
    async fn stop(&self, held: &Held, reason: StopReason) -> Result<(), Trouble> {
        let run = held.run().await;
        tracing::info!(run = %run.id, task = %run.task, ?reason, "run stopped");
        held.update(|run, _| {
            if let RunPhase::Spawned { stopping, .. } = &mut run.phase {
                stopping.get_or_insert(reason);
            }
        })
        .await?;
        Ok(held
            .runtime()
            .kill(run.workspace, run.id, self.settings().kill_grace)
            .await?)
    }

    /// Whether the run has to be stopped, and why.
    async fn watch(
        &self,
        held: &Held,
        watchdog: &mut Watchdog<'_>,
        reader: &Reader,
    ) -> Result<Option<StopReason>, Trouble> {
        let run = held.run().await;
        let RunPhase::Spawned { stopping, .. } = &run.phase else {
            return Ok(None);
        };
        if let Some(reason) = stopping {
            return Ok(Some(reason.clone())); // it was to be stopped already: see to it
        }
        let settings = &watchdog.repo.settings;
        if watchdog.at_work.elapsed() >= settings.run_timeout() {
            return Ok(Some(StopReason::TimedOut));
        }
        if let Some(last_read) = reader.last_read {
            watchdog.silent.restart(last_read);
        }
        if watchdog.silent.elapsed() >= WATCH {
            // silent: perhaps it works all the same, in a long build, say
            let (mut at_work, mut compared) = (false, true);
            let status = self.runtime().status(run.workspace, run.id).await?;
            if let RunStatus::Running {
                activity: Some(activity),
            } = status
            {
                let before = watchdog.activity.replace(activity);
                at_work = before.is_some_and(|before| activity > before);
                compared = before.is_some();
            }
            if at_work {
                watchdog.silent.restart(Instant::now());
                let now = self.now();
                held.update(|run, _| run.heard_at = now).await?;
            } else if compared && reader.is_done() && watchdog.silent.elapsed() >= LINGER {
                return Ok(Some(StopReason::Lingering));
            } else if compared && watchdog.silent.elapsed() >= settings.silence() {
                return Ok(Some(StopReason::Stalled));
            }
        }
        let task = self.store().task(run.task).await?;
        let over = self.over_budget(&task, watchdog.repo).await?;
        Ok(over.map(|over| StopReason::Failing(over.failure())))
    }
}

struct Watchdog<'a> {
    repo: &'a Repo,
    activity: Option<u64>,
    /// How long the agent is at work.
    at_work: Span,
    /// How long it has been silent.
    silent: Span,
}

impl<'a> Watchdog<'a> {
    fn new(repo: &'a Repo, run: &Run, now: Timestamp) -> Self {
        let began = match &run.phase {
            RunPhase::Spawned { at, .. } => *at,
            _ => now,
        };
        Self {
            repo,
            activity: None,
            at_work: Span::since(began, now),
            silent: Span::since(run.heard_at, now),
        }
    }
}

/// A time that goes on. What passes while we watch is measured by a clock that nobody sets: an agent must not be ended
/// because the machine's clock was. Only what passed before is told by the clock.
struct Span {
    before: Duration,
    from: Instant,
}

impl Span {
    fn since(began: Timestamp, now: Timestamp) -> Self {
        Self {
            before: elapsed(began, now),
            from: Instant::now(),
        }
    }

    fn elapsed(&self) -> Duration {
        self.before.saturating_add(self.from.elapsed())
    }

    /// Begins again at this moment, unless it began later.
    fn restart(&mut self, at: Instant) {
        if at > self.from {
            (self.before, self.from) = (Duration::ZERO, at);
        }
    }
}

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

/// Reads output and gathers it for the log.
pub(super) struct Reader {
    stdout: LineSplitter,
    stderr: LineSplitter,
    translator: Translator,
    pub(super) agent: Arc<dyn Agent>,
    model: Option<String>,
    batch: Batch,
    report: RunReport,
    heard_at: Timestamp,
    /// When the model last answered, unless that was looked at.
    answered_at: Option<Timestamp>,
    /// What its provider refuses it for, and when it is to be stopped for that.
    refused: Option<(Failure, Instant)>,
    ear: Ear,
    last_read: Option<Instant>,
    flush_at: Option<Instant>,
    delay: Duration,
}

impl Reader {
    fn read(&mut self, stream: LogStream, bytes: &[u8], engine: &Optio) {
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

    fn finish(&mut self, engine: &Optio) {
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

    fn side_file(&mut self, text: &str) {
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
    fn is_done(&self) -> bool {
        self.report.result.is_some() && self.ear == Ear::Deaf
    }

    /// The last message it heard, if it can hear another one.
    fn can_hear(&self, heard: u32) -> Option<u32> {
        (self.ear != Ear::Deaf).then_some(heard)
    }

    /// Ends when the agent has said its closing word and can be told more.
    async fn wants_more(&self) {
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
    async fn out_of_patience(&self) {
        match &self.refused {
            Some((_, at)) => tokio::time::sleep_until(*at).await,
            None => std::future::pending().await,
        }
    }

    /// Ends when what was gathered is to be stored.
    async fn due(&self) {
        match self.flush_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}
