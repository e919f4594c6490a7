//! Replicas of two versions on one database, as while a fleet is brought to a newer one.

use std::sync::Arc;

use optio_core::{
    Error, ErrorKind,
    conformance::sample,
    store::{Commit, Store, TaskQuery, Write},
};
use sqlx::{Connection as _, PgConnection};

use super::server::Database;
use crate::{PostgresOptions, PostgresStore, place, schema};

/// What a migration of the future does: it waits for those who write, and leaves its number.
const MIGRATE: &str = "SELECT pg_advisory_lock(1869640809, 1935894629); \
     INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
     VALUES (99, 'later', true, '', 0); \
     SELECT pg_advisory_unlock(1869640809, 1935894629)";

fn refused(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let newest = schema::newest();
    let told = format!(
        "a newer optio has brought the database to schema 99, and this one knows {newest}: restart this replica"
    );
    assert!(error.message().contains(&told), "{error}");
}

#[tokio::test]
async fn a_replica_writes_nothing_once_a_newer_one_has_migrated() {
    let database = Database::create().await;
    let store = database.store().await;
    let before = Commit::new()
        .with(Write::Task(sample::task(1)))
        .with(Write::Outbox(sample::outbox(1)));
    store.commit(before).await.unwrap();
    let (worker, now, until) = (sample::worker("a"), sample::at(80), sample::at(90));
    assert!(store.lease("sweep", &worker, now, until).await.unwrap());
    database.run(MIGRATE).await;

    let task = |n| Commit::new().with(Write::Task(sample::task(n)));
    refused(&store.commit(task(2)).await.unwrap_err());
    let (one, other) = tokio::join!(store.commit(task(3)), store.commit(task(4)));
    refused(&one.unwrap_err());
    refused(&other.unwrap_err());
    // nor does it keep work from those who can do it
    let renewed = store.lease("sweep", &worker, now, sample::at(200));
    refused(&renewed.await.unwrap_err());
    let claimed = store.claim_outbox(now, until, 9);
    refused(&claimed.await.unwrap_err());
    // what it knows it may go on to read
    let tasks = store.tasks(&TaskQuery::default()).await.unwrap();
    assert_eq!(tasks.len(), 1);

    database
        .run("DELETE FROM _sqlx_migrations WHERE version = 99")
        .await;
    let entries = store.claim_outbox(now, until, 9).await.unwrap();
    assert_eq!(entries[0].attempts, 1);
    let other = sample::worker("b");
    assert!(store.lease("sweep", &other, until, until).await.unwrap());
}

async fn run(connection: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

/// Those who write without a pause give way about once a second.
#[tokio::test]
async fn a_migration_gets_its_turn_among_those_who_never_stop_writing() {
    let database = Database::create().await;
    let store = Arc::new(database.store().await);
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for n in 1.. {
                let commit = Commit::new().with(Write::Task(sample::task(n)));
                if let Err(error) = store.commit(commit).await {
                    return error;
                }
            }
            unreachable!("there are enough numbers")
        }
    });
    database.until("SELECT count(*) > 9 FROM tasks").await;
    database.run(MIGRATE).await;
    refused(&writing.await.unwrap());
}

/// However short the time is that its user's statements are given.
#[tokio::test]
async fn a_migration_waits_for_those_who_are_writing() {
    let database = Database::create().await;
    let mut connection = database.connection().await;
    schema::migrate_up_to(&mut connection, schema::newest() - 1).await;
    run(&mut connection, place::ENTER).await;
    let impatient =
        database.url() + "&options[statement_timeout]=500ms&options[lock_timeout]=500ms";
    let options = PostgresOptions::default();
    let migrate = PostgresStore::migrate(&impatient, &options);
    let (migrated, ()) = tokio::join!(migrate, async {
        database.until(WAITS_FOR_LONGER_THAN_IT_MAY).await;
        let found = schema::found(&mut connection).await.unwrap();
        assert_eq!(found, schema::newest() - 1);
        run(&mut connection, place::LEAVE).await;
    });
    migrated.unwrap();
    let found = schema::found(&mut connection).await.unwrap();
    assert_eq!(found, schema::newest());
    connection.close().await.unwrap();
}

const WAITS_FOR_LONGER_THAN_IT_MAY: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity \
     WHERE application_name = 'optio' AND wait_event_type = 'Lock' AND datname = current_database() \
     AND clock_timestamp() - query_start > interval '700 ms')";

/// A replica that starts does not stop the others, who may be long about a transaction.
#[tokio::test]
async fn who_has_nothing_to_migrate_waits_for_nobody() {
    let database = Database::create().await;
    database.store().await.close().await;
    let mut connection = database.connection().await;
    run(&mut connection, place::ENTER).await;
    let store = database.store().await;
    let commit = Commit::new().with(Write::Task(sample::task(1)));
    store.commit(commit).await.unwrap();
    connection.close().await.unwrap();
}

/// A replica that is frozen in its place is shut out by the server; a connection in the pool may idle.
#[tokio::test]
async fn a_session_that_may_write_does_not_idle_for_long() {
    let database = Database::create().await;
    let mut connection = database.connection().await;
    let mut may_idle = Vec::new();
    for change in ["SELECT 1", place::ENTER, place::LEAVE] {
        run(&mut connection, change).await;
        let limit: String = sqlx::query_scalar("SHOW idle_session_timeout")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        may_idle.push(limit);
    }
    assert_eq!(may_idle, ["0", "10s", "0"]);
    connection.close().await.unwrap();
}
