//! What is stored survives: a restart, a crash at any byte, and damage is named.

use std::{path::Path, sync::Arc, time::Duration};

use optio_core::{
    ErrorKind, Optio, SystemClock,
    clock::later,
    engine::Ticked,
    memory::{FakeGit, MemoryAgent, MemoryForge, MemoryRuntime},
    store::{Commit, OutboxMessage, RunQuery, Store, TaskQuery, Write},
    transcript::LogCursor,
};
use optio_local::SqliteStore;

use super::{
    fixtures::{Ticking, at, audit, entries, outbox, queued, repo, run, task},
    opening::edit,
};

#[tokio::test]
async fn reopening_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optio.db");
    let clock = Ticking::default();
    let (one, shop) = (
        queued(task(&clock)),
        repo(&clock, "git@github.com:acme/shop.git"),
    );
    let (live, entry) = (run(&clock, &one), outbox(&clock, &one));
    let store = SqliteStore::open(&path).await.unwrap();
    store
        .commit(
            Commit::new()
                .with(Write::Task(one.clone()))
                .with(Write::Repo(shop.clone()))
                .with(Write::NewRun(live.clone()))
                .with(Write::Log(one.id, entries(1, 1..=200)))
                .with(Write::Audit(audit(&one, "submitted")))
                .with(Write::Outbox(entry.clone())),
        )
        .await
        .unwrap();
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    let kept = store.task(one.id).await.unwrap();
    assert_eq!((&kept.state, kept.version), (&one.state, 1));
    assert_eq!(store.run(live.id).await.unwrap(), live);
    let by_url = store
        .repo_by_url(&"https://github.com/Acme/shop".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(by_url.map(|repo| repo.id), Some(shop.id));
    let log = store.log(one.id, LogCursor::default(), 1000).await.unwrap();
    assert_eq!(log, entries(1, 1..=200));
    assert_eq!(
        store.history(one.id).await.unwrap(),
        [audit(&one, "submitted")]
    );
    let claimed = store.claim_outbox(at(8), at(9), 9).await.unwrap();
    assert_eq!(
        claimed.iter().map(|claimed| claimed.id).collect::<Vec<_>>(),
        [entry.id]
    );
}

#[tokio::test]
async fn a_damaged_record_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optio.db");
    let clock = Ticking::default();
    let rows = [
        ("UPDATE tasks SET state = 'running'", "task"),
        ("UPDATE tasks SET body = '{}'", "task"),
        ("UPDATE tasks SET version = 9", "task"),
        ("UPDATE runs SET epoch = 9", "run"),
        (
            "UPDATE repos SET body = replace(body, 'shop', 'stop')",
            "repos",
        ),
        (
            "UPDATE log SET body = replace(body, '\"1.2\"', '\"1.3\"')",
            "log",
        ),
        ("UPDATE audit SET body = 'x'", "history"),
        ("UPDATE outbox SET body = '[]'", "outbox"),
        ("UPDATE tasks SET state = 'asleep'", "counts"),
    ];
    let mut shown = Vec::new();
    for (sql, read) in rows {
        let _ = std::fs::remove_file(&path);
        let store = SqliteStore::open(&path).await.unwrap();
        let (one, shop) = (task(&clock), repo(&clock, "git@github.com:acme/shop.git"));
        let (live, entry) = (run(&clock, &one), outbox(&clock, &one));
        let ids = [
            (one.id.to_string(), "TASK"),
            (one.id.as_uuid().to_string(), "TASK"),
            (live.id.to_string(), "RUN"),
            (shop.id.to_string(), "REPO"),
            (entry.id.to_string(), "OUTBOX"),
        ];
        let commit = Commit::new()
            .with(Write::Task(one.clone()))
            .with(Write::Repo(shop))
            .with(Write::NewRun(live.clone()))
            .with(Write::Log(one.id, entries(1, 1..=2)))
            .with(Write::Audit(audit(&one, "submitted")))
            .with(Write::Outbox(entry));
        store.commit(commit).await.unwrap();
        store.close().await;
        edit(&path, sql).await;
        let store = SqliteStore::open(&path).await.unwrap();
        let error = match read {
            "task" => store.task(one.id).await.map(drop),
            "run" => store.runs(&RunQuery::default()).await.map(drop),
            "repos" => store.repos().await.map(drop),
            "log" => store.log_tail(one.id, 9).await.map(drop),
            "history" => store.history(one.id).await.map(drop),
            "outbox" => store.claim_outbox(at(8), at(9), 9).await.map(drop),
            _ => store.count_tasks().await.map(drop),
        }
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{sql}");
        shown.push(
            ids.iter()
                .fold(error.message().to_owned(), |text, (id, name)| {
                    text.replace(id, name)
                }),
        );
        store.close().await;
    }
    insta::assert_snapshot!(shown.join("\n"), @r#"
    TASK in the table tasks is damaged: its column state holds "running", its body pending
    TASK in the table tasks is damaged: its body cannot be read (missing field `id` at line 1 column 2)
    TASK in the table tasks is damaged: its column version holds 9, its body 1
    RUN in the table runs is damaged: its column epoch holds 9, its body 1
    REPO in the table repos is damaged: its column identity holds "github.com/acme/shop", its body "github.com/acme/stop"
    log entry 1.2 of TASK in the table log is damaged: its body says 1.3
    the history of TASK in the table audit is damaged: its body cannot be read (expected value at line 1 column 1)
    OUTBOX in the table outbox is damaged: its body cannot be read (invalid length 0, expected struct OutboxEntry with 5 elements at line 1 column 2)
    the table tasks is damaged: "asleep" is not a task state: expected one of pending, waiting_on_deps, queued, provisioning, running, needs_attention, pr_opened, completed, failed, cancelled
    "#);
}

