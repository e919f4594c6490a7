//! The REST interface: one file per group of routes, each with its own JSON shapes.
//!
//! Shapes are ours and not the core's, so that a change there changes no answer here, and nothing slips out that should
//! not (the secret of a webhook, say). Field names are in camelCase, names of states in snake_case.

pub mod accounts;
pub mod doctor;
pub mod health;
pub mod log;
pub mod queue;
pub mod repos;
pub mod runs;
pub mod schedules;
pub mod settings;
pub mod task;
pub mod tasks;
pub mod webhooks;

mod lookup;

use axum::extract::{FromRequest, FromRequestParts};

pub(crate) use self::lookup::{find_repo, find_task};
use crate::error::ApiError;

/// A JSON body; one that cannot be read is refused in our own shape.
#[derive(Debug, FromRequest)]
#[from_request(via(axum::Json), rejection(ApiError))]
pub(crate) struct Body<T>(pub(crate) T);

/// The query of an address; one that cannot be read is refused in our own shape.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub(crate) struct Query<T>(pub(crate) T);

/// The variable part of a path; one that cannot be read is refused in our own shape.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub(crate) struct Path<T>(pub(crate) T);
