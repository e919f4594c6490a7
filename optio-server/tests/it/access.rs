//! Who may do what: nothing is open but the health checks, and no other site's page gets through.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use optio_core::secret::Secret;

use crate::world::World;

/// Every route, with a method that it has.
const ROUTES: [(&str, &str); 32] = [
    ("GET", "/api/tasks"),
    ("POST", "/api/tasks"),
    ("POST", "/api/tasks/reorder"),
    ("POST", "/api/tasks/bulk/retry-failed"),
    ("POST", "/api/tasks/bulk/cancel-active"),
    ("GET", "/api/tasks/x"),
    ("GET", "/api/tasks/x/wait"),
    ("POST", "/api/tasks/x/retry"),
    ("POST", "/api/tasks/x/cancel"),
    ("POST", "/api/tasks/x/review"),
    ("POST", "/api/tasks/x/priority"),
    ("POST", "/api/tasks/x/message"),
    ("POST", "/api/tasks/x/dependencies"),
    ("GET", "/api/tasks/x/why"),
    ("GET", "/api/tasks/x/history"),
    ("GET", "/api/tasks/x/runs"),
    ("GET", "/api/tasks/x/logs"),
    ("GET", "/api/repos"),
    ("POST", "/api/repos"),
    ("GET", "/api/repos/x"),
    ("PATCH", "/api/repos/x"),
    ("GET", "/api/schedules"),
    ("POST", "/api/schedules"),
    ("DELETE", "/api/schedules/x"),
    ("GET", "/api/webhooks"),
    ("POST", "/api/webhooks"),
    ("DELETE", "/api/webhooks/x"),
    ("GET", "/api/accounts"),
    ("POST", "/api/accounts/x/resume"),
    ("GET", "/api/queue"),
    ("GET", "/api/doctor"),
    ("GET", "/ws/logs/x"),
];

fn asking(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn guarded() -> World {
    let mut world = World::new();
    world.app = world
        .app
        .clone()
        .with_token(Some(Secret::new("a-token-of-good-length")));
    world
}

#[tokio::test]
async fn with_a_token_every_route_but_the_health_checks_asks_for_it() {
    let world = guarded();
    for (method, path) in ROUTES.into_iter().chain([("GET", "/nowhere")]) {
        let answer = world.send(asking(method, path, &[])).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        // the route is there: with the token the answer is another one
        let answer = world
            .send(asking(
                method,
                path,
                &[("authorization", "Bearer a-token-of-good-length")],
            ))
            .await;
        assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_ne!(
            answer.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(world.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_no_token() {
    let world = guarded();
    for shown in [
        "Bearer a-token-of-good-lengtH",
        "Bearer a-token",
        "Bearer ",
        "Basic a-token-of-good-length",
        "a-token-of-good-length",
    ] {
        let answer = world
            .send(asking("GET", "/api/tasks", &[("authorization", shown)]))
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{shown}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_and_names_that_others_control_are_refused() {
    let world = World::new();
    let rows: [(&[(&str, &str)], u16); 8] = [
        (&[("host", "127.0.0.1:8420")], 200),
        (&[("host", "[::1]:8420")], 200),
        (&[("host", "localhost:8420")], 200),
        (&[("host", "optio.localhost")], 200),
        (&[("host", "rebound.example:8420")], 403),
        (
            &[
                ("host", "localhost:8420"),
                ("origin", "http://localhost:8420"),
            ],
            200,
        ),
        (
            &[
                ("host", "localhost:8420"),
                ("origin", "http://evil.example"),
            ],
            403,
        ),
        (&[("host", "localhost:8420"), ("origin", "null")], 403),
    ];
    for (headers, expected) in rows {
        let answer = world.send(asking("GET", "/api/tasks", headers)).await;
        assert_eq!(answer.status.as_u16(), expected, "{headers:?}");
    }
}
