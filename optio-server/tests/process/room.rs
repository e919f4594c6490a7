//! A folder for one test, with a data folder and repositories in it; nothing of it outlives the test.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use optio_core::{Clock as _, memory::TokioClock};
use tokio::time::Instant;

use crate::server::Server;

/// The longest that anything may take here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look.
const LOOK: Duration = Duration::from_millis(20);

/// A folder that nobody else uses.
#[derive(Debug)]
pub(crate) struct Room {
    folder: tempfile::TempDir,
    /// What servers find as `PATH`.
    pub(crate) path: String,
    /// What else they find in their environment.
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Room {
    pub(crate) fn new() -> Self {
        let path = std::env::vars_os().find(|(name, _)| name == "PATH");
        Self {
            folder: tempfile::Builder::new()
                .prefix("optio-process-")
                .tempdir()
                .unwrap(),
            path: path.unwrap().1.into_string().unwrap(),
            variables: Vec::new(),
        }
    }

    /// A path in it.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.at("data")
    }

    /// What stands in for its paths in snapshots.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(self.folder.path().to_str().unwrap(), "[room]")
    }

    /// Starts a server, and waits until it listens.
    pub(crate) async fn serve(&self) -> Server {
        Server::start(self, &[]).await
    }

    /// The same with more arguments.
    pub(crate) async fn serve_with(&self, arguments: &[&str]) -> Server {
        Server::start(self, arguments).await
    }

    /// Every living process that has to do with this room, as its id and its command line: those whose arguments,
    /// working directory or environment name it.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        self.processes_with("")
    }

    /// Those of them that belong to runs, as their environment says. The server's own commands come and go.
    pub(crate) fn processes_of_runs(&self) -> Vec<(i32, String)> {
        self.processes_with("OPTIO_RUN=")
    }

    /// Those of them that have this in their environment.
    fn processes_with(&self, variable: &str) -> Vec<(i32, String)> {
        let needle = self.folder.path().to_str().unwrap().as_bytes();
        let mentions = |bytes: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
        let has_variable = |environment: &[u8]| {
            let mut variables = environment.split(|byte| *byte == 0);
            variables.any(|part| part.starts_with(variable.as_bytes()))
        };
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
            let line = read("cmdline");
            let folder = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            let environment = read("environ");
            let ours =
                mentions(&line) || mentions(&environment) || folder.starts_with(self.folder.path());
            if ours && has_variable(&environment) && pid != std::process::id().cast_signed() {
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                found.push((pid, line.trim().chars().take(200).collect()));
            }
        }
        found
    }

    /// Waits until no process has to do with this room any more.
    pub(crate) async fn until_quiet(&self) {
        until("no process is left", || async {
            let left = self.processes();
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:#?}"))
            }
        })
        .await;
    }

    /// The supervisors of runs that were started in this room: run and process, as the runtime noted them.
    pub(crate) fn supervisors(&self) -> Vec<(String, i32)> {
        let mut found = Vec::new();
        for workspace in folders(&self.data().join("workspaces")) {
            for run in folders(&workspace.join("runs")) {
                let started = fs::read_to_string(run.join("started")).unwrap_or_default();
                if let Some(pid) = started
                    .strip_suffix('\n')
                    .and_then(|line| line.parse().ok())
                {
                    found.push((run.file_name().unwrap().to_str().unwrap().to_owned(), pid));
                }
            }
        }
        found
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.at("serve.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            println!(
                "the end of the servers' log:\n{}",
                lines[lines.len().saturating_sub(80)..].join("\n")
            );
        }
        for (pid, _) in self.processes() {
            // it may be frozen, or have ended meanwhile
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Looks again and again until `look` is content, and gives what it found.
pub(crate) async fn until<T, F: Future<Output = Result<T, String>>>(
    wanted: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(instead) => assert!(
                Instant::now() < deadline,
                "{wanted} was waited for; instead: {instead}"
            ),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Random numbers that a seed decides.
#[derive(Debug)]
pub(crate) struct Dice(TokioClock);

impl Dice {
    pub(crate) fn seeded(seed: u64) -> Self {
        println!("seed {seed}");
        Self(TokioClock::seeded(seed))
    }

    /// A number below `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.0.random() % end
    }

    /// A random moment within the next `most` milliseconds has come.
    pub(crate) async fn moment(&self, most: u64) {
        tokio::time::sleep(Duration::from_millis(self.below(most))).await;
    }
}
