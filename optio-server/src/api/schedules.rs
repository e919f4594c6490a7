//! `/api/schedules`: tasks made by the clock.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use optio_core::{
    Timestamp,
    engine::NewSchedule,
    id::{RepoId, ScheduleId},
    schedule::{CronLine, Schedule},
    task::DEFAULT_PRIORITY,
};
use serde::{Deserialize, Serialize};

use super::{Body, Path, find_repo};
use crate::{app::App, error::ApiError};

/// A schedule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleView {
    /// Its id.
    pub id: ScheduleId,
    /// Cron's five fields.
    pub cron: String,
    /// The zone in which they are read.
    pub time_zone: String,
    /// The repository of its tasks.
    pub repo: RepoId,
    /// Their title.
    pub title: String,
    /// Their body.
    pub body: String,
    /// Their priority.
    pub priority: i32,
    /// When it makes the next one.
    pub next_at: Option<Timestamp>,
    /// When it last made one.
    pub last_at: Option<Timestamp>,
}

/// All schedules.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScheduleList {
    /// Them.
    pub schedules: Vec<ScheduleView>,
}

/// A schedule to be added.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduleRequest {
    /// Cron's five fields.
    pub cron: String,
    /// The zone in which they are read; UTC if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The repository: id, address or name.
    pub repo: String,
    /// The title of its tasks.
    pub title: String,
    /// Their body.
    #[serde(default)]
    pub body: String,
    /// Their priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
}

pub(crate) async fn list(State(app): State<App>) -> Result<Json<ScheduleList>, ApiError> {
    let schedules = app.optio.store().schedules().await?;
    Ok(Json(ScheduleList {
        schedules: schedules.into_iter().map(ScheduleView::from).collect(),
    }))
}

pub(crate) async fn create(
    State(app): State<App>,
    Body(wish): Body<ScheduleRequest>,
) -> Result<Response, ApiError> {
    let repo = find_repo(&app.optio, &wish.repo)
        .await
        .map_err(|error| ApiError::invalid(error.message))?;
    let cron = CronLine::new(
        wish.cron,
        wish.time_zone.unwrap_or_else(|| "UTC".to_owned()),
    );
    let new = NewSchedule {
        cron: cron.map_err(|error| ApiError::invalid(error.to_string()))?,
        repo: repo.id,
        title: wish.title,
        body: wish.body,
        priority: wish.priority.unwrap_or(DEFAULT_PRIORITY),
    };
    let schedule = app.optio.add_schedule(new).await?;
    Ok((StatusCode::CREATED, Json(ScheduleView::from(schedule))).into_response())
}

pub(crate) async fn remove(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id: ScheduleId = id.parse()?;
    if !app
        .optio
        .store()
        .schedules()
        .await?
        .iter()
        .any(|schedule| schedule.id == id)
    {
        return Err(ApiError::not_found(format!("{id} does not exist")));
    }
    app.optio.remove_schedule(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<Schedule> for ScheduleView {
    fn from(schedule: Schedule) -> Self {
        Self {
            id: schedule.id,
            cron: schedule.cron.line().to_owned(),
            time_zone: schedule.cron.time_zone().to_owned(),
            repo: schedule.repo,
            title: schedule.title,
            body: schedule.body,
            priority: schedule.priority,
            next_at: schedule.next_at,
            last_at: schedule.last_at,
        }
    }
}
