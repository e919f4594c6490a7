//! A world of one seed: ports in memory, repositories, replicas behind bad lines.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use optio_core::{
    Clock, Limits, Optio, Result,
    account::AccountName,
    agent::Agent,
    engine::{Ports, Settings},
    event_bus::EventBus,
    forge::Forge,
    memory::{
        Behaviour, FakeGit, MemoryAgent, MemoryBus, MemoryForge, MemoryQueue, MemoryRuntime,
        MemoryStore, TokioClock,
    },
    money::Usd,
    pull_request::{Checks, CommitId, FailedCheck},
    queue::Queue,
    repo::{AttemptLimits, Repo, RepoSettings, RepoUrl, ReviewTrigger},
    run::WorkerId,
    runtime::Runtime,
    store::{Sharing, Store},
};
use tokio::time::Instant;

use crate::{
    agents,
    dice::Dice,
    faulty::{FaultyBus, FaultyForge, FaultyQueue, FaultyRuntime, FaultyStore, Link, Weather},
    sabotage::{Sabotage, SabotagedForge, SabotagedQueue, SabotagedRuntime, SabotagedStore},
    watch::{Facts, Ledger, Trail, WatchedForge, WatchedRuntime, WatchedStore},
};

/// How many replicas share the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fleet {
    /// One, which has the store to itself.
    Alone,
    /// So many.
    Shared(u32),
}

/// The world of one seed.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) dice: Dice,
    pub(crate) fleet: Fleet,
    pub(crate) weather: Weather,
    pub(crate) facts: Facts,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    ports: Ports,
    settings: Settings,
}

impl World {
    pub(crate) fn new(seed: u64, sabotage: Option<Sabotage>, trail: Trail) -> Self {
        let dice = Dice::new(seed, "world");
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::seeded(seed));
        let fleet = match dice.below(5) {
            0 => Fleet::Alone,
            1..4 => Fleet::Shared(2),
            _ => Fleet::Shared(3),
        };
        let mut settings = Settings::new(WorkerId("front-desk".to_owned()));
        settings.limits = Limits::default().with_global(dice.within(2, 5));
        let retention = Dice::new(seed, "retention");
        settings.log_retention = retention
            .hits(4_000)
            .then(|| retention.millis(60_000, 900_000));
        let bus = Arc::new(MemoryBus::new());
        let git = FakeGit::new();
        let forge = MemoryForge::new(git.clone(), Arc::clone(&clock))
            .with_bus(Arc::<MemoryBus>::clone(&bus));
        let runtime = MemoryRuntime::new(git.clone());
        let queue = Arc::new(MemoryQueue::new(Arc::clone(&clock)));
        let facts = Facts {
            git,
            runtime: runtime.clone(),
            forge: forge.clone(),
            queue: Arc::clone(&queue),
            clock: Arc::clone(&clock),
        };
        let ledger = Arc::new(Ledger::new(facts.clone(), &settings, trail));
        let behaviour = agents::behave(seed, Arc::clone(&clock), Arc::clone(&ledger));
        runtime.behave(Behaviour::new(behaviour));
        forge.plan_checks(checks(seed));
        let sharing = match fleet {
            Fleet::Alone => Sharing::Exclusive,
            Fleet::Shared(_) => Sharing::Shared,
        };
        let ports = watched(
            Ports {
                store: Arc::new(MemoryStore::with_sharing(sharing)),
                queue,
                runtime: Arc::new(runtime),
                agents: BTreeMap::from([(
                    "memory".to_owned(),
                    Arc::new(agent()) as Arc<dyn Agent>,
                )]),
                forges: vec![Arc::new(forge)],
                tickets: Vec::new(),
                bus,
                webhooks: None,
                clock: Arc::clone(&clock),
            },
            &ledger,
            sabotage,
        );
        // a fifth of the seeds is calm: what they find has nothing to do with faults
        let share = |dice: &Dice, most: u32| dice.within(0, most);
        let weather = if dice.hits(2_000) {
            Weather::default()
        } else {
            Weather {
                refused: share(&dice, 150),
                unanswered: share(&dice, 150),
                raced: share(&dice, 500),
                slow: share(&dice, 600),
                deadly: share(&dice, 12),
                hints: share(&dice, 3_000),
            }
        };
        Self {
            seed,
            dice,
            fleet,
            weather,
            facts,
            ledger,
            clock,
            ports,
            settings,
        }
    }

    /// An engine whose calls all go through this line.
    pub(crate) fn engine(&self, link: &Arc<Link>) -> Optio {
        let store: Arc<dyn Store> = Arc::new(FaultyStore {
            inner: Arc::clone(&self.ports.store),
            link: Arc::clone(link),
        });
        let queue: Arc<dyn Queue> = Arc::new(FaultyQueue {
            inner: Arc::clone(&self.ports.queue),
            link: Arc::clone(link),
        });
        let runtime: Arc<dyn Runtime> = Arc::new(FaultyRuntime {
            inner: Arc::clone(&self.ports.runtime),
            link: Arc::clone(link),
        });
        let forges = self.ports.forges.iter().map(|forge| {
            Arc::new(FaultyForge {
                inner: Arc::clone(forge),
                link: Arc::clone(link),
            }) as Arc<dyn Forge>
        });
        let bus: Arc<dyn EventBus> = Arc::new(FaultyBus {
            inner: Arc::clone(&self.ports.bus),
            link: Arc::clone(link),
        });
        let ports = Ports {
            store,
            queue,
            runtime,
            forges: forges.collect(),
            bus,
            ..self.ports.clone()
        };
        let mut settings = self.settings.clone();
        settings.worker = WorkerId(link.name.clone());
        Optio::new(ports, settings)
    }

    /// An engine whose calls all go well: for people, who try again when theirs do not.
    pub(crate) fn front_desk(&self) -> Optio {
        Optio::new(self.ports.clone(), self.settings.clone())
    }

    /// The repositories of this seed.
    pub(crate) async fn add_repos(&self, desk: &Optio) -> Result<Vec<Repo>> {
        let mut repos = Vec::new();
        for number in 0..self.dice.within(1, 3) {
            let url: RepoUrl = format!("https://memory.test/acme/repo-{number}")
                .parse()
                .map_err(|_| optio_core::Error::invalid("simulation", "no address"))?;
            self.facts
                .git
                .add_remote(&url, "main", &[("README.md", "# A repository\n")]);
            repos.push(desk.add_repo(url, self.repo_settings()).await?);
        }
        Ok(repos)
    }

    fn repo_settings(&self) -> RepoSettings {
        let dice = &self.dice;
        RepoSettings {
            max_concurrent_tasks: dice.within(1, 3),
            max_pod_instances: dice.within(1, 2),
            max_agents_per_pod: dice.within(1, 2),
            auto_merge: dice.hits(8_500),
            auto_resume_on_review: dice.hits(9_000),
            review_enabled: dice.hits(3_000),
            review_trigger: match dice.below(10) {
                0..6 => ReviewTrigger::OnCiPass,
                6..9 => ReviewTrigger::OnPrOpen,
                _ => ReviewTrigger::Manual,
            },
            ci_grace_seconds: u64::from(dice.within(20, 120)),
            run_timeout_minutes: u64::from(dice.within(10, 40)),
            silence_minutes: u64::from(dice.within(2, 8)),
            attempts: AttemptLimits {
                failures: dice.within(1, 3),
                ..AttemptLimits::default()
            },
            max_cost_per_task: dice.hits(3_000).then(|| Usd::from_micros(5_000_000)),
            ..RepoSettings::default()
        }
    }
}

