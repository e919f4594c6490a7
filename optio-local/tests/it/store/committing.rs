//! Commits: together in one transaction, and still each by itself.

use std::sync::Arc;

use optio_core::{
    ErrorKind,
    money::Usd,
    store::{Commit, RunQuery, Store, TaskQuery, Write},
    task::StateName,
    transcript::LogCursor,
};
use optio_local::SqliteStore;
use tokio::task::JoinSet;

use super::fixtures::{Ticking, at, audit, ended, entries, outbox, queued, repo, run, task};

fn put(write: Write) -> Commit {
    Commit::new().with(write)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_commits_at_once_succeed_or_fail_each_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(
        SqliteStore::open(folder.path().join("optio.db"))
            .await
            .unwrap(),
    );
    let clock = Ticking::default();
    let taken = task(&clock);
    store.commit(put(Write::Task(taken.clone()))).await.unwrap();
    let mut commits = JoinSet::new();
    for n in 0..1000 {
        let store = Arc::clone(&store);
        let spoilt = n % 100 == 7;
        // the first half of a spoilt commit is fine; its second half is a task that exists already
        let (fresh, second) = (
            task(&clock),
            if spoilt { taken.clone() } else { task(&clock) },
        );
        commits.spawn(async move {
            let commit = Commit::new()
                .with(Write::Task(fresh.clone()))
                .with(Write::Audit(audit(&fresh, "submitted")))
                .with(Write::Log(fresh.id, entries(1, 1..=3)))
                .with(Write::Task(second));
            (fresh.id, spoilt, store.commit(commit).await)
        });
    }
    for (id, spoilt, result) in commits.join_all().await {
        let expected = spoilt.then_some(ErrorKind::Conflict);
        assert_eq!(result.err().map(|error| error.kind()), expected);
        assert_eq!(store.task(id).await.is_err(), spoilt);
        assert_eq!(store.history(id).await.unwrap().is_empty(), spoilt);
        assert_eq!(store.log_tail(id, 9).await.unwrap().is_empty(), spoilt);
    }
    assert_eq!(
        store.count_tasks().await.unwrap(),
        [(StateName::Pending, 1 + 2 * 990)]
    );
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_that_race_for_one_version_exactly_one_wins() {
    let store = Arc::new(SqliteStore::in_memory().await.unwrap());
    let clock = Ticking::default();
    let stored = task(&clock);
    store
        .commit(put(Write::Task(stored.clone())))
        .await
        .unwrap();
    for version in 1..=20 {
        let mut racers = JoinSet::new();
        for n in 0..16 {
            let store = Arc::clone(&store);
            let mut change = stored.clone();
            (change.version, change.title) = (version, format!("by {n}"));
            racers.spawn(async move {
                let title = change.title.clone();
                store.commit(put(Write::Task(change))).await.map(|()| title)
            });
        }
        let results = racers.join_all().await;
        let winners: Vec<_> = results
            .iter()
            .filter_map(|result| result.as_ref().ok())
            .collect();
        let kept = store.task(stored.id).await.unwrap();
        assert_eq!(winners, [&kept.title]);
        assert_eq!(kept.version, version + 1);
    }
}

#[tokio::test]
async fn the_writes_of_a_commit_are_carried_out_in_their_order() {
    let store = SqliteStore::in_memory().await.unwrap();
    let clock = Ticking::default();
    let first = task(&clock);
    let second = {
        let mut again = queued(first.clone());
        again.version = 1;
        again
    };
    let entry = outbox(&clock, &first);
    store
        .commit(
            Commit::new()
                .with(Write::Task(first.clone()))
                .with(Write::Log(first.id, entries(1, 1..=2)))
                .with(Write::Outbox(entry.clone()))
                .with(Write::Task(second))
                .with(Write::Log(first.id, entries(1, 3..=70)))
                .with(Write::Delivered(entry.id))
                .with(Write::Outbox(entry.clone())),
        )
        .await
        .unwrap();
    let kept = store.task(first.id).await.unwrap();
    assert_eq!((kept.version, kept.state.name()), (2, StateName::Queued));
    let all = store
        .log(first.id, LogCursor::default(), 100)
        .await
        .unwrap();
    assert_eq!(all, entries(1, 1..=70));
    let claimed = store.claim_outbox(at(9), at(10), 9).await.unwrap();
    assert_eq!(claimed.len(), 1);
}

#[tokio::test]
async fn text_with_a_nul_in_it_is_kept_and_found() {
    let store = SqliteStore::in_memory().await.unwrap();
    let clock = Ticking::default();
    let mut stored = task(&clock);
    store
        .commit(put(Write::Task(stored.clone())))
        .await
        .unwrap();
    stored.version = 1;
    assert_eq!(store.task(stored.id).await.unwrap(), stored);
    let by_ticket = |key: &str| TaskQuery {
        ticket: Some(("github".into(), key.into())),
        ..TaskQuery::default()
    };
    let found = store.tasks(&by_ticket("acme/shop#1\u{0}2")).await.unwrap();
    assert_eq!(found, [stored]);
    assert_eq!(store.tasks(&by_ticket("acme/shop#1")).await.unwrap(), []);
}

#[tokio::test]
async fn the_table_of_dependencies_follows_the_tasks() {
    let store = SqliteStore::in_memory().await.unwrap();
    let clock = Ticking::default();
    let (a, b, mut c) = (task(&clock), task(&clock), task(&clock));
    let dependents = async |of: &optio_core::task::Task| {
        let query = TaskQuery {
            depends_on: Some(of.id),
            ..TaskQuery::default()
        };
        store.tasks(&query).await.unwrap().len()
    };
    c.depends_on = vec![a.id, b.id, a.id];
    store.commit(put(Write::Task(c.clone()))).await.unwrap();
    assert_eq!((dependents(&a).await, dependents(&b).await), (1, 1));
    (c.depends_on, c.version) = (vec![b.id], 1);
    store.commit(put(Write::Task(c.clone()))).await.unwrap();
    assert_eq!((dependents(&a).await, dependents(&b).await), (0, 1));
    (c.depends_on, c.version) = (vec![], 2);
    store.commit(put(Write::Task(c))).await.unwrap();
    assert_eq!((dependents(&a).await, dependents(&b).await), (0, 0));
}

#[tokio::test]
async fn an_absurd_cost_is_kept_and_does_not_break_the_sum() {
    let store = SqliteStore::in_memory().await.unwrap();
    let clock = Ticking::default();
    let owner = task(&clock);
    for micros in [u64::MAX, 1_000_000_000_000_001, 123_456_789_012_345, 1] {
        let new = run(&clock, &owner);
        let spent = ended(new.clone(), Usd::from_micros(micros));
        store.commit(put(Write::NewRun(new.clone()))).await.unwrap();
        store
            .commit(put(Write::Run(spent)).guarded(new.id, 1))
            .await
            .unwrap();
        store.run(new.id).await.unwrap();
    }
    let sum = store.spent(None, at(0)).await.unwrap();
    assert_eq!(
        sum.micros(),
        2_000_000_000_000_000 + 123_456_789_012_345 + 1
    );
    assert_eq!(store.runs(&RunQuery::default()).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_conflict_says_what_is_in_the_way() {
    let store = SqliteStore::in_memory().await.unwrap();
    let clock = Ticking::default();
    let stored = task(&clock);
    let live = run(&clock, &stored);
    let first = repo(&clock, "https://github.com/acme/shop");
    store
        .commit(
            put(Write::Task(stored.clone()))
                .with(Write::NewRun(live.clone()))
                .with(Write::Repo(first)),
        )
        .await
        .unwrap();
    let mut shown = Vec::new();
    let stale = {
        let mut stale = live.clone();
        stale.epoch = 0;
        stale
    };
    for commit in [
        put(Write::Task(stored.clone())),
        put(Write::Run(stale)).guarded(live.id, 0),
        put(Write::TakeOver(live.clone())),
        put(Write::Repo(repo(&clock, "git@github.com:Acme/Shop.git"))),
        put(Write::Log(stored.id, entries(1, 2..=3))),
        put(Write::Audit(audit(&stored, "x"))).guarded(live.id, 2),
    ] {
        let error = store.commit(commit).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let (id, what) = error.message().split_once(' ').unwrap();
        shown.push(format!("{} {what}", id.split('_').next().unwrap()));
    }
    insta::assert_snapshot!(shown.join("\n"), @r"
    task exists already
    run is not held in this epoch any more, has ended, or does not exist
    run cannot change hands: somebody else has it, or it has ended
    repo exists already, or another repository has its address
    task has a log that does not end right before these entries
    run is not held in this epoch any more, has ended, or does not exist
    ");
    assert_eq!(store.history(stored.id).await.unwrap(), []);
}
