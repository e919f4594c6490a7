//! `/api/repos`: the repositories that Optio works on, and their settings.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use optio_core::{
    Error, Timestamp,
    id::RepoId,
    repo::{Repo, RepoSettings, RepoUrl},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Body, Path, find_repo, settings};
use crate::{app::App, error::ApiError};

/// A repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepoView {
    /// Its id.
    pub id: RepoId,
    /// What people call it.
    pub name: String,
    /// Its address.
    pub url: String,
    /// The branch that pull requests are merged into.
    pub default_branch: String,
    /// How many of its tasks may be at work at once: what its settings come to.
    pub capacity: u32,
    /// How it is treated. The names are those of the documentation.
    pub settings: RepoSettings,
    /// When it was added.
    pub created_at: Timestamp,
}

/// All repositories.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RepoList {
    /// Them.
    pub repos: Vec<RepoView>,
}

/// A repository to be added.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepoRequest {
    /// Its address.
    pub url: String,
    /// Settings that differ from the defaults.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

/// A change to a repository.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepoPatchRequest {
    /// The branch that pull requests are merged into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// Settings, as a merge patch: null brings back a default.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

pub(crate) async fn list(State(app): State<App>) -> Result<Json<RepoList>, ApiError> {
    let repos = app.optio.store().repos().await?;
    Ok(Json(RepoList {
        repos: repos.iter().map(RepoView::from).collect(),
    }))
}

pub(crate) async fn show(
    State(app): State<App>,
    Path(repo): Path<String>,
) -> Result<Json<RepoView>, ApiError> {
    Ok(Json(RepoView::from(&find_repo(&app.optio, &repo).await?)))
}

pub(crate) async fn create(
    State(app): State<App>,
    Body(wish): Body<RepoRequest>,
) -> Result<Response, ApiError> {
    let url: RepoUrl = wish
        .url
        .parse()
        .map_err(|error| ApiError::invalid(format!("{error}")))?;
    let settings =
        settings::merge(&RepoSettings::default(), &wish.settings).map_err(ApiError::invalid)?;
    let repo = app.optio.add_repo(url, settings).await?;
    Ok((StatusCode::CREATED, Json(RepoView::from(&repo))).into_response())
}

pub(crate) async fn change(
    State(app): State<App>,
    Path(repo): Path<String>,
    Body(wish): Body<RepoPatchRequest>,
) -> Result<Json<RepoView>, ApiError> {
    if wish
        .default_branch
        .as_ref()
        .is_some_and(|branch| branch.trim().is_empty() || branch.starts_with('-'))
    {
        return Err(ApiError::invalid(
            "defaultBranch is not the name of a branch",
        ));
    }
    let repo = find_repo(&app.optio, &repo).await?;
    let changed = app.optio.update_repo(repo.id, |draft| {
        if !wish.settings.is_empty() {
            draft.settings = settings::merge(&draft.settings, &wish.settings)
                .map_err(|reason| Error::invalid("optio", reason))?;
        }
        if let Some(branch) = &wish.default_branch {
            draft.default_branch = branch.clone();
        }
        Ok(())
    });
    Ok(Json(RepoView::from(&changed.await?)))
}

impl From<&Repo> for RepoView {
    fn from(repo: &Repo) -> Self {
        Self {
            id: repo.id,
            name: repo.name().to_owned(),
            url: repo.url.to_string(),
            default_branch: repo.default_branch.clone(),
            capacity: repo.settings.capacity(),
            settings: repo.settings.clone(),
            created_at: repo.created_at,
        }
    }
}
