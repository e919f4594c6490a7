//! The reads, and the two small changes that answer with what they found.
//!
//! A query over tasks or runs is led by the one of its conditions that leaves the fewest rows; the others carry a `+`,
//! which keeps SQLite from leading with them. So each plan is decided here and not by statistics.

use sqlx::{
    AssertSqlSafe, Row as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteArguments, SqliteRow},
};

use optio_core::{
    Error, Result, Timestamp,
    account::Pause,
    id::{RepoId, TaskId},
    money::Usd,
    repo::{Repo, RepoUrl},
    run::Run,
    schedule::Schedule,
    store::{Audit, OnlyLive, OutboxEntry, RunQuery, TaskOrder, TaskQuery},
    task::{StateName, Task},
    transcript::{LogCursor, LogEntry},
    webhook::Webhook,
    workspace::Workspace,
};

use super::{
    BACKEND,
    cell::Cell,
    error::unreadable,
    record::{self, Record, decode, select},
    writer::{Claim, Lease},
};

/// A statement and what is filled in.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) sql: String,
    cells: Vec<Cell>,
}

impl Query {
    pub(super) fn new(sql: impl Into<String>, cells: impl Into<Vec<Cell>>) -> Self {
        Self {
            sql: sql.into(),
            cells: cells.into(),
        }
    }

    fn arguments(&self) -> Result<SqliteArguments, sqlx::Error> {
        let mut arguments = SqliteArguments::default();
        for cell in &self.cells {
            cell.bind(&mut arguments)?;
        }
        Ok(arguments)
    }

    pub(super) async fn rows(self, pool: &SqlitePool) -> Result<Vec<SqliteRow>> {
        let arguments = self.arguments().map_err(unreadable)?;
        sqlx::query_with(AssertSqlSafe(self.sql), arguments)
            .fetch_all(pool)
            .await
            .map_err(unreadable)
    }

    /// The records of all rows.
    pub(super) async fn records<R: Record>(self, pool: &SqlitePool) -> Result<Vec<R>> {
        self.rows(pool).await?.iter().map(decode).collect()
    }
}

/// The record with this id.
pub(super) fn one<R: Record>(id: Cell) -> Query {
    Query::new(format!("{} WHERE id = ?", select::<R>()), [id])
}

pub(super) fn all_repos() -> Query {
    Query::new(format!("{} ORDER BY id", select::<Repo>()), [])
}

pub(super) fn repo_by_url(url: &RepoUrl) -> Query {
    Query::new(
        format!("{} WHERE identity = ?", select::<Repo>()),
        [Cell::text(url.identity())],
    )
}

pub(super) fn all_workspaces() -> Query {
    Query::new(
        format!("{} ORDER BY repo, ordinal, id", select::<Workspace>()),
        [],
    )
}

pub(super) fn all_schedules() -> Query {
    Query::new(format!("{} ORDER BY id", select::<Schedule>()), [])
}

pub(super) fn all_webhooks() -> Query {
    Query::new(format!("{} ORDER BY id", select::<Webhook>()), [])
}

pub(super) fn all_pauses() -> Query {
    Query::new(select::<Pause>(), [])
}

/// The conditions of a query; the first one that can leads, the others follow.
#[derive(Debug, Default)]
struct Conditions {
    text: Vec<String>,
    cells: Vec<Cell>,
    led: bool,
}

impl Conditions {
    /// `column` and what is asked of it.
    fn add(&mut self, column: &str, asked: &str, cells: impl IntoIterator<Item = Cell>) {
        let plus = if self.led { "+" } else { "" };
        self.led = true;
        self.text.push(format!("{plus}{column} {asked}"));
        self.cells.extend(cells);
    }

    fn sql(&self) -> String {
        if self.text.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.text.join(" AND "))
        }
    }
}

