//! Workspaces as folders and agents as processes of this machine, which outlive whoever started them.
//!
//! - `layout`, `run_dir`, `shared`: which file lies where, and what may be read and written there.
//! - `environment`: what commands get to see.
//! - `processes`: which processes belong together; `containment`: how they are kept together; `ending`: their end.
//! - `exec`, `spawn`, `output`: the three things that commands are for; `watch`: who is woken by new output.
//!
//! Nothing is remembered between calls: everything is asked from the disk and the process table, so a second
//! [`LocalRuntime`] on the same folder, in this process or a later one, sees and can do the same as the first.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use optio_core::{
    Clock, Error, Result, SystemClock,
    id::{RunId, WorkspaceId},
    runtime::{
        Command, ExecOptions, ExecOutput, Input, ObservedWorkspace, Output, OutputOffset,
        RunStatus, Runtime, WorkspaceSpec,
    },
    workspace::WorkspacePath,
};

mod containment;
mod ending;
mod environment;
mod exec;
mod layout;
mod output;
mod processes;
mod run_dir;
mod shared;
mod spawn;
mod watch;

pub use self::containment::Containment;
use self::{
    containment::Method,
    exec::Prepared,
    layout::{WorkspaceDir, failed, make_dir},
    output::Spool,
    processes::{Family, Marker},
    run_dir::RunDir,
    watch::Watch,
};

/// The runtime's name, in errors and logs.
const NAME: &str = "local";

/// Where a [`LocalRuntime`] works and what it gives to commands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LocalRuntimeOptions {
    /// The folder that holds the workspaces; it is made if it is missing.
    pub root: PathBuf,
    /// The environment that every command gets: `PATH`, `LANG`, and what else should be passed on to agents. `HOME`
    /// and `TMPDIR` lie in the workspace, whatever stands here.
    pub env: BTreeMap<String, String>,
    /// How the processes of a run are held together.
    pub containment: Containment,
}

impl LocalRuntimeOptions {
    /// Workspaces in this folder, with an ordinary `PATH` and `LANG`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let env = [
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            ("LANG", "C.UTF-8"),
        ];
        Self {
            root: root.into(),
            env: env
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            containment: Containment::default(),
        }
    }

    /// The same with another variable for every command.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The same with another way of holding runs together.
    #[must_use]
    pub fn with_containment(mut self, containment: Containment) -> Self {
        self.containment = containment;
        self
    }
}

/// A [`Runtime`] of folders and processes on this machine. See the [module](self) for how it works.
///
/// Several may work in one folder at the same time. Under a service manager that ends all processes of a service with
/// it, agents outlive a restart only if it is told not to (systemd: `KillMode=process`). On Linux a run's processes are
/// all found and ended, wherever they went (see [`Containment`]); on other systems those of its process group.
///
/// Beyond the port's contract:
/// - A command of [`exec`](Runtime::exec) that ends takes what it left in its process group along, and what still
///   holds its output open. What detached itself fully goes on until the workspace is removed.
/// - [`kill`](Runtime::kill) of a run that was never started here is fine and does nothing.
/// - A run's exit code from 129 to 192 is reported as death by the signal that it stands for: the shell that supervises
///   cannot tell them apart.
/// - Variables whose names are not made of ASCII letters, digits and underscores are refused.
/// - [`read_file`](Runtime::read_file) and [`Command::files`] and shared ones follow no link out of the workspace: `Denied`.
#[derive(Debug)]
pub struct LocalRuntime {
    root: PathBuf,
    root_text: String,
    env: BTreeMap<String, String>,
    method: Method,
    watch: Arc<Watch>,
}

/// Runs blocking work where it does not hold up others.
async fn offload<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::unavailable(NAME, "work was cut off").caused_by(error))?
}

impl LocalRuntime {
    /// Opens the folder of workspaces, and finds out how runs can be held together here.
    ///
    /// # Errors
    /// The folder cannot be made, or its path is not UTF-8.
    pub async fn open(options: LocalRuntimeOptions) -> Result<Self> {
        let LocalRuntimeOptions {
            root,
            env,
            containment,
        } = options;
        let root = offload(move || {
            make_dir(&root)
                .and_then(|()| root.canonicalize())
                .map_err(failed(format_args!("make {}", root.display())))
        })
        .await?;
        let Some(root_text) = root.to_str().map(str::to_owned) else {
            return Err(Error::invalid(
                NAME,
                format!("the folder {} is not named in UTF-8", root.display()),
            ));
        };
        Ok(Self {
            root,
            root_text,
            env,
            method: Method::probe(containment).await,
            watch: Arc::default(),
        })
    }

    /// Whether runs are held together by a PID namespace, which nothing can leave.
    #[must_use]
    pub fn uses_namespaces(&self) -> bool {
        matches!(self.method, Method::Namespace { .. })
    }

    fn workspace(&self, id: WorkspaceId) -> WorkspaceDir {
        WorkspaceDir::new(&self.root, id)
    }

    fn run(&self, workspace: WorkspaceId, run: RunId) -> RunDir {
        self.workspace(workspace).run(run)
    }
}

/// What the disk and the process table say of a run.
fn look_at(run: &RunDir) -> Result<RunStatus> {
    run.check()?;
    if let Some(status) = run.exit_status() {
        return Ok(RunStatus::Ended(Some(status)));
    }
    let family = Family::find(&Marker::run(run.id), run.leader());
    if family.alive.is_empty() {
        // it may have written how it ended between the two looks
        return Ok(RunStatus::Ended(run.exit_status()));
    }
    Ok(RunStatus::Running {
        activity: family.activity,
    })
}

