//! Following: the agent's output becomes the run's log, exactly once each byte; and the agent hears what people say.

use std::{pin::pin, time::Duration};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{
    Trouble,
    messages::Called,
    prepare::run_files,
    reader::{Read, Reader},
    watchdog::Watchdog,
};
use crate::{
    engine::{Optio, held::Held},
    error::{ErrorKind, Result, Retry},
    event_bus::Hint,
    failure::{ExitStatus, Failure, FailureClass},
    run::{Run, RunPhase, StopReason},
    runtime::{OutputOffset, Piece, Runtime},
    store::Write,
    transcript::LogStream,
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

/// How often the watchdogs look.
pub(super) const WATCH: Duration = Duration::from_secs(5);

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
        let mut storing = Storing::default();
        let followed = self.follow_output(held, &run, shutdown, &mut storing).await;
        // what else went wrong undoes no batch: whoever goes on has to know what became of it
        let stored = storing.settled().await;
        let followed = followed?;
        stored?;
        Ok(followed)
    }

    async fn follow_output<'a>(
        &'a self,
        held: &'a Held,
        run: &Run,
        shutdown: &CancellationToken,
        storing: &mut Storing<'a>,
    ) -> Result<Followed, Trouble> {
        let repo = self.store().repo(run.repo).await?;
        let offset = OutputOffset {
            stdout: run.progress.stdout,
            stderr: run.progress.stderr,
        };
        let mut output = self.runtime().attach(run.workspace, run.id, offset).await?;
        let mut reader = Reader::new(run, self)?;
        let mut watchdog = Watchdog::new(&repo, run, self.now());
        let mut watch = tokio::time::interval(WATCH);
        watch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let whose = (run.task, run.id);
        let mut called = pin!(self.until_called(whose, reader.can_hear(run.heard)));
        let mut asked_to_stop = false;
        loop {
            tokio::select! {
                biased;
                stored = storing.stored() => stored?,
                // one batch is read while the one before is being stored, and no more
                piece = output.next(), if !(storing.is_busy() && reader.is_full()) => match piece? {
                    Piece::Stdout(bytes) => reader.read(LogStream::Stdout, &bytes, self),
                    Piece::Stderr(bytes) => reader.read(LogStream::Stderr, &bytes, self),
                    Piece::Ended(status) => {
                        reader.finish(self);
                        storing.settled().await?;
                        self.read_side_file(run, &mut reader).await?;
                        return self.exited(held, reader, status).await;
                    }
                },
                () = reader.due(), if !storing.is_busy() => {
                    storing.begin(self.store_read(held, &mut reader));
                }
                () = shutdown.cancelled() => {
                    storing.settled().await?;
                    self.flush(held, &mut reader).await?;
                    return Ok(Followed::Detached);
                }
                () = reader.out_of_patience() => {
                    storing.settled().await?;
                    if let Some((refused, _)) = reader.refused.take() {
                        self.flush(held, &mut reader).await?;
                        self.stop(held, StopReason::Failing(refused)).await?;
                    }
                }
                () = reader.wants_more() => {
                    storing.settled().await?;
                    self.tell_or_dismiss(held, &mut reader).await?;
                }
                call = &mut called, if !asked_to_stop => {
                    storing.settled().await?;
                    match call {
                        Called::Unwanted => {
                            asked_to_stop = true;
                            self.stop(held, StopReason::Cancelled).await?;
                        }
                        Called::Message => {
                            self.tell(held, &mut reader).await?;
                            let heard = held.run().await.heard;
                            called.set(self.until_called(whose, reader.can_hear(heard)));
                        }
                    }
                }
                _ = watch.tick() => {
                    storing.settled().await?;
                    if let Some(at) = reader.answered_at.take() {
                        self.account_works(&held.run().await, at).await?;
                    }
                    if let Some(reason) = self.watch(held, &mut watchdog, &reader).await? {
                        self.stop(held, reason).await?;
                    }
                }
            }
            if reader.is_full() && !storing.is_busy() {
                storing.begin(self.store_read(held, &mut reader));
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

    /// Stores what was read, with how far it was read.
    async fn flush(&self, held: &Held, reader: &mut Reader) -> Result<(), Trouble> {
        if reader.is_empty() {
            return Ok(());
        }
        self.flush_with(held, reader, |_| ()).await
    }

    /// The same together with something else about the run.
    pub(super) async fn flush_with(
        &self,
        held: &Held,
        reader: &mut Reader,
        edit: impl FnOnce(&mut Run) + Send,
    ) -> Result<(), Trouble> {
        let read = reader.take();
        Ok(self.store_with(held, read, edit).await?)
    }

    /// The same, to be polled while more is read. What is read from now on follows on.
    fn store_read<'a>(
        &'a self,
        held: &'a Held,
        reader: &mut Reader,
    ) -> impl Future<Output = Result<()>> + Send + use<'a> {
        let read = reader.take();
        self.store_with(held, read, |_| ())
    }

    async fn store_with(
        &self,
        held: &Held,
        mut read: Read,
        edit: impl FnOnce(&mut Run) + Send,
    ) -> Result<()> {
        let entries = std::mem::take(&mut read.entries);
        held.update(|run, change| {
            edit(run);
            read.note(run);
            if !entries.is_empty() {
                change.write(Write::Log(run.task, entries));
            }
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
        let read = reader.take();
        self.store_with(held, read, |run| {
            if let RunPhase::Spawned { from, stopping, .. } = run.phase.clone() {
                run.phase = RunPhase::Exited {
                    from,
                    status,
                    stopped: stopping,
                };
            }
        })
        .await?;
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
}

/// A batch on its way into the store while more is read. Whoever writes about the run otherwise has to see it through
/// first, for it holds the run's record. Not a task of its own: those of one seed do not always run in one order.
#[derive(Default)]
struct Storing<'a>(Option<BoxFuture<'a, Result<()>>>);

impl<'a> Storing<'a> {
    fn is_busy(&self) -> bool {
        self.0.is_some()
    }

    fn begin(&mut self, store: impl Future<Output = Result<()>> + Send + 'a) {
        self.0 = Some(Box::pin(store));
    }

    /// Ends once a batch has been stored; not, if none is under way. Cancel safe.
    async fn stored(&mut self) -> Result<()> {
        let Some(store) = &mut self.0 else {
            return std::future::pending().await;
        };
        let stored = store.await;
        self.0 = None;
        stored
    }

    /// Ends once nothing is under way any more.
    async fn settled(&mut self) -> Result<()> {
        if self.is_busy() {
            self.stored().await?;
        }
        Ok(())
    }
}
