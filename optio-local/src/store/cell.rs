//! One value of one column, on its way in or out.

use std::{fmt, sync::Arc};

use sqlx::{
    Arguments as _, Row as _, TypeInfo as _, ValueRef as _,
    sqlite::{SqliteArguments, SqliteRow},
};
use uuid::Uuid;

use optio_core::Timestamp;

/// A value of a column. Cloning is cheap.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Text(Arc<str>),
    Name(&'static str),
    Id(Uuid),
}

impl Cell {
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Arc::from(text.as_ref()))
    }

    /// Counts beyond what SQLite can hold become the largest it can.
    pub(super) fn count(count: u64) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(super) fn limit(limit: usize) -> Self {
        Self::Int(i64::try_from(limit).unwrap_or(i64::MAX))
    }

    /// Whole microseconds, which is what the clock keeps.
    pub(super) fn time(at: Timestamp) -> Self {
        Self::Int(at.as_microsecond())
    }

    pub(super) fn maybe<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Null, cell)
    }

    pub(super) fn bind(&self, arguments: &mut SqliteArguments) -> Result<(), sqlx::Error> {
        match self {
            Self::Null => arguments.add(None::<i64>),
            Self::Int(int) => arguments.add(*int),
            Self::Text(text) => arguments.add(Arc::clone(text)),
            Self::Name(name) => arguments.add(*name),
            Self::Id(id) => arguments.add(id.as_bytes().to_vec()),
        }
        .map_err(sqlx::Error::Encode)
    }

    /// Whether the column holds this value, and if not, what it holds instead.
    pub(super) fn agrees(&self, row: &SqliteRow, column: usize) -> Result<(), String> {
        let found = stored(row, column)?;
        let same = match (self, &found) {
            (Self::Name(name), Self::Text(text)) => **name == **text,
            (expected, found) => expected == found,
        };
        if same { Ok(()) } else { Err(found.to_string()) }
    }
}

fn stored(row: &SqliteRow, column: usize) -> Result<Cell, String> {
    let kind = {
        let value = row.try_get_raw(column).map_err(|e| e.to_string())?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        value.type_info().name().to_owned()
    };
    match kind.as_str() {
        "INTEGER" => row.try_get(column).map(Cell::Int),
        "TEXT" => row.try_get(column).map(|text: &str| Cell::text(text)),
        _ => row.try_get(column).map(|bytes: &[u8]| {
            Uuid::from_slice(bytes).map_or_else(|_| Cell::Name("bytes that are no id"), Cell::Id)
        }),
    }
    .map_err(|e| e.to_string())
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Int(int) => write!(f, "{int}"),
            Self::Text(text) => write!(f, "{:?}", text.chars().take(80).collect::<String>()),
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}
