//! Asking for tasks.

use super::Store;
use crate::{
    conformance::sample,
    id::TaskId,
    store::{TaskOrder, TaskQuery, Write},
    task::{Blocking, StateName, Task, TaskRole, TicketRef},
};

/// By id, whatever the order of their writing.
pub async fn tasks_come_by_age_in_either_order(store: &Store) {
    store
        .put([3, 1, 2].map(|n| Write::Task(sample::task(n))))
        .await;
    assert_eq!(ask(store, TaskQuery::default()).await, ids(&[1, 2, 3]));
    let newest_first = TaskQuery {
        order: TaskOrder::Descending,
        ..TaskQuery::default()
    };
    assert_eq!(ask(store, newest_first).await, ids(&[3, 2, 1]));
}

/// By one state or several; also after they changed.
pub async fn tasks_are_found_by_state(store: &Store) {
    store.put(in_every_state().map(Write::Task)).await;
    for (n, state) in (1..).zip(StateName::ALL) {
        let found = ask(store, TaskQuery::in_states([state])).await;
        assert_eq!(found, ids(&[n]), "{state}");
    }
    let two = TaskQuery::in_states([StateName::Cancelled, StateName::Pending]);
    assert_eq!(ask(store, two).await, ids(&[1, 10]));
    let mut moved = sample::task(2);
    moved.version = 1;
    store.put([Write::Task(moved)]).await;
    let pending = TaskQuery::in_states([StateName::Pending]);
    assert_eq!(ask(store, pending).await, ids(&[1, 2]));
    let waiting = TaskQuery::in_states([StateName::WaitingOnDeps]);
    assert_eq!(ask(store, waiting).await, []);
}

/// Each alone, and together: all of them have to hold.
pub async fn tasks_are_found_by_repository_parent_dependency_and_ticket(store: &Store) {
    let mut tasks = [1, 2, 3, 4, 5].map(sample::task);
    tasks[1].repo = sample::repo_id(2);
    tasks[2].role = TaskRole::Review {
        parent: sample::task_id(1),
        blocks_parent: Blocking::Independent,
        head: sample::commit_id(1),
    };
    tasks[3].depends_on = vec![sample::task_id(1), sample::task_id(2)];
    tasks[4].depends_on = vec![sample::task_id(2)];
    tasks[3].ticket = ticket("github", "7");
    tasks[4].ticket = ticket("linear", "7");
    store.put(tasks.map(Write::Task)).await;

    let all = TaskQuery::default;
    let of_repo = TaskQuery {
        repo: Some(sample::repo_id(2)),
        ..all()
    };
    assert_eq!(ask(store, of_repo).await, ids(&[2]));
    let of_parent = TaskQuery {
        parent: Some(sample::task_id(1)),
        ..all()
    };
    assert_eq!(ask(store, of_parent).await, ids(&[3]));
    let behind = |n| TaskQuery {
        depends_on: Some(sample::task_id(n)),
        ..all()
    };
    assert_eq!(ask(store, behind(1)).await, ids(&[4]));
    assert_eq!(ask(store, behind(2)).await, ids(&[4, 5]));
    let of_ticket = |source: &str, key: &str| TaskQuery {
        ticket: Some((source.to_owned(), key.to_owned())),
        ..all()
    };
    assert_eq!(ask(store, of_ticket("linear", "7")).await, ids(&[5]));
    assert_eq!(ask(store, of_ticket("linear", "8")).await, []);
    let both = TaskQuery {
        depends_on: Some(sample::task_id(2)),
        states: vec![StateName::Pending],
        ..of_ticket("github", "7")
    };
    assert_eq!(ask(store, both).await, ids(&[4]));
}

/// In the order of their ids, not of the asking; one that there is not, or is asked for twice, changes nothing.
pub async fn tasks_are_found_by_their_ids(store: &Store) {
    store
        .put([1, 2, 3].map(|n| Write::Task(sample::task(n))))
        .await;
    let these = |wanted: &[u64]| TaskQuery {
        ids: Some(ids(wanted)),
        ..TaskQuery::default()
    };
    assert_eq!(ask(store, these(&[3, 9, 1, 3])).await, ids(&[1, 3]));
    assert_eq!(ask(store, these(&[])).await, []);
    let pending = TaskQuery {
        states: vec![StateName::Running],
        ..these(&[1, 2])
    };
    assert_eq!(ask(store, pending).await, []);
}

/// `after` and `limit` follow the order asked for, and count what the query matches.
pub async fn tasks_are_paged_in_either_order(store: &Store) {
    let mut tasks = [1, 2, 3, 4, 5].map(sample::task);
    tasks[2].repo = sample::repo_id(2);
    store.put(tasks.map(Write::Task)).await;
    let page = |after: Option<u64>, limit, order| TaskQuery {
        repo: Some(sample::repo_id(1)),
        after: after.map(sample::task_id),
        order,
        limit: Some(limit),
        ..TaskQuery::default()
    };
    let (up, down) = (TaskOrder::Ascending, TaskOrder::Descending);
    assert_eq!(ask(store, page(None, 2, up)).await, ids(&[1, 2]));
    assert_eq!(ask(store, page(Some(2), 2, up)).await, ids(&[4, 5]));
    assert_eq!(ask(store, page(Some(3), 2, up)).await, ids(&[4, 5]));
    assert_eq!(ask(store, page(Some(5), 2, up)).await, []);
    assert_eq!(ask(store, page(None, 3, down)).await, ids(&[5, 4, 2]));
    assert_eq!(ask(store, page(Some(2), 3, down)).await, ids(&[1]));
    assert_eq!(ask(store, page(None, 0, up)).await, []);
}

/// States without any are left out.
pub async fn tasks_are_counted_by_state(store: &Store) {
    store.put(in_every_state().map(Write::Task)).await;
    let mut more = sample::task(11);
    more.state = sample::task_states().swap_remove(1);
    let mut moved = sample::task(3);
    moved.version = 1;
    store.put([Write::Task(more), Write::Task(moved)]).await;
    let mut counts = store.port().count_tasks().await.expect("count_tasks");
    counts.sort();
    let mut expected: Vec<_> = StateName::ALL.map(|state| (state, 1)).into();
    expected[0].1 = 2;
    expected[1].1 = 2;
    expected.remove(2);
    assert_eq!(counts, expected);
}

async fn ask(store: &Store, query: TaskQuery) -> Vec<TaskId> {
    let tasks = store.port().tasks(&query).await.expect("tasks");
    tasks.iter().map(|task| task.id).collect()
}

fn ids(numbers: &[u64]) -> Vec<TaskId> {
    numbers.iter().map(|n| sample::task_id(*n)).collect()
}

fn ticket(source: &str, key: &str) -> Option<TicketRef> {
    Some(TicketRef {
        source: source.to_owned(),
        key: key.to_owned(),
        url: None,
    })
}

/// Tasks from 1 on, in the states of [`StateName::ALL`].
fn in_every_state() -> [Task; 10] {
    let mut states = sample::task_states().into_iter();
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(|n| {
        let mut task = sample::task(n);
        task.state = states.next().expect("ten states");
        task
    })
}
