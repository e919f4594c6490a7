//! A runtime behind a bad line. Output comes in pieces of any size.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use optio_core::{
    Error, Result,
    id::{RunId, WorkspaceId},
    runtime::{
        Command, ExecOptions, ExecOutput, Input, ObservedWorkspace, Output, OutputOffset, Piece,
        RunStatus, Runtime, WorkspaceSpec,
    },
    workspace::WorkspacePath,
};

use super::Link;

#[derive(Debug)]
pub(crate) struct FaultyRuntime {
    pub(crate) inner: Arc<dyn Runtime>,
    pub(crate) link: Arc<Link>,
}

#[async_trait]
impl Runtime for FaultyRuntime {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn create(&self, spec: &WorkspaceSpec) -> Result<()> {
        self.link.call("create", self.inner.create(spec)).await
    }

    async fn list(&self) -> Result<Vec<ObservedWorkspace>> {
        self.link.call("list", self.inner.list()).await
    }

    async fn remove(&self, workspace: WorkspaceId) -> Result<()> {
        let work = self.inner.remove(workspace);
        self.link.call("remove workspace", work).await
    }

    async fn exec(
        &self,
        workspace: WorkspaceId,
        command: Command,
        options: ExecOptions,
    ) -> Result<ExecOutput> {
        let work = self.inner.exec(workspace, command, options);
        self.link.call("exec", work).await
    }

    async fn spawn(&self, workspace: WorkspaceId, run: RunId, command: Command) -> Result<()> {
        let work = self.inner.spawn(workspace, run, command);
        self.link.call("spawn", work).await
    }

    async fn attach(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        from: OutputOffset,
    ) -> Result<Box<dyn Output>> {
        let inner = self
            .link
            .call("attach", self.inner.attach(workspace, run, from))
            .await?;
        Ok(Box::new(FaultyOutput {
            inner,
            link: Arc::clone(&self.link),
            rest: None,
        }))
    }

    async fn feed(&self, workspace: WorkspaceId, run: RunId, input: Input) -> Result<()> {
        let work = self.inner.feed(workspace, run, input);
        self.link.call("feed", work).await
    }

    async fn status(&self, workspace: WorkspaceId, run: RunId) -> Result<RunStatus> {
        let work = self.inner.status(workspace, run);
        self.link.call("status", work).await
    }

    async fn kill(&self, workspace: WorkspaceId, run: RunId, grace: Duration) -> Result<()> {
        let work = self.inner.kill(workspace, run, grace);
        self.link.call("kill", work).await
    }

    async fn forget(&self, workspace: WorkspaceId, run: RunId) -> Result<()> {
        let work = self.inner.forget(workspace, run);
        self.link.call("forget", work).await
    }

    async fn read_file(
        &self,
        workspace: WorkspaceId,
        path: &WorkspacePath,
        limit: usize,
    ) -> Result<Bytes> {
        let work = self.inner.read_file(workspace, path, limit);
        self.link.call("read_file", work).await
    }

    fn root(&self, workspace: WorkspaceId) -> String {
        self.inner.root(workspace)
    }
}

#[derive(Debug)]
struct FaultyOutput {
    inner: Box<dyn Output>,
    link: Arc<Link>,
    rest: Option<Piece>,
}

impl FaultyOutput {
    /// Cuts a piece anywhere; the rest is given next.
    fn cut(&mut self, piece: Piece) -> Piece {
        let (make, mut bytes): (fn(Bytes) -> Piece, Bytes) = match piece {
            Piece::Stdout(bytes) => (Piece::Stdout, bytes),
            Piece::Stderr(bytes) => (Piece::Stderr, bytes),
            ended @ Piece::Ended(_) => return ended,
        };
        if bytes.len() > 1 && self.link.dice.hits(3_000) {
            let at = 1 + self.link.dice.below(bytes.len() as u64 - 1);
            let rest = bytes.split_off(usize::try_from(at).unwrap_or(1));
            self.rest = Some(make(rest));
        }
        make(bytes)
    }
}

#[async_trait]
impl Output for FaultyOutput {
    async fn next(&mut self) -> Result<Piece> {
        self.link.gate().await;
        if self.link.dice.hits(self.link.weather().refused) {
            return Err(Error::unavailable("simulation", "the output is cut off"));
        }
        let piece = match self.rest.take() {
            Some(rest) => rest,
            None => self.inner.next().await?,
        };
        // nothing is awaited from here on: a piece that was taken is returned
        Ok(self.cut(piece))
    }
}
