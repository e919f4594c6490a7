//! What Postgres's failures mean to callers.

use optio_core::{Error, ErrorKind};

use crate::BACKEND;

/// The error of something that the database could not do.
pub(crate) fn failed(what: &str, error: &sqlx::Error) -> Error {
    let (kind, reason) = meaning(error);
    Error::new(
        kind,
        BACKEND,
        format!("cannot {what} the database: {reason} ({})", detail(error)),
    )
}

/// The error of a read.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(crate) fn unreadable(error: sqlx::Error) -> Error {
    failed("read", &error)
}

/// The error of a write.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(crate) fn unwritable(error: sqlx::Error) -> Error {
    failed("write", &error)
}

/// The error of everything after the store was closed.
pub(crate) fn closed() -> Error {
    Error::unavailable(BACKEND, "the store is closed")
}

/// The error in Postgres's own words.
pub(crate) fn detail(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => match error.code() {
            Some(code) => format!("{}, code {code}", error.message()),
            None => error.message().to_owned(),
        },
        other => other.to_string(),
    }
}

/// Whether the same work may well succeed if it is done once more: nothing of it was stored.
pub(crate) fn is_passing(error: &sqlx::Error) -> bool {
    match code(error).as_deref() {
        Some(code) => matches!(code, "40001" | "40P01"),
        None => false,
    }
}

/// Whether the connection is gone, or about to be, or leads to a server that takes no writes any more.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => code(error).is_some_and(|code| {
            code.starts_with("08")
                || matches!(
                    code.as_str(),
                    "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25006"
                )
        }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Whether the server's certificate is not trusted: that breaks the connection.
pub(crate) fn is_distrusted(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData)
}

/// Whether another record stands in the way.
pub(crate) fn is_taken(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("23505")
}

fn code(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    Some(code.into_owned())
}

/// What an error means to a caller, and how people would say it.
pub(crate) fn meaning(error: &sqlx::Error) -> (ErrorKind, &'static str) {
    match error {
        sqlx::Error::Database(_) => of_code(code(error).as_deref().unwrap_or_default()),
        sqlx::Error::PoolTimedOut => (
            ErrorKind::Unavailable,
            "no connection became free, or none could be made, in time",
        ),
        sqlx::Error::PoolClosed => (ErrorKind::Unavailable, "the store is closed"),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
            (ErrorKind::Corrupt, "it is not as it should be")
        }
        sqlx::Error::Encode(_) => (ErrorKind::Invalid, "the record cannot be written"),
        sqlx::Error::Configuration(_) => {
            (ErrorKind::Invalid, "its address or its options are wrong")
        }
        sqlx::Error::Tls(_) => (
            ErrorKind::Unavailable,
            "no encrypted connection can be made",
        ),
        error if is_distrusted(error) => (ErrorKind::Unavailable, "its certificate is not trusted"),
        _ => (ErrorKind::Unavailable, "the connection to it is lost"),
    }
}

fn of_code(code: &str) -> (ErrorKind, &'static str) {
    // the first two characters are the class, the rest says more about it
    match (code.get(..2).unwrap_or_default(), code) {
        (_, "57014") => (ErrorKind::Unavailable, "it took longer than is allowed"),
        (_, "55P03") => (
            ErrorKind::Unavailable,
            "somebody held a lock for longer than is allowed",
        ),
        (_, "23505") => (ErrorKind::Conflict, "another record stands in the way"),
        (_, "25006") => (ErrorKind::Unavailable, "it takes no writes at present"),
        (_, "42501") => (ErrorKind::Denied, "this user may not do that"),
        (_, "3D000") => (ErrorKind::NotFound, "there is no such database"),
        (_, "42P01" | "42703") => (
            ErrorKind::Unsupported,
            "its schema is not the present one: run `optio migrate`",
        ),
        ("28", _) => (ErrorKind::Denied, "it does not let this user in"),
        ("40", _) => (
            ErrorKind::Unavailable,
            "others kept changing the same records",
        ),
        ("53", _) => (
            ErrorKind::Unavailable,
            "the server has too little of something left",
        ),
        ("08" | "57", _) => (ErrorKind::Unavailable, "the connection to it is lost"),
        ("22", _) => (ErrorKind::Invalid, "the record cannot be written"),
        ("54", _) => (ErrorKind::Invalid, "the record is too large"),
        _ => (ErrorKind::Corrupt, "it is not as it should be"),
    }
}
