//! What an older optio has written is read by this one: for each schema, rows as that one had them.

use optio_core::{
    clock::later,
    conformance::sample,
    run::Run,
    store::{Commit, RunQuery, Store, TaskQuery, Write},
    transcript::LogCursor,
};
use sqlx::Connection as _;

use super::server::Database;
use crate::{PostgresStore, schema};

/// For each schema but the present one the files that fill it.
const FILLED: &[&[&str]] = &[
    &[include_str!("rows/0001.sql")],
    &[include_str!("rows/0001.sql"), include_str!("rows/0002.sql")],
    &[include_str!("rows/0003.sql")],
    // which has other indexes, and the same rows
    &[include_str!("rows/0003.sql")],
];

#[tokio::test]
async fn what_each_older_schema_holds_is_there_in_the_present_one() {
    assert_eq!(
        i64::try_from(FILLED.len()).unwrap() + 1,
        schema::newest(),
        "a new migration needs rows of the schema before it"
    );
    let mut shown = Vec::new();
    for (version, files) in (1..).zip(FILLED) {
        let database = Database::create().await;
        let mut connection = database.connection().await;
        schema::migrate_up_to(&mut connection, version).await;
        for file in *files {
            database.run(file).await;
        }
        connection.close().await.unwrap();
        let store = database.store().await;
        shown.push(format!("schema {version}"));
        show(&store, &mut shown).await;
        goes_on(&store).await;
    }
    insta::assert_snapshot!(shown.join("\n"), @r#"
    schema 1
    task_01j0000001e008000000000001 pending
    run_01j0000001e008000000000001 preparing None
    run_01j0000002e008000000000002 ended Some("2025-01-01T00:01:30.123456Z")
    run_01j0000003e008000000000003 ended Some("2025-01-01T00:01:35Z")
    run_01j0000004e008000000000004 ended Some("2025-01-01T00:01:40.5Z")
    repo_01j0000001e008000000000001 https://git.example/acme/shop-1
    ws_01j0000001e008000000000001 in place 0, takes runs: true
    ws_01j0000003e008000000000003 in place 0, takes runs: false
    ws_01j0000002e008000000000002 in place 1, takes runs: true
    sched_01j0000001e008000000000001 nightly 1
    hook_01j0000001e008000000000001 https://hooks.example/1
    history submitted
    history seen
    log 1.1 Text { text: "a\0b" }
    log 1.2 Text { text: "second" }
    schema 2
    task_01j0000001e008000000000001 pending
    run_01j0000001e008000000000001 preparing None
    run_01j0000002e008000000000002 ended Some("2025-01-01T00:01:30.123456Z")
    run_01j0000003e008000000000003 ended Some("2025-01-01T00:01:35Z")
    run_01j0000004e008000000000004 ended Some("2025-01-01T00:01:40.5Z")
    repo_01j0000001e008000000000001 https://git.example/acme/shop-1
    ws_01j0000001e008000000000001 in place 0, takes runs: true
    ws_01j0000003e008000000000003 in place 0, takes runs: false
    ws_01j0000002e008000000000002 in place 1, takes runs: true
    sched_01j0000001e008000000000001 nightly 1
    hook_01j0000001e008000000000001 https://hooks.example/1
    history submitted
    history seen
    log 1.1 Text { text: "a\0b" }
    log 1.2 Text { text: "second" }
    pause of anthropic:me
    schema 3
    task_01j0000001e008000000000001 pending
    run_01j0000001e008000000000001 preparing None
    run_01j0000002e008000000000002 ended Some("2025-01-01T00:01:30.123456Z")
    run_01j0000003e008000000000003 ended Some("2025-01-01T00:01:35Z")
    run_01j0000004e008000000000004 ended Some("2025-01-01T00:01:40.5Z")
    repo_01j0000001e008000000000001 https://git.example/acme/shop-1
    ws_01j0000001e008000000000001 in place 0, takes runs: true
    ws_01j0000003e008000000000003 in place 0, takes runs: false
    ws_01j0000002e008000000000002 in place 1, takes runs: true
    sched_01j0000001e008000000000001 nightly 1
    hook_01j0000001e008000000000001 https://hooks.example/1
    history submitted
    history seen
    log 1.1 Text { text: "a\0b" }
    log 1.2 Text { text: "second" }
    pause of anthropic:me
    schema 4
    task_01j0000001e008000000000001 pending
    run_01j0000001e008000000000001 preparing None
    run_01j0000002e008000000000002 ended Some("2025-01-01T00:01:30.123456Z")
    run_01j0000003e008000000000003 ended Some("2025-01-01T00:01:35Z")
    run_01j0000004e008000000000004 ended Some("2025-01-01T00:01:40.5Z")
    repo_01j0000001e008000000000001 https://git.example/acme/shop-1
    ws_01j0000001e008000000000001 in place 0, takes runs: true
    ws_01j0000003e008000000000003 in place 0, takes runs: false
    ws_01j0000002e008000000000002 in place 1, takes runs: true
    sched_01j0000001e008000000000001 nightly 1
    hook_01j0000001e008000000000001 https://hooks.example/1
    history submitted
    history seen
    log 1.1 Text { text: "a\0b" }
    log 1.2 Text { text: "second" }
    pause of anthropic:me
    "#);
}

#[tokio::test]
async fn a_released_schema_never_changes() {
    let database = Database::create().await;
    database.store().await.close().await;
    let mut connection = database.connection().await;
    let applied: Vec<(i64, String, String)> = sqlx::query_as(
        "SELECT version, description, left(encode(checksum, 'hex'), 16) FROM _sqlx_migrations ORDER BY version",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    // a changed line here is a database that existing users cannot open: add a migration instead
    let applied: Vec<String> = applied
        .iter()
        .map(|(version, name, checksum)| format!("{version} {name} {checksum}"))
        .collect();
    insta::assert_snapshot!(applied.join("\n"), @"
    1 first dd1aabb6c9baac57
    2 pauses 656943bbc870a1bf
    3 batches f1dbd6e0798125a1
    4 states b75b03bf96e6a6ef
    5 writers 77689da7a5676f4b
    ");
}

/// Everything that can be read, a line each.
async fn show(store: &PostgresStore, lines: &mut Vec<String>) {
    let task = sample::task_id(1);
    for task in store.tasks(&TaskQuery::default()).await.unwrap() {
        lines.push(format!("{} {}", task.id, task.state.name()));
    }
    let ended = |run: &Run| format!("{:?}", run.ended_at().map(|at| at.to_string()));
    for run in store.runs(&RunQuery::default()).await.unwrap() {
        lines.push(format!("{} {} {}", run.id, run.phase.name(), ended(&run)));
    }
    for repo in store.repos().await.unwrap() {
        lines.push(format!("{} {}", repo.id, repo.url));
    }
    for workspace in store.workspaces().await.unwrap() {
        let (id, ordinal) = (workspace.id, workspace.ordinal);
        let open = workspace.state.takes_runs();
        lines.push(format!("{id} in place {ordinal}, takes runs: {open}"));
    }
    for schedule in store.schedules().await.unwrap() {
        lines.push(format!("{} {}", schedule.id, schedule.title));
    }
    for webhook in store.webhooks().await.unwrap() {
        lines.push(format!("{} {}", webhook.id, webhook.url));
    }
    for line in store.history(task).await.unwrap() {
        lines.push(format!("history {}", line.event));
    }
    for entry in store.log(task, LogCursor::default(), 9).await.unwrap() {
        lines.push(format!("log {} {:?}", entry.cursor, entry.event));
    }
    for pause in store.pauses().await.unwrap() {
        lines.push(format!("pause of {}", pause.account));
    }
}

/// What was there is changed as if it had been made by the present optio.
async fn goes_on(store: &PostgresStore) {
    let task = store.task(sample::task_id(1)).await.unwrap();
    let entry = sample::log_entry(1, 3, "third");
    let commit = Commit::new()
        .guarded(sample::run_id(1), 1)
        .with(Write::Log(task.id, vec![entry]))
        .with(Write::Audit(sample::audit(1, "third")))
        .with(Write::Task(task));
    store.commit(commit).await.unwrap();
    let all = store.log_tail(sample::task_id(1), 9).await.unwrap();
    assert_eq!(all.len(), 3);
    let history = store.history(sample::task_id(1)).await.unwrap();
    assert_eq!(history[2].event, "third");
    // one has failed, one has pushed and one was cancelled
    let old = store.old_logs(sample::at(200), 9).await.unwrap();
    let old: Vec<_> = old.into_iter().map(|run| run.id).collect();
    assert_eq!(old, [2, 3, 4].map(sample::run_id));
    let (now, until) = (
        sample::at(100),
        later(sample::at(100), std::time::Duration::from_secs(60)),
    );
    let entries = store.claim_outbox(now, until, 9).await.unwrap();
    assert_eq!(entries[0].id, sample::outbox_id(1));
    // the lease is somebody else's until 90
    let me = sample::worker("b");
    let mine = |at| store.lease("sweep", &me, at, sample::at(200));
    assert!(!mine(sample::at(80)).await.unwrap());
    assert!(mine(sample::at(90)).await.unwrap());
}