/// How many pairs of a task and its line of history there are; fails if there is half of one.
async fn pairs(path: &Path) -> usize {
    let store = SqliteStore::open(path).await.unwrap();
    let tasks = store.tasks(&TaskQuery::default()).await.unwrap();
    for task in &tasks {
        assert_eq!(store.history(task.id).await.unwrap().len(), 1);
        assert_eq!(store.log_tail(task.id, 9).await.unwrap().len(), 2);
    }
    store.close().await;
    tasks.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_all_that_was_acknowledged_is_there_and_nothing_by_half() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optio.db");
    let store = Arc::new(SqliteStore::open(&path).await.unwrap());
    let commit = async |store: &SqliteStore, clock: &Ticking| {
        let new = task(clock);
        let commit = Commit::new()
            .with(Write::Audit(audit(&new, "submitted")))
            .with(Write::Log(new.id, entries(1, 1..=2)))
            .with(Write::Task(new));
        store.commit(commit).await
    };
    let clock = Arc::new(Ticking::default());
    for _ in 0..40 {
        commit(&store, &clock).await.unwrap();
    }
    // the crash: what is on the disk at some moment in the middle of writing, cut off anywhere
    let writer = tokio::spawn({
        let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
        async move { while commit(&store, &clock).await.is_ok() {} }
    });
    let database = std::fs::read(&path).unwrap();
    let log = std::fs::read(path.with_extension("db-wal")).unwrap();
    store.close().await;
    writer.await.unwrap();
    let crashed = tempfile::tempdir().unwrap();
    let copy = crashed.path().join("optio.db");
    let mut before = 0;
    for step in 0..=24 {
        let length = if step == 24 {
            log.len()
        } else {
            log.len() / 2 + log.len() / 48 * step + step
        };
        std::fs::write(&copy, &database).unwrap();
        std::fs::write(copy.with_extension("db-wal"), &log[..length]).unwrap();
        let now = pairs(&copy).await;
        assert!(now >= before, "a longer log holds at least as much");
        before = now;
    }
    assert!(before >= 40, "only {before} of at least 40 are there");
}

#[tokio::test]
async fn a_damaged_task_keeps_no_other_one_from_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optio.db");
    let clock = Ticking::default();
    let tasks: Vec<_> = (0..3).map(|_| queued(task(&clock))).collect();
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    let mut commit = Commit::new();
    for task in tasks {
        let entry = outbox(&clock, &task);
        commit = commit.with(Write::Task(task)).with(Write::Outbox(entry));
    }
    let store = SqliteStore::open(&path).await.unwrap();
    store.commit(commit).await.unwrap();
    store.close().await;
    let second = format!(
        "UPDATE tasks SET body = '{{}}' WHERE body LIKE '%{}%'",
        ids[1]
    );
    edit(&path, &second).await;

    let engine = engine_on(SqliteStore::open(&path).await.unwrap());
    while engine.tick_relay().await.unwrap() == Ticked::Worked {}
    let waiting = engine.ports().queue.waiting().await.unwrap();
    let waiting: Vec<_> = waiting.iter().map(|waiting| waiting.job.task).collect();
    assert_eq!(waiting, [ids[0], ids[2]]);
    let in_a_minute = later(engine.ports().clock.now(), Duration::from_secs(60));
    let put_off = engine
        .store()
        .claim_outbox(in_a_minute, in_a_minute, 9)
        .await;
    let put_off = put_off.unwrap();
    let owed: Vec<_> = put_off.into_iter().map(|entry| entry.message).collect();
    assert_eq!(owed, [OutboxMessage::SyncQueue { task: ids[1] }]);
}

fn engine_on(store: SqliteStore) -> Optio {
    let git = FakeGit::new();
    Optio::builder()
        .store(store)
        .forge(MemoryForge::new(git.clone(), Arc::new(SystemClock)))
        .runtime(MemoryRuntime::new(git))
        .agent(MemoryAgent::new())
        .build()
        .unwrap()
}