pub(super) fn tasks(query: &TaskQuery) -> Query {
    let mut asked = Conditions::default();
    if let Some((source, key)) = &query.ticket {
        asked.add(
            "(ticket_source, ticket_key)",
            "= (?, ?)",
            [Cell::text(source), Cell::text(key)],
        );
    }
    if let Some(parent) = query.parent {
        asked.add("parent", "= ?", [Cell::Id(parent.as_uuid())]);
    }
    if let Some(task) = query.depends_on {
        let of = "IN (SELECT task FROM task_dependencies WHERE depends_on = ?)";
        asked.add("id", of, [Cell::Id(task.as_uuid())]);
    }
    if let Some(ids) = &query.ids {
        let marks = vec!["?"; ids.len()].join(", ");
        let ids = ids.iter().map(|id| Cell::Id(id.as_uuid()));
        asked.add("id", &format!("IN ({marks})"), ids);
    }
    let states = |asked: &mut Conditions| {
        if !query.states.is_empty() {
            let marks = vec!["?"; query.states.len()].join(", ");
            let names = query.states.iter().map(|state| Cell::Name(state.as_str()));
            asked.add("state", &format!("IN ({marks})"), names);
        }
    };
    // few tasks are alive, and most of the dead are not of this repository
    let alive = !query.states.iter().any(|state| state.is_final());
    if alive {
        states(&mut asked);
    }
    if let Some(repo) = query.repo {
        asked.add("repo", "= ?", [Cell::Id(repo.as_uuid())]);
    }
    if !alive {
        states(&mut asked);
    }
    let (behind, order) = match query.order {
        TaskOrder::Ascending => ("> ?", "ASC"),
        TaskOrder::Descending => ("< ?", "DESC"),
    };
    if let Some(after) = query.after {
        asked.text.push(format!("id {behind}"));
        asked.cells.push(Cell::Id(after.as_uuid()));
    }
    let conditions = asked.sql();
    let mut cells = asked.cells;
    let select = select::<Task>();
    let sql = match query.limit {
        None => format!("{select}{conditions} ORDER BY id {order}"),
        // the ids first, out of an index: bodies are read only of those that are wanted
        Some(limit) => {
            cells.push(Cell::limit(limit));
            format!(
                "{select} WHERE id IN (SELECT id FROM tasks{conditions} ORDER BY id {order} LIMIT ?) \
                 ORDER BY id {order}"
            )
        }
    };
    Query::new(sql, cells)
}

pub(super) fn runs(query: RunQuery) -> Query {
    let mut asked = Conditions::default();
    if let Some(task) = query.task {
        asked.add("task", "= ?", [Cell::Id(task.as_uuid())]);
    }
    if query.only_live == OnlyLive::Yes {
        asked.add("live", "= 1", []);
    }
    if let Some(workspace) = query.workspace {
        asked.add("workspace", "= ?", [Cell::Id(workspace.as_uuid())]);
    }
    let sql = format!("{}{} ORDER BY id", select::<Run>(), asked.sql());
    Query::new(sql, asked.cells)
}

pub(super) fn counts() -> Query {
    Query::new("SELECT state, count(*) FROM tasks GROUP BY state", [])
}

pub(super) async fn count_tasks(pool: &SqlitePool) -> Result<Vec<(StateName, u64)>> {
    let mut counted = Vec::new();
    for row in counts().rows(pool).await? {
        let state: &str = row.try_get(0).map_err(unreadable)?;
        let state = state.parse().map_err(|error| {
            Error::corrupt(BACKEND, format!("the table tasks is damaged: {error}"))
        })?;
        let count: i64 = row.try_get(1).map_err(unreadable)?;
        counted.push((state, count.unsigned_abs()));
    }
    counted.sort_unstable_by_key(|(state, _)| *state);
    Ok(counted)
}

pub(super) fn history(task: TaskId) -> Query {
    Query::new(
        "SELECT task, body FROM audit WHERE task = ? ORDER BY n",
        [Cell::Id(task.as_uuid())],
    )
}

pub(super) fn audit(task: TaskId, row: &SqliteRow) -> Result<Audit> {
    let read: Result<Audit, String> = record::body(row, 1);
    read.and_then(|audit| {
        if audit.task == task {
            Ok(audit)
        } else {
            Err(format!("a line speaks of {}", audit.task))
        }
    })
    .map_err(|reason| {
        Error::corrupt(
            BACKEND,
            format!("the history of {task} in the table audit is damaged: {reason}"),
        )
    })
}

pub(super) fn old_logs(ended_before: Timestamp, limit: usize) -> Query {
    Query::new(
        format!(
            "{} WHERE ended_at IS NOT NULL AND ended_at < ? AND log_removed = 0 ORDER BY ended_at, id LIMIT ?",
            select::<Run>()
        ),
        [Cell::time(ended_before), Cell::limit(limit)],
    )
}

pub(super) fn log(task: TaskId, after: LogCursor, limit: usize) -> Query {
    Query::new(
        "SELECT run, seq, body FROM log WHERE task = ? AND (run, seq) > (?, ?) \
         ORDER BY run, seq LIMIT ?",
        [
            Cell::Id(task.as_uuid()),
            Cell::Int(after.run.into()),
            Cell::count(after.seq),
            Cell::limit(limit),
        ],
    )
}

pub(super) fn log_tail(task: TaskId, limit: usize) -> Query {
    Query::new(
        "SELECT run, seq, body FROM log WHERE task = ? ORDER BY run DESC, seq DESC LIMIT ?",
        [Cell::Id(task.as_uuid()), Cell::limit(limit)],
    )
}

