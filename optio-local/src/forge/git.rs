//! The git program as a function: arguments in, output out; a clean environment, a time limit, no questions asked.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use optio_core::{Error, ErrorKind, Result};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use super::NAME;

/// The oldest git that can merge without a work tree.
const OLDEST: (u32, u32) = (2, 38);

/// How long a killed git may take to be gone.
const DEATH: Duration = Duration::from_secs(5);

/// The only configuration beside the repository's own. A repository belongs to whom it belongs: that it was made by
/// another user of this machine is no reason to refuse it.
pub(super) const CONFIG: &str = "[safe]\n\tdirectory = *\n[core]\n\tquotePath = false\n";

/// How git is run.
#[derive(Debug)]
pub(super) struct Git {
    path: String,
    config: PathBuf,
    limit: Duration,
}

/// A call of git.
#[derive(Debug, Default)]
pub(super) struct Call {
    args: Vec<OsString>,
    dir: Option<PathBuf>,
    env: Vec<(&'static str, String)>,
    stdin: Vec<u8>,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Output {
    /// The exit code; none if git was killed.
    pub(super) code: Option<i32>,
    /// What it printed.
    pub(super) stdout: Vec<u8>,
    /// What it complained about, blanks at the end cut off.
    pub(super) stderr: String,
}

impl Call {
    /// On the repository in this folder, which must be the git directory itself: none above it is searched for.
    pub(super) fn on(git_dir: &Path) -> Self {
        let mut option = OsString::from("--git-dir=");
        option.push(git_dir);
        Self {
            // where a push would run its hooks
            dir: Some(git_dir.to_owned()),
            ..Self::default().arg(option)
        }
    }

    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(super) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(super) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    pub(super) fn stdin(mut self, stdin: impl Into<Vec<u8>>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// The subcommand, for errors.
    fn name(&self) -> String {
        let subcommand = self
            .args
            .iter()
            .map(|arg| arg.to_string_lossy())
            .find(|arg| !arg.starts_with('-'));
        format!("git {}", subcommand.unwrap_or_default())
    }
}

impl Output {
    /// What it printed, without the end of the last line.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// What it printed, split at NULs.
    pub(super) fn fields(&self) -> impl Iterator<Item = String> + '_ {
        self.stdout
            .split(|&byte| byte == 0)
            .filter(|field| !field.is_empty())
            .map(|field| String::from_utf8_lossy(field).into_owned())
    }
}

impl Git {
    /// Git as found on the `PATH` of these variables, with the configuration in this file.
    ///
    /// # Errors
    /// It is not there, or too old.
    pub(super) async fn find(
        env: &BTreeMap<String, String>,
        config: PathBuf,
        limit: Duration,
    ) -> Result<Self> {
        let git = Self {
            path: env.get("PATH").cloned().unwrap_or_default(),
            config,
            limit,
        };
        let said = git.ask(Call::default().arg("version")).await?.text();
        if version(&said).is_some_and(|version| version < OLDEST) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                NAME,
                format!("{said} is too old: install git 2.38 or newer"),
            ));
        }
        Ok(git)
    }

    /// Runs a call. How it ended is the caller's to judge.
    ///
    /// # Errors
    /// Git is not there, or took too long; it is killed then. Also if the future is dropped.
    pub(super) async fn run(&self, call: Call) -> Result<Output> {
        let name = call.name();
        let mut command = Command::new("git");
        command
            .args(&call.args)
            .env_clear()
            .env("PATH", &self.path)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", &self.config)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .envs(call.env)
            .current_dir(call.dir.as_deref().unwrap_or(Path::new("/")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| not_started(&error))?;
        let mut group = Group(child.id().and_then(|pid| i32::try_from(pid).ok()));
        let stdin = child.stdin.take();
        let mut work = std::pin::pin!(async {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // git may end without having read it all
                    let _ = stdin.write_all(&call.stdin).await;
                }
            };
            tokio::join!(write, child.wait_with_output()).1
        });
        let Ok(ended) = timeout(self.limit, &mut work).await else {
            group.kill();
            let _ = timeout(DEATH, &mut work).await;
            let limit = self.limit.as_secs();
            return Err(Error::timed_out(
                NAME,
                format!("{name} took longer than {limit} s"),
            ));
        };
        group.0 = None;
        let ended = ended.map_err(|error| not_started(&error))?;
        Ok(Output {
            code: ended.status.code(),
            stdout: ended.stdout,
            stderr: String::from_utf8_lossy(&ended.stderr).trim_end().to_owned(),
        })
    }

    /// Runs a call that is expected to work.
    ///
    /// # Errors
    /// As [`Git::run`]; and if git failed, in its own words.
    pub(super) async fn ask(&self, call: Call) -> Result<Output> {
        let name = call.name();
        let output = self.run(call).await?;
        if output.code == Some(0) {
            Ok(output)
        } else {
            Err(failed(&name, &output))
        }
    }
}

/// The error of a call that should have worked.
pub(super) fn failed(name: &str, output: &Output) -> Error {
    let said = output.stderr.lines().next().unwrap_or("it was killed");
    let message = format!("{name} failed: {}", said.trim_start_matches("fatal: "));
    let kind = if said.contains("Permission denied") {
        ErrorKind::Denied
    } else {
        ErrorKind::Unavailable
    };
    Error::new(kind, NAME, message)
}

fn not_started(error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        Error::new(
            ErrorKind::Unsupported,
            NAME,
            "git was not found on the PATH: install git 2.38 or newer",
        )
    } else {
        Error::unavailable(NAME, format!("git cannot be run: {error}"))
    }
}

fn version(said: &str) -> Option<(u32, u32)> {
    let mut parts = said.strip_prefix("git version ")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A process group that is killed unless it was disarmed: git's helpers end with it.
struct Group(Option<i32>);

impl Group {
    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL); // fails if none is left
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_git_says() {
        assert_eq!(version("git version 2.47.3"), Some((2, 47)));
        assert_eq!(version("git version 2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert_eq!(version("something else"), None);
    }
}
