//! The two small changes that answer with what they found: outbox entries are claimed, and leases taken.

use sqlx::{Row as _, postgres::PgRow};

use optio_core::{Result, Timestamp, run::WorkerId, store::OutboxEntry};

use crate::{
    cell::Cell,
    error::{unreadable, unwritable},
    pool::Pool,
    query::Query,
    record, schema,
};

/// Due entries that nobody else is claiming at this moment; or, in place of an entry, the schema of a newer optio that has
/// migrated the database: it knows what they are about.
///
/// Entries that were put off are walked past: some milliseconds at ten thousand of them, as whoever is told of tasks may
/// leave behind in a day. To spare that would take an index that each claim changes, and each entry is claimed.
pub(crate) const CLAIM: &str = "WITH newer AS MATERIALIZED (\
       SELECT max(version) AS version FROM _sqlx_migrations WHERE success HAVING max(version) > $4), \
     due AS MATERIALIZED (\
       SELECT id FROM outbox WHERE due_at <= $2 AND NOT EXISTS (SELECT FROM newer) \
       ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED), \
     claimed AS (\
       UPDATE outbox SET due_at = $1, attempts = attempts + 1 WHERE id = ANY (ARRAY(SELECT id FROM due)) \
       RETURNING id, not_before, attempts, body) \
     SELECT id, not_before, attempts, body, NULL::bigint FROM claimed \
     UNION ALL SELECT NULL, NULL, NULL, NULL, version FROM newer";

/// Claims outbox entries.
pub(crate) async fn claim(
    pool: &Pool,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
) -> Result<Vec<OutboxEntry>> {
    let cells = [
        Cell::time(until),
        Cell::time(now),
        Cell::limit(limit),
        Cell::Int(schema::newest()),
    ];
    let rows = Query::new(CLAIM, cells)
        .fetch(pool)
        .await
        .map_err(unwritable)?;
    refuse_newer(&rows, 4)?;
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

/// Refuses an answer that holds the schema of a newer optio in this column.
fn refuse_newer(rows: &[PgRow], column: usize) -> Result<()> {
    let mut newer = rows.iter().filter_map(|row| row.try_get(column).ok());
    newer
        .next()
        .map_or(Ok(()), |version| Err(schema::outdated(version)))
}

fn outbox_entry(row: &PgRow) -> Result<OutboxEntry> {
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

/// One row if the lease is taken; or the schema of a newer optio that has migrated the database: who can write nothing
/// must not keep a share of the work from those who can.
pub(crate) const LEASE: &str = "WITH newer AS MATERIALIZED (\
       SELECT max(version) AS version FROM _sqlx_migrations WHERE success HAVING max(version) > $5), \
     taken AS (\
       INSERT INTO leases (name, holder, until) SELECT $1::text, $2::text, $3::bigint WHERE NOT EXISTS (SELECT FROM newer) \
       ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until \
       WHERE leases.holder = excluded.holder OR leases.until <= $4 RETURNING 1) \
     SELECT NULL::bigint FROM taken UNION ALL SELECT version FROM newer";

/// Takes or renews a lease.
pub(crate) async fn lease(
    pool: &Pool,
    name: &str,
    holder: &WorkerId,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool> {
    let cells = [
        Cell::text(name),
        Cell::text(&holder.0),
        Cell::time(until),
        Cell::time(now),
        Cell::Int(schema::newest()),
    ];
    let taken = Query::new(LEASE, cells)
        .fetch(pool)
        .await
        .map_err(unwritable)?;
    refuse_newer(&taken, 0)?;
    Ok(!taken.is_empty())
}
