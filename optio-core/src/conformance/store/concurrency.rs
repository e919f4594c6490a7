//! Many at once.

use super::Store;
use crate::{
    conformance::sample,
    error::ErrorKind::Conflict,
    store::{Commit, RunsOf, TaskQuery, Write},
    task::{Task, TicketRef},
};

/// Each of several writers reads, adds one, writes, and tries again on a conflict.
pub async fn changes_by_many_at_once_are_all_kept(store: &Store) {
    const WRITERS: u32 = 8;
    const CHANGES: u32 = 5;
    store.put([Write::Task(sample::task(1))]).await;
    let writers = (0..WRITERS).map(|_| {
        let store = store.shared();
        tokio::spawn(async move {
            let mut done = 0;
            while done < CHANGES {
                let mut task = store.task(sample::task_id(1)).await.expect("task");
                task.runs += 1;
                match store.commit(Commit::new().with(Write::Task(task))).await {
                    Ok(()) => done += 1,
                    Err(error) => assert_eq!(error.kind(), Conflict, "{error}"),
                }
            }
        })
    });
    finish(writers).await;
    let task = store.port().task(sample::task_id(1)).await.expect("task");
    assert_eq!(task.runs, WRITERS * CHANGES);
    assert_eq!(task.version, u64::from(WRITERS * CHANGES) + 1);
}

/// The others get a conflict.
pub async fn of_two_who_take_over_a_run_one_wins(store: &Store) {
    store.put([Write::NewRun(sample::run(1, 1))]).await;
    let takers = ["b", "c"].map(|name| {
        let store = store.shared();
        tokio::spawn(async move {
            let mut run = sample::run(1, 1);
            run.epoch = 2;
            run.lease.holder = sample::worker(name);
            match store.commit(Commit::new().with(Write::TakeOver(run))).await {
                Ok(()) => Some(sample::worker(name)),
                Err(error) => {
                    assert_eq!(error.kind(), Conflict, "{error}");
                    None
                }
            }
        })
    });
    let winners: Vec<_> = finish(takers).await.into_iter().flatten().collect();
    let run = store.port().run(sample::run_id(1)).await.expect("run");
    assert_eq!(winners, [run.lease.holder]);
}

/// The others are told that it is held.
pub async fn of_many_who_want_a_lease_one_gets_it(store: &Store) {
    let takers = (0..8).map(|n| {
        let store = store.shared();
        tokio::spawn(async move {
            let holder = sample::worker(&format!("worker {n}"));
            let lease = store.lease("sweep", &holder, sample::at(0), sample::at(10));
            lease.await.expect("lease")
        })
    });
    let taken = finish(takers).await;
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
}

/// No entry goes to two, none is left over.
pub async fn an_outbox_entry_is_claimed_by_one_of_many(store: &Store) {
    const ENTRIES: u64 = 40;
    store
        .put((0..ENTRIES).map(|n| Write::Outbox(sample::outbox(n))))
        .await;
    let claimers = (0..4).map(|_| {
        let store = store.shared();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claim = store.claim_outbox(sample::at(99), sample::at(199), 3);
                let claimed = claim.await.expect("claim_outbox");
                if claimed.is_empty() {
                    return mine;
                }
                mine.extend(claimed.into_iter().map(|entry| entry.id));
            }
        })
    });
    let mut claimed = finish(claimers).await.concat();
    claimed.sort();
    // somebody may be told "none" while another still holds rows locked, so what is left is claimed here
    let rest = (store.port()).claim_outbox(sample::at(99), sample::at(199), 100);
    claimed.extend(
        rest.await
            .expect("claim_outbox")
            .iter()
            .map(|entry| entry.id),
    );
    claimed.sort();
    let all: Vec<_> = (0..ENTRIES).map(sample::outbox_id).collect();
    assert_eq!(claimed, all);
}

/// Two records that are always written together are always read alike.
pub async fn a_reader_never_sees_half_of_a_commit(store: &Store) {
    const CHANGES: u64 = 30;
    let pair = |version| {
        let mut tasks = [sample::task(1), sample::task(2)];
        tasks.iter_mut().for_each(|task| task.version = version);
        tasks.map(Write::Task)
    };
    store.put(pair(0)).await;
    let writer = {
        let store = store.shared();
        tokio::spawn(async move {
            for version in 1..CHANGES {
                let commit = pair(version).into_iter().fold(Commit::new(), Commit::with);
                store.commit(commit).await.expect("commit");
                tokio::task::yield_now().await;
            }
        })
    };
    let reader = store.port();
    loop {
        let done = writer.is_finished();
        let tasks = reader.tasks(&TaskQuery::default()).await.expect("tasks");
        assert_eq!(tasks[0].version, tasks[1].version);
        if done {
            assert_eq!(tasks[0].version, CHANGES);
            break;
        }
        tokio::task::yield_now().await;
    }
    writer.await.expect("the writer");
}

async fn finish<T>(tasks: impl IntoIterator<Item = tokio::task::JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for task in tasks.into_iter().collect::<Vec<_>>() {
        results.push(task.await.expect("a task of the test"));
    }
    results
}

/// Live runs are counted over commits that are made at the same moment; that all of them use one workspace is in none's
/// way.
pub async fn limits_on_live_runs_hold_among_commits_of_one_moment(store: &Store) {
    let workspace = sample::workspace(1);
    store.put([Write::Workspace(workspace.clone())]).await;
    let mut writers = tokio::task::JoinSet::new();
    for n in 1..=12 {
        let port = store.shared();
        let condition = Write::LiveRunsAtMost {
            of: RunsOf::Workspace(workspace.id),
            limit: 5,
        };
        let commit = Commit::new()
            .with(Write::NewRun(sample::run(n, n)))
            .with(Write::UseWorkspace(workspace.id, sample::at(n)))
            .with(condition);
        writers.spawn(async move { port.commit(commit).await.is_ok() });
    }
    let placed = writers.join_all().await.into_iter().filter(|fits| *fits);
    assert_eq!(placed.count(), 5);
    let stored = store.port().workspaces().await.expect("workspaces");
    assert_eq!(stored[0].version, 1 + 5);
}

/// A ticket has one task, also if many want to make it at the same moment.
pub async fn of_many_who_take_a_ticket_one_makes_its_task(store: &Store) {
    let of_ticket = |n: u64, source: &str| {
        let ticket = TicketRef {
            source: source.to_owned(),
            key: "7".to_owned(),
            url: None,
        };
        let task = Task {
            ticket: Some(ticket),
            ..sample::task(n)
        };
        let condition = Write::TicketIsNew {
            source: source.to_owned(),
            key: "7".to_owned(),
        };
        Commit::new().with(condition).with(Write::Task(task))
    };
    let mut takers = tokio::task::JoinSet::new();
    for n in 1..=8 {
        let (port, commit) = (store.shared(), of_ticket(n, "github"));
        takers.spawn(async move { port.commit(commit).await });
    }
    let (made, refused): (Vec<_>, Vec<_>) =
        takers.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for error in refused {
        assert_eq!(error.expect_err("refused").kind(), Conflict);
    }
    // the same key at another source is another ticket
    let other = store.port().commit(of_ticket(9, "linear")).await;
    other.expect("commit");
    let stored = store.port().tasks(&TaskQuery::default()).await;
    assert_eq!(stored.expect("tasks").len(), 2);
}
