//! Several replicas on one database, and many commits at once.

use std::sync::Arc;

use optio_core::{
    ErrorKind, Result,
    conformance::sample,
    store::{Commit, RunsOf, Sharing, Store, Write},
    task::Task,
    workspace::Workspace,
};
use tokio::task::JoinSet;

use super::server::Database;
use crate::{
    PostgresOptions, PostgresStore,
    op::{self, Kind},
    statement::{SHARED, carry_out_shared, unfit},
};

/// How many succeeded; the others must have met a conflict.
fn winners(results: Vec<Result<()>>) -> usize {
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    for error in lost {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Conflict);
    }
    won.len()
}

#[tokio::test]
async fn of_two_replicas_that_change_one_version_one_wins() {
    let database = Database::create().await;
    let (a, b) = (database.store().await, database.store().await);
    assert_eq!(a.sharing(), Sharing::Shared);
    a.commit(Commit::new().with(Write::Task(sample::task(1))))
        .await
        .unwrap();
    for round in 1..20 {
        let seen = b.task(sample::task_id(1)).await.unwrap();
        assert_eq!(seen.version, round);
        let change = || Commit::new().with(Write::Task(seen.clone()));
        let (first, second) = tokio::join!(a.commit(change()), b.commit(change()));
        assert_eq!(winners(vec![first, second]), 1);
    }
}

#[tokio::test]
async fn of_two_replicas_that_take_a_run_over_one_wins_and_its_old_holder_is_fenced_off() {
    let database = Database::create().await;
    let (a, b) = (database.store().await, database.store().await);
    for n in 1..20 {
        let run = sample::run(n, n);
        a.commit(Commit::new().with(Write::NewRun(run.clone())))
            .await
            .unwrap();
        let taken = |holder: &str| {
            let mut taken = run.clone();
            taken.epoch += 1;
            taken.lease.holder = sample::worker(holder);
            Commit::new().with(Write::TakeOver(taken))
        };
        let still_held = Commit::new()
            .guarded(run.id, run.epoch)
            .with(Write::Audit(sample::audit(n, "seen by the old holder")));
        let (first, second, old) = tokio::join!(
            a.commit(taken("a")),
            b.commit(taken("b")),
            a.commit(still_held.clone())
        );
        assert_eq!(winners(vec![first, second]), 1);
        winners(vec![old]); // before or after
        assert_eq!(winners(vec![a.commit(still_held).await]), 0);
        assert_eq!(b.run(run.id).await.unwrap().epoch, 2);
    }
}

#[tokio::test]
async fn replicas_that_place_runs_at_one_moment_keep_the_limit_together() {
    let database = Database::create().await;
    let workspace = sample::workspace(1);
    let first = Commit::new().with(Write::Workspace(workspace.clone()));
    database.store().await.commit(first).await.unwrap();
    let mut placing = JoinSet::new();
    for replica in 0..3 {
        let store = Arc::new(database.store().await);
        for n in 1..=8 {
            let (store, id) = (Arc::clone(&store), replica * 100 + n);
            // all of them into one workspace, which is in nobody's way
            let place = Commit::new()
                .with(Write::NewRun(sample::run(id, id)))
                .with(Write::UseWorkspace(workspace.id, sample::at(id)))
                .with(Write::LiveRunsAtMost {
                    of: RunsOf::Fleet,
                    limit: 7,
                });
            placing.spawn(async move { store.commit(place).await });
        }
    }
    assert_eq!(winners(placing.join_all().await), 7);
    let stored = database.store().await.workspaces().await.unwrap();
    assert_eq!(stored[0].version, 1 + 7);
}

