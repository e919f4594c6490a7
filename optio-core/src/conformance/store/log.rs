//! Logs: numbered without a gap, read from a cursor.

use serde_json::json;

use super::Store;
use crate::{
    conformance::{
        refused,
        sample::{self, HARD_TEXT},
    },
    error::ErrorKind::Conflict,
    failure::ReportedError,
    money::{Usage, Usd},
    run::{RunOutcome, RunPhase},
    store::{Commit, RemovedLog, Write},
    transcript::{LogCursor, LogEntry, LogStream, PlanItem, SessionId, TranscriptEvent, UsageOf},
};

/// Each run of a task counts from one. What leaves a gap, or comes again, is refused whole.
pub async fn log_entries_of_a_run_follow_on_without_a_gap(store: &Store) {
    append(store, 1, &[(1, 1), (1, 2)]).await.expect("commit");
    append(store, 1, &[(1, 3)]).await.expect("commit");
    append(store, 1, &[(2, 1), (2, 2)]).await.expect("commit");
    append(store, 2, &[(1, 1)]).await.expect("another task");
    append(store, 1, &[]).await.expect("nothing to add");
    for bad in [
        &[(1, 5)][..],
        &[(1, 3)],
        &[(2, 2), (2, 3)],
        &[(2, 3), (2, 5)],
        &[(3, 2)],
        &[(3, 0)],
    ] {
        assert_eq!(refused(append(store, 1, bad).await), Conflict, "{bad:?}");
    }
    assert_eq!(
        page(store, (0, 0), 100).await,
        [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]
    );
}

/// In steps, or at once; other runs and other tasks keep theirs.
pub async fn a_log_is_removed_from_its_beginning_and_says_so(store: &Store) {
    for seq in 1..=6 {
        append(store, 1, &[(1, seq)]).await.expect("commit");
    }
    append(store, 1, &[(2, 1), (2, 2)]).await.expect("commit");
    append(store, 2, &[(1, 1)]).await.expect("commit");
    let remove = async |through, notice| {
        let removed = RemovedLog {
            run: sample::run_id(1),
            task: sample::task_id(1),
            number: 1,
            through,
            notice,
        };
        store.put([Write::RemoveLog(removed)]).await;
    };
    let notice = LogEntry::removed(1, sample::at(100));
    let rest = [(2, 1), (2, 2)];
    for (through, left) in [
        (Some(4), &[(1, 1), (1, 5), (1, 6)][..]),
        (Some(4), &[(1, 1), (1, 5), (1, 6)]),
        (Some(5), &[(1, 1), (1, 6)]),
        (None, &[(1, 1)]),
        (None, &[(1, 1)]),
    ] {
        remove(through, Some(notice.clone())).await;
        let expected = [left, &rest].concat();
        assert_eq!(page(store, (0, 0), 100).await, expected, "{through:?}");
        let log = store
            .port()
            .log(sample::task_id(1), LogCursor::default(), 1);
        assert_eq!(log.await.expect("log"), std::slice::from_ref(&notice));
        let tail = store.port().log_tail(sample::task_id(1), 100).await;
        assert_eq!(cursors(&tail.expect("log_tail")), expected);
    }
    // who stood in the middle reads on behind what is gone
    assert_eq!(page(store, (1, 3), 100).await, rest);
    let other = store
        .port()
        .log(sample::task_id(2), LogCursor::default(), 9);
    assert_eq!(cursors(&other.await.expect("log")), [(1, 1)]);
}

