//! Configuration: flags, then the environment, then a file, then defaults; all mistakes told at once.
//!
//! Nothing else in this crate reads the environment.

mod access;
mod agent;
mod layers;
mod manifests;
mod setting;
mod state;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use optio_core::{money::Usd, secret::Secret};
use optio_store_postgres::Migrations;
use reqwest::Url;

pub(crate) use self::layers::nearest;
use self::layers::{AskedFor, Layers};
pub use self::{
    access::AgentAccess,
    agent::AgentSettings,
    layers::{Environment, Mistakes},
    setting::{Origin, Setting},
    state::{Database, Dispatch},
};

/// The shortest token that is accepted: one that can be guessed is worse than none.
const SHORTEST_TOKEN: usize = 16;

/// What was given on the command line.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Flags, as text.
    pub flags: BTreeMap<Setting, String>,
    /// The file that was named.
    pub file: Option<PathBuf>,
}

/// How the server works.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its folder: database, workspaces, local forge.
    pub data: PathBuf,
    /// Where state is kept.
    pub database: Database,
    /// What opening does about a database of an older version.
    pub migrations: Migrations,
    /// Where work is handed out.
    pub dispatch: Dispatch,
    /// How long a start waits for the servers of both to be up.
    pub start_timeout: Duration,
    /// How long a run or a share of the periodic work belongs to a replica that gives no sign of life.
    pub lease: Duration,
    /// How many tasks may be at work at once.
    pub max_concurrent: u32,
    /// How long an idle workspace is kept.
    pub workspace_idle: Duration,
    /// How long the log of a run that has ended is kept; for ever if none.
    pub log_retention: Option<Duration>,
    /// What all tasks together may cost in a day (UTC); no limit if none.
    pub max_cost_per_day: Option<Usd>,
    /// The agent of a task whose repository names none.
    pub default_agent: Option<String>,
    /// What is logged, as a `tracing` filter.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How long the server takes to finish what it is doing when it is told to stop.
    pub drain: Duration,
    /// What callers have to show; nothing if none.
    pub token: Option<Secret>,
    /// The part of our own environment that agents and git get: the search path, language, certificates, proxies.
    pub passed_on: BTreeMap<String, String>,
    /// With what agents show providers who they work for, and which agents manifests describe.
    pub access: AgentAccess,
}

/// Where the command line finds its server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The server's address.
    pub server: Url,
    /// What is shown to it.
    pub token: Option<Secret>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: a JSON object each.
    Json,
}

/// What agents and git get of our own environment.
const PASSED_ON: [&str; 21] = [
    "PATH",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
    "TZ",
    "TERM",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

impl ServerConfig {
    /// Reads the configuration of the server.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn load(given: Given, environment: &Environment) -> Result<Self, Mistakes> {
        let (mut layers, default_data) = layers(given, environment);
        let data = layers.read(Setting::Data, "an absolute path", |text| {
            Some(PathBuf::from(text)).filter(|path| path.is_absolute())
        });
        if layers.get(Setting::Data).is_none() && default_data.is_none() {
            layers.mistakes.push("there is no home folder to keep data in: set OPTIO_DATA or --data to an absolute path".to_owned());
        }
        let listen = layers.read(
            Setting::Listen,
            "an address and a port such as 127.0.0.1:8420",
            |text| text.parse().ok(),
        );
        let listen = listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8420)));
        let token = token(&mut layers);
        if token.is_none() && !listen.ip().is_loopback() {
            let origin = layers.origin(Setting::Listen);
            layers.mistakes.push(format!(
                "{origin} is {listen}, which others can reach: set OPTIO_TOKEN to a secret of at least {SHORTEST_TOKEN} characters, or listen on 127.0.0.1"
            ));
        }
        let (database, dispatch) = (Database::of(&mut layers), Dispatch::of(&mut layers));
        if layers.mistakes.is_empty() {
            state::must_fit(&database, &dispatch, &mut layers);
        }
        let data = data.or(default_data).unwrap_or_default();
        let described = manifests::read(&mut layers, &data);
        let settings = agent::read(&mut layers);
        let config = Self {
            listen,
            database,
            dispatch,
            migrations: state::migrations(&mut layers),
            start_timeout: layers
                .read(
                    Setting::StartTimeoutSeconds,
                    "seconds as a whole number up to 3600",
                    |text| text.parse().ok().filter(|seconds| *seconds <= 3600),
                )
                .map_or(Duration::from_mins(1), Duration::from_secs),
            lease: layers
                .read(
                    Setting::LeaseSeconds,
                    "seconds as a whole number from 2 to 3600",
                    |text| text.parse().ok().filter(|n| (2..=3600).contains(n)),
                )
                .map_or(Duration::from_secs(30), Duration::from_secs),
            data,
            max_concurrent: layers
                .read(
                    Setting::MaxConcurrent,
                    "a whole number from 1 to 10000",
                    |text| text.parse().ok().filter(|n| (1..=10_000).contains(n)),
                )
                .unwrap_or(5),
            workspace_idle: layers
                .read(
                    Setting::RepoPodIdleMs,
                    "milliseconds as a whole number, such as 600000",
                    |text| text.parse().ok(),
                )
                .map_or(Duration::from_mins(10), Duration::from_millis),
            log_retention: layers
                .read(
                    Setting::LogRetentionDays,
                    "days as a whole number up to 36500, or 0 for ever",
                    |text| text.parse().ok().filter(|days| *days <= 36_500),
                )
                .filter(|days| *days > 0)
                .map(|days: u64| Duration::from_hours(24 * days)),
            max_cost_per_day: layers.read(
                Setting::MaxCostPerDay,
                "US dollars such as 25 or 2.50",
                |text| text.parse().ok(),
            ),
            default_agent: layers.read(Setting::DefaultAgent, "the name of an agent", |text| {
                Some(text.to_owned()).filter(|text| !text.is_empty())
            }),
            log: layers
                .read(
                    Setting::Log,
                    "a filter such as info or optio_core=debug,warn",
                    |text| {
                        text.parse::<tracing_subscriber::EnvFilter>()
                            .ok()
                            .map(|_| text.to_owned())
                    },
                )
                .unwrap_or_else(|| "info".to_owned()),
            log_format: layers
                .read(Setting::LogFormat, "text or json", |text| match text {
                    "text" => Some(LogFormat::Text),
                    "json" => Some(LogFormat::Json),
                    _ => None,
                })
                .unwrap_or_default(),
            drain: layers
                .read(
                    Setting::DrainSeconds,
                    "seconds as a whole number up to 3600",
                    |text| text.parse().ok().filter(|seconds| *seconds <= 3600),
                )
                .map_or(Duration::from_secs(10), Duration::from_secs),
            token,
            passed_on: environment.pick(&PASSED_ON),
            access: AgentAccess::of(environment)
                .with_settings(settings)
                .with_described(described, environment),
        };
        finish(layers, config)
    }
}

