//! The engine: joins policy to ports. It gathers what there is to see, asks policy what follows, carries that out
//! guarded by versions and epochs, and starts over when somebody else was quicker.

mod accounts;
mod attempt;
mod change;
mod commands;
pub(crate) mod git;
mod health_monitor;
mod held;
mod fenced;
mod inquiry;
mod locks;
mod pr_watcher;
mod relay;
mod retention;
mod schedule_worker;
mod settings;
mod shares;
mod task_worker;
mod ticket_sync;
pub(crate) mod transcript;
mod versions;
mod watched;
mod workers;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

pub use self::{
    accounts::Account,
    commands::{NewSchedule, NewTask, RepoDraft},
    inquiry::{LogFollower, Why},
    settings::{Limits, Settings},
    task_worker::Ticked,
    transcript::{LineSplitter, MAX_LINE},
};
use self::{
    change::Change, locks::TaskLocks, shares::Shares, versions::Versions, watched::FailedInTurn,
};
use crate::{
    agent::Agent,
    clock::{Clock, Timestamp, later},
    error::{Error, ErrorKind, Result},
    event_bus::{EventBus, Hint},
    forge::Forge,
    id::RepoId,
    queue::Queue,
    repo::{Repo, RepoUrl},
    runtime::Runtime,
    secret::{Masker, Secret},
    store::Store,
    task::{InvalidTransition, Task},
    tickets::Tickets,
    webhook::WebhookSender,
};

/// The backends that an engine works with.
#[derive(Debug, Clone)]
pub struct Ports {
    /// State.
    pub store: Arc<dyn Store>,
    /// Dispatch.
    pub queue: Arc<dyn Queue>,
    /// Places to work.
    pub runtime: Arc<dyn Runtime>,
    /// Coding agents, by name.
    pub agents: BTreeMap<String, Arc<dyn Agent>>,
    /// Forges; the first that handles a repository's address is the repository's.
    pub forges: Vec<Arc<dyn Forge>>,
    /// Ticket sources.
    pub tickets: Vec<Arc<dyn Tickets>>,
    /// Fan-out.
    pub bus: Arc<dyn EventBus>,
    /// Sender of outgoing webhooks; without one they cannot be registered.
    pub webhooks: Option<Arc<dyn WebhookSender>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Optio: takes tasks and drives them to merged pull requests.
///
/// Cheap to clone; clones are the same engine. [`submit`](Self::submit) and its siblings work at once and from any
/// process that has the same backends; [`run`](Self::run) does the work.
#[derive(Debug, Clone)]
pub struct Optio {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ports: Ports,
    settings: Settings,
    masker: Masker,
    /// Wakes the relay when a commit left something to deliver.
    relay: Notify,
    /// Counts how often the queue had lost everything: a slot that was held is to be taken again then.
    queue_losses: tokio::sync::watch::Sender<u64>,
    /// Placing runs is one at a time in this process; between processes the store's versions decide.
    placing: tokio::sync::Mutex<()>,
    /// Which of the periodic work is ours.
    shares: Shares,
    /// One look at a pull request at a time.
    looking: TaskLocks,
    /// Which failed tasks' pull requests are looked at next.
    failed_in_turn: FailedInTurn,
    /// Making a task's worktree ready and taking it away exclude each other.
    worktrees: TaskLocks,
    /// When the engine was made: by the clock, which can be set, and by what cannot.
    made: (Timestamp, Instant),
    /// Which versions of agents' programs work where.
    versions: Versions,
}

impl Optio {
    /// An engine on these backends.
    #[must_use]
    pub fn new(ports: Ports, settings: Settings) -> Self {
        let agents = ports.agents.values();
        let told: Vec<Secret> = agents.flat_map(|agent| agent.secrets()).collect();
        let masker = Masker::new(settings.secrets.iter().chain(&told));
        let made = (ports.clock.now(), Instant::now());
        Self {
            inner: Arc::new(Inner {
                ports,
                settings,
                masker,
                relay: Notify::new(),
                queue_losses: tokio::sync::watch::Sender::new(0),
                placing: tokio::sync::Mutex::new(()),
                shares: Shares::default(),
                looking: TaskLocks::default(),
                failed_in_turn: FailedInTurn::default(),
                worktrees: TaskLocks::default(),
                made,
                versions: Versions::default(),
            }),
        }
    }

    /// The backends.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        &self.inner.ports
    }

