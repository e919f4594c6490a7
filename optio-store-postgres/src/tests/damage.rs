//! Rows that are not what they should be are named, and never taken for records.

use optio_core::{
    ErrorKind, Result,
    account::PauseEnd,
    conformance::sample,
    store::{Commit, OutboxEntry, Store, TaskQuery, Write},
    task::TicketRef,
};

use super::server::Database;
use crate::PostgresStore;

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

/// Damages rows one way after the other, and gives what is said about each by the call that reads them.
async fn told<T: std::fmt::Debug>(
    database: &Database,
    damages: &[&str],
    read: impl AsyncFn() -> Result<T>,
) -> String {
    let mut told = String::new();
    for damage in damages {
        database.run(damage).await;
        let error = read().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}");
        told += error.message();
        told += "\n";
    }
    told
}

#[tokio::test]
async fn a_half_filled_row_of_what_people_have_set_up_is_named() {
    let database = Database::create().await;
    let store = database.store().await;
    let until = PauseEnd::At(sample::at(500));
    let commit = Commit::new()
        .with(Write::Repo(sample::repo(1)))
        .with(Write::Schedule(sample::schedule(1)))
        .with(Write::Webhook(sample::webhook(1)))
        .with(Write::Pause(sample::pause("anthropic:me", until, 1)));
    store.commit(commit).await.unwrap();
    let repos = [
        "UPDATE repos SET identity = 'git.example/acme/other'",
        "UPDATE repos SET identity = 'git.example/acme/shop-1', version = 7",
        "UPDATE repos SET version = 1, body = body::jsonb - 'settings'",
    ];
    let mut all = told(&database, &repos, async || store.repos().await).await;
    // whatever leads to it
    all += &told(&database, &["SELECT"], async || {
        store.repo(sample::repo_id(1)).await
    })
    .await;
    all += &told(&database, &["SELECT"], async || {
        store.repo_by_url(&sample::repo(1).url).await
    })
    .await;
    let schedules = [
        "UPDATE schedules SET version = 7",
        "UPDATE schedules SET version = 1, body = body::jsonb - 'cron'",
    ];
    all += &told(&database, &schedules, async || store.schedules().await).await;
    let webhooks = [
        "UPDATE webhooks SET id = '01900000-0009-7000-8000-000000000009'",
        "UPDATE webhooks SET body = ''",
    ];
    all += &told(&database, &webhooks, async || store.webhooks().await).await;
    let pauses = [
        "UPDATE pauses SET ends_at = 5",
        "UPDATE pauses SET body = body::jsonb - 'since'",
    ];
    all += &told(&database, &pauses, async || store.pauses().await).await;
    insta::assert_snapshot!(all, @r#"
    repo_01j0000001e008000000000001 in the table repos is damaged: its column identity holds "git.example/acme/other", its body "git.example/acme/shop-1"
    repo_01j0000001e008000000000001 in the table repos is damaged: its column version holds 7, its body 1
    repo_01j0000001e008000000000001 in the table repos is damaged: its body cannot be read (missing field `settings` at line 1 column 166)
    repo_01j0000001e008000000000001 in the table repos is damaged: its body cannot be read (missing field `settings` at line 1 column 166)
    repo_01j0000001e008000000000001 in the table repos is damaged: its body cannot be read (missing field `settings` at line 1 column 166)
    sched_01j0000001e008000000000001 in the table schedules is damaged: its column version holds 7, its body 1
    sched_01j0000001e008000000000001 in the table schedules is damaged: its body cannot be read (missing field `cron` at line 1 column 248)
    hook_01j0000009e008000000000009 in the table webhooks is damaged: its column id holds 01900000-0009-7000-8000-000000000009, its body 01900000-0001-7000-8000-000000000001
    hook_01j0000009e008000000000009 in the table webhooks is damaged: its body cannot be read (EOF while parsing a value at line 1 column 0)
    the pause 8ef6508a-c208-8de2-8f1b-cd9ecae6dcbe in the table pauses is damaged: its column ends_at holds 5, its body 1735690100123456
    the pause 8ef6508a-c208-8de2-8f1b-cd9ecae6dcbe in the table pauses is damaged: its body cannot be read (missing field `since` at line 1 column 314)
    "#);
}

#[tokio::test]
async fn a_damaged_line_of_history_is_named() {
    let database = Database::create().await;
    let store = database.store().await;
    let lines = ["submitted", "seen", "begun"].map(|event| Write::Audit(sample::audit(1, event)));
    let other = Write::Audit(sample::audit(2, "submitted"));
    let commit = lines.into_iter().chain([other]);
    store
        .commit(commit.fold(Commit::new(), Commit::with))
        .await
        .unwrap();
    let damages = [
        "UPDATE audit SET body = replace(body, 'task_01j0000001', 'task_01j0000002') WHERE n = 2",
        "UPDATE audit SET body = left(body, 40) WHERE n = 2",
        "UPDATE audit SET body = '{}' WHERE n = 2",
    ];
    let history = async |n| store.history(sample::task_id(n)).await;
    let all = told(&database, &damages, async || history(1).await).await;
    insta::assert_snapshot!(all, @"
    line 2 of the history of task_01j0000001e008000000000001 in the table audit is damaged: it speaks of task_01j0000002e008000000000001
    line 2 of the history of task_01j0000001e008000000000001 in the table audit is damaged: its body cannot be read (EOF while parsing a string at line 1 column 40)
    line 2 of the history of task_01j0000001e008000000000001 in the table audit is damaged: its body cannot be read (missing field `task` at line 1 column 2)
    ");
    assert_eq!(history(2).await.unwrap().len(), 1);
}

/// And does not hold up the others, which go out.
#[tokio::test]
async fn a_damaged_outbox_entry_is_named() {
    let database = Database::create().await;
    let store = database.store().await;
    let mut all = String::new();
    for (n, damage) in (1..).zip([
        "UPDATE outbox SET body = ''",
        "UPDATE outbox SET body = body::jsonb - 'message'",
        "UPDATE outbox SET id = '01900000-0009-7000-8000-000000000009'",
        "UPDATE outbox SET not_before = -9223372036854775808",
    ]) {
        let entry = |n| Commit::new().with(Write::Outbox(sample::outbox(n)));
        store.commit(entry(n)).await.unwrap();
        let claim = async || claim_all(&store).await;
        all += &told(&database, &[damage], claim).await;
        // the damaged one is claimed for now
        store.commit(entry(n + 100)).await.unwrap();
        database.run("UPDATE outbox SET due_at = 0").await;
        let claimed = claim().await.unwrap();
        assert_eq!(claimed.len(), 1, "{damage}");
        assert_eq!(claimed[0].id, sample::outbox_id(n + 100));
        database.run("DELETE FROM outbox").await;
    }
    insta::assert_snapshot!(all, @"
    out_01j0000001e008000000000001 in the table outbox is damaged: its body cannot be read (EOF while parsing a value at line 1 column 0)
    out_01j0000002e008000000000002 in the table outbox is damaged: its body cannot be read (missing field `message` at line 1 column 136)
    out_01j0000009e008000000000009 in the table outbox is damaged: its column id holds 01900000-0009-7000-8000-000000000009, its body 01900000-0003-7000-8000-000000000003
    out_01j0000004e008000000000004 in the table outbox is damaged: parameter 'Unix timestamp microseconds' is not in the required range of -377705023201000000..=253402207200000000
    ");
}

async fn claim_all(store: &PostgresStore) -> Result<Vec<OutboxEntry>> {
    store
        .claim_outbox(sample::at(1000), sample::at(1060), 9)
        .await
}
