//! How the engine works: limits, intervals, and the templates and budgets that hold for every repository.

use std::time::Duration;

use crate::{money::Usd, prompt::PromptOverrides, run::WorkerId, secret::Secret};

/// How many agents may work at once, and what they may cost, over all repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many tasks may be at work at once.
    pub global: u32,
    /// What all tasks together may cost in a day (UTC); no limit if none.
    pub cost_per_day: Option<Usd>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            global: 5,
            cost_per_day: None,
        }
    }
}

impl Limits {
    /// The same with another number of tasks at work at once.
    #[must_use]
    pub fn with_global(mut self, global: u32) -> Self {
        self.global = global;
        self
    }

    /// The same with a budget for the day.
    #[must_use]
    pub fn with_cost_per_day(mut self, cost: Option<Usd>) -> Self {
        self.cost_per_day = cost;
        self
    }
}

/// How the engine works. The defaults are those of the documentation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Who we are: different for each process, each time it starts.
    pub worker: WorkerId,
    /// Limits over all repositories.
    pub limits: Limits,
    /// The agent of a task whose repository names none.
    pub default_agent: Option<String>,
    /// Templates that replace the built-in ones, unless a repository has its own.
    pub prompts: PromptOverrides,
    /// How long a run belongs to a worker that gives no sign of life.
    pub lease: Duration,
    /// How long an idle workspace is kept.
    pub workspace_idle: Duration,
    /// How long an agent has to stop by itself when it is told to.
    pub kill_grace: Duration,
    /// How often every open pull request is looked at, hints or not.
    pub pr_interval: Duration,
    /// How often health is looked at.
    pub health_interval: Duration,
    /// How often schedules are looked at.
    pub schedule_interval: Duration,
    /// How often ticket sources are asked.
    pub ticket_interval: Duration,
    /// How often the queue and the outbox are looked at, hints or not.
    pub sweep_interval: Duration,
    /// How long log entries may gather before they are stored.
    pub log_delay: Duration,
    /// How long the log of a run that has ended is kept; for ever if none.
    pub log_retention: Option<Duration>,
    /// Values that are masked in everything that is stored, beside the [secrets of the agents](crate::agent::Agent::secrets).
    pub secrets: Vec<Secret>,
}

impl Settings {
    /// The defaults, for a worker of this name.
    #[must_use]
    pub fn new(worker: WorkerId) -> Self {
        Self {
            worker,
            limits: Limits::default(),
            default_agent: None,
            prompts: PromptOverrides::default(),
            lease: Duration::from_secs(30),
            workspace_idle: Duration::from_secs(600),
            kill_grace: Duration::from_secs(10),
            pr_interval: Duration::from_secs(30),
            health_interval: Duration::from_secs(60),
            schedule_interval: Duration::from_secs(30),
            ticket_interval: Duration::from_secs(60),
            sweep_interval: Duration::from_secs(10),
            log_delay: Duration::from_millis(100),
            log_retention: None,
            secrets: Vec::new(),
        }
    }
}
