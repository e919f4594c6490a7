//! A runtime in memory: workspaces are maps, agents are played, and git is a [`FakeGit`].

mod inbox;
mod process;
mod spool;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

use self::{
    inbox::Inbox,
    process::{Place, Player, Process},
    spool::Spool,
};
use super::{
    agent::{self, Behaviour, SpawnedRun},
    git::{FakeGit, path_in, root_of},
};
use crate::{
    error::{Error, ErrorKind, Result},
    failure::ExitStatus,
    id::{RunId, WorkspaceId},
    money::Usage,
    run::RunKind,
    runtime::{
        Command, ExecOptions, ExecOutput, Input, ObservedWorkspace, Output, OutputOffset,
        RunStatus, Runtime, WorkspaceHealth, WorkspaceSpec,
    },
    workspace::WorkspacePath,
};

const BACKEND: &str = "memory runtime";

/// A [`Runtime`] without processes. Clones are the same runtime: a second one is what a restarted server would see.
///
/// Short commands are answered by the test's own programs, else by a [`FakeGit`]. Runs of a
/// [`MemoryAgent`](super::MemoryAgent) are played as the [`Behaviour`] says, on tokio's time; they go on when whoever
/// started them is dropped.
#[derive(Debug, Clone)]
pub struct MemoryRuntime {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    git: FakeGit,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    workspaces: BTreeMap<WorkspaceId, Workspace>,
    behaviour: Behaviour,
    programs: Option<Programs>,
    /// Every run of an agent that was ever started, in order.
    spawned: Vec<SpawnedRun>,
    unreachable: Option<String>,
    late_read: Option<Duration>,
}

#[derive(Debug)]
struct Workspace {
    spec: WorkspaceSpec,
    health: WorkspaceHealth,
    runs: BTreeMap<RunId, Process>,
    /// What was last given for each shared file.
    shared: BTreeMap<WorkspacePath, Bytes>,
}

#[derive(Clone)]
struct Programs(Arc<Answers>);

type Answers = dyn Fn(WorkspaceId, &Command) -> Option<ExecOutput> + Send + Sync;

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Programs")
    }
}

/// A run of an agent that is at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveRun {
    /// Where.
    pub workspace: WorkspaceId,
    /// Which.
    pub run: RunId,
}

impl MemoryRuntime {
    /// A runtime without workspaces, in which `git` means this world.
    #[must_use]
    pub fn new(git: FakeGit) -> Self {
        Self {
            inner: Arc::new(Inner {
                git,
                state: Mutex::default(),
            }),
        }
    }

    /// Decides what agents that are started from now on do.
    pub fn behave(&self, behaviour: Behaviour) {
        self.lock().behaviour = behaviour;
    }

    /// Answers commands. What it has no answer for goes to git, or does not exist.
    pub fn set_programs(
        &self,
        programs: impl Fn(WorkspaceId, &Command) -> Option<ExecOutput> + Send + Sync + 'static,
    ) {
        self.lock().programs = Some(Programs(Arc::new(programs)));
    }

    /// The runs that are at work.
    #[must_use]
    pub fn processes(&self) -> Vec<LiveRun> {
        let state = self.lock();
        let runs = state.workspaces.iter().flat_map(|(id, workspace)| {
            let live = workspace.runs.iter().filter(|(_, run)| run.is_running());
            live.map(|(run, _)| LiveRun {
                workspace: *id,
                run: *run,
            })
        });
        runs.collect()
    }

    /// Every run of an agent that was ever started, in order.
    #[must_use]
    pub fn spawned(&self) -> Vec<SpawnedRun> {
        self.lock().spawned.clone()
    }

    /// Loses a workspace with all that is in it, as when a machine is gone.
    pub fn lose(&self, workspace: WorkspaceId) {
        let lost = self.lock().workspaces.remove(&workspace);
        for process in lost.iter().flat_map(|lost| lost.runs.values()) {
            process.perish(None);
        }
        self.inner.git.forget(workspace);
    }

    /// Breaks a workspace: its runs vanish, and nothing can be done in it.
    pub fn break_down(&self, workspace: WorkspaceId, reason: impl Into<String>) {
        if let Some(workspace) = self.lock().workspaces.get_mut(&workspace) {
            workspace.health = WorkspaceHealth::Broken {
                reason: reason.into(),
            };
            for process in workspace.runs.values() {
                process.perish(None);
            }
        }
    }

    /// Lets every call fail as `Unavailable`, or no longer. Runs go on.
    pub fn set_unreachable(&self, reason: Option<&str>) {
        self.lock().unreachable = reason.map(str::to_owned);
    }

