//! `/api/tasks/{id}/runs` and `/history`: the attempts of a task, and what happened to it.

use axum::{Json, extract::State};
use optio_core::{
    Timestamp,
    decision::{DecisionRecord, SnapshotDigest},
    id::{RunId, TaskId, WorkspaceId},
    run::{Run, RunKind, RunOutcome},
    store::{Audit, RunQuery},
    task::StateName,
};
use serde::{Deserialize, Serialize};

use super::{
    Path, Query, find_task,
    task::{FailureView, PullRequestView, UsageView},
};
use crate::{app::App, error::ApiError};

/// One attempt of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// Its number among the runs of the task, from 1.
    pub number: u32,
    /// Why it ran.
    pub kind: RunKind,
    /// `preparing`, `spawned`, `exited` or `ended`.
    pub phase: String,
    /// How often it has changed hands.
    pub epoch: u64,
    /// The workspace it ran in.
    pub workspace: WorkspaceId,
    /// The agent.
    pub agent: String,
    /// The version of its program.
    pub agent_version: Option<String>,
    /// The model that truly ran, or that was asked for.
    pub model: Option<String>,
    /// The agent's session.
    pub session: Option<String>,
    /// `pushed`, `reviewed`, `failed` or `cancelled`, once it has ended.
    pub outcome: Option<String>,
    /// The pull request it pushed to.
    pub pull_request: Option<PullRequestView>,
    /// Why it failed.
    pub failure: Option<FailureView>,
    /// The ref on the remote that holds its work, where that led nowhere.
    pub rescue_ref: Option<String>,
    /// What it has used.
    pub usage: UsageView,
    /// The number of its last log entry.
    pub log_entries: u64,
    /// When it was placed.
    pub started_at: Timestamp,
    /// When its agent last gave a sign of life.
    pub heard_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// The runs of a task, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunList {
    /// The runs.
    pub runs: Vec<RunView>,
}

/// A line of a task's history.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryLine {
    /// The task.
    pub task: TaskId,
    /// When.
    pub at: Timestamp,
    /// The state before.
    pub from: Option<StateName>,
    /// The state after.
    pub to: StateName,
    /// What happened.
    pub event: String,
    /// Who did it.
    pub actor: String,
    /// The rule that decided it.
    pub rule: String,
    /// What it means.
    pub detail: Option<String>,
    /// The digest of what it was decided from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<SnapshotDigest>,
    /// What policies were shown and said, if that was asked for; as the core records it, for `optio replay`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<DecisionRecord>,
}

/// What is told of a history.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// Whether decisions are told in full: these can be large.
    #[serde(default)]
    decisions: bool,
}

/// What happened to a task, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct History {
    /// The lines.
    pub history: Vec<HistoryLine>,
}

pub(crate) async fn list(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<RunList>, ApiError> {
    let id = find_task(&app.optio, &id).await?;
    app.optio.store().task(id).await?;
    let runs = app
        .optio
        .store()
        .runs(&RunQuery {
            task: Some(id),
            ..RunQuery::default()
        })
        .await?;
    Ok(Json(RunList {
        runs: runs.iter().map(RunView::from).collect(),
    }))
}

pub(crate) async fn history(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<History>, ApiError> {
    let id = find_task(&app.optio, &id).await?;
    app.optio.store().task(id).await?;
    let mut history = app.optio.store().history(id).await?;
    if !query.decisions {
        for line in &mut history {
            line.decisions.clear();
        }
    }
    Ok(Json(History {
        history: history.into_iter().map(HistoryLine::from).collect(),
    }))
}

impl From<&Run> for RunView {
    fn from(run: &Run) -> Self {
        let outcome = run.outcome();
        Self {
            id: run.id,
            number: run.number,
            kind: run.kind,
            phase: run.phase.name().to_owned(),
            epoch: run.epoch,
            workspace: run.workspace,
            agent: run.agent.clone(),
            agent_version: run.report.agent_version.clone(),
            model: run.report.model.clone().or_else(|| run.model.clone()),
            session: run.report.session.as_ref().map(ToString::to_string),
            outcome: outcome.map(|outcome| outcome.name().to_owned()),
            pull_request: match outcome {
                Some(RunOutcome::Pushed { pull_request, .. }) => Some(pull_request.into()),
                _ => None,
            },
            failure: match outcome {
                Some(RunOutcome::Failed { failure, .. }) => Some(failure.into()),
                _ => None,
            },
            rescue_ref: outcome
                .and_then(RunOutcome::rescue)
                .map(|rescue| rescue.name.clone()),
            usage: run.usage().into(),
            log_entries: run.progress.seq,
            started_at: run.started_at,
            heard_at: run.heard_at,
            ended_at: run.ended_at(),
        }
    }
}

impl From<Audit> for HistoryLine {
    fn from(line: Audit) -> Self {
        let Audit {
            task,
            at,
            from,
            to,
            event,
            actor,
            rule,
            detail,
            digest,
            decisions,
        } = line;
        Self {
            task,
            at,
            from,
            to,
            event,
            actor,
            rule,
            detail,
            digest,
            decisions,
        }
    }
}
