//! `/api/tasks`: taking tasks in, and everything that is done to one or many of them.

use std::collections::HashMap;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use optio_core::{
    engine::{NewTask, Optio},
    event_bus::Hint,
    id::{RepoId, TaskId},
    scheduling::WaitReason,
    store::{TaskOrder, TaskQuery},
    task::{StateName, Task},
};
use serde::{Deserialize, Serialize};

use super::{
    Body, Path, Query, find_repo, find_task,
    task::{RepoLink, TaskView},
};
use crate::{app::App, error::ApiError};

/// The most tasks of a page.
const MOST: usize = 500;
/// The longest a caller may wait with one request.
const LONGEST_WAIT: u64 = 60;
/// A task is looked at this often though nobody hints at a change.
const SWEEP: std::time::Duration = std::time::Duration::from_secs(2);

/// A wish for a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskRequest {
    /// The repository: id, address or name.
    pub repo: String,
    /// One line.
    pub title: String,
    /// The whole wish, in Markdown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Lower runs first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// The agent; the repository's if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The model; the repository's if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tasks that must be completed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
}

/// Which tasks are listed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// States, separated by commas.
    state: Option<String>,
    /// A repository: id, address or name.
    repo: Option<String>,
    /// How many at most.
    limit: Option<usize>,
    /// Go on behind this one.
    after: Option<String>,
}

/// A page of tasks, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskView>,
    /// What to give as `after` for the next page; none if this is the last.
    pub next: Option<TaskId>,
}

/// What a task waits for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyView {
    /// The task.
    pub id: TaskId,
    /// Its state.
    pub state: StateName,
    /// What it waits for, in a sentence.
    pub explanation: String,
    /// Its place in the queue, from 1.
    pub position: Option<usize>,
    /// What the queue says.
    pub wait: Option<WaitReason>,
}

/// A new priority.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriorityRequest {
    /// Lower runs first.
    pub priority: i32,
}

/// Something to tell a task's agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MessageRequest {
    /// What.
    pub text: String,
}

/// New priorities of several tasks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReorderRequest {
    /// The tasks and their priorities.
    pub tasks: Vec<ReorderItem>,
}

/// A task and its new priority.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReorderItem {
    /// The task.
    pub id: String,
    /// Lower runs first.
    pub priority: i32,
}

/// More dependencies.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DependencyRequest {
    /// Tasks that must be completed first.
    pub depends_on: Vec<String>,
}

/// Which tasks a bulk action is for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkQuery {
    /// A repository; all if none.
    repo: Option<String>,
}

/// What a bulk action did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BulkView {
    /// The tasks it was done to.
    pub tasks: Vec<TaskId>,
}

/// How long to wait.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitQuery {
    /// Seconds, up to 60.
    seconds: Option<u64>,
}

pub(crate) async fn create(
    State(app): State<App>,
    Body(wish): Body<TaskRequest>,
) -> Result<Response, ApiError> {
    // what the body names wrongly is a mistake in the body, not a missing page
    let in_body = |error: ApiError| {
        if error.status == StatusCode::NOT_FOUND {
            ApiError::invalid(error.message)
        } else {
            error
        }
    };
    let repo = find_repo(&app.optio, &wish.repo).await.map_err(in_body)?;
    let mut new = NewTask::new(repo.id, wish.title).with_body(wish.body);
    new.agent = wish.agent;
    new.model = wish.model;
    if let Some(priority) = wish.priority {
        new.priority = priority;
    }
    for dependency in &wish.depends_on {
        new = new.after(find_task(&app.optio, dependency).await.map_err(in_body)?);
    }
    let task = app
        .optio
        .submit(new)
        .await
        .map_err(|error| in_body(error.into()))?;
    Ok((
        StatusCode::CREATED,
        Json(TaskView::new(&task, RepoLink::from(&repo))),
    )
        .into_response())
}

pub(crate) async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<TaskPage>, ApiError> {
    let mut states = Vec::new();
    for name in query
        .state
        .iter()
        .flat_map(|states| states.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        states.push(name.parse().map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, "bad_request", format!("{error}"))
        })?);
    }
    let repo = match &query.repo {
        Some(repo) => Some(find_repo(&app.optio, repo).await?.id),
        None => None,
    };
    let after = match &query.after {
        Some(after) => Some(find_task(&app.optio, after).await?),
        None => None,
    };
    let limit = query.limit.unwrap_or(50);
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad_request",
            format!("limit is {limit}: expected 1 to {MOST}"),
        ));
    }
    // one more than wanted tells whether there is another page
    let wanted = TaskQuery {
        states,
        repo,
        after,
        order: TaskOrder::Descending,
        limit: Some(limit + 1),
        ..TaskQuery::default()
    };
    let mut tasks = app.optio.store().tasks(&wanted).await?;
    let more = tasks.len() > limit;
    tasks.truncate(limit);
    let next = if more {
        tasks.last().map(|task| task.id)
    } else {
        None
    };
    let links = links(&app.optio).await?;
    let tasks = tasks
        .iter()
        .filter_map(|task| Some(TaskView::new(task, links.get(&task.repo)?.clone())))
        .collect();
    Ok(Json(TaskPage { tasks, next }))
}

pub(crate) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<TaskView>, ApiError> {
    let id = find_task(&app.optio, &id).await?;
    let task = app.optio.store().task(id).await?;
    view(&app.optio, &task).await
}

