//! A private PostgreSQL: in a folder of its own, on a socket of its own, gone when it is dropped.
//!
//! Uses nothing but the standard library: the tests of the store include this file to start one for themselves.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The user of the databases.
const USER: &str = "optio";

/// The usual settings: what a server of tests holds is worth nothing once it is gone.
#[allow(dead_code, reason = "benches have settings of their own")]
pub(crate) const UNSAFE: &[&str] = &["fsync=off", "full_page_writes=off", "shared_buffers=64MB"];

/// A running server.
#[derive(Debug)]
pub(crate) struct Postgres {
    folder: PathBuf,
    server: Child,
    settings: Vec<String>,
}

impl Postgres {
    /// Starts a server that keeps everything in `folder`, which is made, and removed when the server is dropped. In
    /// `templates` it keeps a copy of the first state, from which the next server starts sooner.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    #[allow(dead_code, reason = "benches have settings of their own")]
    pub(crate) fn start(folder: &Path, templates: &Path) -> Result<Self, String> {
        Self::start_with(folder, templates, UNSAFE)
    }

    /// The same with other settings (`name=value`).
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub(crate) fn start_with(
        folder: &Path,
        templates: &Path,
        settings: &[&str],
    ) -> Result<Self, String> {
        let programs = programs().ok_or(
            "PostgreSQL is not installed: `apt-get install postgresql`, `dnf install postgresql-server` or \
             `brew install postgresql`, or name a server of your own in OPTIO_TEST_DATABASE_URL",
        )?;
        let user = User::of_server()?;
        make_folder(folder, user)?;
        let data = folder.join("data");
        let template = templates.join(template_name(&programs));
        if !(template.is_dir() && copy(&template, &data).is_ok()) {
            make_data(user, &programs, &data)?;
            keep(&data, templates, &template);
        }
        let settings: Vec<String> = settings
            .iter()
            .map(|setting| (*setting).to_owned())
            .collect();
        let mut started = Self {
            folder: folder.to_owned(),
            server: spawn(user, &programs, folder, &settings)?,
            settings,
        };
        started.wait(&programs)?;
        Ok(started)
    }

    /// Ends the server by a signal (`INT` in order, `QUIT` as a crash does) and starts it again on the same data.
    ///
    /// # Errors
    /// It does not start again.
    #[allow(dead_code, reason = "only tests of outages need it")]
    pub(crate) fn restart(&mut self, signal: &str) -> Result<(), String> {
        self.end(signal);
        let programs = programs().ok_or("PostgreSQL is gone")?;
        self.server = spawn(User::of_server()?, &programs, &self.folder, &self.settings)?;
        self.wait(&programs)
    }

    fn end(&mut self, signal: &str) {
        let stopped = Command::new("kill")
            .args(["-s", signal, &self.server.id().to_string()])
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
    }

    /// The address of the database `postgres`, by its socket.
    #[allow(dead_code, reason = "benches go by a port")]
    pub(crate) fn url(&self) -> String {
        let folder: String = self
            .folder
            .display()
            .to_string()
            .chars()
            .map(|c| match c {
                '/' => "%2F".to_owned(),
                '%' => "%25".to_owned(),
                ' ' => "%20".to_owned(),
                c => c.to_string(),
            })
            .collect();
        let port = self.port();
        format!("postgres://{USER}@localhost:{port}/postgres?host={folder}")
    }

    /// Its port, which is in the name of its socket.
    fn port(&self) -> &str {
        let mut settings = self.settings.iter().rev();
        let port = settings.find_map(|setting| setting.strip_prefix("port="));
        port.unwrap_or("5432")
    }

