//! Finding what a caller means: a task by its id or the end of it, a repository by id, address or name.

use axum::http::StatusCode;
use optio_core::{
    engine::Optio,
    id::{RepoId, TaskId},
    repo::{Repo, RepoUrl},
    store::{TaskOrder, TaskQuery},
};

use crate::error::ApiError;

/// The fewest characters of an id's end that are looked up.
const SHORTEST_END: usize = 4;
/// How many tasks are read at once while looking for the end of an id.
const PAGE: usize = 500;

/// The task that is meant: its full id, or at least four characters of its end that no other task has.
///
/// # Errors
/// There is none, or more than one.
pub(crate) async fn find_task(optio: &Optio, text: &str) -> Result<TaskId, ApiError> {
    let error = match text.parse::<TaskId>() {
        Ok(id) => return Ok(id),
        Err(error) => error,
    };
    let id_like = text.len() >= SHORTEST_END
        && text.len() <= 26
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !id_like {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad_request",
            format!("{error}, or at least the last {SHORTEST_END} characters of one"),
        ));
    }
    let mut found: Option<TaskId> = None;
    let mut query = TaskQuery {
        order: TaskOrder::Descending,
        limit: Some(PAGE),
        ..TaskQuery::default()
    };
    loop {
        let tasks = optio.store().tasks(&query).await?;
        for task in &tasks {
            if task.id.to_string().ends_with(text) {
                if let Some(other) = found {
                    let message = format!(
                        "{text} is the end of several tasks, {} and {other} among them: give more characters",
                        task.id
                    );
                    return Err(ApiError::new(StatusCode::CONFLICT, "ambiguous", message));
                }
                found = Some(task.id);
            }
        }
        query.after = tasks.last().map(|task| task.id);
        if tasks.len() < PAGE {
            break;
        }
    }
    found.ok_or_else(|| {
        ApiError::not_found(format!(
            "no task's id ends with {text}: `optio task list` shows all"
        ))
    })
}

/// The repository that is meant: its id, its address however it is spelt, or its name if no other has the same.
///
/// # Errors
/// There is none, or more than one of that name.
pub(crate) async fn find_repo(optio: &Optio, text: &str) -> Result<Repo, ApiError> {
    if let Ok(id) = text.parse::<RepoId>() {
        return Ok(optio.store().repo(id).await?);
    }
    if let Ok(url) = text.parse::<RepoUrl>()
        && let Some(repo) = optio.store().repo_by_url(&url).await?
    {
        return Ok(repo);
    }
    let repos = optio.store().repos().await?;
    let mut named = repos.iter().filter(|repo| repo.name() == text);
    match (named.next(), named.next()) {
        (Some(repo), None) => Ok(repo.clone()),
        (Some(one), Some(other)) => {
            let message = format!(
                "{text} is the name of several repositories, {} and {} among them: give the address",
                one.url, other.url
            );
            Err(ApiError::new(StatusCode::CONFLICT, "ambiguous", message))
        }
        _ => {
            let known: Vec<&str> = repos.iter().map(Repo::name).take(10).collect();
            let known = if known.is_empty() {
                String::new()
            } else {
                format!(", or choose one of {}", known.join(", "))
            };
            Err(ApiError::not_found(format!(
                "there is no repository {text:?}: add it with `optio repo add URL`{known}"
            )))
        }
    }
}
