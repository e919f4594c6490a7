//! A server whose backends are in memory: engine, router and clock in this process.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use optio_core::{
    Optio,
    account::AccountName,
    memory::{FakeGit, MemoryAgent, MemoryForge, MemoryRuntime, MemoryWebhooks, TokioClock},
};
use optio_server::{
    app::App,
    doctor::{Containment, Doctor},
    router::router,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// The address of the one repository there is.
pub(crate) const SHOP: &str = "https://memory.test/acme/shop";

/// The account that its agent works with.
pub(crate) fn account() -> AccountName {
    AccountName::unseen("memory", "key")
}

/// A server in this process.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) runtime: MemoryRuntime,
    stop: CancellationToken,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl World {
    /// A server whose engine does not work: what is submitted stays queued.
    pub(crate) fn new() -> Self {
        let git = FakeGit::new();
        git.add_remote(
            &SHOP.parse().unwrap(),
            "main",
            &[("README.md", "# The shop\n")],
        );
        let runtime = MemoryRuntime::new(git.clone());
        let optio = Optio::builder()
            .runtime(runtime.clone())
            .agent(MemoryAgent::new().with_account(account()))
            .forge(MemoryForge::new(git, Arc::new(TokioClock::seeded(8))))
            .webhooks(MemoryWebhooks::new())
            .clock(TokioClock::seeded(7))
            .build()
            .unwrap();
        let doctor = Doctor {
            env: Default::default(),
            data: std::env::temp_dir(),
            agents: Vec::new(),
            containment: Containment::Marker,
            servers: None,
        };
        Self {
            app: App::new(optio, doctor),
            runtime,
            stop: CancellationToken::new(),
        }
    }

    /// The same with a repository, `shop`.
    pub(crate) async fn with_shop() -> Self {
        let world = Self::new();
        let added = world
            .post(
                "/api/repos",
                json!({"url": SHOP, "settings": {"autoMerge": true}}),
            )
            .await;
        assert_eq!(added.status, StatusCode::CREATED, "{}", added.body);
        world
    }

    /// Lets the engine work.
    pub(crate) fn work(&self) {
        let (optio, stop) = (self.app.optio.clone(), self.stop.clone());
        tokio::spawn(async move { optio.run(stop).await });
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(request("POST", path, &body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(request("PATCH", path, &body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Request::delete(path).body(Body::empty()).unwrap())
            .await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = router(self.app.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("no JSON: {bytes:?}"))
        };
        Answer { status, body }
    }

    /// Adds a task and gives its id.
    pub(crate) async fn add(&self, wish: Value) -> String {
        let added = self.post("/api/tasks", wish).await;
        assert_eq!(added.status, StatusCode::CREATED, "{}", added.body);
        added.id()
    }

    /// Serves on a port of this machine, for programs; gives the address.
    pub(crate) async fn listen(&self) -> String {
        let (address, _) = self.listen_at("127.0.0.1:0").await;
        format!("http://{address}")
    }

    /// Serves at this address until the app is stopping; gives the address and what ends with the server.
    pub(crate) async fn listen_at(&self, address: &str) -> (SocketAddr, JoinHandle<()>) {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (app, stopping) = (self.app.clone(), self.app.stopping.clone());
        let serving = tokio::spawn(async move {
            let server = axum::serve(listener, router(app));
            server
                .with_graceful_shutdown(stopping.cancelled_owned())
                .await
                .unwrap();
        });
        (address, serving)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Answer {
    pub(crate) fn id(&self) -> String {
        self.body["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no id: {}", self.body))
            .to_owned()
    }

    /// Status and sentence of a refusal.
    pub(crate) fn refusal(&self) -> String {
        let error = &self.body["error"];
        format!(
            "{} {}: {}",
            self.status.as_u16(),
            error["code"].as_str().unwrap_or("-"),
            error["message"].as_str().unwrap_or("-")
        )
    }
}

pub(crate) fn request(method: &str, path: &str, body: &Value) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}
