//! Several workers on the same backends: they come and go, and nothing happens twice.

use std::time::Duration;

use optio_core::{
    ErrorKind,
    clock::later,
    id::TaskId,
    memory::{Signal, Step, diligent},
    money::Usd,
    repo::RepoSettings,
    run::{Lease, RunKind, RunPhase, WorkerId},
    store::{Commit, TaskQuery, Write},
    task::StateName,
};

use super::world::{World, auto_merge, run};

#[tokio::test(start_paused = true)]
async fn a_killed_worker_is_followed_by_another_and_the_agent_never_notices() {
    let world = World::new(auto_merge()).await;
    let (begun, go_on) = (Signal::new(), Signal::new());
    let (raise, wait) = (begun.clone(), go_on.clone());
    world.agents_do(move |run| {
        let mut steps = vec![
            Step::say("before"),
            Step::Raise(raise.clone()),
            Step::WaitFor(wait.clone()),
            Step::say("after"),
        ];
        steps.extend(diligent(run));
        steps
    });
    let task = world.submit("Add a cart").await;
    let first = world.run();
    begun.raised().await;
    first.kill().await;
    go_on.raise();
    let second = world.replica("b");
    let _second = run(&second);
    world.until(task, StateName::Completed).await;
    let runs = world.runs(task).await;
    assert_eq!((runs.len(), runs[0].epoch), (1, 2));
    assert_eq!(world.runtime.spawned().len(), 1);
    assert_eq!(world.merges(), 1);
    assert_eq!(log_of(&world, task).await, 1..=runs[0].progress.seq);
}

