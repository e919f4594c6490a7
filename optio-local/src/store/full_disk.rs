//! A disk that fills up: nothing is half done, everybody is told, and all goes on once there is room.

use std::sync::Arc;

use optio_core::{
    ErrorKind, Retry,
    clock::SystemClock,
    id::WebhookId,
    store::{Commit, Store, Write},
    webhook::Webhook,
};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;

use super::SqliteStore;

fn hook(size: usize) -> Commit {
    Commit::new().with(Write::Webhook(Webhook {
        id: WebhookId::generate(&SystemClock),
        url: "x".repeat(size),
        secret: String::new(),
        states: vec![],
        version: 0,
    }))
}

/// In memory the readers' connection is the writer's: the limit holds for both.
async fn limit_pages(store: &SqliteStore, pages: i64) {
    sqlx::query(AssertSqlSafe(format!("PRAGMA max_page_count = {pages}")))
        .execute(&store.readers)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_full_disk_is_unavailable_until_there_is_room_again() {
    let store = Arc::new(SqliteStore::in_memory().await.unwrap());
    store.commit(hook(10)).await.unwrap();
    limit_pages(&store, 1).await; // SQLite takes the present size for the least possible
    let mut commits = JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        commits.spawn(async move { store.commit(hook(100_000)).await });
    }
    for result in commits.join_all().await {
        let error = result.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Unavailable, Retry::Later)
        );
        assert_eq!(
            error.message(),
            "cannot write the database: the disk is full (database or disk is full, code 13)"
        );
    }
    assert_eq!(store.webhooks().await.unwrap().len(), 1);
    limit_pages(&store, 1_000_000).await;
    store.commit(hook(100_000)).await.unwrap();
    assert_eq!(store.webhooks().await.unwrap().len(), 2);
}
