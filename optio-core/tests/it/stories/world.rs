//! A world for the stories: an engine on stand-ins, one repository, agents that do as they are told.

use std::{sync::Arc, time::Duration};

use optio_core::{
    Clock, NewTask, Optio,
    agent::Agent,
    engine::{Ports, Settings},
    id::TaskId,
    memory::{
        Behaviour, FakeGit, MemoryAgent, MemoryBus, MemoryForge, MemoryQueue, MemoryRuntime,
        MemoryStore, MemoryTickets, MemoryWebhooks, SpawnedRun, Step, TokioClock,
    },
    pull_request::{Checks, FailedCheck, PrNumber, ReviewReport, ReviewVerdict},
    repo::{Repo, RepoSettings, RepoUrl},
    run::{Run, WorkerId},
    store::RunQuery,
    task::{StateName, Task},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than any story.
const PATIENCE: Duration = Duration::from_secs(3 * 24 * 3600);

pub(crate) struct World {
    pub(crate) git: FakeGit,
    pub(crate) queue: Arc<MemoryQueue>,
    pub(crate) runtime: MemoryRuntime,
    pub(crate) forge: MemoryForge,
    pub(crate) webhooks: MemoryWebhooks,
    pub(crate) tickets: MemoryTickets,
    pub(crate) url: RepoUrl,
    pub(crate) repo: Repo,
    pub(crate) engine: Optio,
}

/// An engine at work, until it is dropped or drained.
pub(crate) struct Running {
    shutdown: CancellationToken,
    engine: JoinHandle<()>,
}

impl Running {
    /// Stops it as Ctrl-C does.
    pub(crate) async fn drain(self) {
        self.shutdown.cancel();
        self.engine.await.unwrap();
    }

    /// Stops it as `kill -9` does.
    pub(crate) async fn kill(self) {
        self.engine.abort();
        let _ = self.engine.await;
    }
}

/// Settings of a repository whose green pull requests are merged.
pub(crate) fn auto_merge() -> RepoSettings {
    RepoSettings {
        auto_merge: true,
        ..RepoSettings::default()
    }
}

impl World {
    pub(crate) async fn new(settings: RepoSettings) -> Self {
        Self::with(settings, |_| ()).await
    }

    pub(crate) async fn with(repo: RepoSettings, edit: impl FnOnce(&mut Settings)) -> Self {
        Self::with_agents(repo, edit, [MemoryAgent::new()]).await
    }

    /// With these agents; tasks that name none get the first.
    pub(crate) async fn with_agents(
        repo: RepoSettings,
        edit: impl FnOnce(&mut Settings),
        agents: impl IntoIterator<Item = MemoryAgent>,
    ) -> Self {
        // what the engine says is shown beside a story that fails
        let _ = tracing_subscriber::fmt()
            .with_test_writer()
            .with_env_filter("optio_core=info")
            .without_time()
            .try_init();
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let git = FakeGit::new();
        let bus = Arc::new(MemoryBus::new());
        let runtime = MemoryRuntime::new(git.clone());
        let forge = MemoryForge::new(git.clone(), Arc::clone(&clock))
            .with_bus(Arc::<MemoryBus>::clone(&bus));
        let (webhooks, tickets) = (MemoryWebhooks::new(), MemoryTickets::new());
        let queue = Arc::new(MemoryQueue::new(Arc::clone(&clock)));
        let ports = Ports {
            store: Arc::new(MemoryStore::new()),
            queue: Arc::<MemoryQueue>::clone(&queue),
            runtime: Arc::new(runtime.clone()),
            agents: agents
                .into_iter()
                .map(|agent| (agent.name().to_owned(), Arc::new(agent) as Arc<dyn Agent>))
                .collect(),
            forges: vec![Arc::new(forge.clone())],
            tickets: vec![Arc::new(tickets.clone())],
            bus,
            webhooks: Some(Arc::new(webhooks.clone())),
            clock,
        };
        let mut settings = Settings::new(WorkerId("a".to_owned()));
        settings.default_agent = Some("memory".to_owned());
        edit(&mut settings);
        let engine = Optio::new(ports, settings);
        let url = add_remote(&git, "shop");
        let repo = engine.add_repo(url.clone(), repo).await.unwrap();
        Self {
            git,
            queue,
            runtime,
            forge,
            webhooks,
            tickets,
            url,
            repo,
            engine,
        }
    }

    /// One more repository.
    pub(crate) async fn another_repo(&self, name: &str, settings: RepoSettings) -> Repo {
        self.engine
            .add_repo(add_remote(&self.git, name), settings)
            .await
            .unwrap()
    }

    /// What agents do from now on.
    pub(crate) fn agents_do(
        &self,
        steps: impl Fn(&SpawnedRun) -> Vec<Step> + Send + Sync + 'static,
    ) {
        self.runtime.behave(Behaviour::new(steps));
    }

    pub(crate) async fn submit(&self, title: &str) -> TaskId {
        // tasks of the same millisecond are in no order
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.engine
            .submit(NewTask::new(self.repo.id, title))
            .await
            .unwrap()
            .id
    }

    /// A second replica on the same backends.
    pub(crate) fn replica(&self, name: &str) -> Optio {
        let mut settings = self.engine.settings().clone();
        settings.worker = WorkerId(name.to_owned());
        Optio::new(self.engine.ports().clone(), settings)
    }

    pub(crate) fn run(&self) -> Running {
        run(&self.engine)
    }

    pub(crate) async fn task(&self, id: TaskId) -> Task {
        self.engine.store().task(id).await.unwrap()
    }

    pub(crate) async fn runs(&self, id: TaskId) -> Vec<Run> {
        self.engine
            .store()
            .runs(&RunQuery {
                task: Some(id),
                ..RunQuery::default()
            })
            .await
            .unwrap()
    }

    /// Waits until the task is in this state and no run of it is live.
    pub(crate) async fn until(&self, id: TaskId, state: StateName) -> Task {
        let there = async {
            loop {
                let task = self.task(id).await;
                if task.state.name() == state && !self.runs(id).await.iter().any(Run::is_live) {
                    return task;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, there).await {
            Ok(task) => task,
            Err(_) => panic!("{id} did not become {state}: {}", self.history(id).await),
        }
    }

    /// The states that a task went through.
    pub(crate) async fn history(&self, id: TaskId) -> String {
        let history = self.engine.store().history(id).await.unwrap();
        history
            .iter()
            .map(|line| line.to.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// A person reviews the pull request as it is.
    pub(crate) fn review(&self, verdict: ReviewVerdict, summary: &str) {
        let report = ReviewReport {
            verdict,
            summary: summary.to_owned(),
            comments: Vec::new(),
        };
        self.forge.add_review(&self.url, PrNumber(1), "ada", report);
    }

    /// The files that are saved under rescue refs.
    pub(crate) fn rescued(&self) -> Vec<String> {
        let refs = self.git.refs(&self.url);
        let saved = refs
            .iter()
            .filter(|(name, _)| name.starts_with("refs/optio/rescue/"));
        let mut files: Vec<String> = saved
            .flat_map(|(_, commit)| self.git.files(commit).into_keys())
            .filter(|name| name != "README.md")
            .collect();
        files.sort();
        files.dedup();
        files
    }

    /// How often anything was merged.
    pub(crate) fn merges(&self) -> u32 {
        self.forge
            .pull_requests(&self.url)
            .iter()
            .map(|pull_request| self.forge.merges(&self.url, pull_request.number))
            .sum()
    }
}

pub(crate) fn run(engine: &Optio) -> Running {
    let (engine, shutdown) = (engine.clone(), CancellationToken::new());
    let token = shutdown.clone();
    Running {
        shutdown,
        engine: tokio::spawn(async move { engine.run(token).await.unwrap() }),
    }
}

fn add_remote(git: &FakeGit, name: &str) -> RepoUrl {
    let url: RepoUrl = format!("https://memory.test/acme/{name}").parse().unwrap();
    git.add_remote(&url, "main", &[("README.md", "# A shop\n")]);
    url
}

/// Red, with a log that says why.
pub(crate) fn red() -> Checks {
    let failed = FailedCheck {
        name: "test".to_owned(),
        conclusion: "failure".to_owned(),
        step: Some("cargo test".to_owned()),
        log_tail: "assertion failed: the cart is empty".to_owned(),
        url: None,
    };
    Checks::Failed {
        failed: vec![failed],
    }
}