#[tokio::test(start_paused = true)]
async fn a_drained_worker_is_adopted_at_once() {
    let world = World::new(auto_merge()).await;
    let (begun, go_on) = (Signal::new(), Signal::new());
    let (raise, wait) = (begun.clone(), go_on.clone());
    world.agents_do(move |run| {
        let mut steps = vec![Step::Raise(raise.clone()), Step::WaitFor(wait.clone())];
        steps.extend(diligent(run));
        steps
    });
    let task = world.submit("Add a cart").await;
    let first = world.run();
    begun.raised().await;
    first.drain().await;
    assert_eq!(world.runtime.processes().len(), 1, "the agent works on");
    let second = world.replica("b");
    let before = tokio::time::Instant::now();
    let _second = run(&second);
    while world.runs(task).await[0].epoch == 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        before.elapsed() < Duration::from_secs(2),
        "{:?}",
        before.elapsed()
    );
    go_on.raise();
    world.until(task, StateName::Completed).await;
    assert_eq!(world.runs(task).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn twenty_kills_leave_one_run_one_pull_request_one_merge() {
    let world = World::new(auto_merge()).await;
    world.agents_do(|run| {
        let mut steps = Vec::new();
        for n in 0..200 {
            steps.extend([
                Step::say(format!("line {n}")),
                Step::Wait(Duration::from_secs(2)),
            ]);
        }
        steps.extend(diligent(run));
        steps
    });
    let tasks = [world.submit("One").await, world.submit("Two").await];
    for kill in 0..20 {
        let worker = world.replica(&format!("worker-{kill}"));
        let running = run(&worker);
        tokio::time::sleep(Duration::from_millis(17_000 + 613 * kill)).await;
        running.kill().await;
    }
    let _last = world.run();
    for task in tasks {
        world.until(task, StateName::Completed).await;
        let runs = world.runs(task).await;
        assert_eq!(runs.len(), 1);
        assert_eq!(log_of(&world, task).await, 1..=runs[0].progress.seq);
    }
    assert_eq!(world.runtime.spawned().len(), 2);
    assert_eq!(world.forge.pull_requests(&world.url).len(), 2);
    assert_eq!(world.merges(), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_lost_a_run_can_write_nothing_about_it() {
    let world = World::new(auto_merge()).await;
    let begun = Signal::new();
    let raise = begun.clone();
    world.agents_do(move |_| vec![Step::Raise(raise.clone()), Step::Hang]);
    let task = world.submit("Add a cart").await;
    let first = world.run();
    begun.raised().await;
    let frozen = world.runs(task).await.remove(0);
    first.kill().await;
    let second = world.replica("b");
    let _second = run(&second);
    while world.runs(task).await[0].epoch == 1 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let thawed = Commit::new()
        .guarded(frozen.id, frozen.epoch)
        .with(Write::Run(frozen.clone()));
    let refused = world.engine.store().commit(thawed).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn whoever_lost_a_review_while_reading_its_verdict_says_nothing_of_it() {
    let settings = RepoSettings {
        review_enabled: true,
        ..auto_merge()
    };
    let world = World::new(settings).await;
    let (begun, go_on) = (Signal::new(), Signal::new());
    let (raise, wait) = (begun.clone(), go_on.clone());
    world.agents_do(move |run| match run.kind {
        RunKind::Review => vec![
            Step::Raise(raise.clone()),
            Step::WaitFor(wait.clone()),
            Step::Cost(Usd::from_dollars(0.5)),
            Step::approve("fine"),
        ],
        _ => diligent(run),
    });
    let task = world.submit("Add a cart").await;
    let first = world.run();
    begun.raised().await;
    let reviews = TaskQuery {
        parent: Some(task),
        ..TaskQuery::default()
    };
    let reviews = world.engine.store().tasks(&reviews).await;
    let review = reviews.unwrap().remove(0).id;
    // as if it were frozen once it has asked for the verdict, and thawed when somebody else holds the run
    world.runtime.delay_next_read(Duration::from_secs(5));
    go_on.raise();
    let exited = loop {
        let run = world.runs(review).await.remove(0);
        if matches!(run.phase, RunPhase::Exited { .. }) {
            break run;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let mut taken = exited.clone();
    taken.epoch += 1;
    taken.lease = Lease {
        holder: WorkerId("c".to_owned()),
        until: later(world.engine.ports().clock.now(), Duration::from_secs(120)),
    };
    let commit = Commit::new().with(Write::TakeOver(taken.clone()));
    world.engine.store().commit(commit).await.unwrap();
    let (task_then, review_then) = (world.task(task).await, world.task(review).await);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.runs(review).await, [taken]);
    assert_eq!(world.task(review).await, review_then);
    assert_eq!(world.task(task).await, task_then);
    assert_eq!(world.forge.calls("review"), 0);
    assert_eq!(world.merges(), 0);

    first.kill().await;
    let _second = run(&world.replica("b"));
    let task = world.until(task, StateName::Completed).await;
    assert_eq!(world.runs(review).await.len(), 1);
    assert_eq!(world.forge.calls("review"), 1);
    assert_eq!(task.usage.cost.to_string(), "$0.51", "counted once");
}

#[tokio::test(start_paused = true)]
async fn two_workers_share_the_work_and_do_nothing_twice() {
    let world = World::new(auto_merge()).await;
    let replica = world.replica("b");
    let mut tasks = Vec::new();
    for n in 0..12 {
        tasks.push(world.submit(&format!("Task {n}")).await);
    }
    let (_a, _b) = (world.run(), run(&replica));
    for task in tasks {
        world.until(task, StateName::Completed).await;
        assert_eq!(world.runs(task).await.len(), 1);
    }
    assert_eq!(world.merges(), 12);
}

/// The numbers of a task's log entries, which must be without a gap.
async fn log_of(world: &World, task: TaskId) -> std::ops::RangeInclusive<u64> {
    let entries = world
        .engine
        .store()
        .log(
            task,
            optio_core::transcript::LogCursor::default(),
            usize::MAX,
        )
        .await
        .unwrap();
    for (entry, expected) in entries.iter().zip(1..) {
        assert_eq!(entry.cursor.seq, expected);
    }
    1..=entries.len() as u64
}
