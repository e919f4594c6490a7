//! Work by the clock over several replicas: done once, however many there are, and taken over from those that die.

use std::time::Duration;

use optio_core::{
    Clock, ErrorKind, NewTask, Optio,
    failure::{Failure, FailureClass},
    id::TaskId,
    memory::{Signal, TokioClock},
    pull_request::{Checks, PrNumber},
    store::{Commit, Write},
    task::{StateName, Task, TaskState, TicketRef},
    tickets::Ticket,
};
use tokio::time::Instant;

use super::world::{Running, World, auto_merge, run};

/// How often forges and ticket sources are asked by default, and how long a dead replica's share is its own.
const EACH: Duration = Duration::from_secs(30);
const TICKETS: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(30);

/// Pull requests that wait for their checks for ever.
async fn with_open_pull_requests(count: usize) -> (World, Vec<TaskId>) {
    let world = World::with(auto_merge(), |settings| {
        settings.limits = settings.limits.with_global(20);
    })
    .await;
    world.forge.plan_checks(|_| Checks::Pending);
    let mut tasks = Vec::new();
    for n in 0..count {
        tasks.push(world.submit(&format!("Task {n}")).await);
    }
    let running = world.run();
    for task in &tasks {
        world.until(*task, StateName::PrOpened).await;
    }
    running.drain().await;
    (world, tasks)
}

fn three(world: &World) -> [Running; 3] {
    ["b", "c", "d"].map(|name| run(&world.replica(name)))
}

/// How often the forge was asked for a pull request in this time.
async fn looks(world: &World, time: Duration) -> u64 {
    let before = world.forge.calls("pull_request");
    tokio::time::sleep(time).await;
    world.forge.calls("pull_request") - before
}

