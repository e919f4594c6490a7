//! Rows that are not what they should be are named, and never taken for records.

use optio_core::{
    ErrorKind,
    conformance::sample,
    store::{Commit, Store, TaskQuery, Write},
    task::TicketRef,
};

use super::server::Database;

#[tokio::test]
async fn a_damaged_row_is_named() {
    let database = Database::create().await;
    let store = database.store().await;
    let commit = Commit::new()
        .with(Write::Task(sample::task(1)))
        .with(Write::Log(
            sample::task_id(1),
            vec![sample::log_entry(1, 1, "hello")],
        ));
    store.commit(commit).await.unwrap();
    let mut shown = Vec::new();
    for (damage, mend) in [
        (
            "UPDATE tasks SET state = 'failed'",
            "UPDATE tasks SET state = 'pending'",
        ),
        (
            "UPDATE tasks SET depends_on = ARRAY[id]",
            "UPDATE tasks SET depends_on = NULL",
        ),
        ("UPDATE tasks SET body = left(body, 40)", "SELECT 1"),
    ] {
        database.run(damage).await;
        let error = store.task(sample::task_id(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        shown.push(error.message().to_owned());
        database.run(mend).await;
    }
    for damage in [
        // an entry that is none, one that is another's, one too few, and packed in some other way
        r"UPDATE log_batches SET body = '\x00'::bytea || '{}'",
        "UPDATE log_batches SET first = 7, last = 7",
        "UPDATE log_batches SET last = 8",
        r"UPDATE log_batches SET body = '\x0700'",
        r"UPDATE log_batches SET body = '\x01ffff0000ff'",
        r"UPDATE log_batches SET body = '\x01ffffffffff'",
    ] {
        let keep = "CREATE TABLE kept AS TABLE log_batches";
        database.run(keep).await;
        database.run(damage).await;
        let error = store.log_tail(sample::task_id(1), 5).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        shown.push(error.message().to_owned());
        database
            .run("DELETE FROM log_batches; INSERT INTO log_batches TABLE kept; DROP TABLE kept")
            .await;
    }
    insta::assert_snapshot!(shown.join("\n"), @r#"
    task_01j0000001e008000000000001 in the table tasks is damaged: its column state holds "failed", its body pending
    task_01j0000001e008000000000001 in the table tasks is damaged: its column depends_on holds [01900000-0001-7000-8000-000000000001], its body nothing
    task_01j0000001e008000000000001 in the table tasks is damaged: its body cannot be read (EOF while parsing a value at line 1 column 40)
    log entries 1.1 to 1.1 of task_01j0000001e008000000000001 in the table log_batches are damaged: the body cannot be read (missing field `cursor` at line 1 column 2)
    log entries 1.7 to 1.7 of task_01j0000001e008000000000001 in the table log_batches are damaged: the body says 1.1
    log entries 1.1 to 1.8 of task_01j0000001e008000000000001 in the table log_batches are damaged: the body ends before 1.2
    log entries 1.1 to 1.1 of task_01j0000001e008000000000001 in the table log_batches are damaged: the body is packed in a way that nobody knows
    log entries 1.1 to 1.1 of task_01j0000001e008000000000001 in the table log_batches are damaged: the body cannot hold 65535 bytes
    log entries 1.1 to 1.1 of task_01j0000001e008000000000001 in the table log_batches are damaged: the body cannot hold 4294967295 bytes
    "#);
}

#[tokio::test]
async fn any_text_is_kept_and_found_again() {
    let database = Database::create().await;
    let store = database.store().await;
    let keys = ["a\0b", r"a\0b", r"a\b", "a\\\0b", sample::HARD_TEXT];
    for (n, key) in (1..).zip(keys) {
        let mut task = sample::task(n);
        task.title = key.to_owned();
        task.ticket = Some(TicketRef {
            source: "github".to_owned(),
            key: key.to_owned(),
            url: None,
        });
        store
            .commit(Commit::new().with(Write::Task(task)))
            .await
            .unwrap();
    }
    for (n, key) in (1..).zip(keys) {
        let query = TaskQuery {
            ticket: Some(("github".to_owned(), key.to_owned())),
            ..TaskQuery::default()
        };
        let found = store.tasks(&query).await.unwrap();
        assert_eq!(found.len(), 1, "{key:?}");
        assert_eq!((found[0].id, &*found[0].title), (sample::task_id(n), key));
    }
}

/// As a hand that edits the database, or a restored backup, may leave them.
#[tokio::test]
async fn a_half_filled_row_is_named() {
    let database = Database::create().await;
    let store = database.store().await;
    let commit = Commit::new()
        .with(Write::NewRun(sample::run(1, 1)))
        .with(Write::Workspace(sample::workspace(1)));
    store.commit(commit).await.unwrap();
    let mut shown = Vec::new();
    for damage in [
        "UPDATE runs SET live = false",
        "UPDATE runs SET live = true, ended_at = 5",
        "UPDATE runs SET ended_at = NULL, body = body::jsonb - 'lease'",
        "UPDATE runs SET body = ''",
    ] {
        database.run(damage).await;
        let error = store.run(sample::run_id(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}");
        shown.push(error.message().to_owned());
    }
    for damage in [
        "UPDATE workspaces SET takes_runs = false",
        "UPDATE workspaces SET takes_runs = true, ordinal = 9",
    ] {
        database.run(damage).await;
        let error = store.workspaces().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}");
        shown.push(error.message().to_owned());
    }
    insta::assert_snapshot!(shown.join("\n"), @"
    run_01j0000001e008000000000001 in the table runs is damaged: its column live holds false, its body true
    run_01j0000001e008000000000001 in the table runs is damaged: its column ended_at holds 5, its body nothing
    run_01j0000001e008000000000001 in the table runs is damaged: its body cannot be read (missing field `lease` at line 1 column 826)
    run_01j0000001e008000000000001 in the table runs is damaged: its body cannot be read (EOF while parsing a value at line 1 column 0)
    ws_01j0000001e008000000000001 in the table workspaces is damaged: its column takes_runs holds false, its body true
    ws_01j0000001e008000000000001 in the table workspaces is damaged: its column ordinal holds 9, its body 1
    ");
}
