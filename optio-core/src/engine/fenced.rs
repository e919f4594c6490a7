//! A runtime for whoever works under a right that can be lost: each call that changes something asks whether the right
//! is still there. A worker that was frozen and goes on must not touch what is somebody else's by now.
//!
//! A right counts as lost while there is still time on it, so that a call that is slow to arrive takes effect in time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Optio, held::Held};
use crate::{
    clock::{Timestamp, later},
    error::{Error, Result},
    id::{RunId, WorkspaceId},
    runtime::{
        Command, ExecOptions, ExecOutput, Input, ObservedWorkspace, Output, OutputOffset,
        RunStatus, Runtime, WorkspaceSpec,
    },
    workspace::WorkspacePath,
};

/// A runtime under a right.
#[derive(Debug)]
pub(crate) struct Fenced {
    inner: Arc<dyn Runtime>,
    right: Right,
}

#[derive(Debug)]
enum Right {
    /// That of a run's holder.
    Run(Held),
    /// That of a look at the store, which goes stale.
    Look { engine: Optio, until: Timestamp },
}

impl Held {
    /// The runtime, for as long as the run is held.
    pub(crate) fn runtime(&self) -> Fenced {
        Fenced {
            inner: Arc::clone(&self.engine().ports().runtime),
            right: Right::Run(self.clone()),
        }
    }
}

impl Optio {
    /// The runtime, for as long as what was just read from the store can be acted on.
    pub(crate) fn runtime_for_now(&self) -> Fenced {
        Fenced {
            inner: Arc::clone(&self.ports().runtime),
            right: Right::Look {
                engine: self.clone(),
                until: later(self.now(), self.settings().lease / 3),
            },
        }
    }
}

impl Fenced {
    async fn check(&self) -> Result<()> {
        match &self.right {
            Right::Run(held) => held.stand().await,
            Right::Look { engine, until } if engine.now() <= *until => Ok(()),
            Right::Look { .. } => Err(Error::unavailable(
                "optio",
                "this took longer than what was read can be trusted: it is begun again later",
            )),
        }
    }
}

#[async_trait]
impl Runtime for Fenced {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn create(&self, spec: &WorkspaceSpec) -> Result<()> {
        self.check().await?;
        self.inner.create(spec).await
    }

    async fn list(&self) -> Result<Vec<ObservedWorkspace>> {
        self.inner.list().await
    }

    async fn remove(&self, workspace: WorkspaceId) -> Result<()> {
        self.check().await?;
        self.inner.remove(workspace).await
    }

    async fn exec(
        &self,
        workspace: WorkspaceId,
        command: Command,
        options: ExecOptions,
    ) -> Result<ExecOutput> {
        self.check().await?;
        self.inner.exec(workspace, command, options).await
    }

    async fn spawn(&self, workspace: WorkspaceId, run: RunId, command: Command) -> Result<()> {
        self.check().await?;
        self.inner.spawn(workspace, run, command).await
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
        self.check().await?;
        self.inner.feed(workspace, run, input).await
    }

    async fn status(&self, workspace: WorkspaceId, run: RunId) -> Result<RunStatus> {
        self.inner.status(workspace, run).await
    }

    async fn kill(&self, workspace: WorkspaceId, run: RunId, grace: Duration) -> Result<()> {
        self.check().await?;
        self.inner.kill(workspace, run, grace).await
    }

    async fn forget(&self, workspace: WorkspaceId, run: RunId) -> Result<()> {
        self.check().await?;
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