    /// How it works.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.inner.ports.store
    }

    pub(crate) fn queue(&self) -> &dyn Queue {
        &*self.inner.ports.queue
    }

    pub(crate) fn runtime(&self) -> &dyn Runtime {
        &*self.inner.ports.runtime
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.ports.clock
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock().now()
    }

    /// The present moment for what cannot be taken back: a clock that is set forward while we are at work moves it by
    /// nothing.
    pub(crate) fn now_at_least(&self) -> Timestamp {
        let (at, since) = self.inner.made;
        self.now().min(later(at, since.elapsed()))
    }

    pub(crate) fn masker(&self) -> &Masker {
        &self.inner.masker
    }

    fn change(&self, actor: &'static str) -> Change<'_> {
        Change::new(self, actor)
    }

    fn wake_relay(&self) {
        self.inner.relay.notify_one();
    }

    /// Tells everybody who listens. A hint that cannot be sent is only a later look.
    async fn hint(&self, hint: Hint) {
        if let Err(error) = self.inner.ports.bus.publish(hint).await {
            tracing::debug!(%error, ?hint, "hint not sent");
        }
    }

    /// The forge of a repository.
    pub(crate) fn forge(&self, url: &RepoUrl) -> Result<&Arc<dyn Forge>> {
        self.inner
            .ports
            .forges
            .iter()
            .find(|forge| forge.handles(url))
            .ok_or_else(|| {
                let known: Vec<&str> = self
                    .inner
                    .ports
                    .forges
                    .iter()
                    .map(|forge| forge.name())
                    .collect();
                Error::invalid(
                    "optio",
                    format!(
                        "no forge is set up for {url}: there is {}",
                        if known.is_empty() {
                            "none at all".to_owned()
                        } else {
                            known.join(", ")
                        }
                    ),
                )
            })
    }

    /// The agent that a task asks for: its own, its repository's, or the default.
    pub(crate) fn agent_for(&self, task: &Task, repo: &Repo) -> Result<&Arc<dyn Agent>> {
        let agents = &self.inner.ports.agents;
        let wanted = task.agent.as_ref().or(repo.settings.agent.as_ref()).or(self
            .inner
            .settings
            .default_agent
            .as_ref());
        let wanted = wanted.or_else(|| agents.keys().next().filter(|_| agents.len() == 1));
        let known = || {
            agents
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        };
        match wanted {
            Some(name) => agents.get(name).ok_or_else(|| {
                Error::invalid(
                    "optio",
                    format!(
                        "there is no agent called {name:?}: choose one of {}",
                        known()
                    ),
                )
            }),
            None => Err(Error::invalid(
                "optio",
                format!(
                    "no agent was chosen for {}: set one of {} for the task or the repository",
                    repo.url,
                    known()
                ),
            )),
        }
    }

    /// The limits that the queue is to keep, from the settings of every repository.
    pub(crate) async fn push_limits(&self) -> Result<()> {
        let repos: BTreeMap<RepoId, u32> = self
            .store()
            .repos()
            .await?
            .into_iter()
            .map(|repo| (repo.id, repo.settings.capacity()))
            .collect();
        let defaults = crate::queue::QueueLimits::default();
        let limits = crate::queue::QueueLimits {
            global: self.settings().limits.global,
            repos,
            ..defaults
        };
        self.queue().set_limits(limits).await
    }
}

/// How often a change is tried again when somebody else was quicker, before the caller is told.
const MAX_RACES: usize = 16;
/// The longest pause between two of these.
const RACE_PAUSE: Duration = Duration::from_millis(20);

impl Optio {
    /// Tries again while somebody else was quicker: at once the first time, then after pauses that differ, so that those
    /// who lose against each other do not go on doing so.
    async fn retry_conflicts<T, F: Future<Output = Result<T>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T> {
        self.retry_conflicts_until(&CancellationToken::new(), attempt)
            .await
    }

    /// The same, unless this says that the race is lost for good.
    async fn retry_conflicts_until<T, F: Future<Output = Result<T>>>(
        &self,
        lost: &CancellationToken,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T> {
        let mut races = 0;
        loop {
            match attempt().await {
                Err(error) if is_race(&error) && !lost.is_cancelled() && races < MAX_RACES => {
                    if races > 0 {
                        tokio::time::sleep(self.up_to(RACE_PAUSE)).await;
                    }
                    races += 1;
                }
                result => return result,
            }
        }
    }

    /// A random part of a pause.
    fn up_to(&self, longest: Duration) -> Duration {
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.clock().random() % micros.max(1))
    }
}

/// Whether somebody else was quicker. An event that does not fit the task as it is stored will not do so the next time
/// either.
fn is_race(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    error.kind() == ErrorKind::Conflict
        && !source.is_some_and(|source| source.is::<InvalidTransition>())
}
