//! Which version of an agent's program works in a workspace, where the agent's stream does not tell it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::Optio;
use crate::{
    agent::Preflight,
    clock::{Timestamp, later},
    failure::ExitStatus,
    id::WorkspaceId,
    run::Run,
    runtime::ExecOptions,
};

/// How long an answer holds: programs are brought up to date now and then.
const GOOD_FOR: Duration = Duration::from_hours(1);

/// How long a program may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who is asked: an agent, in a workspace.
type Asked = (WorkspaceId, String);

/// What programs have answered, and until when that holds.
#[derive(Debug, Default)]
pub(super) struct Versions(Mutex<HashMap<Asked, (Timestamp, Option<String>)>>);

impl Versions {
    fn known(&self, asked: &Asked, now: Timestamp) -> Option<Option<String>> {
        let versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, version) = versions.get(asked)?;
        (now < *until).then(|| version.clone())
    }

    fn learn(&self, asked: Asked, version: Option<String>, now: Timestamp) {
        let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // others may be of workspaces that are gone
        versions.retain(|_, (until, _)| now < *until);
        versions.insert(asked, (later(now, GOOD_FOR), version));
    }
}

impl Optio {
    /// The version of the program that is about to work on a run; none if its stream will tell it, or if nobody knows. No
    /// run fails for that: if the program is not there, the run itself will tell.
    pub(super) async fn version_for(&self, run: &Run) -> Option<String> {
        let agent = self.ports().agents.get(&run.agent)?;
        if agent.tells_version() {
            return None;
        }
        let asked = (run.workspace, run.agent.clone());
        if let Some(version) = self.inner.versions.known(&asked, self.now()) {
            return version;
        }
        let (command, options) = (agent.preflight().version, ExecOptions::timeout(PATIENCE));
        let answer = self.runtime().exec(run.workspace, command, options).await;
        let version = answer
            .ok()
            .filter(|answer| answer.status == ExitStatus::Code(0))
            .and_then(|answer| Preflight::version_in(&String::from_utf8_lossy(&answer.stdout)));
        self.inner
            .versions
            .learn(asked, version.clone(), self.now());
        version
    }
}
