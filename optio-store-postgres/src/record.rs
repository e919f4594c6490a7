//! Records as rows: the columns that queries search by, and beside them the whole record as JSON. What is read back is
//! taken for the record only if both agree.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use optio_core::{
    Error, ErrorKind, Result,
    account::Pause,
    id::{OutboxId, RepoId, RunId, ScheduleId, TaskId, WebhookId, WorkspaceId},
    repo::Repo,
    run::Run,
    schedule::Schedule,
    store::OutboxEntry,
    task::Task,
    webhook::Webhook,
    workspace::Workspace,
};

use crate::{
    BACKEND,
    cell::{Cell, Type},
};

/// More than any run costs. Amounts up to here survive the body's decimal exactly, and thousands of them a sum.
const MOST_MICROS: u64 = 1_000_000_000_000_000;

/// Most records are no longer than this as JSON, in bytes.
const USUAL: usize = 1024;

/// A record with a table of its own, keyed by its id.
pub(crate) trait Record: Serialize + DeserializeOwned {
    const TABLE: &'static str;
    /// All columns but the body; the id first and, where there is one, the version second.
    const COLUMNS: &'static [(&'static str, Type)];

    /// The values of [`COLUMNS`](Self::COLUMNS).
    fn columns(&self) -> Vec<Cell>;

    /// An id as people write it.
    fn id_text(id: Uuid) -> String;
}

/// `SELECT` of the columns and the body, up to and including the table's name.
pub(crate) fn select<R: Record>() -> String {
    format!("SELECT {}, body FROM {}", names::<R>().join(", "), R::TABLE)
}

/// The names of the columns.
pub(crate) fn names<R: Record>() -> Vec<&'static str> {
    R::COLUMNS.iter().map(|(name, _)| *name).collect()
}

/// The values of a row: the columns, then the body.
pub(crate) fn encode<R: Record>(record: &R) -> Result<Vec<Cell>> {
    let mut cells = record.columns();
    cells.push(json(record, R::TABLE)?);
    Ok(cells)
}

/// A value as JSON text.
pub(crate) fn json<T: Serialize>(value: &T, table: &str) -> Result<Cell> {
    let unwritable = |error: &dyn fmt::Display| {
        let message = format!("a record for the table {table} cannot be written as JSON: {error}");
        Error::new(ErrorKind::Invalid, BACKEND, message)
    };
    let mut text = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut text, value).map_err(|error| unwritable(&error))?;
    let text = String::from_utf8(text).map_err(|error| unwritable(&error))?;
    Ok(Cell::Text(text))
}

/// The record of a row that [`select`] read.
///
/// # Errors
/// `Corrupt`, naming table and id, if the body is not the record that the columns speak of.
pub(crate) fn decode<R: Record>(row: &PgRow) -> Result<R> {
    let record: R = body(row, R::COLUMNS.len()).map_err(|reason| damaged::<R>(row, &reason))?;
    for (n, ((column, _), expected)) in R::COLUMNS.iter().zip(record.columns()).enumerate() {
        expected.agrees(row, n).map_err(|found| {
            let reason = format!("its column {column} holds {found}, its body {expected}");
            damaged::<R>(row, &reason)
        })?;
    }
    Ok(record)
}

/// The JSON in a column.
pub(crate) fn body<T: DeserializeOwned>(row: &PgRow, column: usize) -> Result<T, String> {
    let text: &str = row
        .try_get(column)
        .map_err(|error| format!("its body is no text ({error})"))?;
    serde_json::from_str(text).map_err(|error| format!("its body cannot be read ({error})"))
}

pub(crate) fn damaged<R: Record>(row: &PgRow, reason: &str) -> Error {
    let id = row
        .try_get::<Uuid, _>(0)
        .ok()
        .map_or_else(|| "a row without a readable id".to_owned(), R::id_text);
    Error::corrupt(
        BACKEND,
        format!("{id} in the table {} is damaged: {reason}", R::TABLE),
    )
}

impl Record for Task {
    const TABLE: &'static str = "tasks";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("id", Type::Id),
        ("version", Type::Int),
        ("state", Type::Text),
        ("repo", Type::Id),
        ("parent", Type::Id),
        ("ticket_source", Type::Text),
        ("ticket_key", Type::Text),
        ("depends_on", Type::Ids),
    ];

    fn columns(&self) -> Vec<Cell> {
        let ticket = self.ticket.as_ref();
        vec![
            Cell::Id(self.id.as_uuid()),
            Cell::count(self.version),
            Cell::Name(self.state.name().as_str()),
            Cell::Id(self.repo.as_uuid()),
            Cell::maybe(self.parent(), |parent| Cell::Id(parent.as_uuid())),
            Cell::maybe(ticket, |ticket| Cell::text(&ticket.source)),
            Cell::maybe(ticket, |ticket| Cell::text(&ticket.key)),
            ids(&self.depends_on),
        ]
    }

    fn id_text(id: Uuid) -> String {
        TaskId::from_uuid(id).to_string()
    }
}

