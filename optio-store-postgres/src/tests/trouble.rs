//! What goes wrong between a replica and its database, and what callers notice of it.

use std::time::Duration;

use optio_core::{
    ErrorKind, Retry,
    conformance::sample,
    store::{Commit, Store, Write},
};
use sqlx::Connection as _;

use super::server::Database;
use crate::{Migrations, PostgresOptions, PostgresStore};

fn new_task(n: u64) -> Commit {
    Commit::new().with(Write::Task(sample::task(n)))
}

const SOMEBODY_WAITS_FOR_A_LOCK: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity \
     WHERE application_name = 'optio' AND wait_event_type = 'Lock' AND datname = current_database())";

const END_WHO_WAITS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
     WHERE application_name = 'optio' AND wait_event_type = 'Lock' AND datname = current_database()";

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_of_a_commit_is_not_noticed() {
    let database = Database::create().await;
    let store = database.store().await;
    let mut other = database.connection().await;
    let mut lock = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE audit")
        .execute(&mut *lock)
        .await
        .unwrap();
    let commit = new_task(1).with(Write::Audit(sample::audit(1, "submitted")));
    let (committed, ()) = tokio::join!(store.commit(commit), async {
        // its task is written, its history is not
        database.until(SOMEBODY_WAITS_FOR_A_LOCK).await;
        database.run(END_WHO_WAITS).await;
        lock.rollback().await.unwrap();
    });
    committed.unwrap();
    assert_eq!(store.task(sample::task_id(1)).await.unwrap().version, 1);
    assert_eq!(store.history(sample::task_id(1)).await.unwrap().len(), 1);
}

/// Makes each transaction that writes a task wait for a lock while it ends.
const WAIT_AT_THE_END: &str = "CREATE FUNCTION wait_at_the_end() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END $$; \
     CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED \
     FOR EACH ROW EXECUTE FUNCTION wait_at_the_end()";

#[tokio::test]
async fn a_connection_that_breaks_at_the_very_end_of_a_commit_leaves_no_doubt() {
    let database = Database::create().await;
    let store = database.store().await;
    database.run(WAIT_AT_THE_END).await;
    let mut other = database.connection().await;
    let lock = "SELECT pg_advisory_lock(42)";
    sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
    let (committed, ()) = tokio::join!(store.commit(new_task(1)), async {
        database.until(SOMEBODY_WAITS_FOR_A_LOCK).await;
        database.run(END_WHO_WAITS).await;
        let unlock = "SELECT pg_advisory_unlock(42)";
        sqlx::raw_sql(unlock).execute(&mut other).await.unwrap();
    });
    // Postgres says that it was undone, so it was done over
    committed.unwrap();
    assert_eq!(store.task(sample::task_id(1)).await.unwrap().version, 1);
}

#[tokio::test]
async fn connections_that_broke_while_idle_are_replaced() {
    let database = Database::create().await;
    let store = database.store().await;
    store.commit(new_task(1)).await.unwrap();
    store.task(sample::task_id(1)).await.unwrap();
    let (task, tasks) = (sample::task_id(1), optio_core::store::TaskQuery::default());
    tokio::try_join!(store.task(task), store.tasks(&tasks), store.repos()).unwrap();
    database
        .run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'optio' AND datname = current_database()")
        .await;
    store.task(task).await.unwrap();
    store.commit(new_task(2)).await.unwrap();
    assert_eq!(store.tasks(&tasks).await.unwrap().len(), 2);
}

/// As when another server has taken over and the old one goes on as its copy.
#[tokio::test]
async fn connections_that_take_no_writes_are_not_kept() {
    let database = Database::create().await;
    let mut admin = database.connection().await;
    let name = sqlx::query_scalar("SELECT current_database()::text");
    let name: String = name.fetch_one(&mut admin).await.unwrap();
    let mut read_only = async |on: &str| {
        let alter = format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}");
        let alter = sqlx::raw_sql(sqlx::AssertSqlSafe(alter));
        alter.execute(&mut admin).await.unwrap();
    };
    let store = database.store().await;
    read_only("on").await;
    let (now, holder) = (sample::at(0), sample::worker("a"));
    for error in [
        store.commit(new_task(1)).await.unwrap_err(),
        store.lease("share", &holder, now, now).await.unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Unavailable, Retry::Later),
            "{error}"
        );
        assert!(
            error.message().contains("it takes no writes at present"),
            "{error}"
        );
    }
    read_only("off").await;
    store.commit(new_task(1)).await.unwrap();
    store.lease("share", &holder, now, now).await.unwrap();
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_unavailable_for_now() {
    let database = Database::create().await;
    let options = PostgresOptions::default().with_statement_timeout(Duration::from_millis(100));
    let store = database.store_with(options).await;
    let mut other = database.connection().await;
    let mut lock = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE tasks")
        .execute(&mut *lock)
        .await
        .unwrap();
    for error in [
        store.task(sample::task_id(1)).await.unwrap_err(),
        store.commit(new_task(1)).await.unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Unavailable, Retry::Later)
        );
        assert!(
            error.message().contains("it took longer than is allowed"),
            "{error}"
        );
    }
    lock.rollback().await.unwrap();
    store.commit(new_task(1)).await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_held_too_long_is_unavailable_for_now() {
    let database = Database::create().await;
    let options = PostgresOptions::default().with_lock_timeout(Duration::from_millis(100));
    let store = database.store_with(options).await;
    let mut other = database.connection().await;
    let mut lock = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE tasks")
        .execute(&mut *lock)
        .await
        .unwrap();
    let error = store.commit(new_task(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("held a lock"), "{error}");
}

#[tokio::test]
async fn an_exhausted_pool_is_unavailable_for_now() {
    let database = Database::create().await;
    let options = PostgresOptions::default()
        .with_max_connections(2)
        .with_acquire_timeout(Duration::from_millis(200));
    let store = database.store_with(options).await;
    store.commit(new_task(1)).await.unwrap();
    let mut other = database.connection().await;
    let mut lock = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE tasks")
        .execute(&mut *lock)
        .await
        .unwrap();
    let (first, ()) = tokio::join!(store.task(sample::task_id(1)), async {
        database.until(SOMEBODY_WAITS_FOR_A_LOCK).await;
        let error = store.repos().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Unavailable, Retry::Later)
        );
        lock.rollback().await.unwrap();
    });
    first.unwrap();
    store.repos().await.unwrap();
}

