//! Kinds of steps that mostly come together, as one statement: each statement is a way to the server and back, which costs
//! both sides more than many rows do. A commit that has no others is stored by it alone, without a transaction around it.
//!
//! All parts of such a statement see the tables as they were before it, so no two of its steps may be about one row.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use sqlx::{AssertSqlSafe, PgConnection, postgres::PgArguments};

use crate::{
    cell::Cell,
    op::{Kind, Op},
    place::Mark,
};

use super::{Expect, STATEMENTS, bind};

/// The kinds that share a statement: what nearly every commit has, and what comes of a run that begins, goes on or ends.
pub(crate) const SHARED: [Kind; 13] = [
    Kind::Guard,
    Kind::NewTask,
    Kind::Task,
    Kind::Audit,
    Kind::NewOutbox,
    Kind::Delivered,
    Kind::NewRun,
    Kind::Run,
    Kind::NewWorkspace,
    Kind::Workspace,
    Kind::UseWorkspace,
    Kind::LogFollows,
    Kind::LogBatch,
];

/// When all of them are carried out, among other kinds.
pub(crate) const TURN: Kind = Kind::NewTask;

/// The statements for those choices of these kinds that came up, without or with a mark. One for all of them would do, but
/// each part costs the server something, whether it has rows or not.
static TEXTS: LazyLock<Mutex<Texts>> = LazyLock::new(Mutex::default);

type Texts = HashMap<(Choice, bool), Arc<str>>;

/// Some of the [`SHARED`] kinds, a bit each.
type Choice = u16;

pub(crate) fn is_shared(kind: Kind) -> bool {
    SHARED.contains(&kind)
}

/// Carries out steps, those of each kind in [`SHARED`] together, and marks the transaction. Without a transaction around
/// it, that stores them.
///
/// # Errors
/// Also if one of them did not find what it looks for, or the mark its row: then nothing is done.
pub(crate) async fn carry_out_shared(
    connection: &mut PgConnection,
    mark: Option<Mark>,
    parts: &[Vec<&Op>],
) -> Result<(), sqlx::Error> {
    let (mut arguments, mut choice): (_, Choice) = (PgArguments::default(), 0);
    if let Some(Mark { place, batch }) = mark {
        Cell::Id(place).bind(&mut arguments)?;
        Cell::Int(batch).bind(&mut arguments)?;
    }
    for (n, (kind, ops)) in SHARED.into_iter().zip(parts).enumerate() {
        if ops.is_empty() {
            continue;
        }
        choice |= 1 << n;
        bind(&STATEMENTS[kind as usize], ops, &mut arguments)?;
        if is_counted(kind) {
            Cell::limit(ops.len()).bind(&mut arguments)?;
        }
    }
    let sql = AssertSqlSafe(text(choice, mark.is_some()));
    let done = sqlx::query_with(sql, arguments).execute(connection).await;
    done.map(|_| ())
}

/// What the server is asked to take for a number, so that it refuses: this, and which kind did not fit.
const UNFIT: &str = ", but a commit of optio met a row that somebody else has changed: ";

/// The kinds whose steps did not find what they look for, if that is what the error says.
pub(crate) fn unfit(error: &sqlx::Error) -> Option<Vec<Kind>> {
    let message = error.as_database_error()?.message();
    let kinds = message.split(UNFIT).skip(1).map(|told| {
        let told = told.split_once(';')?.0;
        SHARED.into_iter().find(|kind| told == format!("{kind:?}"))
    });
    let kinds: Vec<Kind> = kinds.collect::<Option<_>>()?;
    (!kinds.is_empty()).then_some(kinds)
}

fn is_counted(kind: Kind) -> bool {
    STATEMENTS[kind as usize].expect == Expect::All
}

fn text(choice: Choice, marked: bool) -> Arc<str> {
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let text = texts.entry((choice, marked)).or_insert_with(|| {
        let kinds = SHARED.into_iter().enumerate();
        let chosen = kinds.filter(|(n, _)| choice & (1 << n) != 0);
        let chosen: Vec<Kind> = chosen.map(|(_, kind)| kind).collect();
        together(&chosen, marked)
    });
    Arc::clone(text)
}

/// The statements of these kinds as parts of one, which fails unless each has found as many rows as it should.
fn together(kinds: &[Kind], marked: bool) -> Arc<str> {
    let (mut parts, mut told, mut given) = (Vec::new(), vec!["'1'".to_owned()], 0);
    let unless =
        |fits: String, kind: String| format!("CASE WHEN {fits} THEN '' ELSE '{UNFIT}{kind};' END");
    if marked {
        parts.push("mark AS (UPDATE writers SET batch = $2 WHERE id = $1 RETURNING 1)".to_owned());
        let fits = "(SELECT count(*) FROM mark) = 1".to_owned();
        told.push(unless(fits, "its own mark".to_owned()));
        given = 2;
    }
    for (n, kind) in kinds.iter().enumerate() {
        let statement = &STATEMENTS[*kind as usize];
        let sql = renumbered(&statement.sql, given);
        given += statement.columns.len();
        if is_counted(*kind) {
            given += 1;
            let found = if sql.starts_with("SELECT") {
                ""
            } else {
                " RETURNING 1"
            };
            parts.push(format!("part{n} AS ({sql}{found})"));
            let fits = format!("(SELECT count(*) FROM part{n}) = ${given}");
            told.push(unless(fits, format!("{kind:?}")));
        } else {
            parts.push(format!("part{n} AS ({sql})"));
        }
    }
    // SQL has no shorter way to fail, and the server's log may show why it does
    let (parts, told) = (parts.join(", "), told.join(", "));
    format!("WITH {parts} SELECT concat({told})::int").into()
}

/// The same statement with the numbers of its values behind those of others.
fn renumbered(sql: &str, others: usize) -> String {
    let mut pieces = sql.split('$');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = piece[..digits].parse().unwrap_or_default();
        text.push_str(&format!("${}{}", number + others, &piece[digits..]));
    }
    text
}

/// The statements of each kind by itself and of all together, to look at their plans.
#[cfg(test)]
pub(super) fn texts() -> impl Iterator<Item = Arc<str>> {
    let alone = (0..SHARED.len()).map(|n| text(1 << n, true));
    let all = (1 << SHARED.len()) - 1;
    alone.chain([text(all, false), text(all, true)])
}
