//! The statements that carry steps out, each for any number of rows at once.

use std::sync::{Arc, LazyLock};

use sqlx::{AssertSqlSafe, SqliteConnection, sqlite::SqliteArguments};

use optio_core::{
    account::Pause, repo::Repo, run::Run, schedule::Schedule, store::OutboxEntry, task::Task,
    webhook::Webhook, workspace::Workspace,
};

use super::{
    op::{Kind, Op},
    record::Record,
};

/// The most rows that one statement takes.
pub(super) const MOST_ROWS: usize = 64;

/// Whether each row must have found what it looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// As many rows are changed as are given.
    AllChanged,
    /// As many rows are counted as are given.
    AllFound,
    /// Nothing to change is fine.
    Anything,
}

/// A statement with a list of rows in it.
#[derive(Debug)]
struct Statement {
    before: String,
    columns: usize,
    after: String,
    expect: Expect,
}

fn statement(kind: Kind) -> Statement {
    match kind {
        Kind::Guard => found(
            2,
            "runs",
            "runs.id = given.column1 AND runs.epoch = given.column2 AND runs.live = 1",
        ),
        Kind::TicketIsNew => Statement {
            before: "SELECT count(*) FROM (VALUES ".to_owned(),
            columns: 2,
            after: ") AS given WHERE NOT EXISTS (SELECT 1 FROM tasks \
                    WHERE tasks.ticket_source = given.column1 AND tasks.ticket_key = given.column2)"
                .to_owned(),
            expect: Expect::AllFound,
        },
        Kind::NewTask => insert::<Task>(),
        Kind::Task => update_version::<Task>(),
        Kind::NewRun => insert::<Run>(),
        Kind::Run => update::<Run>("runs.epoch = given.column4 AND +runs.live = 1"),
        Kind::TakeOver => take_over(),
        Kind::LiveRuns => Statement {
            before: "SELECT count(*) FROM (VALUES ".to_owned(),
            columns: 3,
            after: ") AS given WHERE (SELECT count(*) FROM runs WHERE runs.live = 1 \
                    AND (given.column1 IS NULL OR runs.repo = given.column1) \
                    AND (given.column2 IS NULL OR runs.workspace = given.column2)) <= given.column3"
                .to_owned(),
            expect: Expect::AllFound,
        },
        Kind::NewRepo => insert::<Repo>(),
        Kind::Repo => update_version::<Repo>(),
        Kind::NewWorkspace => insert::<Workspace>(),
        Kind::Workspace => update_version::<Workspace>(),
        Kind::UseWorkspace => Statement {
            before: "UPDATE workspaces SET version = workspaces.version + 1, \
                     body = json_set(workspaces.body, '$.version', workspaces.version + 1, \
                     '$.usedAt', given.column2) FROM (VALUES "
                .to_owned(),
            columns: 2,
            after: ") AS given WHERE workspaces.id = +given.column1 AND workspaces.takes_runs = 1"
                .to_owned(),
            expect: Expect::AllChanged,
        },
        Kind::ForgetWorkspace => Statement {
            before: "DELETE FROM workspaces WHERE rowid IN (SELECT stored.rowid FROM (VALUES "
                .to_owned(),
            columns: 2,
            after: ") AS given CROSS JOIN workspaces AS stored \
                    WHERE stored.id = given.column1 AND stored.version = given.column2)"
                .to_owned(),
            expect: Expect::AllChanged,
        },
        Kind::NewSchedule => insert::<Schedule>(),
        Kind::Schedule => update_version::<Schedule>(),
        Kind::ForgetSchedule => delete("schedules"),
        Kind::NewWebhook => insert::<Webhook>(),
        Kind::Webhook => update_version::<Webhook>(),
        Kind::ForgetWebhook => delete("webhooks"),
        Kind::Pause => pause(),
        Kind::Lift => Statement {
            before: "DELETE FROM pauses WHERE (id, ends_at) IN (VALUES ".to_owned(),
            columns: 2,
            after: ")".to_owned(),
            expect: Expect::Anything,
        },
        Kind::LogFollows => found(
            3,
            "log",
            "log.task = given.column1 AND log.run = given.column2 AND log.seq = given.column3",
        ),
        Kind::LogEntry => insert_into("log", &["task", "run", "seq", "body"]),
        Kind::HasEnded => Statement {
            before: "SELECT count(*) FROM (VALUES ".to_owned(),
            columns: 1,
            after: ") AS given WHERE NOT EXISTS (SELECT 1 FROM runs \
                    WHERE runs.id = given.column1 AND +runs.live = 1)"
                .to_owned(),
            expect: Expect::AllFound,
        },
        Kind::TrimLog => Statement {
            before: "DELETE FROM log WHERE (task, run, seq) IN (SELECT stored.task, stored.run, stored.seq FROM (VALUES "
                .to_owned(),
            columns: 3,
            after: ") AS given CROSS JOIN log AS stored WHERE stored.task = given.column1 \
                    AND stored.run = given.column2 AND stored.seq <= given.column3)"
                .to_owned(),
            expect: Expect::Anything,
        },
        Kind::LogNotice => Statement {
            expect: Expect::Anything,
            ..insert_into("log", &["task", "run", "seq", "body"])
        },
        Kind::LogRemoved => Statement {
            before: "UPDATE runs SET log_removed = 1 WHERE id IN (VALUES ".to_owned(),
            columns: 1,
            after: ")".to_owned(),
            expect: Expect::Anything,
        },
        Kind::Audit => insert_into("audit", &["task", "body"]),
        Kind::NewOutbox => insert::<OutboxEntry>(),
        Kind::Delivered => delete("outbox"),
        Kind::Postponed => Statement {
            before:
                "UPDATE outbox SET not_before = given.column2, due_at = given.column2 FROM (VALUES "
                    .to_owned(),
            columns: 2,
            after: ") AS given WHERE outbox.id = +given.column1".to_owned(),
            expect: Expect::Anything,
        },
    }
}

