//! A run in memory: a task of the async runtime that plays the steps of an agent, whoever started it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{inbox::Inbox, spool::Spool};
use crate::{
    error::Result,
    failure::ExitStatus,
    id::WorkspaceId,
    memory::{
        agent::{SpawnedRun, Step},
        git::{FakeGit, path_in},
    },
    money::Usage,
    pull_request::ReviewReport,
    runtime::{Input, RunStatus},
    transcript::{SessionId, TranscriptEvent, UsageOf},
    workspace::WorkspacePath,
};

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// A run, seen from outside.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) spool: Spool,
    inbox: Inbox,
    /// The files that were written for it.
    pub(super) files: Vec<WorkspacePath>,
    clockwork: Option<Clockwork>,
}

#[derive(Debug, Clone)]
struct Clockwork {
    pulse: Arc<Pulse>,
    /// Asks it to stop.
    stop: CancellationToken,
    /// Ends it, like it or not.
    abort: tokio::task::AbortHandle,
    /// That nothing of it is left.
    gone: CancellationToken,
}

/// When it worked.
#[derive(Debug)]
struct Pulse {
    since: Instant,
    idle_since: OnceLock<Instant>,
}

impl Process {
    /// A process that has done its work at once.
    pub(super) fn finished(spool: Spool, inbox: Inbox, files: Vec<WorkspacePath>) -> Self {
        Self {
            spool,
            inbox,
            files,
            clockwork: None,
        }
    }

    /// Starts to play an agent. It goes on by itself.
    pub(super) fn start(player: Player, steps: Vec<Step>, files: Vec<WorkspacePath>) -> Self {
        let (spool, inbox) = (player.spool.clone(), player.inbox.clone());
        let pulse = Arc::new(Pulse {
            since: Instant::now(),
            idle_since: OnceLock::new(),
        });
        let (stop, gone) = (CancellationToken::new(), CancellationToken::new());
        let play = {
            let (pulse, stop) = (Arc::clone(&pulse), stop.clone());
            let gone = gone.clone().drop_guard();
            async move {
                let _gone = gone;
                player.play(steps, &pulse, &stop).await;
            }
        };
        let abort = tokio::spawn(play).abort_handle();
        Self {
            spool,
            inbox,
            files,
            clockwork: Some(Clockwork {
                pulse,
                stop,
                abort,
                gone,
            }),
        }
    }

    /// Gives it more to read.
    pub(super) fn feed(&self, input: Input) -> Result<()> {
        if !self.is_running() {
            self.inbox.close();
        }
        self.inbox.feed(input)
    }

    pub(super) fn status(&self) -> RunStatus {
        match (self.spool.ended(), &self.clockwork) {
            (Some(status), _) => RunStatus::Ended(status),
            (None, Some(clockwork)) => RunStatus::Running {
                activity: Some(clockwork.pulse.millis()),
            },
            (None, None) => RunStatus::Ended(None),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.status(), RunStatus::Running { .. })
    }

    /// Asks it to stop, kills it after `grace`, and returns when nothing is left of it.
    pub(super) async fn kill(&self, grace: Duration) {
        let Some(clockwork) = &self.clockwork else {
            return;
        };
        clockwork.stop.cancel();
        if tokio::time::timeout(grace, clockwork.gone.cancelled())
            .await
            .is_err()
        {
            self.perish(Some(ExitStatus::Signal(SIGKILL)));
            clockwork.gone.cancelled().await;
        }
    }

    /// Ends it at once, as when its machine is lost.
    pub(super) fn perish(&self, status: Option<ExitStatus>) {
        self.spool.end(status);
        if let Some(clockwork) = &self.clockwork {
            clockwork.abort.abort();
        }
    }
}

impl Pulse {
    fn millis(&self) -> u64 {
        let until = self.idle_since.get().copied().unwrap_or_else(Instant::now);
        u64::try_from(until.duration_since(self.since).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Where a run plays.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) git: FakeGit,
    pub(super) workspace: WorkspaceId,
}

/// Plays the steps of one run.
#[derive(Debug)]
pub(super) struct Player {
    pub(super) run: SpawnedRun,
    pub(super) place: Place,
    pub(super) spool: Spool,
    pub(super) inbox: Inbox,
    /// Where a verdict belongs.
    pub(super) verdict_file: Option<WorkspacePath>,
    /// What it has spent.
    pub(super) usage: Usage,
}

/// What becomes of a run after a step.
enum Then {
    GoOn,
    Hang,
    End(Option<ExitStatus>),
}

impl Player {
    async fn play(mut self, steps: Vec<Step>, pulse: &Pulse, stop: &CancellationToken) {
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => Some(Some(ExitStatus::Signal(SIGTERM))),
            ended = self.steps(steps) => ended,
        };
        if let Some(status) = ended {
            self.spool.end(status);
        } else {
            let _ = pulse.idle_since.set(Instant::now());
            std::future::pending().await
        }
    }