pub(super) fn log_entry(task: TaskId, row: &SqliteRow) -> Result<LogEntry> {
    let place = |column| row.try_get::<i64, _>(column).unwrap_or(-1);
    let (run, seq) = (place(0), place(1));
    let read: Result<LogEntry, String> = record::body(row, 2);
    read.and_then(|entry| {
        if (i64::from(entry.cursor.run), entry.cursor.seq) == (run, seq.unsigned_abs()) {
            Ok(entry)
        } else {
            Err(format!("its body says {}", entry.cursor))
        }
    })
    .map_err(|reason| {
        let message =
            format!("log entry {run}.{seq} of {task} in the table log is damaged: {reason}");
        Error::corrupt(BACKEND, message)
    })
}

pub(super) fn spent(repo: Option<RepoId>, since: Timestamp) -> Query {
    let sum = "SELECT coalesce(sum(cost_micros), 0) FROM runs WHERE started_at >= ?";
    match repo {
        None => Query::new(sum, [Cell::time(since)]),
        Some(repo) => Query::new(
            format!("{sum} AND repo = ?"),
            [Cell::time(since), Cell::Id(repo.as_uuid())],
        ),
    }
}

pub(super) async fn sum(query: Query, pool: &SqlitePool) -> Result<Usd> {
    let rows = query.rows(pool).await?;
    let micros: i64 = match rows.first() {
        Some(row) => row.try_get(0).map_err(unreadable)?,
        None => 0,
    };
    Ok(Usd::from_micros(micros.unsigned_abs()))
}

/// Whether any outbox entry is due. Answers most questions for work without waking the writer.
pub(super) fn any_due(now: Timestamp) -> Query {
    Query::new(
        "SELECT 1 FROM outbox WHERE due_at <= ? ORDER BY id LIMIT 1",
        [Cell::time(now)],
    )
}

pub(super) const CLAIM: &str = "UPDATE outbox SET due_at = ?, attempts = attempts + 1 \
     WHERE rowid IN (SELECT rowid FROM outbox WHERE due_at <= ? ORDER BY id LIMIT ?) \
     RETURNING id, not_before, attempts, body";

/// Claims outbox entries, inside the writer's transaction.
pub(super) async fn claim(
    connection: &mut SqliteConnection,
    wish: &Claim,
) -> Result<Vec<OutboxEntry>> {
    let cells = [
        Cell::time(wish.until),
        Cell::time(wish.now),
        Cell::limit(wish.limit),
    ];
    let arguments = Query::new("", cells).arguments().map_err(unreadable)?;
    let rows = sqlx::query_with(CLAIM, arguments)
        .fetch_all(connection)
        .await
        .map_err(unreadable)?;
    let mut claimed = Vec::with_capacity(rows.len());
    let mut first_damaged = None;
    for row in &rows {
        match outbox_entry(row) {
            Ok(entry) => claimed.push(entry),
            // it stays claimed for a while, and must not hold up the others
            Err(error) => {
                tracing::error!(%error, "skipped an outbox entry");
                first_damaged.get_or_insert(error);
            }
        }
    }
    claimed.sort_unstable_by_key(|entry| entry.id);
    match first_damaged {
        Some(error) if claimed.is_empty() => Err(error),
        _ => Ok(claimed),
    }
}

fn outbox_entry(row: &SqliteRow) -> Result<OutboxEntry> {
    let damaged = |reason: &str| record::damaged::<OutboxEntry>(row, reason);
    let mut entry: OutboxEntry = record::body(row, 3).map_err(|reason| damaged(&reason))?;
    let id = Cell::Id(entry.id.as_uuid());
    id.agrees(row, 0)
        .map_err(|found| damaged(&format!("its column id holds {found}, its body {id}")))?;
    // these change after it was written, so their columns are the truth
    let not_before: i64 = row.try_get(1).map_err(unreadable)?;
    if entry.not_before.as_microsecond() != not_before {
        entry.not_before =
            Timestamp::from_microsecond(not_before).map_err(|error| damaged(&error.to_string()))?;
    }
    let attempts: i64 = row.try_get(2).map_err(unreadable)?;
    entry.attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    Ok(entry)
}

pub(super) const LEASE: &str = "INSERT INTO leases (name, holder, until) VALUES (?1, ?2, ?3) \
     ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until \
     WHERE leases.holder = excluded.holder OR leases.until <= ?4";

/// Takes or renews a lease, inside the writer's transaction.
pub(super) async fn lease(
    connection: &mut SqliteConnection,
    wish: &Lease,
) -> Result<bool, sqlx::Error> {
    let cells = [
        Cell::text(&wish.name),
        Cell::text(&wish.holder.0),
        Cell::time(wish.until),
        Cell::time(wish.now),
    ];
    let done = sqlx::query_with(LEASE, Query::new("", cells).arguments()?)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}
