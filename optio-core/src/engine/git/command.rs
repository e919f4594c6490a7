//! How a git command is put together and run: its environment, its settings, its time limit, and its second tries.

use std::{collections::BTreeMap, time::Duration};

use super::{Git, GitError, error::was_killed};
use crate::{
    classify::GitStep,
    error::ErrorKind,
    failure::ExitStatus,
    pull_request::CommitId,
    runtime::{Command, ExecOptions, ExecOutput},
    secret::Secret,
    workspace::WorkspacePath,
};

/// What a git command works on.
#[derive(Debug, Clone, Copy)]
pub(super) enum On<'p> {
    /// The clone alone.
    Repo,
    /// Head and refs of a worktree, whether its folder is there or not.
    Admin(&'p WorkspacePath),
    /// A worktree, never mind what the agent has done to its `.git`.
    Worktree(&'p WorkspacePath),
    /// Files of a folder as if it were a worktree of the clone.
    Folder(&'p WorkspacePath),
    /// Whatever repository git finds from this folder, as the agent's own git does.
    Inside(&'p WorkspacePath),
}

/// Whether a command talks to the remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It stays on the disk, and sees no credentials.
    Local,
    /// It talks to the remote.
    Remote,
    /// It copies all of the remote.
    Clone,
}

/// Settings of all our commands. The clone's configuration is shared with agents, and a setting or hook of theirs must
/// neither stop us nor ask anybody anything.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "gc.auto=0",
    "maintenance.auto=false",
    // the folders of a workspace are ours, whichever user its volume was made by
    "safe.directory=*",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "push.recurseSubmodules=no",
    "push.followTags=false",
    "commit.gpgSign=false",
    "push.gpgSign=false",
];

/// Hands the credentials in the environment to git: constant text, in which nothing is ever pasted.
const CREDENTIAL_HELPER: &str = r#"!f() { test "$1" = get || exit 0; echo "username=$OPTIO_GIT_USERNAME"; echo "password=$OPTIO_GIT_PASSWORD"; }; f"#;

/// After this many tries, what stands in the way and belongs to nobody is removed or mended.
const TRUSTED_TRIES: u32 = 3;

impl Git<'_> {
    /// A git command without its subcommand.
    pub(super) fn git(&self, on: On<'_>, reach: Reach) -> Command {
        let mut command = Command::new("git")
            .in_dir(match on {
                On::Inside(path) => path.clone(),
                _ => WorkspacePath::root(),
            })
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_EDITOR", "true")
            .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
            // a worktree that lost its .git must not become part of a repository around the workspace
            .env("GIT_CEILING_DIRECTORIES", self.root.as_str());
        for setting in SETTINGS {
            command = command.arg("-c").arg(*setting);
        }
        if let (Reach::Remote | Reach::Clone, Some(credentials), Some(host)) =
            (reach, &self.credentials, http_host(&self.url))
        {
            command = command
                // forget the helpers of every other configuration, and answer for this host only
                .args(["-c", "credential.helper=", "-c"])
                .arg(format!("credential.{host}.helper={CREDENTIAL_HELPER}"));
            command.secret_env.insert(
                "OPTIO_GIT_USERNAME".to_owned(),
                Secret::new(&credentials.username),
            );
            command.secret_env.insert(
                "OPTIO_GIT_PASSWORD".to_owned(),
                credentials.password.clone(),
            );
        }
        match on {
            On::Repo => command.arg(format!("--git-dir={}", self.repo())),
            On::Admin(path) => command.arg(format!("--git-dir={}", self.admin(path))),
            On::Worktree(path) => command
                .arg(format!("--git-dir={}", self.admin(path)))
                .arg(format!("--work-tree={}", self.absolute(path))),
            On::Folder(path) => command
                .arg(format!("--git-dir={}", self.repo()))
                .arg(format!("--work-tree={}", self.absolute(path))),
            On::Inside(_) => command,
        }
    }

    /// A git command that stays on the disk.
    pub(super) fn local<'s>(&self, on: On<'_>, args: impl IntoIterator<Item = &'s str>) -> Command {
        self.git(on, Reach::Local).args(args)
    }

    /// Runs a command to its end, trying again while another git stands in the way. How it ended is the caller's to
    /// judge.
    pub(super) async fn run(
        &self,
        step: GitStep,
        reach: Reach,
        command: Command,
    ) -> Result<ExecOutput, GitError> {
        let give_up = tokio::time::Instant::now() + self.timeouts.lock;
        let mut tried = 0;
        loop {
            let output = self.once(step, reach, command.clone()).await?;
            tried += 1;
            if output.success()
                || !is_contention(&output.stderr_text())
                || tokio::time::Instant::now() >= give_up
            {
                return Ok(output);
            }
            tracing::debug!(workspace = %self.workspace, tried, error = %output.stderr_text(), "git waits for another git");
            if tried >= TRUSTED_TRIES {
                self.clear_leftovers(step, &output.stderr_text()).await?;
            }
            // a random share keeps those who met once from meeting again
            let share = 500 + u64::from(rand::random::<u16>() % 1000);
            tokio::time::sleep(Duration::from_micros((25_u64 << tried.min(5)) * share)).await;
        }
    }

    /// Runs a command once.
    pub(super) async fn once(
        &self,
        step: GitStep,
        reach: Reach,
        command: Command,
    ) -> Result<ExecOutput, GitError> {
        let timeout = match reach {
            Reach::Local => self.timeouts.local,
            Reach::Remote => self.timeouts.network,
            Reach::Clone => self.timeouts.clone,
        };
        let program = command.program.clone();
        let output = self
            .runtime
            .exec(self.workspace, command, ExecOptions::timeout(timeout))
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::TimedOut => GitError::says(
                    step,
                    format!("{program} timed out after {} s", timeout.as_secs()),
                ),
                _ => GitError::of_runtime(step, &error),
            })?;
        if output.status == ExitStatus::Code(127) {
            let message = format!("{program}: command not found in the workspace");
            return Err(GitError::says(step, message));
        }
        // a command that was killed has answered nothing, and its silence must not be taken for a no
        if was_killed(output.status) {
            return Err(GitError::of(step, &output));
        }
        Ok(output)
    }

    /// Runs a git command on the disk that must succeed, and gives its output.
    pub(super) async fn must(&self, step: GitStep, command: Command) -> Result<String, GitError> {
        let output = self.run(step, Reach::Local, command).await?;
        if output.success() {
            Ok(output.stdout_text())
        } else {
            Err(GitError::of(step, &output))
        }
    }

    /// Runs a git command on the disk, and gives its output if it succeeded.
    pub(super) async fn maybe(
        &self,
        step: GitStep,
        command: Command,
    ) -> Result<Option<String>, GitError> {
        let output = self.run(step, Reach::Local, command).await?;
        Ok(output.success().then(|| output.stdout_text()))
    }

    /// Runs one of the other programs in the workspace's folder.
    pub(super) async fn plain<'s>(
        &self,
        step: GitStep,
        program: &str,
        args: impl IntoIterator<Item = &'s str>,
    ) -> Result<ExecOutput, GitError> {
        let command = Command::new(program)
            .args(args)
            .in_dir(WorkspacePath::root())
            .env("LC_ALL", "C");
        self.once(step, Reach::Local, command).await
    }

    /// Whether a folder is there.
    pub(super) async fn is_folder(&self, path: &str) -> Result<bool, GitError> {
        let output = self.plain(GitStep::Worktree, "test", ["-d", path]).await?;
        Ok(output.success())
    }

    /// The commit that a name stands for, if there is one.
    pub(super) async fn resolve(
        &self,
        on: On<'_>,
        name: &str,
    ) -> Result<Option<CommitId>, GitError> {
        let name = format!("{name}^{{commit}}");
        let command = self.local(on, ["rev-parse", "--verify", "--quiet", &name]);
        Ok(self
            .maybe(GitStep::Worktree, command)
            .await?
            .map(CommitId::new))
    }

    /// How many commits a selection holds.
    pub(super) async fn count<'s>(
        &self,
        on: On<'_>,
        selection: impl IntoIterator<Item = &'s str>,
    ) -> Result<u64, GitError> {
        let command = self
            .local(on, ["rev-list", "--count"])
            .args(selection)
            .arg("--");
        let count = self.must(GitStep::Worktree, command).await?;
        count.parse().map_err(|_| {
            GitError::says(
                GitStep::Worktree,
                format!("rev-list printed no number: {count}"),
            )
        })
    }

    /// Makes a ref point at a commit.
    pub(super) async fn set_ref(
        &self,
        on: On<'_>,
        name: &str,
        commit: &CommitId,
    ) -> Result<(), GitError> {
        let command = self.local(on, ["update-ref", name, commit.as_str()]);
        self.must(GitStep::Worktree, command).await.map(drop)
    }

    /// Takes a ref away; no error if there is none.
    pub(super) async fn drop_ref(&self, on: On<'_>, name: &str) -> Result<(), GitError> {
        let command = self.local(on, ["update-ref", "-d", name]);
        self.must(GitStep::Worktree, command).await.map(drop)
    }
}

/// The same command with more variables.
pub(super) fn with_env(mut command: Command, env: BTreeMap<String, String>) -> Command {
    command.env.extend(env);
    command
}

/// Where the remote keeps its view of a branch in the clone.
pub(super) fn tracking(branch: &str) -> String {
    format!("refs/remotes/origin/{branch}")
}

/// The full name of a branch.
pub(super) fn heads(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

/// Whether another git had a file or a ref that this one needed, so that the same command can succeed in a moment.
fn is_contention(stderr: &str) -> bool {
    [
        ".lock': File exists",
        "cannot lock ref",
        "could not lock config file",
        "could not lock",
        "unable to lock",
        "failed to lock",
    ]
    .iter()
    .any(|sign| stderr.contains(sign))
        // another git is just adding a worktree
        || super::locks::half_written(stderr).is_some()
}

/// Scheme and host of an address over HTTP.
fn http_host(url: &str) -> Option<String> {
    ["https://", "http://"].into_iter().find_map(|scheme| {
        let host = url.strip_prefix(scheme)?.split('/').next()?;
        Some(format!("{scheme}{host}"))
    })
}
