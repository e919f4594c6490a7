//! Kinds of steps that mostly come together, as one statement: each statement is a way to the server and back, which costs
//! both sides more than many rows do.
//!
//! All parts of such a statement see the tables as they were before it, so no two of its steps may be about one row.

use std::sync::{Arc, LazyLock};

use sqlx::{AssertSqlSafe, PgConnection, postgres::PgArguments};

use crate::op::{Kind, Op};

use super::{Expect, STATEMENTS, bind};

/// Which kinds share a statement: what nearly every commit has, and what comes of a run that begins, goes on or ends. The
/// first of each says when all of them are carried out.
const SHARED: [&[Kind]; 2] = [
    &[
        Kind::NewTask,
        Kind::Task,
        Kind::Audit,
        Kind::NewOutbox,
        Kind::Delivered,
    ],
    &[Kind::NewRun, Kind::Run, Kind::NewWorkspace, Kind::Workspace],
];

static TEXTS: LazyLock<[Arc<str>; 2]> = LazyLock::new(|| SHARED.map(text));

/// A statement of several parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shared(usize);

impl Shared {
    /// The statement in which steps of this kind have a part, if there is one.
    pub(crate) fn of(kind: Kind) -> Option<Self> {
        let holds = |kinds: &&[Kind]| kinds.contains(&kind);
        SHARED.iter().position(holds).map(Self)
    }

    /// The kinds of its parts.
    pub(crate) fn kinds(self) -> &'static [Kind] {
        SHARED[self.0]
    }
}

/// Carries out steps, those of each part of the statement together. False if one of them did not find what it looks for;
/// then the caller rolls back.
pub(crate) async fn carry_out_shared(
    connection: &mut PgConnection,
    shared: Shared,
    parts: &[Vec<&Op>],
) -> Result<bool, sqlx::Error> {
    let mut arguments = PgArguments::default();
    let statements = || {
        shared
            .kinds()
            .iter()
            .map(|kind| &STATEMENTS[*kind as usize])
    };
    for (statement, ops) in statements().zip(parts) {
        bind(statement, ops, &mut arguments)?;
    }
    let text = Arc::clone(&TEXTS[shared.0]);
    let done: Vec<i64> = sqlx::query_scalar_with(AssertSqlSafe(text), arguments)
        .fetch_one(connection)
        .await?;
    let mut all = statements().zip(parts).zip(done);
    Ok(all.all(|((statement, ops), done)| {
        statement.expect == Expect::Anything || usize::try_from(done) == Ok(ops.len())
    }))
}

/// The statements of these kinds as parts of one, which answers how many rows each of them has changed.
fn text(kinds: &[Kind]) -> Arc<str> {
    let (mut parts, mut counts, mut given) = (Vec::new(), Vec::new(), 0);
    for (n, kind) in kinds.iter().enumerate() {
        let statement = &STATEMENTS[*kind as usize];
        let sql = renumbered(&statement.sql, given);
        parts.push(format!("part{n} AS ({sql} RETURNING 1)"));
        counts.push(format!("(SELECT count(*) FROM part{n})"));
        given += statement.columns.len();
    }
    let (parts, counts) = (parts.join(", "), counts.join(", "));
    format!("WITH {parts} SELECT ARRAY[{counts}]").into()
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

/// Every statement text, to look at their plans.
#[cfg(test)]
pub(super) fn texts() -> impl Iterator<Item = Arc<str>> {
    TEXTS.iter().cloned()
}
