//! The HTTP client of the command line.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use optio_core::secret::Secret;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{config::ClientConfig, error::ErrorBody, tls};

/// How long the server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long it may take to answer; requests that wait for something say how long that is.
const ANSWER: Duration = Duration::from_secs(60);

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    token: Option<Secret>,
}

/// The server could not be reached; it may be later.
#[derive(Debug, thiserror::Error)]
#[error(
    "no server answers at {0}: start one with `optio serve`, or say where it is with --server or OPTIO_SERVER"
)]
pub struct Unreachable(String);

/// The server refused.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// The sentence.
    pub message: String,
}

impl Client {
    /// A client of this server.
    ///
    /// # Errors
    /// The machine's certificates cannot be used.
    pub fn new(config: ClientConfig) -> Result<Self> {
        tls::choose();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .user_agent(concat!("optio/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            http: http.context("no HTTP client can be made")?,
            server: config.server,
            token: config.token,
        })
    }

    /// The server's address.
    #[must_use]
    pub fn server(&self) -> &str {
        self.server.as_str().trim_end_matches('/')
    }

    /// Asks for something.
    ///
    /// # Errors
    /// [`Unreachable`], [`Refusal`], or an answer that makes no sense.
    pub async fn get(&self, path: &Path) -> Result<Value> {
        self.read(self.request(Method::GET, path).timeout(ANSWER))
            .await
    }

    /// Asks for something that the server answers when it has happened, or after `patience`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_waiting(&self, path: &Path, patience: Duration) -> Result<Value> {
        self.read(self.request(Method::GET, path).timeout(ANSWER + patience))
            .await
    }

    /// Has something done.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn post(&self, path: &Path, body: Option<&(impl Serialize + Sync)>) -> Result<Value> {
        let request = self.request(Method::POST, path).timeout(ANSWER);
        self.read(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// Has something changed.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn patch(&self, path: &Path, body: &(impl Serialize + Sync)) -> Result<Value> {
        self.read(self.request(Method::PATCH, path).timeout(ANSWER).json(body))
            .await
    }

    /// Sends a request whose answer is more than JSON.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if !status.is_client_error() && !status.is_server_error() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let message = match serde_json::from_str::<ErrorBody>(&text) {
            Ok(body) => body.error.message,
            Err(_) => format!(
                "{} answered {status}: is that an optio server?",
                self.server()
            ),
        };
        Err(Refusal { status, message }.into())
    }

    /// A request to this server, with our token.
    pub fn request(&self, method: Method, path: &Path) -> RequestBuilder {
        let mut url = self.server.clone();
        url.set_path(&format!(
            "{}{}",
            self.server.path().trim_end_matches('/'),
            path.path
        ));
        if !path.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&path.query);
        }
        let request = self
            .http
            .request(method, url)
            .header(header::ACCEPT, "application/json");
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    async fn read(&self, request: RequestBuilder) -> Result<Value> {
        let response = self.send(request).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let bytes = response
            .bytes()
            .await
            .map_err(|error| self.unreachable(error))?;
        serde_json::from_slice(&bytes).map_err(|_| {
            anyhow!(
                "{} did not answer with JSON: is that an optio server?",
                self.server()
            )
        })
    }

    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        if error.is_timeout() && !error.is_connect() {
            return anyhow!("{} did not answer in time", self.server());
        }
        if error.is_connect() || error.is_request() || error.is_body() || error.is_decode() {
            return Unreachable(self.server().to_owned()).into();
        }
        anyhow::Error::new(error.without_url())
            .context(format!("{} cannot be asked", self.server()))
    }
}

/// A path on the server, put together from parts that are escaped, with a query.
#[derive(Debug, Clone, Default)]
pub struct Path {
    path: String,
    query: Vec<(String, String)>,
}

impl Path {
    /// A path of these parts: `/api/tasks`.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        let mut path = String::new();
        for part in parts {
            path.push('/');
            for byte in part.bytes() {
                if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                    path.push(char::from(byte));
                } else {
                    path.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        Self {
            path,
            query: Vec::new(),
        }
    }

    /// The same with one more word of a query.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<QueryValue>) -> Self {
        self.query.push((name.to_owned(), value.into().0));
        self
    }
}

/// A value of a query, as text.
#[derive(Debug, Clone)]
pub struct QueryValue(String);

impl<T: std::fmt::Display> From<T> for QueryValue {
    fn from(value: T) -> Self {
        Self(value.to_string())
    }
}

/// Reads what the server answered as one of its shapes.
///
/// # Errors
/// It is something else: the server is of another version.
pub fn shape<T: DeserializeOwned>(value: &Value) -> Result<T> {
    T::deserialize(value).context("the server answers in a shape that this program does not know: use the same version of both")
}