/// The ports with somebody who watches them; and without a guard, if one is to be taken away.
fn watched(ports: Ports, ledger: &Arc<Ledger>, sabotage: Option<Sabotage>) -> Ports {
    let mut store = ports.store;
    if sabotage == Some(Sabotage::NoFence) {
        // below whoever watches: the store itself is broken
        store = Arc::new(SabotagedStore {
            inner: store,
            clock: Arc::clone(&ports.clock),
            sabotage: Sabotage::NoFence,
        });
    }
    store = Arc::new(WatchedStore {
        inner: store,
        ledger: Arc::clone(ledger),
    });
    if let Some(sabotage @ (Sabotage::SecondRun | Sabotage::EarlyRemoval)) = sabotage {
        store = Arc::new(SabotagedStore {
            inner: store,
            clock: Arc::clone(&ports.clock),
            sabotage,
        });
    }
    let mut queue = ports.queue;
    if sabotage == Some(Sabotage::SecondRun) {
        queue = Arc::new(SabotagedQueue { inner: queue });
    }
    let mut runtime = ports.runtime;
    if sabotage == Some(Sabotage::NoRescue) {
        runtime = Arc::new(SabotagedRuntime { inner: runtime });
    }
    let runtime = Arc::new(WatchedRuntime {
        inner: runtime,
        ledger: Arc::clone(ledger),
    });
    let forges = ports.forges.into_iter().map(|inner| {
        let watched = Arc::new(WatchedForge {
            inner,
            ledger: Arc::clone(ledger),
        });
        match sabotage {
            Some(Sabotage::UnknownIsGreen) => {
                Arc::new(SabotagedForge { inner: watched }) as Arc<dyn Forge>
            }
            _ => watched,
        }
    });
    Ports {
        store,
        queue,
        runtime,
        forges: forges.collect(),
        ..ports
    }
}

/// What CI says: something in the end, on each head by itself.
fn checks(
    seed: u64,
) -> impl Fn(&optio_core::memory::CheckedHead<'_>) -> Checks + Send + Sync + 'static {
    let asked: Mutex<BTreeMap<CommitId, Instant>> = Mutex::default();
    move |of| {
        let dice = Dice::new(seed, ("checks", of.head.as_str()));
        let first = {
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            *asked.entry(of.head.clone()).or_insert_with(Instant::now)
        };
        let since = first.elapsed();
        let red = dice.hits(2_000);
        let early = dice.millis(0, 30_000);
        let late = early + dice.millis(0, 240_000);
        if since < early {
            return match dice.below(3) {
                0 => Checks::None,
                1 => Checks::Unknown {
                    reason: "no answer".to_owned(),
                },
                _ => Checks::Pending,
            };
        }
        match dice.below(20) {
            0 => return Checks::None,
            1 => return Checks::NotRequired,
            2..6 if since < late => {
                return Checks::Unknown {
                    reason: "half an answer".to_owned(),
                };
            }
            _ if since < late => return Checks::Pending,
            _ => {}
        }
        if red {
            Checks::Failed {
                failed: vec![FailedCheck {
                    name: "test".to_owned(),
                    conclusion: "failure".to_owned(),
                    step: None,
                    log_tail: "assertion failed".to_owned(),
                    url: None,
                }],
            }
        } else {
            Checks::Passed
        }
    }
}

/// Longer than any wait of the engine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10 * 3600);

/// The one agent: it can be told something while it is at work, and all its runs work with one account.
fn agent() -> MemoryAgent {
    MemoryAgent::new()
        .with_account(AccountName::unseen("memory", "sim"))
        .that_listens()
}