impl ClientConfig {
    /// Reads what the command line needs to find its server.
    ///
    /// # Errors
    /// Every mistake in that.
    pub fn load(given: Given, environment: &Environment) -> Result<Self, Mistakes> {
        let (mut layers, _) = layers(given, environment);
        let server = layers.read(
            Setting::Server,
            "an address such as http://127.0.0.1:8420",
            |text| {
                let text = text.trim_end_matches('/');
                let url: Url = text.parse().ok()?;
                (matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.query().is_none())
                .then_some(url)
            },
        );
        let token = token(&mut layers);
        // where `serve` listens on this machine is the best guess
        let listen: Option<SocketAddr> = layers
            .get(Setting::Listen)
            .and_then(|(_, text)| text.parse().ok());
        let default = listen.filter(|listen| listen.port() != 0).map_or(
            "http://127.0.0.1:8420".to_owned(),
            |listen| {
                let unspecified = listen.ip().is_unspecified();
                if unspecified {
                    format!("http://127.0.0.1:{}", listen.port())
                } else {
                    format!("http://{listen}")
                }
            },
        );
        let Some(server) = server.map_or_else(|| default.parse().ok(), Some) else {
            layers.mistakes.push(format!("{default} is not an address"));
            return Err(Mistakes(layers.mistakes));
        };
        finish(layers, Self { server, token })
    }
}

fn finish<T>(layers: Layers, config: T) -> Result<T, Mistakes> {
    if layers.mistakes.is_empty() {
        Ok(config)
    } else {
        Err(Mistakes(layers.mistakes))
    }
}

fn token(layers: &mut Layers) -> Option<Secret> {
    let (origin, text) = layers.get(Setting::Token)?;
    let usable = text.len() >= SHORTEST_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic());
    let token = Secret::new(text);
    if !usable {
        // the value itself is not repeated
        layers.mistakes.push(format!("{origin} cannot be used: expected at least {SHORTEST_TOKEN} characters of ASCII without blanks"));
    }
    Some(token)
}

/// Gathers the layers; with the default data folder, if there is a home.
fn layers(given: Given, environment: &Environment) -> (Layers, Option<PathBuf>) {
    let mut layers = Layers::new(given.flags, environment);
    let home = environment.path("HOME");
    let under = |variable: &str, otherwise: &str| {
        environment
            .path(variable)
            .or_else(|| Some(home.as_ref()?.join(otherwise)))
    };
    let default_data = under("XDG_DATA_HOME", ".local/share").map(|folder| folder.join("optio"));
    if let Some(file) = given.file {
        layers.read_file(&file, AskedFor::Yes);
    } else {
        let named = layers
            .get(Setting::Data)
            .map(|(_, data)| PathBuf::from(data))
            .filter(|data| data.is_absolute());
        let beside_data = named
            .or_else(|| default_data.clone())
            .map(|data| data.join("optio.toml"));
        let of_user =
            under("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("optio/config.toml"));
        let found = [beside_data, of_user]
            .into_iter()
            .flatten()
            .find(|path| exists(path));
        if let Some(file) = found {
            layers.read_file(&file, AskedFor::No);
        }
    }
    (layers, default_data)
}

/// Whether there is something at this path, readable or not.
fn exists(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(_) => true,
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        ),
    }
}