fn insert<R: Record>() -> Statement {
    let columns: Vec<&str> = R::COLUMNS.iter().copied().chain(["body"]).collect();
    insert_into(R::TABLE, &columns)
}

fn insert_into(table: &str, columns: &[&str]) -> Statement {
    Statement {
        before: format!("INSERT INTO {table} ({}) VALUES ", columns.join(", ")),
        columns: columns.len(),
        after: " ON CONFLICT DO NOTHING".to_owned(),
        expect: Expect::AllChanged,
    }
}

/// Stores pauses that end later than the stored ones.
fn pause() -> Statement {
    Statement {
        after: " ON CONFLICT (id) DO UPDATE SET ends_at = excluded.ends_at, body = excluded.body \
                WHERE excluded.ends_at > pauses.ends_at"
            .to_owned(),
        expect: Expect::Anything,
        ..insert::<Pause>()
    }
}

/// Gives stored runs the epoch and lease of the given ones, and leaves all else of them as it is.
fn take_over() -> Statement {
    let columns = Run::COLUMNS.len() + 1;
    let body = format!("given.column{columns}");
    Statement {
        before: format!(
            "UPDATE OR IGNORE runs SET epoch = given.column4, body = json_set(runs.body, \
             '$.epoch', given.column4, '$.lease', json_extract({body}, '$.lease')) FROM (VALUES "
        ),
        columns,
        after: ") AS given WHERE runs.id = +given.column1 \
                AND runs.epoch = given.column4 - 1 AND +runs.live = 1"
            .to_owned(),
        expect: Expect::AllChanged,
    }
}

/// Changes rows whose stored version is one less than the given one.
fn update_version<R: Record>() -> Statement {
    update::<R>(&format!("{}.version = given.column2 - 1", R::TABLE))
}

fn update<R: Record>(condition: &str) -> Statement {
    let table = R::TABLE;
    let assignments: Vec<String> = R::COLUMNS
        .iter()
        .copied()
        .chain(["body"])
        .enumerate()
        .skip(1)
        .map(|(n, column)| format!("{column} = given.column{}", n + 1))
        .collect();
    Statement {
        before: format!(
            "UPDATE OR IGNORE {table} SET {} FROM (VALUES ",
            assignments.join(", ")
        ),
        columns: R::COLUMNS.len() + 1,
        // the plus signs keep SQLite from looking up the given rows for each stored one
        after: format!(") AS given WHERE {table}.id = +given.column1 AND {condition}"),
        expect: Expect::AllChanged,
    }
}

fn delete(table: &str) -> Statement {
    Statement {
        before: format!("DELETE FROM {table} WHERE id IN (VALUES "),
        columns: 1,
        after: ")".to_owned(),
        expect: Expect::Anything,
    }
}

/// Counts the given rows that are there.
fn found(columns: usize, table: &str, condition: &str) -> Statement {
    Statement {
        before: "SELECT count(*) FROM (VALUES ".to_owned(),
        columns,
        // CROSS JOIN fixes the order: each given row is looked up, never the other way round
        after: format!(") AS given CROSS JOIN {table} WHERE {condition}"),
        expect: Expect::AllFound,
    }
}

/// A statement for 1, 2, 4, ... rows, so that few texts serve any number and each is prepared once.
#[derive(Debug)]
struct Prepared {
    expect: Expect,
    by_power: Vec<Arc<str>>,
}

static PREPARED: LazyLock<Vec<Prepared>> = LazyLock::new(|| {
    Kind::ALL
        .iter()
        .map(|kind| {
            let statement = statement(*kind);
            let marks = vec!["?"; statement.columns].join(",");
            let row = format!("({marks})");
            Prepared {
                expect: statement.expect,
                by_power: (0..=MOST_ROWS.ilog2())
                    .map(|power| {
                        let rows = vec![row.as_str(); 1 << power].join(",");
                        format!("{}{rows}{}", statement.before, statement.after).into()
                    })
                    .collect(),
            }
        })
        .collect()
});

/// Carries out steps of one kind. False if one of them did not find what it looks for; then the caller rolls back.
pub(super) async fn carry_out(
    connection: &mut SqliteConnection,
    kind: Kind,
    mut ops: &[&Op],
) -> Result<bool, sqlx::Error> {
    let prepared = &PREPARED[kind as usize];
    while !ops.is_empty() {
        let power = ops.len().min(MOST_ROWS).ilog2();
        let (now, rest) = ops.split_at(1 << power);
        ops = rest;
        let mut arguments = SqliteArguments::default();
        for cell in now.iter().flat_map(|op| &op.cells) {
            cell.bind(&mut arguments)?;
        }
        let sql = AssertSqlSafe(Arc::clone(&prepared.by_power[power as usize]));
        let hits = match prepared.expect {
            Expect::AllFound => {
                let count: i64 = sqlx::query_scalar_with(sql, arguments)
                    .fetch_one(&mut *connection)
                    .await?;
                count.unsigned_abs()
            }
            Expect::AllChanged | Expect::Anything => sqlx::query_with(sql, arguments)
                .execute(&mut *connection)
                .await?
                .rows_affected(),
        };
        if prepared.expect != Expect::Anything && hits != now.len() as u64 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Every statement text for one and for a few rows, to look at their plans.
#[cfg(test)]
pub(super) fn texts() -> Vec<Arc<str>> {
    PREPARED
        .iter()
        .flat_map(|prepared| [&prepared.by_power[0], &prepared.by_power[2]])
        .map(Arc::clone)
        .collect()
}
