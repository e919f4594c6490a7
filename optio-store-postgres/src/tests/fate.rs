//! A connection that breaks while a commit is on its way: what has become of it, and what its callers are told.

use std::time::Duration;

use optio_core::{
    ErrorKind, Retry,
    conformance::sample,
    store::{Commit, Store, Write},
};

use super::{
    server::Database,
    way::{Loss, Way},
};
use crate::{PostgresOptions, PostgresStore};

async fn store_over(way: &Way) -> PostgresStore {
    // one of them writes, so that commits of one moment share its transactions
    let options = PostgresOptions::default().with_max_connections(2);
    PostgresStore::connect(way.url(), options).await.unwrap()
}

/// It takes a server for gone that has not answered for a few seconds.
async fn impatient_store_over(way: &Way) -> PostgresStore {
    let options = PostgresOptions::default()
        .with_max_connections(2)
        .with_acquire_timeout(Duration::from_secs(3))
        .with_statement_timeout(Duration::from_secs(3));
    PostgresStore::connect(way.url(), options).await.unwrap()
}

/// A new task and a line of its history, which would be there twice if it were written twice.
fn submitted(n: u64) -> Commit {
    Commit::new()
        .with(Write::Audit(sample::audit(n, "submitted")))
        .with(Write::Task(sample::task(n)))
}

/// As many lines of history as there are.
async fn lines(database: &Database, n: u64) -> usize {
    let store = database.store().await;
    store.history(sample::task_id(n)).await.unwrap().len()
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_stored_once_and_said_to_be() {
    let database = Database::create().await;
    let way = Way::to(&database).await;
    let store = store_over(&way).await;
    for n in 1..=3 {
        way.lose(Loss::Answer);
        store.commit(submitted(n)).await.unwrap();
        assert_eq!(way.left(), 0);
        assert_eq!(lines(&database, n).await, 1);
        assert_eq!(store.task(sample::task_id(n)).await.unwrap().version, 1);
    }
}

#[tokio::test]
async fn a_commit_that_never_arrives_is_done_over() {
    let database = Database::create().await;
    let way = Way::to(&database).await;
    let store = store_over(&way).await;
    // and the second time its answer is lost
    way.lose(Loss::Question);
    way.lose(Loss::Answer);
    store.commit(submitted(1)).await.unwrap();
    assert_eq!(way.left(), 0);
    assert_eq!(lines(&database, 1).await, 1);
}

/// Its sender has found out that it is not stored, and done it over: it must not be stored after all.
#[tokio::test]
async fn a_commit_that_arrives_too_late_is_not_stored_a_second_time() {
    let database = Database::create().await;
    let way = Way::to(&database).await;
    let store = store_over(&way).await;
    store.commit(submitted(1)).await.unwrap();
    way.lose(Loss::Late);
    // a line can be written any number of times: nothing in it would refuse the second one
    let line = Commit::new().with(Write::Audit(sample::audit(1, "looked at")));
    store.commit(line).await.unwrap();
    assert_eq!(lines(&database, 1).await, 2);
    way.deliver().await;
    assert_eq!(lines(&database, 1).await, 2);
}

/// Each of them has its own result, whichever of them shared the transaction whose answer was lost.
#[tokio::test]
async fn commits_that_share_a_lost_answer_keep_their_own_results() {
    let database = Database::create().await;
    let way = Way::to(&database).await;
    let store = store_over(&way).await;
    store.commit(submitted(9)).await.unwrap();
    for loss in [Loss::Answer, Loss::Answer, Loss::Question] {
        way.lose(loss);
    }
    let results = tokio::join!(
        store.commit(submitted(1)),
        store.commit(submitted(2)),
        store.commit(submitted(9)),
        store.commit(submitted(3)),
        store.commit(submitted(9)),
    );
    for stored in [results.0, results.1, results.3] {
        stored.unwrap();
    }
    for refused in [results.2, results.4] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    }
    for n in [1, 2, 3, 9] {
        assert_eq!(lines(&database, n).await, 1, "{n}");
    }
}

/// A machine that loses its power hangs up on nobody, and the system would wait for it for a quarter of an hour.
#[tokio::test]
async fn a_commit_on_a_connection_that_falls_silent_is_stored_once() {
    let database = Database::create().await;
    let way = Way::to(&database).await;
    let store = impatient_store_over(&way).await;
    for (n, loss) in [(1, Loss::QuestionInSilence), (2, Loss::AnswerInSilence)] {
        way.lose(loss);
        store.commit(submitted(n)).await.unwrap();
        assert_eq!(way.left(), 0);
        assert_eq!(lines(&database, n).await, 1);
    }
}

#[tokio::test]
async fn connections_that_fall_silent_while_idle_are_replaced_and_do_not_hold_up_the_end() {
    let database = Database::create().await;
    let way = Way::to(&database).await;
    let store = impatient_store_over(&way).await;
    for n in 1..=2 {
        store.commit(submitted(n)).await.unwrap();
        store.task(sample::task_id(n)).await.unwrap();
        way.fall_silent();
        let (task, stored) = tokio::join!(
            store.task(sample::task_id(n)),
            store.commit(submitted(n + 2))
        );
        task.unwrap();
        stored.unwrap();
    }
    // who does not wait for an answer leaves no connection behind that nobody can use
    way.fall_silent();
    for _ in 0..3 {
        let read = store.task(sample::task_id(1));
        tokio::time::timeout(Duration::ZERO, read)
            .await
            .unwrap_err();
    }
    store.task(sample::task_id(1)).await.unwrap();
    way.fall_silent();
    store.close().await;
}

#[tokio::test]
async fn a_commit_of_which_nobody_can_tell_is_in_doubt_and_not_done_over() {
    let database = Database::create().await;
    let way = Way::to(&database).await;
    let store = store_over(&way).await;
    way.lose(Loss::AnswerAndWay);
    let error = store.commit(submitted(1)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Later)
    );
    assert!(
        error
            .message()
            .contains("whether it is stored cannot be told: read it again"),
        "{error}"
    );
    way.open();
    // it was stored, and once; who reads it again sees that, and who does it again is told
    assert_eq!(store.task(sample::task_id(1)).await.unwrap().version, 1);
    assert_eq!(lines(&database, 1).await, 1);
    let again = store.commit(submitted(1)).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert_eq!(lines(&database, 1).await, 1);
    store.commit(submitted(2)).await.unwrap();
}

#[tokio::test]
async fn whose_row_of_marks_is_gone_takes_another_place() {
    let database = Database::create().await;
    let store = database.store().await;
    for n in 1..=3 {
        store.commit(submitted(n)).await.unwrap();
        database.run("DELETE FROM writers").await;
    }
    for n in 1..=3 {
        assert_eq!(lines(&database, n).await, 1, "{n}");
    }
}

#[tokio::test]
async fn who_has_nothing_to_write_any_more_leaves_no_row_and_no_lock_behind() {
    let database = Database::create().await;
    let store = database.store().await;
    store.commit(submitted(1)).await.unwrap();
    database.until("SELECT count(*) = 1 FROM writers").await;
    database.until(NOBODY_WRITES).await;
    // and comes back if there is something
    store.commit(submitted(2)).await.unwrap();
    store.close().await;
    database.until(NOBODY_WRITES).await;
}

const NOBODY_WRITES: &str = "SELECT NOT EXISTS (SELECT FROM writers) AND NOT EXISTS \
     (SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = \
     (SELECT oid FROM pg_database WHERE datname = current_database()))";
