//! All routes, and who may use them. Nothing is open to everybody but the two health checks.

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use optio_core::secret::Secret;
use sha2::{Digest, Sha256};
use tower_http::{catch_panic::CatchPanicLayer, trace::TraceLayer};

use crate::{
    api::{accounts, doctor, health, log, queue, repos, runs, schedules, tasks, webhooks},
    app::App,
    error::ApiError,
    live,
};

/// The longest body that is read, in bytes.
const BODY_LIMIT: usize = 2 << 20;

/// The whole server as one service.
pub fn router(app: App) -> Router {
    let open = Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready));
    let guarded = Router::new()
        .route("/api/tasks", get(tasks::list).post(tasks::create))
        .route("/api/tasks/reorder", post(tasks::reorder))
        .route("/api/tasks/bulk/retry-failed", post(tasks::retry_failed))
        .route("/api/tasks/bulk/cancel-active", post(tasks::cancel_active))
        .route("/api/tasks/{id}", get(tasks::show))
        .route("/api/tasks/{id}/wait", get(tasks::wait))
        .route("/api/tasks/{id}/retry", post(tasks::retry))
        .route("/api/tasks/{id}/cancel", post(tasks::cancel))
        .route("/api/tasks/{id}/review", post(tasks::review))
        .route("/api/tasks/{id}/priority", post(tasks::priority))
        .route("/api/tasks/{id}/message", post(tasks::message))
        .route("/api/tasks/{id}/dependencies", post(tasks::depend))
        .route("/api/tasks/{id}/why", get(tasks::why))
        .route("/api/tasks/{id}/history", get(runs::history))
        .route("/api/tasks/{id}/runs", get(runs::list))
        .route("/api/tasks/{id}/logs", get(log::page))
        .route("/api/repos", get(repos::list).post(repos::create))
        .route("/api/repos/{repo}", get(repos::show).patch(repos::change))
        .route(
            "/api/schedules",
            get(schedules::list).post(schedules::create),
        )
        .route("/api/schedules/{id}", delete(schedules::remove))
        .route("/api/webhooks", get(webhooks::list).post(webhooks::create))
        .route("/api/webhooks/{id}", delete(webhooks::remove))
        .route("/api/accounts", get(accounts::list))
        .route("/api/accounts/{name}/resume", post(accounts::resume))
        .route("/api/queue", get(queue::show))
        .route("/api/doctor", get(doctor::show))
        .route("/ws/logs/{id}", get(live::logs::follow))
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(app.clone(), guard));
    open.merge(guarded)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(TraceLayer::new_for_http())
        .with_state(app)
}

async fn unknown(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{method} does not work on {}", uri.path()),
    )
}

fn panicked(_panic: Box<dyn std::any::Any + Send>) -> Response {
    // the panic hook has told the log what and where
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the server made a mistake: its log says more",
    )
    .into_response()
}

/// Lets in whoever may.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if let Err(error) = admit(&app, request.headers(), request.uri()) {
        return error.into_response();
    }
    next.run(request).await
}

/// Whether a request may go on.
///
/// A page of some other site, open in the browser of a person who runs Optio on this machine, must not be able to use
/// it: a browser says in `Origin` which page asks, and in `Host` which name it looked up to get here.
fn admit(app: &App, headers: &HeaderMap, uri: &Uri) -> Result<(), ApiError> {
    let denied = |message: &str| ApiError::new(StatusCode::FORBIDDEN, "denied", message);
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| uri.authority().map(|authority| authority.as_str()));
    if let Some(origin) = headers.get(header::ORIGIN) {
        let from = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"))
            .map(|(_, from)| from);
        if from.is_none() || from != host {
            return Err(denied("requests from pages of other sites are refused"));
        }
    }
    match &app.token {
        Some(token) => {
            let shown = headers
                .get(header::AUTHORIZATION)
                .and_then(|value| value.to_str().ok());
            let shown = shown
                .and_then(|value| value.split_once(' '))
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            if !shown.is_some_and(|(_, shown)| is_same(token, shown.trim())) {
                let message = "this server asks for a token: set OPTIO_TOKEN, or send `Authorization: Bearer TOKEN`";
                return Err(ApiError::new(
                    StatusCode::UNAUTHORIZED,
                    "unauthorized",
                    message,
                ));
            }
        }
        None if host.is_some_and(|host| !is_this_machine(host)) => {
            return Err(denied(
                "without a token this server answers to an IP address and to localhost alone: set OPTIO_TOKEN to use other names",
            ));
        }
        None => {}
    }
    Ok(())
}

/// Whether a host is an address or `localhost`: names that nobody else can point somewhere.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name.ends_with(".localhost")
        || address.parse::<std::net::IpAddr>().is_ok()
}

/// Compares in a time that does not depend on where the two differ: digests are compared, and all of them.
fn is_same(token: &Secret, shown: &str) -> bool {
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    let pairs = digest(token.expose()).into_iter().zip(digest(shown));
    pairs.fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}