    /// Lets the next file that is read come so much later, with what was in it when it was asked for.
    pub fn delay_next_read(&self, late: Duration) {
        self.lock().late_read = Some(late);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        (self.inner.state.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    fn process(&self, workspace: WorkspaceId, run: RunId) -> Result<Process> {
        let state = self.lock();
        let workspace = state.workspace(workspace)?;
        let process = workspace.runs.get(&run).cloned();
        process.ok_or_else(|| Error::not_found(BACKEND, run))
    }

    fn write_files(&self, workspace: WorkspaceId, command: &Command) {
        for (path, content) in &command.files {
            self.inner.git.write(workspace, path, content.clone());
        }
        for (path, content) in &command.shared_files {
            let mut state = self.lock();
            let Some(place) = state.workspaces.get_mut(&workspace) else {
                return;
            };
            let given = place.shared.insert(path.clone(), content.clone());
            drop(state);
            let is_there = self.inner.git.read(workspace, path).is_some();
            if !is_there || given.as_ref() != Some(content) {
                self.inner.git.write(workspace, path, content.clone());
            }
        }
    }

    /// The answer to a command that ends at once; none for an agent's.
    fn answer(&self, workspace: WorkspaceId, command: &Command) -> Option<ExecOutput> {
        let programs = self.lock().programs.clone();
        if let Some(answer) = programs.and_then(|programs| (programs.0)(workspace, command)) {
            return Some(answer);
        }
        if let Some(answer) = self.inner.git.exec(workspace, command) {
            return Some(answer);
        }
        match command.program.as_str() {
            agent::PROGRAM if command.args == ["--version"] => Some(ExecOutput {
                status: ExitStatus::Code(0),
                stdout: "memory-agent 1.0\n".into(),
                stderr: Bytes::new(),
            }),
            agent::PROGRAM => None,
            unknown => Some(ExecOutput {
                status: ExitStatus::Code(127),
                stdout: Bytes::new(),
                stderr: format!("{unknown}: not found\n").into(),
            }),
        }
    }
}

impl State {
    fn reach(&self) -> Result<()> {
        match &self.unreachable {
            Some(reason) => Err(Error::unavailable(BACKEND, reason)),
            None => Ok(()),
        }
    }

    fn workspace(&self, id: WorkspaceId) -> Result<&Workspace> {
        self.reach()?;
        (self.workspaces.get(&id)).ok_or_else(|| Error::not_found(BACKEND, id))
    }

    /// The workspace, if something can be done in it.
    fn working(&mut self, id: WorkspaceId) -> Result<&mut Workspace> {
        self.reach()?;
        match self.workspaces.get_mut(&id) {
            None => Err(Error::not_found(BACKEND, id)),
            Some(Workspace {
                health: WorkspaceHealth::Broken { reason },
                ..
            }) => Err(Error::unavailable(
                BACKEND,
                format!("{id} is broken: {reason}"),
            )),
            Some(workspace) => Ok(workspace),
        }
    }

    /// What a command of an agent says about its run.
    fn introduce(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        command: &Command,
    ) -> Option<SpawnedRun> {
        let var = |name| command.env.get(name);
        let kind = var(agent::KIND)?;
        let task = var(agent::TASK)?.parse().ok()?;
        let earlier = self.spawned.iter().filter(|other| other.task == task);
        Some(SpawnedRun {
            workspace,
            task,
            run,
            kind: RunKind::ALL.into_iter().find(|it| it.as_str() == kind)?,
            attempt: u32::try_from(earlier.count()).ok()?.saturating_add(1),
            prompt: String::from_utf8_lossy(&command.stdin).into_owned(),
            model: var(agent::MODEL).cloned(),
            effort: var(agent::EFFORT).cloned(),
            session: var(agent::SESSION)?.clone(),
            worktree: command.dir.clone()?,
        })
    }
}

#[async_trait]
impl Runtime for MemoryRuntime {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn create(&self, spec: &WorkspaceSpec) -> Result<()> {
        let mut state = self.lock();
        state.reach()?;
        state
            .workspaces
            .entry(spec.id)
            .or_insert_with(|| Workspace {
                spec: spec.clone(),
                health: WorkspaceHealth::Ready,
                runs: BTreeMap::new(),
                shared: BTreeMap::new(),
            });
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ObservedWorkspace>> {
        let state = self.lock();
        state.reach()?;
        let observed = state
            .workspaces
            .values()
            .map(|workspace| ObservedWorkspace {
                id: workspace.spec.id,
                repo: workspace.spec.repo,
                health: workspace.health.clone(),
            });
        Ok(observed.collect())
    }

    async fn remove(&self, workspace: WorkspaceId) -> Result<()> {
        let removed = {
            let mut state = self.lock();
            state.reach()?;
            state.workspaces.remove(&workspace)
        };
        for process in removed.iter().flat_map(|removed| removed.runs.values()) {
            process.kill(Duration::ZERO).await;
        }
        self.inner.git.forget(workspace);
        Ok(())
    }

    async fn exec(
        &self,
        workspace: WorkspaceId,
        command: Command,
        options: ExecOptions,
    ) -> Result<ExecOutput> {
        self.lock().working(workspace)?;
        self.write_files(workspace, &command);
        let Some(mut output) = self.answer(workspace, &command) else {
            return Err(Error::invalid(
                BACKEND,
                "an agent in memory has to be spawned",
            ));
        };
        for stream in [&mut output.stdout, &mut output.stderr] {
            *stream = stream.slice(stream.len().saturating_sub(options.output_limit)..);
        }
        Ok(output)
    }

    async fn spawn(&self, workspace: WorkspaceId, run: RunId, command: Command) -> Result<()> {
        let (introduced, behaviour) = {
            let mut state = self.lock();
            if state.working(workspace)?.runs.contains_key(&run) {
                return Ok(());
            }
            (
                state.introduce(workspace, run, &command),
                state.behaviour.clone(),
            )
        };
        self.write_files(workspace, &command);
        // whoever wrote these may ask us something, so no lock is held
        let answer = self.answer(workspace, &command);
        let steps = introduced.as_ref().map(|spawned| behaviour.steps(spawned));
        let mut state = self.lock();
        if state.working(workspace)?.runs.contains_key(&run) {
            return Ok(());
        }
        let files = command.files.keys().cloned().collect();
        let (spool, inbox) = (Spool::new(), Inbox::of(&command));
        let process = match (answer, introduced.zip(steps)) {
            (Some(answer), _) => {
                spool.stdout(&answer.stdout);
                spool.stderr(&answer.stderr);
                spool.end(Some(answer.status));
                inbox.close();
                Process::finished(spool, inbox, files)
            }
            (None, Some((spawned, steps))) => {
                state.spawned.push(spawned.clone());
                let verdict_file = command.env.get(agent::VERDICT_FILE);
                let player = Player {
                    run: spawned,
                    place: Place {
                        git: self.inner.git.clone(),
                        workspace,
                    },
                    spool,
                    inbox,
                    verdict_file: verdict_file
                        .and_then(|path| path_in(workspace, &WorkspacePath::root(), path)),
                    usage: Usage::default(),
                };
                Process::start(player, steps, files)
            }
            (None, None) => {
                let message = "this is not a command of a memory agent";
                return Err(Error::invalid(BACKEND, message));
            }
        };
        state.working(workspace)?.runs.insert(run, process);
        Ok(())
    }

    async fn attach(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        from: OutputOffset,
    ) -> Result<Box<dyn Output>> {
        let process = self.process(workspace, run)?;
        Ok(Box::new(process.spool.follow(from)))
    }

    async fn feed(&self, workspace: WorkspaceId, run: RunId, input: Input) -> Result<()> {
        self.process(workspace, run)?.feed(input)
    }

    async fn status(&self, workspace: WorkspaceId, run: RunId) -> Result<RunStatus> {
        Ok(self.process(workspace, run)?.status())
    }

    async fn kill(&self, workspace: WorkspaceId, run: RunId, grace: Duration) -> Result<()> {
        match self.process(workspace, run) {
            Ok(process) => process.kill(grace).await,
            // of what was never started nothing is alive
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn forget(&self, workspace: WorkspaceId, run: RunId) -> Result<()> {
        let mut state = self.lock();
        state.reach()?;
        let place = state.workspaces.get_mut(&workspace);
        let Some((place, process)) = place.and_then(|place| {
            let process = place.runs.get(&run).cloned()?;
            Some((place, process))
        }) else {
            return Ok(());
        };
        if process.is_running() {
            return Err(Error::conflict(BACKEND, format!("{run} has not ended")));
        }
        place.runs.remove(&run);
        for path in &process.files {
            self.inner.git.delete(workspace, path);
        }
        Ok(())
    }

    async fn read_file(
        &self,
        workspace: WorkspaceId,
        path: &WorkspacePath,
        limit: usize,
    ) -> Result<Bytes> {
        let late = {
            let mut state = self.lock();
            state.working(workspace)?;
            state.late_read.take()
        };
        let file = self.inner.git.read(workspace, path);
        if let Some(late) = late {
            tokio::time::sleep(late).await;
        }
        let content = file.ok_or_else(|| Error::not_found(BACKEND, format!("the file {path}")))?;
        if content.len() > limit {
            let size = content.len();
            let message = format!("the file {path} has {size} bytes, more than {limit}");
            return Err(Error::invalid(BACKEND, message));
        }
        Ok(content)
    }

    fn root(&self, workspace: WorkspaceId) -> String {
        root_of(workspace)
    }
}
