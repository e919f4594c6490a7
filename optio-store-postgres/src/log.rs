//! Logs as rows: the entries of one commit, packed together.
//!
//! Agents write much, and all that is asked of it is to be read again in order; so a row holds a batch. That spares the
//! server a row and two index entries for each line, and the network and the disk most of the bytes.

use std::borrow::Cow;

use sqlx::{Row as _, postgres::PgRow};

use optio_core::{
    Error, ErrorKind, Result,
    id::TaskId,
    transcript::{LogCursor, LogEntry},
};

use crate::{BACKEND, cell::Cell, query::Query};

/// Bodies that are smaller than this are not packed.
const WORTH_PACKING: usize = 256;
/// The first byte of a body.
const PLAIN: u8 = 0;
const PACKED: u8 = 1;

/// What a batch holds: a byte that says how, then the entries as lines of JSON.
pub(crate) fn pack(entries: &[LogEntry]) -> Result<Cell> {
    let mut lines = vec![PLAIN];
    for entry in entries {
        if lines.len() > 1 {
            lines.push(b'\n');
        }
        serde_json::to_writer(&mut lines, entry).map_err(|error| {
            let message = format!("a log entry cannot be written as JSON: {error}");
            Error::new(ErrorKind::Invalid, BACKEND, message)
        })?;
    }
    if lines.len() < WORTH_PACKING {
        return Ok(Cell::Bytes(lines.into()));
    }
    let packed = lz4_flex::compress_prepend_size(&lines[1..]);
    let mut body = Vec::with_capacity(packed.len() + 1);
    body.push(PACKED);
    body.extend_from_slice(&packed);
    Ok(Cell::Bytes(body.into()))
}

fn unpack(body: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    match body.split_first() {
        Some((&PLAIN, lines)) => Ok(Cow::Borrowed(lines)),
        Some((&PACKED, packed)) => match lz4_flex::block::uncompressed_size(packed) {
            // LZ4 makes nothing smaller than a 255th
            Ok((size, rest)) if size / 255 > rest.len() => {
                Err(format!("the body cannot hold {size} bytes"))
            }
            _ => lz4_flex::decompress_size_prepended(packed)
                .map(Cow::Owned)
                .map_err(|error| format!("the body cannot be unpacked ({error})")),
        },
        _ => Err("the body is packed in a way that nobody knows".to_owned()),
    }
}

/// The batches that hold the entries behind a cursor, and no more of them than are needed for `limit` entries.
pub(crate) fn behind(task: TaskId, after: LogCursor, limit: usize) -> Query {
    Query::new(
        "SELECT run, first, last, body FROM (\
           SELECT run, first, last, body, sum(last - CASE WHEN run = $2 THEN greatest(first - 1, $3) ELSE first - 1 END) \
             OVER (ORDER BY run, last ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before \
           FROM log_batches WHERE task = $1 AND (run, last) > ($2, $3) ORDER BY run, last LIMIT $4) AS page \
         WHERE coalesce(before, 0) < $4 ORDER BY run, last",
        [
            Cell::Id(task.as_uuid()),
            Cell::Int(after.run.into()),
            Cell::count(after.seq),
            Cell::limit(limit),
        ],
    )
}

/// The last batches, and no more of them than are needed for `limit` entries; the last one first.
pub(crate) fn tail(task: TaskId, limit: usize) -> Query {
    Query::new(
        "SELECT run, first, last, body FROM (\
           SELECT run, first, last, body, sum(last - first + 1) \
             OVER (ORDER BY run DESC, last DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS behind \
           FROM log_batches WHERE task = $1 ORDER BY run DESC, last DESC LIMIT $2) AS page \
         WHERE coalesce(behind, 0) < $2 ORDER BY run DESC, last DESC",
        [Cell::Id(task.as_uuid()), Cell::limit(limit)],
    )
}

/// The entries of a row.
///
/// # Errors
/// `Corrupt`, naming the row, if the body does not hold the entries that the columns speak of.
pub(crate) fn entries(task: TaskId, row: &PgRow) -> Result<Vec<LogEntry>> {
    let place = |column| row.try_get::<i64, _>(column).unwrap_or(-1);
    let (run, first, last) = (place(0), place(1), place(2));
    read(row, (run, first, last)).map_err(|reason| {
        let batch = format!("log entries {run}.{first} to {run}.{last} of {task}");
        let message = format!("{batch} in the table log_batches are damaged: {reason}");
        Error::corrupt(BACKEND, message)
    })
}

fn read(row: &PgRow, (run, first, last): (i64, i64, i64)) -> Result<Vec<LogEntry>, String> {
    let body: &[u8] = row
        .try_get(3)
        .map_err(|error| format!("there is no body ({error})"))?;
    let lines = unpack(body)?;
    let entries: Vec<LogEntry> = lines
        .split(|byte| *byte == b'\n')
        .map(serde_json::from_slice)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the body cannot be read ({error})"))?;
    let mut expected = first..=last;
    for entry in &entries {
        let here = (i64::from(entry.cursor.run), Some(entry.cursor.seq));
        let place = expected.next().and_then(|seq| u64::try_from(seq).ok());
        if here != (run, place) {
            return Err(format!("the body says {}", entry.cursor));
        }
    }
    match expected.next() {
        Some(missing) => Err(format!("the body ends before {run}.{missing}")),
        None => Ok(entries),
    }
}