/// The task, as soon as it has ended or needs a person; as it is, when the time is over or the server stops.
pub(crate) async fn wait(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<TaskView>, ApiError> {
    let id = find_task(&app.optio, &id).await?;
    let seconds = query.seconds.unwrap_or(30).min(LONGEST_WAIT);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(seconds);
    // first listen, then look: what happens in between is not missed
    let mut hints = app.optio.ports().bus.subscribe().await?;
    loop {
        let task = app.optio.store().task(id).await?;
        let Json(view) = view(&app.optio, &task).await?;
        if view.is_settled()
            || tokio::time::Instant::now() >= deadline
            || app.stopping.is_cancelled()
        {
            return Ok(Json(view));
        }
        let mine = async {
            loop {
                match hints.next().await {
                    Ok(Hint::Task { task }) if task == id => return,
                    Ok(Hint::Missed) => return,
                    Ok(_) => {}
                    Err(_) => return std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = mine => {}
            () = tokio::time::sleep_until(deadline.min(tokio::time::Instant::now() + SWEEP)) => {}
            () = app.stopping.cancelled() => {}
        }
    }
}

pub(crate) async fn retry(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<TaskView>, ApiError> {
    let id = find_task(&app.optio, &id).await?;
    view(&app.optio, &app.optio.retry(id).await?).await
}

pub(crate) async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<TaskView>, ApiError> {
    let id = find_task(&app.optio, &id).await?;
    view(&app.optio, &app.optio.cancel(id).await?).await
}

/// Starts the review agent. Answers with the review, which is a task of its own.
pub(crate) async fn review(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = find_task(&app.optio, &id).await?;
    let review = app.optio.start_review(id).await?;
    Ok((StatusCode::CREATED, view(&app.optio, &review).await?).into_response())
}

pub(crate) async fn why(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<WhyView>, ApiError> {
    let id = find_task(&app.optio, &id).await?;
    let why = app.optio.why(id).await?;
    Ok(Json(WhyView {
        id,
        state: why.state,
        explanation: why.explanation,
        position: why.position,
        wait: why.reason,
    }))
}

pub(crate) async fn priority(
    State(app): State<App>,
    Path(id): Path<String>,
    Body(wish): Body<PriorityRequest>,
) -> Result<Json<TaskView>, ApiError> {
    let id = find_task(&app.optio, &id).await?;
    view(
        &app.optio,
        &app.optio.reprioritise(id, wish.priority).await?,
    )
    .await
}

/// Tells the agent of a task something.
pub(crate) async fn message(
    State(app): State<App>,
    Path(id): Path<String>,
    Body(wish): Body<MessageRequest>,
) -> Result<Json<TaskView>, ApiError> {
    let id = find_task(&app.optio, &id).await?;
    view(&app.optio, &app.optio.message(id, &wish.text).await?).await
}

/// Gives several tasks new priorities. All of them are looked up before the first is changed.
pub(crate) async fn reorder(
    State(app): State<App>,
    Body(wish): Body<ReorderRequest>,
) -> Result<Json<BulkView>, ApiError> {
    let mut wanted = Vec::with_capacity(wish.tasks.len());
    for item in &wish.tasks {
        let id = find_task(&app.optio, &item.id).await?;
        app.optio.store().task(id).await?;
        wanted.push((id, item.priority));
    }
    for (id, priority) in &wanted {
        app.optio.reprioritise(*id, *priority).await?;
    }
    Ok(Json(BulkView {
        tasks: wanted.into_iter().map(|(id, _)| id).collect(),
    }))
}

pub(crate) async fn depend(
    State(app): State<App>,
    Path(id): Path<String>,
    Body(wish): Body<DependencyRequest>,
) -> Result<Json<TaskView>, ApiError> {
    let id = find_task(&app.optio, &id).await?;
    let mut more = Vec::with_capacity(wish.depends_on.len());
    for dependency in &wish.depends_on {
        more.push(find_task(&app.optio, dependency).await?);
    }
    view(&app.optio, &app.optio.add_dependencies(id, &more).await?).await
}

pub(crate) async fn retry_failed(
    State(app): State<App>,
    Query(query): Query<BulkQuery>,
) -> Result<Json<BulkView>, ApiError> {
    let repo = bulk_repo(&app, &query).await?;
    Ok(Json(BulkView {
        tasks: app.optio.retry_failed(repo).await?,
    }))
}

pub(crate) async fn cancel_active(
    State(app): State<App>,
    Query(query): Query<BulkQuery>,
) -> Result<Json<BulkView>, ApiError> {
    let repo = bulk_repo(&app, &query).await?;
    Ok(Json(BulkView {
        tasks: app.optio.cancel_active(repo).await?,
    }))
}

async fn bulk_repo(app: &App, query: &BulkQuery) -> Result<Option<RepoId>, ApiError> {
    match &query.repo {
        Some(repo) => Ok(Some(find_repo(&app.optio, repo).await?.id)),
        None => Ok(None),
    }
}

async fn view(optio: &Optio, task: &Task) -> Result<Json<TaskView>, ApiError> {
    let repo = optio.store().repo(task.repo).await?;
    Ok(Json(TaskView::new(task, RepoLink::from(&repo))))
}

/// The repositories, by id.
pub(crate) async fn links(optio: &Optio) -> Result<HashMap<RepoId, RepoLink>, ApiError> {
    Ok(optio
        .store()
        .repos()
        .await?
        .iter()
        .map(|repo| (repo.id, RepoLink::from(repo)))
        .collect())
}
