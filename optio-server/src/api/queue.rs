//! `/api/queue`: what waits and why, and what is at work.

use axum::{Json, extract::State};
use optio_core::{
    Timestamp,
    id::{RepoId, TaskId},
    scheduling::WaitReason,
};
use serde::{Deserialize, Serialize};

use crate::{app::App, error::ApiError};

/// The queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueueView {
    /// What waits, in the order in which it will be handed out.
    pub waiting: Vec<WaitingView>,
    /// What is at work.
    pub claimed: Vec<ClaimedView>,
}

/// A task that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingView {
    /// The task.
    pub task: TaskId,
    /// Its repository.
    pub repo: RepoId,
    /// Lower runs first.
    pub priority: i32,
    /// Since when it waits.
    pub since: Timestamp,
    /// Not before this moment.
    pub not_before: Option<Timestamp>,
    /// Why it waits.
    pub wait: WaitReason,
    /// The same in a sentence.
    pub explanation: String,
}

/// A task at work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClaimedView {
    /// The task.
    pub task: TaskId,
    /// Which worker looks after it.
    pub worker: String,
}

pub(crate) async fn show(State(app): State<App>) -> Result<Json<QueueView>, ApiError> {
    let queue = &app.optio.ports().queue;
    let waiting = app
        .optio
        .waiting()
        .await?
        .into_iter()
        .map(|entry| WaitingView {
            task: entry.job.task,
            repo: entry.job.repo,
            priority: entry.job.priority,
            since: entry.job.since,
            not_before: entry.job.not_before,
            explanation: entry.why.to_string(),
            wait: entry.why,
        });
    let claimed = queue
        .claimed()
        .await?
        .into_iter()
        .map(|(task, worker)| ClaimedView {
            task,
            worker: worker.0,
        });
    Ok(Json(QueueView {
        waiting: waiting.collect(),
        claimed: claimed.collect(),
    }))
}
