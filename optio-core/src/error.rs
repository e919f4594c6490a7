//! The one error that every port returns: what kind, and whether asking again can help.

use std::{error::Error as StdError, fmt};

/// The result of a port's method.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// An error from a backend. Callers match on [`kind`](Self::kind); the engine retries by [`retry`](Self::retry).
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    retry: Retry,
    backend: &'static str,
    message: String,
    source: Option<Source>,
}

/// What went wrong, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The thing that was asked for does not exist.
    NotFound,
    /// It has changed since it was read, or a lease is lost: read again and decide anew.
    Conflict,
    /// The caller may not do this: credentials are missing, expired or too weak.
    Denied,
    /// This backend cannot do it at all.
    Unsupported,
    /// The request itself is wrong and will stay so.
    Invalid,
    /// Stored data cannot be read as what it should be.
    Corrupt,
    /// A command or request ran longer than it was given.
    TimedOut,
    /// The backend is out of reach, overloaded or out of space for now.
    Unavailable,
}

/// Whether the same call may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It will fail the same way until somebody changes something.
    Never,
    /// A later try may succeed.
    Later,
}

impl Error {
    /// An error of `kind` from the backend called `backend`. Kinds that pass by themselves start as [`Retry::Later`].
    pub fn new(kind: ErrorKind, backend: &'static str, message: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::Conflict | ErrorKind::TimedOut | ErrorKind::Unavailable => Retry::Later,
            _ => Retry::Never,
        };
        Self {
            kind,
            retry,
            backend,
            message: message.into(),
            source: None,
        }
    }

    /// [`ErrorKind::NotFound`], saying what.
    pub fn not_found(backend: &'static str, what: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::NotFound,
            backend,
            format!("{what} does not exist"),
        )
    }

    /// [`ErrorKind::Conflict`].
    pub fn conflict(backend: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, backend, message)
    }

    /// [`ErrorKind::Invalid`].
    pub fn invalid(backend: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, backend, message)
    }

    /// [`ErrorKind::Corrupt`].
    pub fn corrupt(backend: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, backend, message)
    }

    /// [`ErrorKind::Unavailable`].
    pub fn unavailable(backend: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, backend, message)
    }

    /// [`ErrorKind::TimedOut`].
    pub fn timed_out(backend: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::TimedOut, backend, message)
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with another word on retrying.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// Which backend said so.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    /// The sentence without the backend's name.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.backend, self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
