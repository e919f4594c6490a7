//! The statements that carry steps out, each for any number of rows at once: a column of values travels as one array.

mod shared;
mod take_over;

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use sqlx::{AssertSqlSafe, PgConnection, postgres::PgArguments};

use optio_core::{
    account::Pause, repo::Repo, run::Run, schedule::Schedule, store::OutboxEntry, task::Task,
    webhook::Webhook, workspace::Workspace,
};

use crate::{
    cell::{Cell, Type},
    op::{Kind, Op},
    record::Record,
};

pub(crate) use self::shared::{SHARED, TURN, carry_out_shared, is_shared, unfit};

/// Whether each row must have found what it looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// As many rows are changed, or found, as are given.
    All,
    /// The same, or the statement fails: nobody has to count.
    AllOrError,
    /// Nothing to change is fine.
    Anything,
}

/// A statement for any number of rows.
#[derive(Debug)]
struct Statement {
    sql: Arc<str>,
    columns: Vec<Type>,
    expect: Expect,
}

static STATEMENTS: LazyLock<Vec<Statement>> =
    LazyLock::new(|| Kind::ALL.iter().map(|kind| statement(*kind)).collect());

/// The columns of the table of log batches.
const LOG_BATCH: &[(&str, Type)] = &[
    ("task", Type::Id),
    ("run", Type::Int),
    ("first", Type::Int),
    ("last", Type::Int),
    ("body", Type::Bytes),
];

