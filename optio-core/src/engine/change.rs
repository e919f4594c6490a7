//! Changes to tasks as the engine writes them: the new state, its line in the history and what must follow from it,
//! in one commit.

use serde_json::json;

use super::Optio;
use crate::{
    decision::{DecisionRecord, SnapshotDigest},
    error::{Error, Result},
    id::OutboxId,
    replay::{Seen, SeenDependencies},
    run::Run,
    store::{Audit, Commit, OutboxEntry, OutboxMessage, Write},
    task::{StateName, Task, TaskEvent},
};

/// A change that is being put together.
#[derive(Debug)]
pub(crate) struct Change<'e> {
    engine: &'e Optio,
    actor: &'static str,
    commit: Commit,
}

/// Why a task moved: the rule that decided, a word for people, and what policies said of what they were shown.
#[derive(Debug, Clone)]
pub(crate) struct Because {
    rule: &'static str,
    detail: Option<String>,
    digest: Option<SnapshotDigest>,
    decisions: Vec<DecisionRecord>,
}

impl From<&'static str> for Because {
    fn from(rule: &'static str) -> Self {
        Self {
            rule,
            detail: None,
            digest: None,
            decisions: Vec::new(),
        }
    }
}

impl Because {
    pub(crate) fn detailed(rule: &'static str, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::from(rule)
        }
    }

    /// Decided by what the tasks that it depends on have come to, if there are any.
    pub(crate) fn of_dependencies(rule: &'static str, seen: SeenDependencies) -> Self {
        let asked = !seen.states.is_empty();
        Self::from(rule).decided(asked.then(|| Seen::Dependencies(seen).record()))
    }

    /// The same, decided by policy; by the last of several.
    pub(crate) fn decided(mut self, decisions: impl IntoIterator<Item = DecisionRecord>) -> Self {
        self.decisions.extend(decisions);
        self.digest = self.decisions.last().map(|last| last.digest.clone());
        self
    }

    /// The same, as one more consequence of a decision that another line holds.
    pub(crate) fn follows(mut self, decision: Option<&DecisionRecord>) -> Self {
        self.digest = decision.map(|decision| decision.digest.clone());
        self
    }
}

impl<'e> Change<'e> {
    pub(crate) fn new(engine: &'e Optio, actor: &'static str) -> Self {
        Self {
            engine,
            actor,
            commit: Commit::new(),
        }
    }

    /// Moves a task on. It is written by [`put`](Self::put), once, after its last event.
    pub(crate) fn apply(
        &mut self,
        task: &mut Task,
        event: TaskEvent,
        because: impl Into<Because>,
    ) -> Result<()> {
        let mut because = because.into();
        let (from, name, at) = (task.state.name(), event.name(), self.engine.now());
        because.detail = because.detail.or_else(|| describe(&event));
        // where no policy was asked, state and event decide
        because.digest = because
            .digest
            .or_else(|| Some(SnapshotDigest::of(&json!([&task.state, &event]))));
        task.apply(event, at)
            .map_err(|error| Error::conflict("optio", error.to_string()).caused_by(error))?;
        self.audit(task, Some(from), name, because);
        Ok(())
    }

    /// A task that is new: its first line in the history.
    pub(crate) fn created(&mut self, task: &Task, because: impl Into<Because>) {
        let mut because = because.into();
        because.digest = because
            .digest
            .or_else(|| Some(SnapshotDigest::of(&json!(task))));
        self.audit(task, None, "created", because);
    }

    fn audit(&mut self, task: &Task, from: Option<StateName>, event: &str, because: Because) {
        self.write(Write::Audit(Audit {
            task: task.id,
            at: task.updated_at,
            from,
            to: task.state.name(),
            event: event.to_owned(),
            actor: self.actor.to_owned(),
            rule: because.rule.to_owned(),
            detail: because.detail,
            digest: because.digest,
            decisions: because.decisions,
        }));
    }

    /// Writes a task whose state has changed, with all that follows from that.
    pub(crate) fn put(&mut self, task: &Task) {
        self.write(Write::Task(task.clone()));
        let state = task.state.name();
        // while a run is at work its entry stays as it is: it is claimed, or waits to be adopted
        if !matches!(state, StateName::Provisioning | StateName::Running) {
            self.follow_up(OutboxMessage::SyncQueue { task: task.id });
        }
        self.follow_up(OutboxMessage::TaskChanged {
            task: task.id,
            state,
        });
    }

    /// Writes a task of which only data has changed.
    pub(crate) fn put_quietly(&mut self, task: &Task) {
        self.write(Write::Task(task.clone()));
    }

    /// Has something delivered once the change is committed.
    pub(crate) fn follow_up(&mut self, message: OutboxMessage) {
        let id = OutboxId::generate(self.engine.clock());
        self.follow_up_as(id, message);
    }

    /// The same under an id of the caller's: written twice, it is the same message to whoever gets it.
    pub(crate) fn follow_up_as(&mut self, id: OutboxId, message: OutboxMessage) {
        let at = self.engine.now();
        self.write(Write::Outbox(OutboxEntry {
            id,
            message,
            at,
            not_before: at,
            attempts: 0,
        }));
    }

    pub(crate) fn write(&mut self, write: Write) {
        self.commit.writes.push(write);
    }

    /// Makes the change depend on our still holding this run.
    pub(crate) fn guard(&mut self, run: &Run) {
        self.commit = std::mem::take(&mut self.commit).guarded(run.id, run.epoch);
    }

    /// Carries it out, all or nothing.
    pub(crate) async fn commit(self) -> Result<()> {
        let engine = self.engine;
        let follows = self
            .commit
            .writes
            .iter()
            .any(|write| matches!(write, Write::Outbox(_)));
        engine.store().commit(self.commit).await?;
        if follows {
            engine.wake_relay();
        }
        Ok(())
    }
}

/// What an event says to people, beyond its name.
fn describe(event: &TaskEvent) -> Option<String> {
    use crate::task::{AttentionReason, Completion};
    match event {
        TaskEvent::Enqueued { next } | TaskEvent::Retried { next } => {
            Some(format!("for a {} run", next.kind))
        }
        TaskEvent::Requeued { hold, .. } => hold.clone(),
        TaskEvent::Placed { run, workspace } => Some(format!("{run} in {workspace}")),
        TaskEvent::PrFound { pull_request } => Some(format!(
            "pull request {} {}",
            pull_request.number, pull_request.url
        )),
        TaskEvent::AttentionNeeded { reason } => Some(match reason {
            AttentionReason::CiFailed => "its checks failed".to_owned(),
            AttentionReason::ChangesRequested => "a review requested changes".to_owned(),
            AttentionReason::Conflict => "it conflicts with its base".to_owned(),
            AttentionReason::Person { summary } => summary.clone(),
        }),
        TaskEvent::Completed { how } => Some(match how {
            Completion::Merged { commit } => format!("merged as {}", commit.short()),
            Completion::Reviewed { head, report } => {
                let verdict = match report.verdict {
                    crate::pull_request::ReviewVerdict::Approve => "approved",
                    crate::pull_request::ReviewVerdict::RequestChanges => "changes requested",
                    crate::pull_request::ReviewVerdict::Comment => "commented",
                };
                format!("{verdict} on {}", head.short())
            }
        }),
        TaskEvent::Failed { failure } => Some(failure.to_string()),
        TaskEvent::Blocked | TaskEvent::Started | TaskEvent::Cancelled | TaskEvent::Watched => None,
    }
}