/// Until it ends, be it in the same commit.
pub async fn the_log_of_a_run_that_is_live_is_kept(store: &Store) {
    let live = sample::run(1, 1);
    let entries = vec![sample::log_entry(1, 1, "x"), sample::log_entry(1, 2, "y")];
    let log = Write::Log(sample::task_id(1), entries);
    store.put([Write::NewRun(live.clone()), log]).await;
    let remove = |through| {
        Write::RemoveLog(RemovedLog {
            run: live.id,
            task: live.task,
            number: 1,
            through,
            notice: Some(LogEntry::removed(1, sample::at(100))),
        })
    };
    for through in [Some(1), None] {
        let refusal = refused(store.write([remove(through)]).await);
        assert_eq!(refusal, Conflict, "{through:?}");
    }
    let mut ended = live.clone();
    ended.phase = RunPhase::Ended {
        outcome: RunOutcome::Cancelled { rescue: None },
        at: sample::at(5),
    };
    let end = || Write::Run(ended.clone());
    let guarded = || Commit::new().guarded(live.id, live.epoch);
    let too_early = guarded().with(remove(None)).with(end());
    assert_eq!(refused(store.port().commit(too_early).await), Conflict);
    assert_eq!(page(store, (0, 0), 9).await, [(1, 1), (1, 2)]);
    let in_time = guarded().with(end()).with(remove(None));
    store.port().commit(in_time).await.expect("commit");
    assert_eq!(page(store, (0, 0), 9).await, [(1, 1)]);
    let old = store.port().old_logs(sample::at(99), 9).await;
    assert_eq!(old.expect("old_logs"), []);
}

/// Those that have ended, the one that ended first before all others.
pub async fn runs_with_old_logs_are_found_until_those_are_removed(store: &Store) {
    let ended = |n: u64, at: u64| {
        let mut run = sample::run(n, n);
        run.phase = RunPhase::Ended {
            outcome: RunOutcome::Cancelled { rescue: None },
            at: sample::at(at),
        };
        run
    };
    let runs = [ended(1, 30), ended(2, 10), ended(3, 20), sample::run(4, 4)];
    store.put(runs.map(Write::NewRun)).await;
    let old = async |before, limit| {
        let old = store.port().old_logs(sample::at(before), limit).await;
        let old = old.expect("old_logs").into_iter().map(|run| run.id);
        old.collect::<Vec<_>>()
    };
    let ids = |ns: &[u64]| ns.iter().map(|n| sample::run_id(*n)).collect::<Vec<_>>();
    assert_eq!(old(10, 9).await, ids(&[]));
    assert_eq!(old(30, 9).await, ids(&[2, 3]));
    assert_eq!(old(31, 9).await, ids(&[2, 3, 1]));
    assert_eq!(old(31, 2).await, ids(&[2, 3]));
    assert_eq!(old(31, 0).await, ids(&[]));
    let remove = |n: u64, through| RemovedLog {
        run: sample::run_id(n),
        task: sample::task_id(n),
        number: 1,
        through,
        notice: None,
    };
    store
        .put([
            Write::RemoveLog(remove(2, Some(1))),
            Write::RemoveLog(remove(3, None)),
        ])
        .await;
    assert_eq!(old(99, 9).await, ids(&[2, 1]));
    // one that was live when it was stored as well
    let live = sample::run(4, 4);
    let mut gone = live.clone();
    gone.phase = ended(4, 5).phase;
    let commit = Commit::new().guarded(live.id, live.epoch);
    let committed = store.port().commit(commit.with(Write::Run(gone))).await;
    committed.expect("commit");
    assert_eq!(old(99, 9).await, ids(&[4, 2, 1]));
}

/// Pages join without gap or double, over the border between runs.
pub async fn a_log_is_read_in_pages_behind_a_cursor(store: &Store) {
    append(store, 1, &[(1, 1), (1, 2), (1, 3)])
        .await
        .expect("commit");
    append(store, 1, &[(2, 1), (2, 2)]).await.expect("commit");
    append(store, 2, &[(1, 1)]).await.expect("commit");
    assert_eq!(page(store, (0, 0), 2).await, [(1, 1), (1, 2)]);
    assert_eq!(page(store, (1, 2), 2).await, [(1, 3), (2, 1)]);
    assert_eq!(page(store, (2, 1), 2).await, [(2, 2)]);
    assert_eq!(page(store, (2, 2), 2).await, []);
    // a cursor need not be that of an entry
    assert_eq!(page(store, (1, 100), 1).await, [(2, 1)]);
    assert_eq!(page(store, (0, 0), 0).await, []);
}

