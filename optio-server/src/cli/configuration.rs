//! Flags that are settings, as clap reads them: text, which `config` makes sense of together with all other sources.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;

use super::out::Shape;
use crate::config::{ClientConfig, Environment, Given, Mistakes, ServerConfig, Setting};

/// Flags of commands that run the server, or look at what it needs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings (flags win over the environment, that over the file)")]
pub(crate) struct ServerFlags {
    /// Read settings from this TOML file [default: optio.toml in the data folder, or ~/.config/optio/config.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here [env: OPTIO_LISTEN] [default: 127.0.0.1:8420]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Keep everything in this folder [env: OPTIO_DATA] [default: ~/.local/share/optio]
    #[arg(long, value_name = "FOLDER")]
    data: Option<String>,
    /// At most so many tasks at work at once [env: OPTIO_MAX_CONCURRENT] [default: 5]
    #[arg(long, value_name = "N")]
    max_concurrent: Option<String>,
    /// Remove a workspace that was idle for so long [env: OPTIO_REPO_POD_IDLE_MS] [default: 600000]
    #[arg(long, value_name = "MS")]
    repo_pod_idle_ms: Option<String>,
    /// Spend at most this on all tasks of a day [env: OPTIO_MAX_COST_PER_DAY] [default: no limit]
    #[arg(long, value_name = "USD")]
    max_cost_per_day: Option<String>,
    /// The agent of tasks whose repository names none [env: OPTIO_DEFAULT_AGENT] [default: the only one there is]
    #[arg(long, value_name = "AGENT")]
    default_agent: Option<String>,
    /// What to log, such as info or optio_core=debug,warn [env: OPTIO_LOG] [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look: text or json [env: OPTIO_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// When told to stop, take at most so long [env: OPTIO_DRAIN_SECONDS] [default: 10]
    #[arg(long, value_name = "SECONDS")]
    drain_seconds: Option<String>,
}

impl ServerFlags {
    /// Those of the demo, which tells what happens by itself and logs only what is wrong.
    pub(crate) fn for_demo(listen: String) -> Self {
        Self {
            listen: Some(listen),
            log: Some("error".to_owned()),
            ..Self::default()
        }
    }

    /// The configuration of the server.
    pub(crate) fn load(self, environment: &Environment) -> Result<ServerConfig, Mistakes> {
        ServerConfig::load(self.given(), environment)
    }

    /// What was given.
    pub(crate) fn given(self) -> Given {
        let flags = [
            (Setting::Listen, self.listen),
            (Setting::Data, self.data),
            (Setting::MaxConcurrent, self.max_concurrent),
            (Setting::RepoPodIdleMs, self.repo_pod_idle_ms),
            (Setting::MaxCostPerDay, self.max_cost_per_day),
            (Setting::DefaultAgent, self.default_agent),
            (Setting::Log, self.log),
            (Setting::LogFormat, self.log_format),
            (Setting::DrainSeconds, self.drain_seconds),
        ];
        Given {
            flags: set(flags),
            file: self.config,
        }
    }
}

/// Flags of commands that talk to a server.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ClientFlags {
    /// The server's address [env: OPTIO_SERVER] [default: http://127.0.0.1:8420]
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// Read settings from this TOML file
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, in the shapes of the REST interface
    #[arg(long, global = true)]
    json: bool,
}

impl ClientFlags {
    /// Where the server is.
    pub(crate) fn load(&self, environment: &Environment) -> Result<ClientConfig, Mistakes> {
        let flags = set([(Setting::Server, self.server.clone())]);
        ClientConfig::load(
            Given {
                flags,
                file: self.config.clone(),
            },
            environment,
        )
    }

    /// How to show what was found.
    pub(crate) fn shape(&self) -> Shape {
        if self.json { Shape::Json } else { Shape::Human }
    }
}

fn set(flags: impl IntoIterator<Item = (Setting, Option<String>)>) -> BTreeMap<Setting, String> {
    flags
        .into_iter()
        .filter_map(|(setting, value)| Some((setting, value?)))
        .collect()
}
