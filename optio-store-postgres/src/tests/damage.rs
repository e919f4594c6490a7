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
        ("UPDATE tasks SET body = left(body, 40)", "SELECT 1"),
    ] {
        database.run(damage).await;
        let error = store.task(sample::task_id(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        shown.push(error.message().to_owned());
        database.run(mend).await;
    }
    database.run("UPDATE log SET body = '{}'").await;
    let error = store.log_tail(sample::task_id(1), 5).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    shown.push(error.message().to_owned());
    insta::assert_snapshot!(shown.join("\n"), @r#"
    task_01j0000001e008000000000001 in the table tasks is damaged: its column state holds "failed", its body pending
    task_01j0000001e008000000000001 in the table tasks is damaged: its body cannot be read (EOF while parsing a value at line 1 column 40)
    log entry 1.1 of task_01j0000001e008000000000001 in the table log is damaged: its body cannot be read (missing field `cursor` at line 1 column 2)
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
