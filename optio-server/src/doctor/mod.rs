//! Whether everything that Optio needs is there: git, a folder to write in, a way to hold runs together, agents; and the
//! database and queue, in `servers`.

mod servers;

use std::{collections::BTreeMap, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use optio_core::{
    agent::{Agent, Credentials},
    runtime::Command,
};
use serde::{Deserialize, Serialize};

pub use self::servers::Servers;

/// The oldest git that has what we need: `git merge-tree --write-tree`.
const GIT: (u32, u32) = (2, 38);
/// How long a program may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is to be examined.
#[derive(Debug, Clone)]
pub struct Doctor {
    /// The environment in which programs are looked for.
    pub env: BTreeMap<String, String>,
    /// The data folder.
    pub data: PathBuf,
    /// The agents.
    pub agents: Vec<Arc<dyn Agent>>,
    /// How runs are held together.
    pub containment: Containment,
    /// The database and the queue; none where those that are used are no settings.
    pub servers: Option<Servers>,
}

/// How the processes of a run are held together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Containment {
    /// In a PID namespace.
    Namespace,
    /// By a marker in their environment.
    Marker,
    /// That is not this machine's business, or could not be found out.
    Unknown,
}

/// What was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The version of the program that looked.
    pub version: String,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// How it is.
    pub status: CheckStatus,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// Optio works, but not at its best.
    Warn,
    /// Optio cannot work like this.
    Fail,
}

impl Check {
    /// A check with this result.
    pub fn new(name: impl Into<String>, status: CheckStatus, message: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            status,
            message: message.into(),
            remedy: None,
        }
    }

    /// The same with what to do.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl Report {
    /// The worst of all that was found.
    #[must_use]
    pub fn worst(&self) -> CheckStatus {
        self.checks
            .iter()
            .map(|check| check.status)
            .max()
            .unwrap_or(CheckStatus::Ok)
    }
}

impl Doctor {
    /// Looks at everything. Changes nothing but for a file that is written to the data folder and removed again.
    pub async fn examine(&self) -> Report {
        let mut checks = vec![self.git().await, self.data_folder(), self.containment()];
        if let Some(servers) = &self.servers {
            checks.extend(servers.examine().await);
        }
        for agent in &self.agents {
            checks.push(self.agent(&**agent).await);
        }
        Report {
            version: crate::VERSION.to_owned(),
            checks,
        }
    }

    /// Looks at git alone.
    pub async fn git(&self) -> Check {
        let remedy = format!(
            "install git {}.{} or newer and put it on the PATH",
            GIT.0, GIT.1
        );
        match self.ask(&Command::new("git").arg("--version")).await {
            Ok(text) => match git_version(&text) {
                Some(version) if version >= GIT => Check::new("git", CheckStatus::Ok, text),
                Some(_) => Check::new("git", CheckStatus::Fail, format!("{text} is too old"))
                    .with_remedy(remedy),
                None => Check::new(
                    "git",
                    CheckStatus::Warn,
                    format!("{text:?} tells no version"),
                )
                .with_remedy(remedy),
            },
            Err(error) => Check::new("git", CheckStatus::Fail, error).with_remedy(remedy),
        }
    }

    fn data_folder(&self) -> Check {
        let shown = self.data.display();
        if !self.data.exists() {
            let parent = self.data.ancestors().find(|folder| folder.exists());
            return match parent.map(is_writable) {
                Some(Ok(())) => Check::new(
                    "data folder",
                    CheckStatus::Ok,
                    format!("{shown} will be made"),
                ),
                _ => Check::new(
                    "data folder",
                    CheckStatus::Fail,
                    format!("{shown} cannot be made"),
                )
                .with_remedy("set OPTIO_DATA to a folder that you may write to"),
            };
        }
        match is_writable(&self.data) {
            Ok(()) => Check::new(
                "data folder",
                CheckStatus::Ok,
                format!("{shown} can be written to"),
            ),
            Err(error) => Check::new(
                "data folder",
                CheckStatus::Fail,
                format!("{shown} cannot be written to: {error}"),
            )
            .with_remedy("mend its permissions, or set OPTIO_DATA to another folder"),
        }
    }

    fn containment(&self) -> Check {
        let name = "containment";
        match self.containment {
            Containment::Namespace => Check::new(name, CheckStatus::Ok, "each run has a PID namespace, which nothing can leave"),
            Containment::Marker => {
                Check::new(name, CheckStatus::Warn, "runs are held together by a marker in the environment of their processes")
                    .with_remedy("allow unprivileged user namespaces, so that a process that hides its marker is ended too")
            }
            Containment::Unknown => Check::new(name, CheckStatus::Warn, "it could not be found out how runs are held together"),
        }
    }

    async fn agent(&self, agent: &dyn Agent) -> Check {
        let name = format!("agent {}", agent.name());
        let preflight = agent.preflight();
        let version = match self.ask(&preflight.version).await {
            Ok(version) => version,
            Err(error) => {
                return Check::new(name, CheckStatus::Warn, error).with_remedy(preflight.remedy);
            }
        };
        // neither keeps it from running: a newer version mostly works, and a login may be in the workspace
        let doubt = preflight.doubt(&version);
        let message = version.trim_end_matches('.').to_owned();
        let (mut message, mut remedies) = (message, Vec::new());
        if let Some(doubt) = doubt {
            message = format!("{message}, {doubt}");
            remedies.push(preflight.remedy);
        }
        if let Credentials::NotGiven { remedy } = preflight.credentials {
            message.push_str(", without credentials");
            remedies.push(remedy);
        }
        if remedies.is_empty() {
            Check::new(name, CheckStatus::Ok, message)
        } else {
            Check::new(name, CheckStatus::Warn, message).with_remedy(remedies.join("; "))
        }
    }

    /// The first line that a program prints.
    async fn ask(&self, command: &Command) -> Result<String, String> {
        let program = &command.program;
        let mut process = tokio::process::Command::new(program);
        process
            .args(&command.args)
            .env_clear()
            .envs(&self.env)
            .envs(&command.env);
        process.stdin(Stdio::null()).kill_on_drop(true);
        let output = match tokio::time::timeout(PATIENCE, process.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(format!("there is no {program} on the PATH"));
            }
            Ok(Err(error)) => return Err(format!("{program} cannot be started: {error}")),
            Err(_) => {
                return Err(format!(
                    "{program} did not answer within {} s",
                    PATIENCE.as_secs()
                ));
            }
        };
        let first = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .lines()
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        if output.status.success() {
            Ok(first(&output.stdout))
        } else {
            Err(format!(
                "{program} failed ({}): {}",
                output.status,
                first(&output.stderr)
            ))
        }
    }
}

/// Writes a file there and takes it away again.
fn is_writable(folder: &std::path::Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".optio-doctor-{}", std::process::id()));
    std::fs::File::create_new(&probe)?;
    std::fs::remove_file(&probe)
}

/// `git version 2.39.5 (Apple Git-154)` is 2.39.
fn git_version(text: &str) -> Option<(u32, u32)> {
    let version = text.strip_prefix("git version ")?;
    let mut parts = version
        .split(|letter: char| !letter.is_ascii_digit())
        .map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_git_are_read_in_every_dress() {
        for (text, version) in [
            ("git version 2.47.3", Some((2, 47))),
            ("git version 2.39.5 (Apple Git-154)", Some((2, 39))),
            ("git version 2.50.windows.1", Some((2, 50))),
            ("gut version 1", None),
        ] {
            assert_eq!(git_version(text), version, "{text}");
        }
    }
}