#[tokio::test]
async fn an_outbox_entry_and_a_lease_go_to_one_of_many_replicas() {
    let database = Database::create().await;
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(Arc::new(database.store().await));
    }
    let entries = (1..=200).map(|n| Write::Outbox(sample::outbox(n)));
    let commit = entries.fold(Commit::new(), Commit::with);
    stores[0].commit(commit).await.unwrap();
    let mut claims = JoinSet::new();
    for store in &stores {
        let store = Arc::clone(store);
        claims.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claimed = store
                    .claim_outbox(sample::at(1000), sample::at(9000), 7)
                    .await
                    .unwrap();
                if claimed.is_empty() {
                    return mine;
                }
                mine.extend(claimed.into_iter().map(|entry| entry.id));
            }
        });
    }
    let mut all: Vec<_> = claims.join_all().await.into_iter().flatten().collect();
    all.sort_unstable();
    let expected: Vec<_> = (1..=200).map(sample::outbox_id).collect();
    assert_eq!(all, expected);

    let mut holders = JoinSet::new();
    for (n, store) in stores.iter().enumerate() {
        let store = Arc::clone(store);
        let holder = sample::worker(&n.to_string());
        holders.spawn(async move {
            store
                .lease("sweep", &holder, sample::at(0), sample::at(60))
                .await
                .unwrap()
        });
    }
    let held = holders.join_all().await;
    assert_eq!(held.iter().filter(|held| **held).count(), 1);
}

#[tokio::test]
async fn many_commits_share_a_transaction_and_each_has_its_own_result() {
    let database = Database::create().await;
    let store = Arc::new(database.store().await);
    let mut commits = JoinSet::new();
    for n in 1..=500 {
        let store = Arc::clone(&store);
        commits.spawn(async move {
            let mut task = sample::task(n);
            if n % 50 == 0 {
                task.version = 7; // no such version is stored
            }
            let commit = Commit::new()
                .with(Write::Task(task))
                .with(Write::Audit(sample::audit(n, "submitted")))
                .with(Write::Outbox(sample::outbox(n)));
            store.commit(commit).await
        });
    }
    assert_eq!(winners(commits.join_all().await), 490);
    let count = "SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM audit), \
         (SELECT count(*) FROM outbox), (SELECT count(DISTINCT xmin::text) FROM tasks)";
    let mut connection = database.connection().await;
    let (tasks, audit, outbox, writes): (i64, i64, i64, i64) = sqlx::query_as(count)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!((tasks, audit, outbox), (490, 490, 490));
    // a savepoint counts as a transaction here: halving to find ten misfits takes some
    assert!(writes < 200, "490 commits took {writes} transactions");
}

#[tokio::test]
async fn replicas_that_start_at_once_migrate_once() {
    let database = Database::create().await;
    let url = database.url();
    let connect = || {
        let url = url.clone();
        async move { PostgresStore::connect(&url, PostgresOptions::default()).await }
    };
    let (a, b, c) = tokio::join!(connect(), connect(), connect());
    let stores = [a.unwrap(), b.unwrap(), c.unwrap()];
    PostgresStore::migrate(&database.url(), &PostgresOptions::default())
        .await
        .unwrap();
    for store in &stores {
        store.task(sample::task_id(1)).await.unwrap_err();
    }
    let mut connection = database.connection().await;
    let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(applied, crate::schema::newest());
}

/// Otherwise it is carried out once more for that alone, and placing a run keeps others from it meanwhile.
#[tokio::test]
async fn a_commit_that_stands_alone_learns_from_one_statement_what_is_in_its_way() {
    let database = Database::create().await;
    let store = database.store().await;
    let (task, workspace) = (sample::task(1), sample::workspace(1));
    let first = Commit::new().with(Write::Task(task.clone()));
    let first = first.with(Write::Workspace(workspace.clone()));
    store.commit(first).await.unwrap();

    let changed = Workspace {
        version: 7,
        ..workspace
    };
    let task = Task { version: 1, ..task };
    let commit = Commit::new().with(Write::Task(task));
    let steps = op::plan(commit.with(Write::Workspace(changed))).unwrap();
    let parts = SHARED.map(|kind| steps.iter().filter(|op| op.kind == kind).collect());
    let mut connection = database.connection().await;
    let carried_out = carry_out_shared(&mut connection, None, &parts).await;
    let unfit = unfit(&carried_out.unwrap_err());
    assert_eq!(unfit, Some(vec![Kind::Workspace]));
    let stored = store.task(sample::task_id(1)).await.unwrap();
    assert_eq!(stored.version, 1, "nothing of it is done");
}