#[tokio::test(start_paused = true)]
async fn three_replicas_ask_the_forge_no_more_often_than_one() {
    let (world, tasks) = with_open_pull_requests(8).await;
    let _running = three(&world);
    tokio::time::sleep(LEASE * 2).await;
    let looked = looks(&world, EACH * 20).await;
    let of_one = tasks.len() as u64 * 20;
    assert!(
        (of_one - 8..=of_one + 8).contains(&looked),
        "{looked} looks, and one replica has {of_one}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hint_is_looked_into_at_once_and_by_one_replica() {
    let (world, tasks) = with_open_pull_requests(8).await;
    let _running = three(&world);
    tokio::time::sleep(LEASE * 2).await;
    let before = world.forge.calls("pull_request");
    let hinted = Instant::now();
    for number in 1..=8 {
        world
            .forge
            .set_checks(&world.url, PrNumber(number), Checks::Passed);
    }
    for task in tasks {
        while world.task(task).await.state.name() != StateName::Completed {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(
        hinted.elapsed() < Duration::from_secs(3),
        "{:?}",
        hinted.elapsed()
    );
    assert_eq!(world.merges(), 8);
    // each is looked at for its own hint, after its merge, and for the hints that others moved its base
    let looked = world.forge.calls("pull_request") - before;
    assert!(looked <= 8 * 12, "{looked} looks");
}

#[tokio::test(start_paused = true)]
async fn the_share_of_a_dead_replica_is_looked_after_once_its_lease_has_ended() {
    let (world, tasks) = with_open_pull_requests(8).await;
    let first = run(&world.replica("b"));
    tokio::time::sleep(LEASE).await;
    let rest = ["c", "d"].map(|name| run(&world.replica(name)));
    tokio::time::sleep(LEASE).await;
    first.kill().await;
    let died = Instant::now();
    // nobody hints at it
    let quiet = Checks::Passed;
    world.forge.plan_checks(move |_| quiet.clone());
    for task in tasks {
        world.until(task, StateName::Completed).await;
    }
    assert!(
        died.elapsed() < LEASE + EACH,
        "{:?} after its death",
        died.elapsed()
    );
    drop(rest);
}

#[tokio::test(start_paused = true)]
async fn what_the_forge_said_too_long_ago_merges_nothing() {
    let (world, tasks) = with_open_pull_requests(1).await;
    world
        .forge
        .set_checks(&world.url, PrNumber(1), Checks::Passed);
    // as if it were frozen while it waits for the answer, and thawed when somebody else has its share
    world.forge.delay_next_look(LEASE);
    let frozen = world.replica("b");
    let late = frozen.look_at_pull_request(tasks[0]).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict);
    assert_eq!(world.merges(), 0);

    frozen.look_at_pull_request(tasks[0]).await.unwrap();
    assert_eq!(world.merges(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_very_many_failed_tasks_some_are_looked_at_each_time_and_none_is_left_out() {
    let clock = TokioClock::new();
    let older: Vec<TaskId> = (0..450).map(|_| TaskId::generate(&clock)).collect();
    let (world, tasks) = with_open_pull_requests(1).await;
    let mut failed = world.task(tasks[0]).await;
    failed.state = TaskState::Failed {
        failure: Failure::new(FailureClass::Unknown),
        at: clock.now(),
    };
    let nothing_to_look_at = |id| Task {
        id,
        version: 0,
        pull_request: None,
        ..failed.clone()
    };
    let writes = older.into_iter().map(nothing_to_look_at);
    let commit = writes.chain([failed.clone()]).map(Write::Task);
    let commit = commit.fold(Commit::new(), Commit::with);
    world.engine.store().commit(commit).await.unwrap();
    // a person merges what the task left open
    world.forge.merge_elsewhere(&world.url, PrNumber(1));
    let watcher = world.replica("b");
    for name in [StateName::Failed, StateName::Failed, StateName::Completed] {
        watcher.tick_pr_watcher().await.unwrap();
        assert_eq!(world.task(tasks[0]).await.state.name(), name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_drains_gives_its_shares_up() {
    let (world, tasks) = with_open_pull_requests(8).await;
    let first = run(&world.replica("b"));
    tokio::time::sleep(LEASE).await;
    let _second = run(&world.replica("c"));
    tokio::time::sleep(LEASE).await;
    world.forge.plan_checks(|_| Checks::Passed);
    first.drain().await;
    let drained = Instant::now();
    for task in tasks {
        world.until(task, StateName::Completed).await;
    }
    // the other one asks for shares three times in each lease
    assert!(
        drained.elapsed() < LEASE / 3 + Duration::from_secs(3),
        "{:?}",
        drained.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn ticket_sources_are_asked_once_in_each_interval_and_a_ticket_has_one_task() {
    let world = World::new(auto_merge()).await;
    let _running = three(&world);
    tokio::time::sleep(TICKETS * 2).await;
    let before = world.tickets.asked();
    tokio::time::sleep(TICKETS * 30).await;
    let asked = world.tickets.asked() - before;
    assert!((29..=31).contains(&asked), "{asked}");
    world.tickets.write(Ticket {
        key: "SHOP-7".to_owned(),
        repo: world.url.clone(),
        title: "Add a cart".to_owned(),
        body: String::new(),
        url: None,
        priority: None,
    });
    tokio::time::sleep(TICKETS * 3).await;
    let all = world.engine.store().tasks(&Default::default()).await;
    assert_eq!(all.unwrap().len(), 1);
    // whoever was frozen in the middle of taking it and goes on now
    let late = |engine: Optio| async move {
        let mut new = NewTask::new(world.repo.id, "Add a cart");
        new.ticket = Some(TicketRef {
            source: "memory".to_owned(),
            key: "SHOP-7".to_owned(),
            url: None,
        });
        engine.submit(new).await.unwrap_err().kind()
    };
    assert_eq!(late(world.replica("e")).await, ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn changes_of_one_repository_by_two_replicas_are_both_kept() {
    let world = World::new(auto_merge()).await;
    let other = world.replica("b");
    let seen = Signal::new();
    // the first one has read the settings when the second one writes its own
    let first = world.engine.update_repo(world.repo.id, |draft| {
        draft.settings.max_concurrent_tasks = 7;
        seen.raise();
        Ok(())
    });
    let second = async {
        seen.raised().await;
        other
            .update_repo(world.repo.id, |draft| {
                draft.settings.model = Some("large".to_owned());
                Ok(())
            })
            .await
    };
    let (first, second) = tokio::join!(first, second);
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.version, second.version);
    let stored = world.engine.store().repo(world.repo.id).await.unwrap();
    assert_eq!(
        (
            stored.settings.max_concurrent_tasks,
            stored.settings.model.as_deref()
        ),
        (7, Some("large"))
    );
    let refused = other.update_repo(world.repo.id, |_| {
        Err(optio_core::Error::invalid("test", "no"))
    });
    assert_eq!(refused.await.unwrap_err().kind(), ErrorKind::Invalid);
}