    /// Plays all steps; none if it hangs after them.
    async fn steps(&mut self, steps: Vec<Step>) -> Option<Option<ExitStatus>> {
        self.event(&TranscriptEvent::Session {
            id: SessionId(self.run.session.clone()),
            model: self.run.model.clone(),
            version: Some("1.0".to_owned()),
        });
        for step in steps.into_iter().chain([Step::Exit(0)]) {
            match self.step(step).await {
                Then::GoOn => tokio::task::yield_now().await,
                Then::Hang => return None,
                Then::End(status) => return Some(status),
            }
        }
        Some(None)
    }

    async fn step(&mut self, step: Step) -> Then {
        let place = &self.place;
        match step {
            Step::Say(text) => self.event(&TranscriptEvent::Text { text }),
            Step::Print(line) => self.spool.stdout(format!("{line}\n").as_bytes()),
            Step::Complain(line) => self.spool.stderr(format!("{line}\n").as_bytes()),
            Step::Edit { path, content } => {
                if let Some(path) = path_in(place.workspace, &self.run.worktree, &path) {
                    place.git.write(place.workspace, &path, content.into());
                }
            }
            Step::Commit(message) => {
                place
                    .git
                    .commit_all(place.workspace, &self.run.worktree, &message);
            }
            Step::Merge(branch) => {
                place
                    .git
                    .merge_into(place.workspace, &self.run.worktree, &branch);
            }
            Step::Cost(cost) => {
                self.usage.cost += cost;
                self.event(&TranscriptEvent::Usage {
                    total: self.usage,
                    of: UsageOf::Run,
                });
            }
            Step::Wait(time) => tokio::time::sleep(time).await,
            Step::WaitFor(signal) => signal.raised().await,
            Step::Raise(signal) => signal.raise(),
            Step::Verdict(report) => self.verdict(&report),
            Step::RateLimit(resets_at) => {
                self.event(&TranscriptEvent::RateLimit {
                    resets_at,
                    refused: true,
                });
                return Then::End(Some(ExitStatus::Code(1)));
            }
            Step::Hear => {
                if let Some(line) = self.inbox.line().await {
                    self.heard(&line);
                }
            }
            Step::HearAll => {
                self.closing_word("done");
                while let Some(line) = self.inbox.line().await {
                    self.heard(&line);
                    self.closing_word("done that too");
                }
                return Then::End(Some(ExitStatus::Code(0)));
            }
            Step::Lie => return self.close("everything is done and all tests pass"),
            Step::Hang => return Then::Hang,
            Step::Crash => {
                self.spool.stdout(br#"{"type":"text","text":"half a li"#);
                return Then::End(Some(ExitStatus::Signal(SIGKILL)));
            }
            Step::Vanish => return Then::End(None),
            Step::Fail(summary) => {
                self.event(&TranscriptEvent::Result {
                    failed: true,
                    summary,
                });
                return Then::End(Some(ExitStatus::Code(1)));
            }
            Step::Exit(0) => return self.close("done"),
            Step::Exit(code) => return Then::End(Some(ExitStatus::Code(code))),
        }
        Then::GoOn
    }

    fn heard(&self, line: &str) {
        let text = format!("heard: {line}");
        self.event(&TranscriptEvent::Text { text });
    }

    fn closing_word(&self, summary: &str) {
        self.event(&TranscriptEvent::Result {
            failed: false,
            summary: summary.to_owned(),
        });
    }

    fn close(&self, summary: &str) -> Then {
        self.closing_word(summary);
        Then::End(Some(ExitStatus::Code(0)))
    }

    fn verdict(&self, report: &ReviewReport) {
        if let (Some(path), Ok(json)) = (&self.verdict_file, serde_json::to_vec(report)) {
            let place = &self.place;
            place.git.write(place.workspace, path, json.into());
        }
    }

    fn event(&self, event: &TranscriptEvent) {
        if let Ok(line) = serde_json::to_string(event) {
            self.spool.stdout(format!("{line}\n").as_bytes());
        }
    }
}
