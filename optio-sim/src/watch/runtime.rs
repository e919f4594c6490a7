//! A runtime that sees to it that no work is lost and no two agents work on one task.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use optio_core::{
    Result,
    id::{RunId, TaskId, WorkspaceId},
    runtime::{
        Command, ExecOptions, ExecOutput, Input, ObservedWorkspace, Output, OutputOffset,
        RunStatus, Runtime, WorkspaceSpec,
    },
    workspace::WorkspacePath,
};

use super::Ledger;

#[derive(Debug)]
pub(crate) struct WatchedRuntime {
    pub(crate) inner: Arc<dyn Runtime>,
    pub(crate) ledger: Arc<Ledger>,
}

impl Ledger {
    /// Never two agents of one task; and none of a run that is over.
    fn check_agents(&self) {
        let spawned = self.facts.runtime.spawned();
        let of: BTreeMap<RunId, TaskId> = spawned.iter().map(|run| (run.run, run.task)).collect();
        let mut at_work: BTreeMap<TaskId, RunId> = BTreeMap::new();
        for process in self.facts.runtime.processes() {
            let Some(task) = of.get(&process.run) else {
                continue;
            };
            if let Some(other) = at_work.insert(*task, process.run) {
                let detail = format!("{other} and {} are both at work on {task}", process.run);
                self.broke("one agent for each task", detail);
            }
            let live = self
                .book()
                .runs
                .get(&process.run)
                .is_some_and(optio_core::run::Run::is_live);
            if !live {
                let detail = format!("an agent was started for {}, which has ended", process.run);
                self.broke("an ended run has no process", detail);
            }
        }
    }
}

/// Whether a command may take files or refs away.
fn destroys(command: &Command) -> bool {
    let named = |word: &str| command.args.iter().any(|arg| arg == word);
    match command.program.as_str() {
        "rm" | "mv" => !named("-f") || named("-rf"),
        "git" => [
            "checkout",
            "clean",
            "worktree",
            "push",
            "update-ref",
            "fetch",
            "symbolic-ref",
        ]
        .into_iter()
        .any(named),
        _ => false,
    }
}

#[async_trait]
impl Runtime for WatchedRuntime {
    async fn exec(
        &self,
        workspace: WorkspaceId,
        command: Command,
        options: ExecOptions,
    ) -> Result<ExecOutput> {
        // without what every command of git is given
        let line = command.args.join(" ");
        let line = line.rsplit("gpgSign=false ").next().unwrap_or_default();
        let line = format!("{} {line} in {workspace}", command.program);
        self.ledger.detail(|| line.clone());
        if !destroys(&command) {
            return self.inner.exec(workspace, command, options).await;
        }
        self.ledger.take_stock();
        let done = self.inner.exec(workspace, command, options).await;
        self.ledger.check_stock(&|| line.clone());
        done
    }

    async fn remove(&self, workspace: WorkspaceId) -> Result<()> {
        self.ledger.take_stock();
        self.ledger.note(|| format!("{workspace} is removed"));
        let done = self.inner.remove(workspace).await;
        self.ledger
            .check_stock(&|| format!("the removal of {workspace}"));
        done
    }

    async fn spawn(&self, workspace: WorkspaceId, run: RunId, command: Command) -> Result<()> {
        let before = self.ledger.facts.runtime.spawned().len();
        let done = self.inner.spawn(workspace, run, command).await;
        if self.ledger.facts.runtime.spawned().len() > before {
            self.ledger
                .note(|| format!("{run} starts to work in {workspace}"));
            self.ledger.check_agents();
        }
        done
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn create(&self, spec: &WorkspaceSpec) -> Result<()> {
        self.inner.create(spec).await
    }

    async fn list(&self) -> Result<Vec<ObservedWorkspace>> {
        self.inner.list().await
    }

    async fn attach(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        from: OutputOffset,
    ) -> Result<Box<dyn Output>> {
        self.inner.attach(workspace, run, from).await
    }

    async fn feed(&self, workspace: WorkspaceId, run: RunId, input: Input) -> Result<()> {
        self.inner.feed(workspace, run, input).await
    }

    async fn status(&self, workspace: WorkspaceId, run: RunId) -> Result<RunStatus> {
        self.inner.status(workspace, run).await
    }

    async fn kill(&self, workspace: WorkspaceId, run: RunId, grace: Duration) -> Result<()> {
        self.inner.kill(workspace, run, grace).await
    }

    async fn forget(&self, workspace: WorkspaceId, run: RunId) -> Result<()> {
        self.inner.forget(workspace, run).await
    }

    async fn read_file(
        &self,
        workspace: WorkspaceId,
        path: &WorkspacePath,
        limit: usize,
    ) -> Result<Bytes> {
        self.inner.read_file(workspace, path, limit).await
    }

    fn root(&self, workspace: WorkspaceId) -> String {
        self.inner.root(workspace)
    }
}
