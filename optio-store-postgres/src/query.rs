//! The reads.
//!
//! A query over tasks is led by the one of its conditions that leaves the fewest rows, which is written so that Postgres
//! has no choice: what the planner believes about tables that grow by the second must not decide how long a page takes.

use std::{slice, sync::Arc};

use sqlx::{
    Row as _,
    postgres::{PgArguments, PgRow},
};

use optio_core::{
    Error, Result, Timestamp,
    account::Pause,
    id::{RepoId, TaskId},
    money::Usd,
    repo::{Repo, RepoUrl},
    run::Run,
    schedule::Schedule,
    store::{Audit, OnlyLive, RunQuery, TaskOrder, TaskQuery},
    task::{StateName, Task},
    webhook::Webhook,
    workspace::Workspace,
};

use crate::{
    BACKEND,
    cell::Cell,
    error::{is_lost, unreadable},
    pool::Pool,
    record::{self, Record, decode, names, select},
};

/// A statement and what is filled in.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) sql: String,
    cells: Vec<Cell>,
}

impl Query {
    pub(crate) fn new(sql: impl Into<String>, cells: impl Into<Vec<Cell>>) -> Self {
        Self {
            sql: sql.into(),
            cells: cells.into(),
        }
    }

    fn arguments(&self) -> Result<PgArguments, sqlx::Error> {
        let mut arguments = PgArguments::default();
        for cell in &self.cells {
            cell.bind(&mut arguments)?;
        }
        Ok(arguments)
    }

    /// Whatever is asked here may be asked twice, so a connection that broke is nobody's concern if there is another one.
    pub(crate) async fn fetch(self, pool: &Pool) -> Result<Vec<PgRow>, sqlx::Error> {
        let sql: Arc<str> = self.sql.as_str().into();
        let arguments = self.arguments()?;
        let connection = pool.acquire().await?;
        match pool.ask(connection, Arc::clone(&sql), arguments).await {
            Err(error) if is_lost(&error) => {
                let connection = pool.acquire_live().await?;
                pool.ask(connection, sql, self.arguments()?).await
            }
            first => first,
        }
    }

    pub(crate) async fn rows(self, pool: &Pool) -> Result<Vec<PgRow>> {
        self.fetch(pool).await.map_err(unreadable)
    }

    /// The records of all rows.
    pub(crate) async fn records<R: Record>(self, pool: &Pool) -> Result<Vec<R>> {
        self.rows(pool).await?.iter().map(decode).collect()
    }
}

/// The record with this id.
pub(crate) fn one<R: Record>(id: Cell) -> Query {
    Query::new(format!("{} WHERE id = $1", select::<R>()), [id])
}

pub(crate) fn all_repos() -> Query {
    Query::new(format!("{} ORDER BY id", select::<Repo>()), [])
}

pub(crate) fn repo_by_url(url: &RepoUrl) -> Query {
    Query::new(
        format!("{} WHERE identity = $1", select::<Repo>()),
        [Cell::text(url.identity())],
    )
}

pub(crate) fn all_workspaces() -> Query {
    Query::new(
        format!("{} ORDER BY repo, ordinal, id", select::<Workspace>()),
        [],
    )
}

pub(crate) fn all_schedules() -> Query {
    Query::new(format!("{} ORDER BY id", select::<Schedule>()), [])
}

pub(crate) fn all_webhooks() -> Query {
    Query::new(format!("{} ORDER BY id", select::<Webhook>()), [])
}

pub(crate) fn all_pauses() -> Query {
    Query::new(select::<Pause>(), [])
}

/// Values that are filled in, and their places in the text.
#[derive(Debug, Default)]
struct Values(Vec<Cell>);

impl Values {
    fn add(&mut self, cell: Cell) -> String {
        self.0.push(cell);
        format!("${}", self.0.len())
    }
}

pub(crate) fn tasks(query: &TaskQuery) -> Query {
    let mut values = Values::default();
    let mut rest = Vec::new();
    let (behind, order) = match query.order {
        TaskOrder::Ascending => (">", "ASC"),
        TaskOrder::Descending => ("<", "DESC"),
    };
    let few = few_tasks(query, &mut values);
    if let Some(repo) = query.repo {
        rest.push(format!("repo = {}", values.add(Cell::Id(repo.as_uuid()))));
    }
    if let Some(after) = query.after {
        let after = values.add(Cell::Id(after.as_uuid()));
        rest.push(format!("id {behind} {after}"));
    }
    let limit = query.limit.map_or_else(String::new, |limit| {
        format!(" LIMIT {}", values.add(Cell::limit(limit)))
    });
    let mut states = query.states.clone();
    if states.is_empty() && query.repo.is_some() {
        states.extend(StateName::ALL); // which is how the index finds those of a repository
    }
    states.sort_unstable();
    states.dedup();
    let states: Vec<String> = states
        .iter()
        .map(|state| format!("state = {}", values.add(Cell::Name(state.as_str()))))
        .collect();
    let columns = names::<Task>().join(", ");
    let ordered = format!("ORDER BY id {order}{limit}");
    let sql = match few {
        Some(few) => {
            if !states.is_empty() {
                rest.push(format!("({})", states.join(" OR ")));
            }
            format!(
                "WITH few AS MATERIALIZED ({} WHERE {few}) SELECT {columns}, body FROM few{} {ordered}",
                select::<Task>(),
                clause(&rest)
            )
        }
        None if states.is_empty() => format!("{}{} {ordered}", select::<Task>(), clause(&rest)),
        // a page of each state, and the page of those
        None => {
            let page = |state: &String| {
                if query.repo.is_some() || query.limit.is_none() {
                    let conditions = [slice::from_ref(state), &rest].concat();
                    format!("(SELECT id FROM tasks{} {ordered})", clause(&conditions))
                } else {
                    page_over_repos(state, &rest, &ordered)
                }
            };
            let pages: Vec<String> = states.iter().map(page).collect();
            format!(
                "WITH page AS MATERIALIZED (SELECT id FROM ({}) AS pages {ordered}) \
                 SELECT {columns}, body FROM page JOIN tasks USING (id) ORDER BY id {order}",
                pages.join(" UNION ALL ")
            )
        }
    };
    Query::new(sql, values.0)
}

