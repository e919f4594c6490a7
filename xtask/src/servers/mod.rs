//! The servers that tests use: private ones, started before the tests and gone after them, whatever happens between.
//! And the agents' real programs, which stay.

mod agents;
mod clock;
mod postgres;
mod redis;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use self::postgres::Postgres;
use self::redis::Redis;

/// Names a PostgreSQL server for the tests; then none is started here.
const DATABASE_URL: &str = "OPTIO_TEST_DATABASE_URL";

/// Names a Redis server for the tests; then none is started here.
const REDIS_URL: &str = "OPTIO_TEST_REDIS_URL";

/// The running servers. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    postgres: Option<Postgres>,
    redis: Option<Redis>,
    agents: Vec<(&'static str, PathBuf)>,
    folder: PathBuf,
}

impl Servers {
    /// Starts what the environment does not name. Whether it does or not, what is missing is installed first if this
    /// machine is a Debian where we may: tests of outages stop and empty servers, and start their own for that.
    pub(crate) fn start(target: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("optio-servers-{}", std::process::id()));
        let mut servers = Self {
            postgres: None,
            redis: None,
            agents: Vec::new(),
            folder,
        };
        for (is_installed, package) in [
            (clock::is_installed as fn() -> bool, "faketime"),
            (postgres::is_installed, "postgresql"),
            (redis::is_installed, "redis-server"),
            (has_openssl, "openssl"),
        ] {
            if !is_installed() {
                install(package)?;
            }
        }
        if !is_named(DATABASE_URL) {
            make_passable(&servers.folder)?;
            let started = Postgres::start(
                &servers.folder.join("postgres"),
                &target.join("test-servers"),
            );
            servers.postgres = Some(started.map_err(anyhow::Error::msg)?);
        }
        if !is_named(REDIS_URL) {
            let started = Redis::start(&servers.folder.join("redis"));
            servers.redis = Some(started.map_err(anyhow::Error::msg)?);
        }
        for program in [agents::CLAUDE, agents::CODEX] {
            if !is_named(program.variable) {
                if program.find(target).is_none() && !has_npm() {
                    install("npm")?;
                }
                let installed = program.install(target).map_err(anyhow::Error::msg)?;
                servers.agents.push((program.variable, installed));
            }
        }
        Ok(servers)
    }

    /// What the tests are told.
    pub(crate) fn env(&self) -> Vec<(&'static str, OsString)> {
        let postgres = self.postgres.as_ref().map(|server| server.url());
        let redis = self.redis.as_ref().map(|server| server.url());
        let urls = [(DATABASE_URL, postgres), (REDIS_URL, redis)]
            .into_iter()
            .filter_map(|(name, url)| Some((name, url?.into())));
        let agents = self.agents.iter();
        urls.chain(agents.map(|(name, path)| (*name, path.into())))
            .collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.postgres.take());
        drop(self.redis.take());
        // what is left is an empty folder, or one that the next start of the machine clears away
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn is_named(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value: OsString| !value.is_empty())
}

/// Tests of encrypted connections make certificates with it.
fn has_openssl() -> bool {
    answers("openssl", "version")
}

fn has_npm() -> bool {
    answers("npm", "--version")
}

fn answers(program: &str, argument: &str) -> bool {
    let version = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .output();
    version.is_ok_and(|output| output.status.success())
}

/// Makes a folder through which another user finds its own: servers that refuse root run as somebody else.
fn make_passable(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711)))
        .with_context(|| format!("the folder {} cannot be made", folder.display()))
}

/// Installs a package of Debian; elsewhere, or without the right to, says what to do.
fn install(package: &str) -> Result<()> {
    let by_hand = format!("{package} is not installed: run `apt-get install {package}`");
    if !Path::new("/etc/debian_version").is_file() {
        bail!("{package} is not installed: install it with this system's package manager");
    }
    println!("── {by_hand}, which is tried now");
    let run = |arguments: &[&str]| {
        Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let installs = ["install", "--yes", "--no-install-recommends", package];
    if run(&installs) || (run(&["update"]) && run(&installs)) {
        Ok(())
    } else {
        bail!("{by_hand}, as root")
    }
}
