//! Flags that are settings, as clap reads them: text, which `config` makes sense of together with all other sources.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;

use super::out::Shape;
use crate::config::{ClientConfig, Environment, Given, Mistakes, ServerConfig, Setting};

/// Flags of commands that run the server, or look at what it needs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings (flags win over the environment, that over the file)")]
pub(crate) struct ServerFlags {
    /// Read settings from this TOML file, in which tables [agent.NAME] set effort, limits, permissions, instructions and MCP
    /// servers of single agents [default: optio.toml in the data folder, or ~/.config/optio/config.toml]
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
    /// Keep the logs of runs for so many days after they ended, by the clock of this machine; one that is set forward while
    /// the server runs makes none older [env: OPTIO_LOG_RETENTION_DAYS] [default: 0, for ever]
    #[arg(long, value_name = "DAYS")]
    log_retention_days: Option<String>,
    /// The agent of tasks whose repository names none [env: OPTIO_DEFAULT_AGENT] [default: the only one there is]
    #[arg(long, value_name = "AGENT")]
    default_agent: Option<String>,
    /// Know the agents that manifests in this folder describe [env: OPTIO_AGENTS] [default: agents in the data folder]
    #[arg(long, value_name = "FOLDER")]
    agents: Option<String>,
    /// What to log, such as info or optio_core=debug,warn [env: OPTIO_LOG] [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look: text or json [env: OPTIO_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// When told to stop, take at most so long [env: OPTIO_DRAIN_SECONDS] [default: 10]
    #[arg(long, value_name = "SECONDS")]
    drain_seconds: Option<String>,
    #[command(flatten)]
    state: StateFlags,
}

/// Flags that say where state is kept, and where work is handed out.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings of the database and of several replicas")]
pub(crate) struct StateFlags {
    /// Keep state in sqlite:///path/of/file, or, for several replicas, in postgres://user:password@host/database
    /// (PostgreSQL 14 or newer; ?sslmode=verify-full encrypts and checks whom it talks to). Others on this machine see
    /// flags: give a password in the environment [env: OPTIO_DATABASE_URL, DATABASE_URL] [default: optio.db in the data
    /// folder]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Hold at most so many connections to PostgreSQL [env: OPTIO_DATABASE_MAX_CONNECTIONS] [default: 10]
    #[arg(long, value_name = "N")]
    database_max_connections: Option<String>,
    /// Wait at most so long for one of them [env: OPTIO_DATABASE_ACQUIRE_TIMEOUT_SECONDS] [default: 5]
    #[arg(long, value_name = "SECONDS")]
    database_acquire_timeout_seconds: Option<String>,
    /// Give a statement at most so long; 0 is for ever [env: OPTIO_DATABASE_STATEMENT_TIMEOUT_SECONDS] [default: 30]
    #[arg(long, value_name = "SECONDS")]
    database_statement_timeout_seconds: Option<String>,
    /// Wait at most so long for another replica's lock; 0 is for ever [env: OPTIO_DATABASE_LOCK_TIMEOUT_SECONDS]
    /// [default: 10]
    #[arg(long, value_name = "SECONDS")]
    database_lock_timeout_seconds: Option<String>,
    /// Encrypt the connection to PostgreSQL: disable, prefer, require, verify-ca or verify-full; wins over the address
    /// [env: OPTIO_DATABASE_SSLMODE] [default: prefer]
    #[arg(long, value_name = "MODE")]
    database_sslmode: Option<String>,
    /// Trust the authorities in this PEM file [env: OPTIO_DATABASE_SSLROOTCERT] [default: those of the system]
    #[arg(long, value_name = "FILE")]
    database_sslrootcert: Option<String>,
    /// When it starts, wait at most so long for PostgreSQL and Redis to be up
    /// [env: OPTIO_START_TIMEOUT_SECONDS] [default: 60]
    #[arg(long, value_name = "SECONDS")]
    start_timeout_seconds: Option<String>,
    /// What to do about a database of an older version: bring it up to date (auto), or refuse and leave that to `optio
    /// migrate` [env: OPTIO_MIGRATE] [default: auto]
    #[arg(long, value_name = "auto|refuse")]
    migrate: Option<String>,
    /// Hand work out to several replicas by this Redis (6.2 or newer, or Valkey 7.2): redis://host:6379, rediss:// for
    /// TLS, or none; goes with PostgreSQL [env: OPTIO_REDIS_URL, REDIS_URL] [default: none]
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// What its keys begin with; installations that share a Redis differ in it [env: OPTIO_REDIS_PREFIX] [default: optio]
    #[arg(long, value_name = "NAME")]
    redis_prefix: Option<String>,
    /// How long a run belongs to a replica that gives no sign of life, before another one takes over
    /// [env: OPTIO_LEASE_SECONDS] [default: 30]
    #[arg(long, value_name = "SECONDS")]
    lease_seconds: Option<String>,
}

impl StateFlags {
    fn given(self) -> [(Setting, Option<String>); 12] {
        [
            (Setting::DatabaseUrl, self.database_url),
            (
                Setting::DatabaseMaxConnections,
                self.database_max_connections,
            ),
            (
                Setting::DatabaseAcquireTimeoutSeconds,
                self.database_acquire_timeout_seconds,
            ),
            (
                Setting::DatabaseStatementTimeoutSeconds,
                self.database_statement_timeout_seconds,
            ),
            (
                Setting::DatabaseLockTimeoutSeconds,
                self.database_lock_timeout_seconds,
            ),
            (Setting::DatabaseSslmode, self.database_sslmode),
            (Setting::DatabaseSslrootcert, self.database_sslrootcert),
            (Setting::StartTimeoutSeconds, self.start_timeout_seconds),
            (Setting::Migrate, self.migrate),
            (Setting::RedisUrl, self.redis_url),
            (Setting::RedisPrefix, self.redis_prefix),
            (Setting::LeaseSeconds, self.lease_seconds),
        ]
    }
}

impl ServerFlags {
    /// Those of the demo, which tells what happens by itself and logs only what is wrong.
    pub(crate) fn for_demo(listen: String) -> Self {
        Self {
            listen: Some(listen),
            log: Some("error".to_owned()),
            // everything of a demo is on this machine, whatever servers the environment names
            state: StateFlags {
                database_url: Some("sqlite:optio.db".to_owned()),
                redis_url: Some("none".to_owned()),
                ..StateFlags::default()
            },
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
            (Setting::LogRetentionDays, self.log_retention_days),
            (Setting::DefaultAgent, self.default_agent),
            (Setting::Agents, self.agents),
            (Setting::Log, self.log),
            (Setting::LogFormat, self.log_format),
            (Setting::DrainSeconds, self.drain_seconds),
        ];
        Given {
            flags: set(flags.into_iter().chain(self.state.given())),
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