#[tokio::test]
async fn a_deadlock_with_another_session_is_done_over() {
    let database = Database::create().await;
    let store = database.store().await;
    for n in [1, 2] {
        store.commit(new_task(n)).await.unwrap();
    }
    let mut other = database.connection().await;
    let mut locks = other.begin().await.unwrap();
    // so that it is the store whose patience ends first
    sqlx::query("SET deadlock_timeout = '60s'")
        .execute(&mut *locks)
        .await
        .unwrap();
    let update = "UPDATE tasks SET version = version WHERE id = $1";
    sqlx::query(update)
        .bind(sample::task_id(2).as_uuid())
        .execute(&mut *locks)
        .await
        .unwrap();
    let mut changed = Commit::new();
    for n in [1, 2] {
        let mut task = store.task(sample::task_id(n)).await.unwrap();
        task.title = "changed".to_owned();
        changed = changed.with(Write::Task(task));
    }
    let (committed, ()) = tokio::join!(store.commit(changed), async {
        database.until(SOMEBODY_WAITS_FOR_A_LOCK).await;
        sqlx::query(update)
            .bind(sample::task_id(1).as_uuid())
            .execute(&mut *locks)
            .await
            .unwrap();
        locks.commit().await.unwrap();
    });
    committed.unwrap();
    for n in [1, 2] {
        assert_eq!(
            store.task(sample::task_id(n)).await.unwrap().title,
            "changed"
        );
    }
}

/// Fails the first three transactions that write a task as a server fails those that it cannot put in an order. A
/// sequence counts them, for it is not rolled back.
const CANNOT_ORDER: &str = "CREATE SEQUENCE tries; \
     CREATE FUNCTION cannot_order() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN IF nextval('tries') <= 3 THEN RAISE 'could not serialize access' USING ERRCODE = '40001'; END IF; \
     RETURN NULL; END $$; \
     CREATE TRIGGER fails AFTER INSERT ON tasks FOR EACH STATEMENT EXECUTE FUNCTION cannot_order()";

#[tokio::test]
async fn a_transaction_that_cannot_be_put_in_order_is_done_over() {
    let database = Database::create().await;
    let store = database.store().await;
    database.run(CANNOT_ORDER).await;
    let commit = new_task(1).with(Write::Audit(sample::audit(1, "submitted")));
    let (first, second) = tokio::join!(store.commit(commit), store.commit(new_task(2)));
    first.unwrap();
    second.unwrap();
    assert_eq!(store.history(sample::task_id(1)).await.unwrap().len(), 1);
    let mut connection = database.connection().await;
    let tries: i64 = sqlx::query_scalar("SELECT last_value FROM tries")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(tries > 3, "{tries}");
}

#[tokio::test]
async fn what_can_never_be_put_in_order_is_unavailable_for_now() {
    let database = Database::create().await;
    let store = database.store().await;
    let never = CANNOT_ORDER.replace("<= 3", "<= 1000");
    database.run(&never).await;
    let error = store.commit(new_task(1)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Later)
    );
    assert!(error.message().contains("others kept changing"), "{error}");
    assert!(store.task(sample::task_id(1)).await.is_err());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_the_password_stays_unsaid() {
    let url = "postgres://optio:hunter2@127.0.0.1:1/optio";
    let error = PostgresStore::connect(url, PostgresOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("optio at 127.0.0.1"), "{text}");
}

#[tokio::test]
async fn a_schema_that_is_not_the_present_one_is_refused_with_the_way_out() {
    let database = Database::create().await;
    let refuse = PostgresOptions::default().with_migrations(Migrations::Refuse);
    let behind = PostgresStore::connect(&database.url(), refuse.clone()).await;
    assert_eq!(behind.as_ref().unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(
        behind
            .unwrap_err()
            .message()
            .contains("run `optio migrate`")
    );
    PostgresStore::migrate(&database.url(), &refuse)
        .await
        .unwrap();
    database.store_with(refuse.clone()).await;
    database
        .run("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'later', true, '', 0)")
        .await;
    for options in [refuse, PostgresOptions::default()] {
        let newer = PostgresStore::connect(&database.url(), options)
            .await
            .unwrap_err();
        assert_eq!(newer.kind(), ErrorKind::Unsupported);
        assert!(
            newer
                .message()
                .contains("written by a newer optio (schema 99"),
            "{newer}"
        );
    }
}

#[tokio::test]
async fn a_closed_store_has_stored_what_it_took_and_takes_no_more() {
    let database = Database::create().await;
    let store = database.store().await;
    let (committed, ()) = tokio::join!(store.commit(new_task(1)), store.close());
    committed.unwrap();
    let error = store.commit(new_task(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let again = database.store().await;
    assert_eq!(again.task(sample::task_id(1)).await.unwrap().version, 1);
}
