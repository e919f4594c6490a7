//! A private Redis: in a folder of its own, on a socket of its own, gone when it is dropped.
//!
//! Uses nothing but the standard library: the tests of the queue include this file to start one for themselves.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The names of the program: the second is the same server under its newer flag.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// A running server. It keeps nothing on disk: a server that is started again is empty.
#[derive(Debug)]
pub(crate) struct Redis {
    folder: PathBuf,
    port: u16,
    server: Child,
}

impl Redis {
    /// Starts a server whose socket lies in `folder`, which is made, and removed when the server is dropped.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    #[allow(dead_code, reason = "benches go by a port")]
    pub(crate) fn start(folder: &Path) -> Result<Self, String> {
        Self::start_at(folder, 0)
    }

    /// The same, and it listens on this port of the machine too, unless that is 0.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub(crate) fn start_at(folder: &Path, port: u16) -> Result<Self, String> {
        let program = program().ok_or(
            "Redis is not installed: `apt-get install redis-server`, `dnf install redis` or `brew install redis`, \
             or name a server of your own in OPTIO_TEST_REDIS_URL",
        )?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o700)))
            .map_err(|error| format!("the folder {} cannot be made: {error}", folder.display()))?;
        let mut started = Self {
            folder: folder.to_owned(),
            port,
            server: spawn(&program, folder, port)?,
        };
        started.wait()?;
        Ok(started)
    }

    /// Kills the server. Nobody answers until one is started in its place.
    #[allow(dead_code, reason = "only tests of outages need it")]
    pub(crate) fn stop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }

    /// Kills the server, if it is there, and starts an empty one in its place.
    ///
    /// # Errors
    /// It does not start again.
    #[allow(dead_code, reason = "only tests of outages need it")]
    pub(crate) fn restart(&mut self) -> Result<(), String> {
        self.stop();
        let program = program().ok_or("Redis is gone")?;
        self.server = spawn(&program, &self.folder, self.port)?;
        self.wait()
    }

    /// Its address, by its socket.
    #[allow(dead_code, reason = "benches go by a port")]
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.join("socket").display())
    }

    /// The id of its process.
    #[allow(dead_code, reason = "only tests stop a server that goes on to exist")]
    pub(crate) fn process(&self) -> u32 {
        self.server.id()
    }

    /// Waits until it answers: only asking can tell.
    fn wait(&mut self) -> Result<(), String> {
        for _ in 0..2_000 {
            if self.answers() {
                return Ok(());
            }
            if matches!(self.server.try_wait(), Ok(Some(_))) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(format!("redis did not start: {log}"))
    }

    fn answers(&self) -> bool {
        let ask = || {
            let mut socket = UnixStream::connect(self.folder.join("socket"))?;
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
            socket.write_all(b"PING\r\n")?;
            let mut answer = [0; 5];
            socket.read_exact(&mut answer)?;
            std::io::Result::Ok(&answer == b"+PONG")
        };
        ask().unwrap_or(false)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // nothing in it is worth an orderly end
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn spawn(program: &Path, folder: &Path, port: u16) -> Result<Child, String> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .map_err(|error| error.to_string())?;
    tied_to_us(program)
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no"])
        .arg("--unixsocket")
        .arg(folder.join("socket"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{} could not be started: {error}", program.display()))
}

/// Whether Redis is installed.
#[allow(dead_code, reason = "the tests that include this file do not ask")]
pub(crate) fn is_installed() -> bool {
    program().is_some()
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    PROGRAMS.iter().find_map(|program| {
        let mut places = folders.iter().map(|folder| folder.join(program));
        places.find(|place| place.is_file())
    })
}

/// A program that is ended when this thread is, however that happens; where that can be had.
fn tied_to_us(program: &Path) -> Command {
    if !Path::new("/usr/bin/setpriv").is_file() {
        return Command::new(program);
    }
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}
