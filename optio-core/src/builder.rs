//! Putting an engine together: backends where you have them, in-memory stand-ins where you do not.

use std::{collections::BTreeMap, sync::Arc};

use thiserror::Error;

use crate::{
    agent::Agent,
    clock::{Clock, SystemClock},
    engine::{Limits, Optio, Ports, Settings},
    event_bus::EventBus,
    forge::Forge,
    id::RunId,
    memory::{MemoryBus, MemoryQueue, MemoryStore},
    prompt::PromptOverrides,
    queue::Queue,
    run::WorkerId,
    runtime::Runtime,
    store::Store,
    tickets::Tickets,
    webhook::WebhookSender,
};

/// What an engine cannot be built without.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BuildError {
    /// There is nowhere to run agents.
    #[error("no runtime was given: agents need a place to work, such as a LocalRuntime")]
    NoRuntime,
    /// There is nobody to do the work.
    #[error("no agent was given: add at least one")]
    NoAgent,
    /// Two agents have the same name.
    #[error("two agents are called {0:?}")]
    SameName(String),
    /// There is nowhere to open pull requests.
    #[error("no forge was given: add at least one")]
    NoForge,
    /// A global prompt template is broken.
    #[error("{0}")]
    Prompt(String),
}

/// Puts an engine together. Store, queue and event bus are in memory unless others are given: fine for a try and for
/// tests, gone with the process.
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct OptioBuilder {
    store: Option<Arc<dyn Store>>,
    queue: Option<Arc<dyn Queue>>,
    runtime: Option<Arc<dyn Runtime>>,
    agents: Vec<Arc<dyn Agent>>,
    forges: Vec<Arc<dyn Forge>>,
    tickets: Vec<Arc<dyn Tickets>>,
    bus: Option<Arc<dyn EventBus>>,
    webhooks: Option<Arc<dyn WebhookSender>>,
    clock: Option<Arc<dyn Clock>>,
    settings: Option<Settings>,
    limits: Option<Limits>,
    prompts: Option<PromptOverrides>,
}

impl Optio {
    /// Starts putting an engine together.
    pub fn builder() -> OptioBuilder {
        OptioBuilder::default()
    }
}

impl OptioBuilder {
    /// Where state lives.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Where tasks wait.
    pub fn queue(mut self, queue: impl Queue) -> Self {
        self.queue = Some(Arc::new(queue));
        self
    }

    /// Where agents work.
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.runtime = Some(Arc::new(runtime));
        self
    }

    /// One more agent. A task that names none gets its repository's, or the only one there is.
    pub fn agent(mut self, agent: impl Agent) -> Self {
        self.agents.push(Arc::new(agent));
        self
    }

    /// One more forge. Of several that handle an address, the first counts.
    pub fn forge(mut self, forge: impl Forge) -> Self {
        self.forges.push(Arc::new(forge));
        self
    }

    /// One more ticket source.
    pub fn tickets(mut self, tickets: impl Tickets) -> Self {
        self.tickets.push(Arc::new(tickets));
        self
    }

    /// How hints spread.
    pub fn event_bus(mut self, bus: impl EventBus) -> Self {
        self.bus = Some(Arc::new(bus));
        self
    }

    /// How outgoing webhooks are sent.
    pub fn webhooks(mut self, sender: impl WebhookSender) -> Self {
        self.webhooks = Some(Arc::new(sender));
        self
    }

    /// The source of time.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Limits over all repositories.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Templates that replace the built-in ones.
    pub fn prompts(mut self, prompts: PromptOverrides) -> Self {
        self.prompts = Some(prompts);
        self
    }

    /// All other settings.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// The engine.
    ///
    /// # Errors
    /// A runtime, an agent or a forge is missing, two agents share a name, or a template is broken.
    pub fn build(self) -> Result<Optio, BuildError> {
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let runtime = self.runtime.ok_or(BuildError::NoRuntime)?;
        let mut agents: BTreeMap<String, Arc<dyn Agent>> = BTreeMap::new();
        for agent in self.agents {
            let name = agent.name().to_owned();
            if agents.insert(name.clone(), agent).is_some() {
                return Err(BuildError::SameName(name));
            }
        }
        if agents.is_empty() {
            return Err(BuildError::NoAgent);
        }
        if self.forges.is_empty() {
            return Err(BuildError::NoForge);
        }
        // a name of its own for each start: what an earlier process of ours held is not ours
        let mut settings = self.settings.unwrap_or_else(|| {
            Settings::new(WorkerId(format!(
                "worker-{}",
                RunId::generate(&*clock).short()
            )))
        });
        settings.limits = self.limits.unwrap_or(settings.limits);
        settings.prompts = self.prompts.unwrap_or(settings.prompts);
        settings
            .prompts
            .check()
            .map_err(|error| BuildError::Prompt(error.to_string()))?;
        let ports = Ports {
            store: self.store.unwrap_or_else(|| Arc::new(MemoryStore::new())),
            queue: self
                .queue
                .unwrap_or_else(|| Arc::new(MemoryQueue::new(Arc::clone(&clock)))),
            runtime,
            agents,
            forges: self.forges,
            tickets: self.tickets,
            bus: self.bus.unwrap_or_else(|| Arc::new(MemoryBus::new())),
            webhooks: self.webhooks,
            clock,
        };
        Ok(Optio::new(ports, settings))
    }
}