fn statement(kind: Kind) -> Statement {
    match kind {
        // locked, so that the run cannot change hands before this commit is stored
        Kind::Guard => found(
            "runs",
            &[Type::Id, Type::Int],
            "runs.id = given.c1 AND runs.epoch = given.c2 AND runs.live FOR NO KEY UPDATE OF runs",
        ),
        Kind::TicketIsNew => {
            let columns = vec![Type::Text, Type::Text];
            Statement {
                sql: format!(
                    "SELECT FROM {} WHERE NOT EXISTS (SELECT FROM tasks \
                     WHERE tasks.ticket_source = given.c1 AND tasks.ticket_key = given.c2)",
                    given(&columns)
                )
                .into(),
                columns,
                expect: Expect::All,
            }
        }
        Kind::NewTask => insert::<Task>(IfTaken::Fail),
        Kind::Task => update_version::<Task>(),
        Kind::NewRun => insert::<Run>(IfTaken::Fail),
        Kind::Run => update::<Run>("runs.epoch = given.c4 AND runs.live"),
        Kind::TakeOver => take_over::statement(),
        Kind::LiveRuns => {
            let columns = vec![Type::Id, Type::Id, Type::Int];
            Statement {
                sql: format!(
                    "SELECT FROM {} WHERE (SELECT count(*) FROM runs WHERE runs.live \
                     AND (given.c1 IS NULL OR runs.repo = given.c1) \
                     AND (given.c2 IS NULL OR runs.workspace = given.c2)) <= given.c3",
                    given(&columns)
                )
                .into(),
                columns,
                expect: Expect::All,
            }
        }
        Kind::NewRepo => insert::<Repo>(IfTaken::Skip),
        Kind::Repo => update_version::<Repo>(),
        Kind::NewWorkspace => insert::<Workspace>(IfTaken::Skip),
        Kind::Workspace => update_version::<Workspace>(),
        // by what stands in the row, not by what was read of it: many begin there at once, and none is in another's way
        Kind::UseWorkspace => {
            let columns = vec![Type::Id, Type::Text];
            Statement {
                sql: format!(
                    "UPDATE workspaces SET version = workspaces.version + 1, \
                     body = (workspaces.body::jsonb || jsonb_build_object(\
                     'version', workspaces.version + 1, 'usedAt', given.c2))::text \
                     FROM {} WHERE workspaces.id = given.c1 AND workspaces.takes_runs",
                    given(&columns)
                )
                .into(),
                columns,
                expect: Expect::All,
            }
        }
        Kind::ForgetWorkspace => {
            let columns = vec![Type::Id, Type::Int];
            Statement {
                sql: format!(
                    "DELETE FROM workspaces USING {} \
                     WHERE workspaces.id = given.c1 AND workspaces.version = given.c2",
                    given(&columns)
                )
                .into(),
                columns,
                expect: Expect::All,
            }
        }
        Kind::NewSchedule => insert::<Schedule>(IfTaken::Skip),
        Kind::Schedule => update_version::<Schedule>(),
        Kind::ForgetSchedule => delete("schedules"),
        Kind::NewWebhook => insert::<Webhook>(IfTaken::Skip),
        Kind::Webhook => update_version::<Webhook>(),
        Kind::ForgetWebhook => delete("webhooks"),
        Kind::Pause => pause(),
        Kind::Lift => {
            let columns = vec![Type::Id, Type::Int];
            Statement {
                sql: format!(
                    "DELETE FROM pauses USING {} \
                     WHERE pauses.id = given.c1 AND pauses.ends_at = given.c2",
                    given(&columns)
                )
                .into(),
                columns,
                expect: Expect::Anything,
            }
        }
        // not locked: of two that append behind one entry the second meets the first one's batch, and what retention
        // removes is the log of a run that has ended, which nobody adds to
        Kind::LogFollows => found(
            "log_batches",
            &[Type::Id, Type::Int, Type::Int],
            "log_batches.task = given.c1 AND log_batches.run = given.c2 AND log_batches.last = given.c3",
        ),
        Kind::LogBatch => insert_into("log_batches", LOG_BATCH, IfTaken::Skip),
        // not locked: a run that has ended stays so
        Kind::HasEnded => {
            let columns = vec![Type::Id];
            Statement {
                sql: format!(
                    "SELECT FROM {} WHERE NOT EXISTS \
                     (SELECT FROM runs WHERE runs.id = given.c1 AND runs.live)",
                    given(&columns)
                )
                .into(),
                columns,
                expect: Expect::All,
            }
        }
        Kind::TrimLog => {
            let columns = vec![Type::Id, Type::Int, Type::Int];
            Statement {
                sql: format!(
                    "DELETE FROM log_batches USING {} WHERE log_batches.task = given.c1 \
                     AND log_batches.run = given.c2 AND log_batches.last <= given.c3",
                    given(&columns)
                )
                .into(),
                columns,
                expect: Expect::Anything,
            }
        }
        // what stands there may be a batch that has not gone yet
        Kind::LogNotice => Statement {
            expect: Expect::Anything,
            ..insert_into("log_batches", LOG_BATCH, IfTaken::Skip)
        },
        Kind::LogRemoved => Statement {
            sql: "UPDATE runs SET log_removed = true WHERE id = ANY($1::uuid[])".into(),
            columns: vec![Type::Id],
            expect: Expect::Anything,
        },
        Kind::Audit => {
            let columns = &[("task", Type::Id), ("body", Type::Text)];
            insert_into("audit", columns, IfTaken::Fail)
        }
        Kind::NewOutbox => insert::<OutboxEntry>(IfTaken::Fail),
        Kind::Delivered => delete("outbox"),
        Kind::Postponed => {
            let columns = vec![Type::Id, Type::Int];
            Statement {
                sql: format!(
                    "UPDATE outbox SET not_before = given.c2, due_at = given.c2 FROM {} \
                     WHERE outbox.id = given.c1",
                    given(&columns)
                )
                .into(),
                columns,
                expect: Expect::Anything,
            }
        }
    }
}

/// The given rows as a table `given (c1, c2, ...)`.
fn given(columns: &[Type]) -> String {
    let mut rows = String::new();
    for (n, column) in columns.iter().enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        // writing to a string cannot fail
        let _ = write!(
            rows,
            "{comma}unnest(${n}::{}) AS c{n}",
            column.list(),
            n = n + 1
        );
    }
    format!("(SELECT {rows}) AS given")
}

fn with_body<R: Record>() -> Vec<(&'static str, Type)> {
    let mut columns = R::COLUMNS.to_vec();
    columns.push(("body", Type::Text));
    columns
}

/// What becomes of a row whose key another one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfTaken {
    /// The statement fails, with all others of its transaction. For keys that nobody else ever has: it spares Postgres a
    /// look before each row, and a record of its write-ahead log after it.
    Fail,
    /// It is left out.
    Skip,
}

fn insert<R: Record>(if_taken: IfTaken) -> Statement {
    insert_into(R::TABLE, &with_body::<R>(), if_taken)
}

