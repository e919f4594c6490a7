//! One value of one column, on its way in or out.

use std::{fmt, sync::Arc};

use sqlx::{
    Arguments as _, Row as _, TypeInfo as _, ValueRef as _,
    error::BoxDynError,
    postgres::{PgArguments, PgRow},
};
use uuid::Uuid;

use optio_core::Timestamp;

/// What a column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Int,
    Text,
    Bytes,
    Id,
    /// A list of ids; in a list of rows it travels as text, because arrays of arrays have to be rectangular.
    Ids,
}

impl Type {
    /// The type of a whole column of given values.
    pub(crate) fn list(self) -> &'static str {
        match self {
            Self::Bool => "boolean[]",
            Self::Int => "bigint[]",
            Self::Text | Self::Ids => "text[]",
            Self::Bytes => "bytea[]",
            Self::Id => "uuid[]",
        }
    }

    /// What turns a given value into one of the column.
    pub(crate) fn cast(self) -> &'static str {
        if self == Self::Ids { "::uuid[]" } else { "" }
    }
}

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    Name(&'static str),
    Bytes(Arc<[u8]>),
    Id(Uuid),
    Ids(Arc<[Uuid]>),
}

impl Cell {
    /// Text of any kind: what Postgres cannot hold is written otherwise, and equal texts stay equal.
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        if text.contains(['\0', '\\']) {
            Self::Text(text.replace('\\', r"\\").replace('\0', r"\0"))
        } else {
            Self::Text(text.to_owned())
        }
    }

    /// Counts beyond what Postgres can hold become the largest it can.
    pub(crate) fn count(count: u64) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(crate) fn limit(limit: usize) -> Self {
        Self::Int(i64::try_from(limit).unwrap_or(i64::MAX))
    }

    /// Whole microseconds, which is what the clock keeps.
    pub(crate) fn time(at: Timestamp) -> Self {
        Self::Int(at.as_microsecond())
    }

    pub(crate) fn maybe<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Null, cell)
    }

    fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Name(name) => Some(name),
            _ => None,
        }
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn as_id(&self) -> Option<Uuid> {
        match self {
            Self::Id(id) => Some(*id),
            _ => None,
        }
    }

    /// A list as Postgres writes it.
    fn as_list(&self) -> Option<String> {
        let Self::Ids(ids) = self else { return None };
        let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        Some(format!("{{{}}}", ids.join(",")))
    }

    /// Fills in one value.
    pub(crate) fn bind(&self, arguments: &mut PgArguments) -> Result<(), sqlx::Error> {
        match self {
            Self::Null => arguments.add(None::<i64>),
            Self::Bool(value) => arguments.add(*value),
            Self::Int(int) => arguments.add(*int),
            Self::Text(text) => arguments.add(&**text),
            Self::Name(name) => arguments.add(*name),
            Self::Bytes(bytes) => arguments.add(&**bytes),
            Self::Id(id) => arguments.add(*id),
            Self::Ids(ids) => arguments.add(ids.to_vec()),
        }
        .map_err(sqlx::Error::Encode)
    }

    /// Fills in a column of many rows; a value that is not of its type is none. One without any value travels as no list
    /// at all, which `unnest` makes up to the length of the others.
    pub(crate) fn bind_column<'a>(
        kind: Type,
        cells: impl Iterator<Item = &'a Self>,
        arguments: &mut PgArguments,
    ) -> Result<(), sqlx::Error> {
        let added: Result<(), BoxDynError> = match kind {
            Type::Bool => arguments.add(values(cells.map(Self::as_bool))),
            Type::Int => arguments.add(values(cells.map(Self::as_int))),
            Type::Text => arguments.add(values(cells.map(Self::as_text))),
            Type::Bytes => arguments.add(values(cells.map(Self::as_bytes))),
            Type::Id => arguments.add(values(cells.map(Self::as_id))),
            Type::Ids => arguments.add(values(cells.map(Self::as_list))),
        };
        added.map_err(sqlx::Error::Encode)
    }

    /// Whether the column holds this value, and if not, what it holds instead.
    pub(crate) fn agrees(&self, row: &PgRow, column: usize) -> Result<(), String> {
        let found = stored(row, column)?;
        let same = match (self, &found) {
            (Self::Name(name), Self::Text(text)) => **name == **text,
            (expected, found) => expected == found,
        };
        if same { Ok(()) } else { Err(found.to_string()) }
    }
}

/// Nothing if none of them is there.
fn values<T>(cells: impl Iterator<Item = Option<T>>) -> Vec<Option<T>> {
    let values: Vec<Option<T>> = cells.collect();
    if values.iter().any(Option::is_some) {
        values
    } else {
        Vec::new()
    }
}

fn stored(row: &PgRow, column: usize) -> Result<Cell, String> {
    let kind = {
        let value = row.try_get_raw(column).map_err(|e| e.to_string())?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        value.type_info().name().to_owned()
    };
    match kind.as_str() {
        "BOOL" => row.try_get(column).map(Cell::Bool),
        "INT8" => row.try_get(column).map(Cell::Int),
        "UUID" => row.try_get(column).map(Cell::Id),
        "UUID[]" => row
            .try_get(column)
            .map(|ids: Vec<Uuid>| Cell::Ids(ids.into())),
        _ => row
            .try_get(column)
            .map(|text: &str| Cell::Text(text.to_owned())),
    }
    .map_err(|e| e.to_string())
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(int) => write!(f, "{int}"),
            Self::Text(text) => write!(f, "{:?}", text.chars().take(80).collect::<String>()),
            Self::Name(name) => f.write_str(name),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Id(id) => write!(f, "{id}"),
            Self::Ids(ids) => f.debug_list().entries(ids.iter()).finish(),
        }
    }
}
