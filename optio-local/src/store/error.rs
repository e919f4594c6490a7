//! What SQLite's failures mean to callers.

use optio_core::{Error, ErrorKind};

use super::BACKEND;

/// The error of something that the database could not do.
pub(super) fn failed(what: &str, error: &sqlx::Error) -> Error {
    let (kind, reason) = meaning(error);
    Error::new(
        kind,
        BACKEND,
        format!("cannot {what} the database: {reason} ({})", detail(error)),
    )
}

/// The error of a read.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(super) fn unreadable(error: sqlx::Error) -> Error {
    failed("read", &error)
}

/// The error of everything after the store was closed.
pub(super) fn closed() -> Error {
    Error::unavailable(BACKEND, "the store is closed")
}

/// The error in SQLite's own words.
pub(super) fn detail(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => match error.code() {
            Some(code) => format!("{}, code {code}", error.message()),
            None => error.message().to_owned(),
        },
        other => other.to_string(),
    }
}

/// What an error means to a caller, and how people would say it.
pub(super) fn meaning(error: &sqlx::Error) -> (ErrorKind, &'static str) {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| code.parse::<u32>().ok());
            // the low byte is the class, the rest says more about it
            match code.map(|code| code & 0xff) {
                Some(5 | 6) => (ErrorKind::Unavailable, "another program holds it"),
                Some(7) => (ErrorKind::Unavailable, "there is too little memory"),
                Some(10) => (ErrorKind::Unavailable, "the disk failed"),
                Some(13) => (ErrorKind::Unavailable, "the disk is full"),
                Some(14) => (ErrorKind::Unavailable, "it cannot be opened"),
                Some(3 | 8 | 23) => (ErrorKind::Denied, "it may not be written"),
                Some(11 | 26) => (ErrorKind::Corrupt, "it is damaged or no database"),
                Some(18) => (ErrorKind::Invalid, "the record is too large"),
                Some(19) => (ErrorKind::Conflict, "another record stands in the way"),
                _ => (ErrorKind::Corrupt, "it is not as it should be"),
            }
        }
        sqlx::Error::PoolTimedOut => (ErrorKind::Unavailable, "too many are at work on it"),
        sqlx::Error::PoolClosed => (ErrorKind::Unavailable, "the store is closed"),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
            (ErrorKind::Corrupt, "it is not as it should be")
        }
        _ => (ErrorKind::Unavailable, "the connection to it is lost"),
    }
}
