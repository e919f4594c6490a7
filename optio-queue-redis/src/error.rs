//! Errors of the client as errors of the ports.

use optio_core::error::{Error, ErrorKind};
use redis::{ErrorKind as Client, RedisError, ServerErrorKind as Server};

pub(crate) const BACKEND: &str = "redis";

/// The same error, sorted by what a caller can do about it. What is not known passes by itself: an outage must not fail
/// anything for good.
pub(crate) fn from_redis(error: RedisError) -> Error {
    let kind = match error.kind() {
        Client::AuthenticationFailed | Client::Server(Server::NoPerm) => ErrorKind::Denied,
        Client::Extension if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => {
            ErrorKind::Denied
        }
        Client::InvalidClientConfig => ErrorKind::Invalid,
        Client::Server(Server::Moved | Server::Ask | Server::CrossSlot) => ErrorKind::Unsupported,
        Client::Parse | Client::UnexpectedReturnType => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    let message = match kind {
        ErrorKind::Unsupported => format!(
            "the keys lie on another node of the cluster, and redirections are not followed: {error}"
        ),
        _ => error.to_string(),
    };
    Error::new(kind, BACKEND, message).caused_by(error)
}

/// A stored value or an answer that is not what it should be.
pub(crate) fn corrupt(what: &str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::corrupt(BACKEND, format!("{what} cannot be read: {source}")).caused_by(source)
}
