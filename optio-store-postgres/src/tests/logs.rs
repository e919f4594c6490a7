//! Logs that take several rows: written at once, read in pages that cross them, and removed.

use optio_core::{
    ErrorKind,
    conformance::sample,
    run::{Run, RunOutcome, RunPhase},
    store::{Commit, RemovedLog, Store, Write},
    transcript::{LogCursor, LogEntry},
};

use super::server::Database;
use crate::PostgresStore;

/// More than two full rows.
const ENTRIES: u64 = 1200;

fn entry(seq: u64) -> LogEntry {
    sample::log_entry(1, seq, &format!("entry {seq}"))
}

fn ended(n: u64) -> Run {
    let mut run = sample::run(n, n);
    run.phase = RunPhase::Ended {
        outcome: RunOutcome::Cancelled { rescue: None },
        at: sample::at(30),
    };
    run
}

/// A run that has ended, and its log, in one commit.
async fn with_log(store: &PostgresStore) {
    let commit = Commit::new().with(Write::NewRun(ended(1))).with(Write::Log(
        sample::task_id(1),
        (1..=ENTRIES).map(entry).collect(),
    ));
    store.commit(commit).await.unwrap();
}

fn remove(through: Option<u64>) -> Commit {
    Commit::new().with(Write::RemoveLog(RemovedLog {
        run: sample::run_id(1),
        task: sample::task_id(1),
        number: 1,
        through,
        notice: Some(notice()),
    }))
}

fn notice() -> LogEntry {
    LogEntry::removed(1, sample::at(100))
}

async fn whole(store: &PostgresStore) -> Vec<LogEntry> {
    let log = store.log(sample::task_id(1), LogCursor::default(), 9999);
    log.await.unwrap()
}

async fn rows(database: &Database) -> Vec<(i64, i64)> {
    let mut connection = database.connection().await;
    sqlx::query_as("SELECT first, last FROM log_batches ORDER BY first")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_log_of_several_rows_is_read_as_if_it_were_one() {
    let database = Database::create().await;
    let store = database.store().await;
    with_log(&store).await;
    // entries that came later, one by one
    for seq in ENTRIES + 1..=ENTRIES + 3 {
        let one = Write::Log(sample::task_id(1), vec![entry(seq)]);
        store.commit(Commit::new().with(one)).await.unwrap();
    }
    assert_eq!(
        rows(&database).await[..4],
        [(1, 512), (513, 1024), (1025, 1200), (1201, 1201)]
    );
    let all: Vec<LogEntry> = (1..=ENTRIES + 3).map(entry).collect();
    let task = sample::task_id(1);
    for limit in [1, 2, 511, 512, 513, 1024, 1025, 1202, 1203, 9999] {
        let shown = limit.min(all.len());
        let head = store.log(task, LogCursor::default(), limit).await.unwrap();
        assert_eq!(head, all[..shown], "the first {limit}");
        let tail = store.log_tail(task, limit).await.unwrap();
        assert_eq!(tail, all[all.len() - shown..], "the last {limit}");
        // from the last entry of a row, from within one, and from the first
        for after in [100, 512, 513, 1023, 1200, 1203] {
            let cursor = LogCursor { run: 1, seq: after };
            let page = store.log(task, cursor, limit).await.unwrap();
            let rest = &all[usize::try_from(after).unwrap()..];
            let expected = &rest[..limit.min(rest.len())];
            assert_eq!(page, expected, "{limit} behind {after}");
        }
    }
    for size in [100, 511, 512, 513] {
        let mut read = Vec::new();
        loop {
            let after = read
                .last()
                .map_or(LogCursor::default(), |entry: &LogEntry| entry.cursor);
            let page = store.log(task, after, size).await.unwrap();
            if page.is_empty() {
                break;
            }
            read.extend(page);
        }
        assert_eq!(read, all, "in pages of {size}");
    }
}

#[tokio::test]
async fn a_log_of_several_rows_goes_row_by_row() {
    let database = Database::create().await;
    let store = database.store().await;
    with_log(&store).await;
    let all: Vec<LogEntry> = (1..=ENTRIES).map(entry).collect();
    // the row that holds entry 100 holds 512, and goes with the last of them
    store.commit(remove(Some(100))).await.unwrap();
    assert_eq!(whole(&store).await, all);
    let removed = |rest: &[LogEntry]| [&[notice()], rest].concat();
    for through in [600, 600, 512, 1] {
        store.commit(remove(Some(through))).await.unwrap();
        let left = removed(&all[512..]);
        assert_eq!(whole(&store).await, left, "{through}");
        let tail = store.log_tail(sample::task_id(1), 689).await.unwrap();
        assert_eq!(tail, left, "{through}");
        // who stood in the middle of what is gone reads on behind it
        let middle = LogCursor { run: 1, seq: 77 };
        let page = store.log(sample::task_id(1), middle, 3).await.unwrap();
        assert_eq!(page, all[512..515], "{through}");
    }
    let old = store.old_logs(sample::at(99), 9).await.unwrap();
    assert_eq!(old.len(), 1);
    for _ in 0..2 {
        store.commit(remove(None)).await.unwrap();
        assert_eq!(whole(&store).await, [notice()]);
        assert_eq!(rows(&database).await, [(1, 1)]);
        assert_eq!(store.old_logs(sample::at(99), 9).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_log_that_two_replicas_remove_at_once_is_removed_once() {
    let database = Database::create().await;
    let (a, b) = (database.store().await, database.store().await);
    with_log(&a).await;
    let all: Vec<LogEntry> = (1..=ENTRIES).map(entry).collect();
    let without = |gone: usize| [&[notice()], &all[gone..]].concat();
    let mut before = all.clone();
    for (through, gone) in [(Some(600), 512), (Some(1100), 1024), (None, 1200)] {
        let (first, second, read) = tokio::join!(
            a.commit(remove(through)),
            b.commit(remove(through)),
            whole(&b)
        );
        first.unwrap();
        second.unwrap();
        let after = without(gone);
        // never half of it
        assert!(read == before || read == after, "{} entries", read.len());
        assert_eq!(whole(&a).await, after);
        before = after;
    }
}

#[tokio::test]
async fn the_log_of_a_run_that_is_live_is_kept() {
    let database = Database::create().await;
    let store = database.store().await;
    let (live, task) = (sample::run(1, 1), sample::task_id(1));
    let log = Write::Log(task, vec![entry(1), entry(2)]);
    let commit = Commit::new().with(Write::NewRun(live.clone())).with(log);
    store.commit(commit).await.unwrap();
    for through in [Some(1), None] {
        let error = store.commit(remove(through)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("has not ended"), "{error}");
        assert_eq!(whole(&store).await, [entry(1), entry(2)]);
    }
    let mut commit = remove(None).guarded(live.id, live.epoch);
    commit.writes.insert(0, Write::Run(ended(1)));
    store.commit(commit).await.unwrap();
    assert_eq!(whole(&store).await, [notice()]);
}
