//! Runs that change hands: their stored epoch and lease become the given ones, and all else stays as it is stored.
//!
//! The rows are locked, read and written back. Postgres could change the bodies by itself only as `jsonb`, which cannot
//! hold every text that ours may.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, PgConnection, error::BoxDynError, postgres::PgArguments};
use uuid::Uuid;

use crate::{
    cell::{Cell, Type},
    op::Op,
};

use super::{Expect, Statement, given};

/// Which of a run's cells holds the epoch.
const EPOCH: usize = 3;

/// Writes back epochs and bodies of rows that are locked.
pub(super) const WRITE: &str = "UPDATE runs SET epoch = given.c2, body = given.c3 \
     FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS given (c1, c2, c3) WHERE runs.id = given.c1";

/// Locks the runs that may change hands, and reads them.
pub(super) fn statement() -> Statement {
    let columns = vec![Type::Id, Type::Int];
    Statement {
        sql: format!(
            "SELECT runs.id, runs.body FROM runs, {} \
             WHERE runs.id = given.c1 AND runs.epoch = given.c2 - 1 AND runs.live \
             FOR NO KEY UPDATE OF runs",
            given(&columns)
        )
        .into(),
        columns,
        expect: Expect::All,
    }
}

/// Hands runs over. False if one of them cannot change hands.
pub(super) async fn carry_out(
    connection: &mut PgConnection,
    lock: &Arc<str>,
    ops: &[&Op],
) -> Result<bool, sqlx::Error> {
    let column = |n: usize| {
        ops.iter()
            .map(move |op| op.cells.get(n).unwrap_or(&Cell::Null))
    };
    let mut arguments = PgArguments::default();
    Cell::bind_column(Type::Id, column(0), &mut arguments)?;
    Cell::bind_column(Type::Int, column(EPOCH), &mut arguments)?;
    let stored: Vec<(Uuid, String)> =
        sqlx::query_as_with(AssertSqlSafe(Arc::clone(lock)), arguments)
            .fetch_all(&mut *connection)
            .await?;
    if stored.len() != ops.len() {
        return Ok(false);
    }
    let stored: BTreeMap<Uuid, String> = stored.into_iter().collect();
    let mut bodies = Vec::with_capacity(ops.len());
    for op in ops {
        let (Some(Cell::Id(id)), Some(Cell::Text(given))) = (op.cells.first(), op.cells.last())
        else {
            return Ok(false);
        };
        let Some(stored) = stored.get(id) else {
            return Ok(false);
        };
        let body = handed_over(stored, given).map_err(sqlx::Error::Decode)?;
        bodies.push(Cell::Text(body));
    }
    let mut arguments = PgArguments::default();
    Cell::bind_column(Type::Id, column(0), &mut arguments)?;
    Cell::bind_column(Type::Int, column(EPOCH), &mut arguments)?;
    Cell::bind_column(Type::Text, bodies.iter(), &mut arguments)?;
    let written = sqlx::query_with(WRITE, arguments)
        .execute(connection)
        .await?;
    Ok(written.rows_affected() == ops.len() as u64)
}

/// The stored run with the epoch and the lease of the given one; the rest to the letter.
fn handed_over(stored: &str, given: &str) -> Result<String, BoxDynError> {
    let mut run: BTreeMap<&str, &RawValue> = serde_json::from_str(stored)?;
    let given: BTreeMap<&str, &RawValue> = serde_json::from_str(given)?;
    for field in ["epoch", "lease"] {
        run.insert(
            field,
            given.get(field).copied().ok_or("a run without a lease")?,
        );
    }
    Ok(serde_json::to_string(&run)?)
}