/// A page of the tasks in one state, of whatever repository. The index holds them repository by repository, for one that
/// holds them all in a row would be another one to change whenever a task changes its state: so it is a page of each
/// repository that has any, which are found by jumping from one to the next, and the page of those.
fn page_over_repos(state: &str, rest: &[String], ordered: &str) -> String {
    let mut conditions = vec![state.to_owned(), "tasks.repo = these.repo".to_owned()];
    conditions.extend_from_slice(rest);
    let next = format!("SELECT repo FROM tasks WHERE {state}");
    format!(
        "(WITH RECURSIVE these AS (({next} ORDER BY repo LIMIT 1) \
         UNION ALL SELECT ({next} AND repo > these.repo ORDER BY repo LIMIT 1) FROM these WHERE these.repo IS NOT NULL) \
         SELECT paged.id FROM these CROSS JOIN LATERAL (SELECT id FROM tasks{} {ordered}) AS paged {ordered})",
        clause(&conditions)
    )
}

/// The conditions that leave only a few tasks, whatever the others say.
fn few_tasks(query: &TaskQuery, values: &mut Values) -> Option<String> {
    let mut few = Vec::new();
    if let Some(ids) = &query.ids {
        let ids = values.add(Cell::Ids(ids.iter().map(|id| id.as_uuid()).collect()));
        few.push(format!("id = ANY ({ids})"));
    }
    if let Some((source, key)) = &query.ticket {
        let source = values.add(Cell::text(source));
        let key = values.add(Cell::text(key));
        few.push(format!("ticket_source = {source} AND ticket_key = {key}"));
    }
    if let Some(parent) = query.parent {
        let parent = values.add(Cell::Id(parent.as_uuid()));
        few.push(format!("parent = {parent}"));
    }
    if let Some(task) = query.depends_on {
        let task = values.add(Cell::Id(task.as_uuid()));
        few.push(format!("depends_on @> ARRAY[{task}::uuid]"));
    }
    (!few.is_empty()).then(|| few.join(" AND "))
}

fn clause(conditions: &[String]) -> String {
    if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    }
}

pub(crate) fn runs(query: RunQuery) -> Query {
    let mut values = Values::default();
    let mut asked = Vec::new();
    if let Some(task) = query.task {
        asked.push(format!("task = {}", values.add(Cell::Id(task.as_uuid()))));
    }
    if let Some(workspace) = query.workspace {
        let workspace = values.add(Cell::Id(workspace.as_uuid()));
        asked.push(format!("workspace = {workspace}"));
    }
    if query.only_live == OnlyLive::Yes {
        asked.push("live".to_owned());
    }
    let sql = format!("{}{} ORDER BY id", select::<Run>(), clause(&asked));
    Query::new(sql, values.0)
}

pub(crate) fn counts() -> Query {
    Query::new("SELECT state, count(*) FROM tasks GROUP BY state", [])
}

pub(crate) async fn count_tasks(pool: &Pool) -> Result<Vec<(StateName, u64)>> {
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

pub(crate) fn history(task: TaskId) -> Query {
    Query::new(
        "SELECT n, body FROM audit WHERE task = $1 ORDER BY n",
        [Cell::Id(task.as_uuid())],
    )
}

pub(crate) fn audit(task: TaskId, row: &PgRow) -> Result<Audit> {
    let read: Result<Audit, String> = record::body(row, 1);
    read.and_then(|audit| {
        if audit.task == task {
            Ok(audit)
        } else {
            Err(format!("it speaks of {}", audit.task))
        }
    })
    .map_err(|reason| {
        let n: i64 = row.try_get(0).unwrap_or(-1);
        let line = format!("line {n} of the history of {task}");
        let message = format!("{line} in the table audit is damaged: {reason}");
        Error::corrupt(BACKEND, message)
    })
}

pub(crate) fn old_logs(ended_before: Timestamp, limit: usize) -> Query {
    Query::new(
        format!(
            "{} WHERE ended_at < $1 AND NOT log_removed ORDER BY ended_at, id LIMIT $2",
            select::<Run>()
        ),
        [Cell::time(ended_before), Cell::limit(limit)],
    )
}

pub(crate) fn spent(repo: Option<RepoId>, since: Timestamp) -> Query {
    let sum = "SELECT coalesce(sum(cost_micros), 0)::bigint FROM runs WHERE started_at >= $1";
    match repo {
        None => Query::new(sum, [Cell::time(since)]),
        Some(repo) => Query::new(
            format!("{sum} AND repo = $2"),
            [Cell::time(since), Cell::Id(repo.as_uuid())],
        ),
    }
}

pub(crate) async fn sum(query: Query, pool: &Pool) -> Result<Usd> {
    let rows = query.rows(pool).await?;
    let micros: i64 = match rows.first() {
        Some(row) => row.try_get(0).map_err(unreadable)?,
        None => 0,
    };
    Ok(Usd::from_micros(micros.unsigned_abs()))
}
