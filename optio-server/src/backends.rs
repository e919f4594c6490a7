//! Which backends make up the engine of `optio serve`: workspaces and forge on this machine, state where it is wanted.

use std::{path::Path, sync::Arc};

use optio_core::{
    Clock, Error, Result, SystemClock,
    engine::{Limits, Optio, Ports, Settings},
    run::WorkerId,
};
use optio_local::{
    LocalForge, LocalForgeOptions,
    runtime::{LocalRuntime, LocalRuntimeOptions},
};

use crate::{
    agents::{agents, default_agent},
    config::ServerConfig,
    doctor,
    home::Home,
    state::State,
    webhook_sender::HttpWebhooks,
};

/// The backends of one process, and the engine on them.
#[derive(Debug)]
pub struct Backends {
    /// The engine.
    pub optio: Optio,
    /// The examination of what it needs.
    pub doctor: doctor::Doctor,
    /// The forge of repositories on this machine.
    pub forge: Arc<LocalForge>,
    /// The right of the data folder to hold the workspaces, where others share the database.
    pub home: Option<Home>,
    state: State,
}

impl Backends {
    /// Opens everything in the data folder, which is made if it is missing. Nothing works yet: see [`Optio::run`].
    ///
    /// # Errors
    /// Another server has the folder, or it cannot be read or written; a database or queue cannot be used. The message
    /// says what to do.
    pub async fn open(config: &ServerConfig) -> Result<Self> {
        let agents = agents(&config.access)?;
        if let Some(unknown) = config
            .default_agent
            .as_ref()
            .filter(|name| !agents.contains_key(*name))
        {
            let known: Vec<&str> = agents.keys().map(String::as_str).collect();
            return Err(Error::invalid(
                "optio",
                format!(
                    "there is no agent called {unknown:?}: set --default-agent or OPTIO_DEFAULT_AGENT to one of {}",
                    known.join(", ")
                ),
            ));
        }
        make_private(&config.data)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        // first what only one process may have: the second one changes nothing
        let state = State::open(config, &clock).await?;
        let home = Home::take(
            &config.data,
            Arc::clone(&state.store),
            Arc::clone(&clock),
            config.lease,
        )
        .await?;
        let mut options = LocalRuntimeOptions::new(config.data.join("workspaces"));
        options.env.extend(config.passed_on.clone());
        let env = options.env.clone();
        let runtime = LocalRuntime::open(options).await?;
        let containment = containment(&runtime);
        let mut options =
            LocalForgeOptions::new(config.data.join("forge")).with_bus(Arc::clone(&state.bus));
        options.sharing = state.sharing();
        options.env.extend(config.passed_on.clone());
        let forge = Arc::new(LocalForge::open(options).await?);
        let ports = Ports {
            store: Arc::clone(&state.store),
            queue: Arc::clone(&state.queue),
            runtime: Arc::new(runtime),
            agents: agents.clone(),
            forges: vec![Arc::<LocalForge>::clone(&forge)],
            tickets: Vec::new(),
            bus: Arc::clone(&state.bus),
            webhooks: Some(Arc::new(HttpWebhooks::new()?)),
            clock: Arc::clone(&clock),
        };
        let doctor = doctor::Doctor {
            env,
            data: config.data.clone(),
            agents: agents.into_values().collect(),
            containment,
            servers: Some(doctor::Servers::from(config)),
        };
        Ok(Self {
            optio: Optio::new(ports, settings(config, &*clock)),
            doctor,
            forge,
            home,
            state,
        })
    }

    /// Gives the data folder free. Nothing may use the engine afterwards.
    pub async fn close(self) {
        self.forge.shut_down().await;
        self.state.close().await;
    }
}

/// How the runtime holds runs together.
#[must_use]
pub fn containment(runtime: &LocalRuntime) -> doctor::Containment {
    if runtime.uses_namespaces() {
        doctor::Containment::Namespace
    } else {
        doctor::Containment::Marker
    }
}

fn settings(config: &ServerConfig, clock: &dyn Clock) -> Settings {
    // a name of its own for each start: what a former process held is not ours
    let mut settings = Settings::new(WorkerId(format!(
        "serve-{}-{:08x}",
        std::process::id(),
        clock.random() as u32
    )));
    settings.limits = Limits::default()
        .with_global(config.max_concurrent)
        .with_cost_per_day(config.max_cost_per_day);
    settings.default_agent = default_agent(config);
    settings.workspace_idle = config.workspace_idle;
    settings.log_retention = config.log_retention;
    settings.lease = config.lease;
    settings.secrets.extend(config.token.clone());
    settings.secrets.extend(config.database.password());
    settings.secrets.extend(config.dispatch.password());
    settings.secrets.extend(config.access.secrets().cloned());
    settings
}

/// Makes a folder that nobody else may look into.
fn make_private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.map_err(|error| {
        Error::invalid("optio", format!("the data folder {} cannot be made ({error}): set OPTIO_DATA to one that you may write to", folder.display()))
    })
}