#[async_trait]
impl Runtime for LocalRuntime {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn create(&self, spec: &WorkspaceSpec) -> Result<()> {
        let (workspace, spec) = (self.workspace(spec.id), spec.clone());
        offload(move || workspace.create(&spec)).await
    }

    async fn list(&self) -> Result<Vec<ObservedWorkspace>> {
        let root = self.root.clone();
        offload(move || {
            let folders = root
                .read_dir()
                .map_err(failed(format_args!("list {}", root.display())))?;
            let mut found: Vec<ObservedWorkspace> = folders
                .flatten()
                .filter_map(|folder| folder.file_name().to_str()?.parse().ok())
                .filter_map(|id| WorkspaceDir::new(&root, id).observe())
                .collect();
            found.sort_by_key(|workspace| workspace.id);
            Ok(found)
        })
        .await
    }

    async fn remove(&self, workspace: WorkspaceId) -> Result<()> {
        let place = self.workspace(workspace);
        let (lock, runs) = {
            let place = place.clone();
            offload(move || {
                // nothing can be started meanwhile
                let lock = place.path.exists().then(|| place.lock()).transpose()?;
                Ok((lock, place.all_runs()))
            })
            .await?
        };
        ending::end_all(&Marker::workspace(workspace), None).await?;
        for run in runs {
            ending::end_run(&run, Duration::ZERO).await?;
        }
        offload(move || place.delete()).await?;
        drop(lock);
        Ok(())
    }

    async fn exec(
        &self,
        workspace: WorkspaceId,
        command: Command,
        options: ExecOptions,
    ) -> Result<ExecOutput> {
        environment::check(&command)?;
        let workspace = self.workspace(workspace);
        let marker = Marker::exec(
            (u128::from(SystemClock.random()) << 64) | u128::from(SystemClock.random()),
        );
        let markers = [Marker::workspace(workspace.id), marker.clone()];
        let variables = environment::variables(&self.env, &workspace, &markers, &command);
        let place = environment::find(&command.program, &variables);
        let mut process = match place {
            Some(place) => {
                let mut process = tokio::process::Command::new(place);
                process.arg0(&command.program);
                process
            }
            None => tokio::process::Command::new(&command.program),
        };
        process.args(&command.args).env_clear().envs(variables);
        let (files, dir) = (command.files.clone(), command.dir.clone());
        let shared = command.shared_files.clone();
        let dir = offload(move || {
            workspace.check()?;
            workspace.write_files(&files)?;
            if !shared.is_empty() {
                let _one_at_a_time = workspace.lock()?;
                shared::write(&workspace, &shared)?;
            }
            workspace.working_dir(dir.as_ref())
        })
        .await?;
        process.current_dir(dir);
        let prepared = Prepared {
            process,
            marker,
            stdin: command.stdin.clone(),
        };
        exec::run(prepared, &command, options).await
    }

    async fn spawn(&self, workspace: WorkspaceId, run: RunId, command: Command) -> Result<()> {
        let place = self.run(workspace, run);
        let method = self.method.clone();
        spawn::start(self.workspace(workspace), place, command, method, &self.env).await
    }

    async fn attach(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        from: OutputOffset,
    ) -> Result<Box<dyn Output>> {
        let (run, watch) = (self.run(workspace, run), Arc::clone(&self.watch));
        let spool = offload(move || Spool::open(run, from, &watch)).await?;
        Ok(Box::new(spool))
    }

    async fn feed(&self, workspace: WorkspaceId, run: RunId, input: Input) -> Result<()> {
        let (place, run) = (self.workspace(workspace), self.run(workspace, run));
        offload(move || {
            run.check()?;
            let _one_at_a_time = place.lock()?;
            match input {
                Input::More { at, bytes } => run.feed(at, &bytes),
                Input::End => run.end_input(),
            }
        })
        .await
    }

    async fn status(&self, workspace: WorkspaceId, run: RunId) -> Result<RunStatus> {
        let run = self.run(workspace, run);
        offload(move || look_at(&run)).await
    }

    async fn kill(&self, workspace: WorkspaceId, run: RunId, grace: Duration) -> Result<()> {
        let (place, run) = (self.workspace(workspace), self.run(workspace, run));
        let started = {
            let run = run.clone();
            offload(move || {
                if run.path.exists() {
                    drop(place.lock()?); // whoever is starting it has finished then
                }
                Ok(run.is_started())
            })
            .await?
        };
        if started {
            ending::end_run(&run, grace).await?;
        }
        Ok(())
    }

    async fn forget(&self, workspace: WorkspaceId, run: RunId) -> Result<()> {
        let (place, run) = (self.workspace(workspace), self.run(workspace, run));
        offload(move || {
            if !run.path.exists() {
                return Ok(());
            }
            let _lock = place.lock()?;
            if run.is_started() && matches!(look_at(&run)?, RunStatus::Running { .. }) {
                return Err(Error::conflict(
                    NAME,
                    format!("run {} has not ended", run.id),
                ));
            }
            place.delete_files(&run.read_record().files)?;
            run.delete()
        })
        .await
    }

    async fn read_file(
        &self,
        workspace: WorkspaceId,
        path: &WorkspacePath,
        limit: usize,
    ) -> Result<Bytes> {
        let (workspace, path) = (self.workspace(workspace), path.clone());
        offload(move || workspace.read_file(&path, limit)).await
    }

    fn root(&self, workspace: WorkspaceId) -> String {
        format!("{}/{workspace}", self.root_text)
    }
}