/// A list of ids; nothing if there are none.
fn ids(tasks: &[TaskId]) -> Cell {
    if tasks.is_empty() {
        return Cell::Null;
    }
    Cell::Ids(tasks.iter().map(|id| id.as_uuid()).collect())
}

impl Record for Run {
    const TABLE: &'static str = "runs";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("id", Type::Id),
        ("task", Type::Id),
        ("repo", Type::Id),
        ("epoch", Type::Int),
        ("live", Type::Bool),
        ("workspace", Type::Id),
        ("started_at", Type::Int),
        ("cost_micros", Type::Int),
        ("ended_at", Type::Int),
    ];

    fn columns(&self) -> Vec<Cell> {
        vec![
            Cell::Id(self.id.as_uuid()),
            Cell::Id(self.task.as_uuid()),
            Cell::Id(self.repo.as_uuid()),
            Cell::count(self.epoch),
            Cell::Bool(self.is_live()),
            Cell::Id(self.workspace.as_uuid()),
            Cell::time(self.started_at),
            Cell::count(self.usage().cost.micros().min(MOST_MICROS)),
            Cell::maybe(self.ended_at(), Cell::time),
        ]
    }

    fn id_text(id: Uuid) -> String {
        RunId::from_uuid(id).to_string()
    }
}

impl Record for Repo {
    const TABLE: &'static str = "repos";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("id", Type::Id),
        ("version", Type::Int),
        ("identity", Type::Text),
    ];

    fn columns(&self) -> Vec<Cell> {
        vec![
            Cell::Id(self.id.as_uuid()),
            Cell::count(self.version),
            Cell::text(self.url.identity()),
        ]
    }

    fn id_text(id: Uuid) -> String {
        RepoId::from_uuid(id).to_string()
    }
}

impl Record for Workspace {
    const TABLE: &'static str = "workspaces";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("id", Type::Id),
        ("version", Type::Int),
        ("repo", Type::Id),
        ("ordinal", Type::Int),
        ("takes_runs", Type::Bool),
    ];

    fn columns(&self) -> Vec<Cell> {
        vec![
            Cell::Id(self.id.as_uuid()),
            Cell::count(self.version),
            Cell::Id(self.repo.as_uuid()),
            Cell::Int(self.ordinal.into()),
            Cell::Bool(self.state.takes_runs()),
        ]
    }

    fn id_text(id: Uuid) -> String {
        WorkspaceId::from_uuid(id).to_string()
    }
}

impl Record for Schedule {
    const TABLE: &'static str = "schedules";
    const COLUMNS: &'static [(&'static str, Type)] = &[("id", Type::Id), ("version", Type::Int)];

    fn columns(&self) -> Vec<Cell> {
        vec![Cell::Id(self.id.as_uuid()), Cell::count(self.version)]
    }

    fn id_text(id: Uuid) -> String {
        ScheduleId::from_uuid(id).to_string()
    }
}

impl Record for Webhook {
    const TABLE: &'static str = "webhooks";
    const COLUMNS: &'static [(&'static str, Type)] = &[("id", Type::Id), ("version", Type::Int)];

    fn columns(&self) -> Vec<Cell> {
        vec![Cell::Id(self.id.as_uuid()), Cell::count(self.version)]
    }

    fn id_text(id: Uuid) -> String {
        WebhookId::from_uuid(id).to_string()
    }
}

impl Record for Pause {
    const TABLE: &'static str = "pauses";
    const COLUMNS: &'static [(&'static str, Type)] = &[("id", Type::Id), ("ends_at", Type::Int)];

    fn columns(&self) -> Vec<Cell> {
        vec![Cell::Id(self.account.key()), Cell::Int(self.until.order())]
    }

    fn id_text(id: Uuid) -> String {
        format!("the pause {id}")
    }
}

impl Record for OutboxEntry {
    const TABLE: &'static str = "outbox";
    const COLUMNS: &'static [(&'static str, Type)] = &[
        ("id", Type::Id),
        ("not_before", Type::Int),
        ("due_at", Type::Int),
        ("attempts", Type::Int),
    ];

    fn columns(&self) -> Vec<Cell> {
        vec![
            Cell::Id(self.id.as_uuid()),
            Cell::time(self.not_before),
            Cell::time(self.not_before),
            Cell::Int(self.attempts.into()),
        ]
    }

    fn id_text(id: Uuid) -> String {
        OutboxId::from_uuid(id).to_string()
    }
}