/// Across runs.
pub async fn the_tail_of_a_log_is_its_last_entries_ascending(store: &Store) {
    append(store, 1, &[(1, 1), (1, 2)]).await.expect("commit");
    append(store, 1, &[(2, 1)]).await.expect("commit");
    for (limit, expected) in [
        (0, &[][..]),
        (2, &[(1, 2), (2, 1)]),
        (9, &[(1, 1), (1, 2), (2, 1)]),
    ] {
        let tail = store.port().log_tail(sample::task_id(1), limit).await;
        assert_eq!(cursors(&tail.expect("log_tail")), expected);
    }
}

/// Each event, with text that holds a NUL, quotes, line ends and every kind of letter.
pub async fn every_kind_of_log_entry_is_read_back_whole(store: &Store) {
    let text = format!("a\u{0}b \u{1b}[31m {HARD_TEXT}");
    let events = [
        TranscriptEvent::Session {
            id: SessionId(text.clone()),
            model: Some("opus".to_owned()),
            version: None,
        },
        TranscriptEvent::Model { name: text.clone() },
        TranscriptEvent::Text { text: text.clone() },
        TranscriptEvent::Thinking {
            text: String::new(),
        },
        TranscriptEvent::ToolCall {
            id: "1".to_owned(),
            name: "Bash".to_owned(),
            input: json!({"command": text, "nested": [null, 1.5, -3, {"": true}]}),
        },
        TranscriptEvent::ToolResult {
            id: "1".to_owned(),
            output: text.repeat(1_000),
            failed: true,
        },
        TranscriptEvent::Plan {
            items: vec![PlanItem {
                text: text.clone(),
                done: true,
            }],
        },
        TranscriptEvent::System { text: text.clone() },
        TranscriptEvent::Usage {
            total: Usage {
                cost: Usd::from_micros(1_234_567),
                input_tokens: 3,
                cached_tokens: 2,
                output_tokens: 1,
            },
            of: UsageOf::Session,
        },
        TranscriptEvent::RateLimit {
            resets_at: Some(sample::at(3)),
            refused: true,
        },
        TranscriptEvent::Error {
            error: ReportedError {
                kind: Some("overloaded".to_owned()),
                http_status: Some(529),
                message: text.clone(),
                resets_at: None,
            },
        },
        TranscriptEvent::Result {
            failed: false,
            summary: text.clone(),
        },
        TranscriptEvent::Raw { text: text.clone() },
    ];
    let streams = [LogStream::Stdout, LogStream::Stderr, LogStream::Optio];
    let entries: Vec<_> = (1..)
        .zip(events)
        .zip(streams.into_iter().cycle())
        .map(|((seq, event), stream)| LogEntry {
            cursor: LogCursor { run: 1, seq },
            at: sample::at(seq),
            stream,
            event,
            original: Some(text.clone()),
        })
        .collect();
    let task = sample::task_id(1);
    store.put([Write::Log(task, entries.clone())]).await;
    let stored = store.port().log(task, LogCursor::default(), 100).await;
    assert_eq!(stored.expect("log"), entries);
    let tail = store.port().log_tail(task, 100).await;
    assert_eq!(tail.expect("log_tail"), entries);
}

async fn append(store: &Store, task: u64, at: &[(u32, u64)]) -> crate::error::Result<()> {
    let entries = at
        .iter()
        .map(|(run, seq)| sample::log_entry(*run, *seq, "x"))
        .collect();
    store
        .write([Write::Log(sample::task_id(task), entries)])
        .await
}

async fn page(store: &Store, (run, seq): (u32, u64), limit: usize) -> Vec<(u32, u64)> {
    let after = LogCursor { run, seq };
    let page = store.port().log(sample::task_id(1), after, limit).await;
    cursors(&page.expect("log"))
}

fn cursors(entries: &[LogEntry]) -> Vec<(u32, u64)> {
    let cursors = entries.iter().map(|entry| entry.cursor);
    cursors.map(|cursor| (cursor.run, cursor.seq)).collect()
}