    /// Waits until it answers: only `pg_isready` can tell.
    fn wait(&mut self, programs: &Path) -> Result<(), String> {
        for _ in 0..600 {
            let ready = Command::new(programs.join("pg_isready"))
                .args(["--quiet", "--port", self.port(), "--host"])
                .arg(&self.folder)
                .status();
            if ready.is_ok_and(|status| status.success()) {
                return Ok(());
            }
            if matches!(self.server.try_wait(), Ok(Some(_))) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(format!("postgres did not start: {log}"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // postgres ends at once and in order on this signal; its children go with it
        self.end("INT");
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn spawn(user: User, programs: &Path, folder: &Path, settings: &[String]) -> Result<Child, String> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .map_err(|error| error.to_string())?;
    user.tied_to_us(&programs.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-c", "listen_addresses=", "-c", "port=5432"])
        .args(["-c", "max_connections=200"])
        .args(settings.iter().flat_map(|setting| ["-c", setting.as_str()]))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|error| format!("postgres could not be started: {error}"))
}

/// Whether PostgreSQL is installed.
#[allow(dead_code, reason = "the tests that include this file do not ask")]
pub(crate) fn is_installed() -> bool {
    programs().is_some()
}

/// The folder of the newest installed PostgreSQL's programs. Debian keeps them out of the search path.
pub(crate) fn programs() -> Option<PathBuf> {
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    debian.sort();
    let found = debian.into_iter().rev().map(|(_, folder)| folder);
    let path = std::env::var_os("PATH").unwrap_or_default();
    found
        .chain(std::env::split_paths(&path))
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// Who the server runs as: us, or somebody else if we are root, whom Postgres refuses.
#[derive(Debug, Clone, Copy)]
struct User(Option<(u32, u32)>);

impl User {
    fn of_server() -> Result<Self, String> {
        let me = fs::metadata("/proc/self").map(|metadata| metadata.uid());
        if me.unwrap_or(1) != 0 {
            return Ok(Self(None));
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| {
                let line = users
                    .lines()
                    .find(|line| line.split(':').next() == Some(*name))?;
                let mut fields = line.split(':').skip(2);
                let user = fields.next()?.parse().ok()?;
                Some(Self(Some((user, fields.next()?.parse().ok()?))))
            })
            .ok_or_else(|| {
                "PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody".to_owned()
            })
    }

    fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        // not every folder of ours is one that they may enter
        command.current_dir("/");
        command
    }

    /// A program that is ended when this thread is, however that happens; where that can be had.
    fn tied_to_us(self, program: &Path) -> Command {
        if !Path::new("/usr/bin/setpriv").is_file() {
            return self.command(program);
        }
        let mut command = Command::new("/usr/bin/setpriv");
        command.args(["--pdeathsig", "QUIT"]);
        if let Some((user, group)) = self.0 {
            command.args(["--clear-groups", "--reuid", &user.to_string()]);
            command.args(["--regid", &group.to_string()]);
        }
        command.arg("--").arg(program).current_dir("/");
        command
    }
}

fn make_data(user: User, programs: &Path, data: &Path) -> Result<(), String> {
    let made = user
        .command(&programs.join("initdb"))
        .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
        .args(["--wal-segsize=1", "--username", USER, "--pgdata"])
        .arg(data)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("initdb could not be started: {error}"))?;
    if made.status.success() {
        Ok(())
    } else {
        let reason = String::from_utf8_lossy(&made.stderr);
        Err(format!("initdb failed: {reason}"))
    }
}

/// Each installation has a template of its own.
fn template_name(programs: &Path) -> String {
    let path = programs.display().to_string();
    format!("postgres{}", path.replace(['/', ' '], "-"))
}

/// Keeps the first state for the next server. If that fails, the next one takes a second longer.
fn keep(data: &Path, templates: &Path, template: &Path) {
    let half = templates.join(format!("half-{}", std::process::id()));
    let kept = fs::create_dir_all(templates)
        .map_err(|error| error.to_string())
        .and_then(|()| copy(data, &half))
        .and_then(|()| fs::rename(&half, template).map_err(|error| error.to_string()));
    if kept.is_err() {
        let _ = fs::remove_dir_all(&half);
    }
}

/// Copies a folder with its owner and rights.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    match copied {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cp ended with {status}")),
        Err(error) => Err(format!("cp could not be started: {error}")),
    }
}

/// Makes the folder, for this user and nobody else.
fn make_folder(folder: &Path, user: User) -> Result<(), String> {
    let made = fs::create_dir_all(folder)
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o700)))
        .and_then(|()| match user.0 {
            Some((user, group)) => chown(folder, Some(user), Some(group)),
            None => Ok(()),
        });
    made.map_err(|error| format!("the folder {} cannot be made: {error}", folder.display()))
}
