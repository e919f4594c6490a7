//! The steps that append to a log and take from it.

use optio_core::{Result, id::TaskId, run::Run, store::RemovedLog, transcript::LogEntry};

use super::{Kind, Op, by_id};
use crate::{cell::Cell, log, record::Record as _};

/// How many log entries a row holds at most: what is read is read as a whole.
const LARGEST_BATCH: usize = 512;

/// Log entries of one run.
pub(super) fn append(task: TaskId, entries: &[LogEntry], ops: &mut Vec<Op>) -> Result<()> {
    let Some(first) = entries.first().map(|entry| entry.cursor) else {
        return Ok(());
    };
    let id = Cell::Id(task.as_uuid());
    let run = Cell::Int(first.run.into());
    let mut key = Some(("log", task.as_uuid(), first.run));
    if first.seq > 1 {
        ops.push(Op {
            kind: Kind::LogFollows,
            key: key.take(),
            cells: vec![id.clone(), run.clone(), Cell::count(first.seq - 1)],
        });
    }
    for batch in entries.chunks(LARGEST_BATCH) {
        let ends = [batch.first(), batch.last()].map(|entry| entry.map_or(0, |it| it.cursor.seq));
        ops.push(Op {
            kind: Kind::LogBatch,
            key: key.take(),
            cells: vec![
                id.clone(),
                run.clone(),
                Cell::count(ends[0]),
                Cell::count(ends[1]),
                log::pack(batch)?,
            ],
        });
    }
    Ok(())
}

/// Takes the beginning of a log away, and puts a notice in its place.
pub(super) fn remove(removed: RemovedLog, ops: &mut Vec<Op>) -> Result<()> {
    // with its key: a run that ends in the same commit ends before or after it, as the commit says
    ops.push(by_id(Kind::HasEnded, Run::TABLE, removed.run.as_uuid()));
    let log = [
        Cell::Id(removed.task.as_uuid()),
        Cell::Int(removed.number.into()),
    ];
    let mut push = |kind, cells: Vec<Cell>| {
        let key = None;
        ops.push(Op { kind, key, cells });
    };
    let through = Cell::count(removed.through.unwrap_or(u64::MAX));
    push(Kind::TrimLog, [&log[..], &[through]].concat());
    if let Some(notice) = removed.notice {
        let at = Cell::count(notice.cursor.seq);
        let rest = [at.clone(), at, log::pack(&[notice])?];
        push(Kind::LogNotice, [&log[..], &rest].concat());
    }
    if removed.through.is_none() {
        push(Kind::LogRemoved, vec![Cell::Id(removed.run.as_uuid())]);
    }
    Ok(())
}