fn insert_into(table: &str, columns: &[(&str, Type)], if_taken: IfTaken) -> Statement {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let types: Vec<Type> = columns.iter().map(|(_, kind)| *kind).collect();
    let values: Vec<String> = (1..)
        .zip(&types)
        .map(|(n, kind)| format!("c{n}{}", kind.cast()))
        .collect();
    Statement {
        sql: format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {}{}",
            names.join(", "),
            values.join(", "),
            given(&types),
            match if_taken {
                IfTaken::Fail => "",
                IfTaken::Skip => " ON CONFLICT DO NOTHING",
            }
        )
        .into(),
        columns: types,
        expect: match if_taken {
            IfTaken::Fail => Expect::AllOrError,
            IfTaken::Skip => Expect::All,
        },
    }
}

/// Stores pauses that end later than the stored ones.
fn pause() -> Statement {
    let columns = with_body::<Pause>();
    Statement {
        sql: format!(
            "INSERT INTO pauses (id, ends_at, body) SELECT c1, c2, c3 FROM {} \
             ON CONFLICT (id) DO UPDATE SET ends_at = excluded.ends_at, body = excluded.body \
             WHERE excluded.ends_at > pauses.ends_at",
            given(&columns.iter().map(|(_, kind)| *kind).collect::<Vec<_>>())
        )
        .into(),
        columns: columns.into_iter().map(|(_, kind)| kind).collect(),
        expect: Expect::Anything,
    }
}

/// Changes rows whose stored version is one less than the given one.
fn update_version<R: Record>() -> Statement {
    update::<R>(&format!("{}.version = given.c2 - 1", R::TABLE))
}

fn update<R: Record>(condition: &str) -> Statement {
    let table = R::TABLE;
    let columns = with_body::<R>();
    let assignments: Vec<String> = (1..)
        .zip(&columns)
        .skip(1)
        .map(|(n, (name, kind))| format!("{name} = given.c{n}{}", kind.cast()))
        .collect();
    let types: Vec<Type> = columns.iter().map(|(_, kind)| *kind).collect();
    Statement {
        sql: format!(
            "UPDATE {table} SET {} FROM {} WHERE {table}.id = given.c1 AND {condition}",
            assignments.join(", "),
            given(&types)
        )
        .into(),
        columns: types,
        expect: Expect::All,
    }
}

fn delete(table: &str) -> Statement {
    Statement {
        sql: format!("DELETE FROM {table} WHERE id = ANY($1::uuid[])").into(),
        columns: vec![Type::Id],
        expect: Expect::Anything,
    }
}

/// Looks the given rows up.
fn found(table: &str, columns: &[Type], condition: &str) -> Statement {
    Statement {
        sql: format!("SELECT FROM {table}, {} WHERE {condition}", given(columns)).into(),
        columns: columns.to_vec(),
        expect: Expect::All,
    }
}

/// Carries out steps of one kind. False if one of them did not find what it looks for; then the caller rolls back.
pub(crate) async fn carry_out(
    connection: &mut PgConnection,
    kind: Kind,
    ops: &[&Op],
) -> Result<bool, sqlx::Error> {
    let statement = &STATEMENTS[kind as usize];
    if kind == Kind::TakeOver {
        return take_over::carry_out(connection, &statement.sql, ops).await;
    }
    let done = execute(connection, statement, ops).await?;
    Ok(statement.expect != Expect::All || done == ops.len() as u64)
}

async fn execute(
    connection: &mut PgConnection,
    statement: &Statement,
    ops: &[&Op],
) -> Result<u64, sqlx::Error> {
    let mut arguments = PgArguments::default();
    bind(statement, ops, &mut arguments)?;
    let done = sqlx::query_with(AssertSqlSafe(Arc::clone(&statement.sql)), arguments)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

/// Fills in the rows of some steps, column by column.
fn bind(
    statement: &Statement,
    ops: &[&Op],
    arguments: &mut PgArguments,
) -> Result<(), sqlx::Error> {
    for (n, column) in statement.columns.iter().enumerate() {
        let cells = ops.iter().map(|op| op.cells.get(n).unwrap_or(&Cell::Null));
        Cell::bind_column(*column, cells, arguments)?;
    }
    Ok(())
}

/// Every statement text, to look at their plans.
#[cfg(test)]
pub(crate) fn texts() -> Vec<Arc<str>> {
    STATEMENTS
        .iter()
        .map(|statement| Arc::clone(&statement.sql))
        .chain([take_over::WRITE.into()])
        .chain(shared::texts())
        .collect()
}
