//! Capacity is a signal: a freed slot starts the next task at once, and a full repository delays nobody else.

use std::time::Duration;

use optio_core::{
    NewTask,
    memory::{Signal, Step, diligent},
    repo::RepoSettings,
    run::RunKind,
    scheduling::WaitReason,
    task::StateName,
};
use tokio::time::Instant;

use super::world::{World, auto_merge};

#[tokio::test(start_paused = true)]
async fn a_freed_slot_starts_the_next_task_and_no_time_passes() {
    let world = World::with(auto_merge(), |settings| {
        settings.limits = settings.limits.with_global(1)
    })
    .await;
    let (go_on, begun) = (Signal::new(), Signal::new());
    let (wait, raise) = (go_on.clone(), begun.clone());
    world.agents_do(move |run| {
        let first = run.prompt.contains("the first");
        let mut steps = vec![if first {
            Step::WaitFor(wait.clone())
        } else {
            Step::Raise(raise.clone())
        }];
        steps.extend(diligent(run));
        steps
    });
    world.submit("Do the first").await;
    let _running = world.run();
    let second = world.submit("Do the second").await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let why = world.engine.why(second).await.unwrap();
    assert_eq!(
        why.reason,
        Some(WaitReason::GlobalLimit {
            at_work: 1,
            limit: 1
        })
    );

    let freed = Instant::now();
    go_on.raise();
    begun.raised().await;
    assert_eq!(freed.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_loses_everything_is_rebuilt_within_seconds() {
    let world = World::with(auto_merge(), |settings| {
        settings.limits = settings.limits.with_global(1);
        // not by the slow look at everything
        settings.health_interval = Duration::from_secs(24 * 3600);
    })
    .await;
    let go_on = Signal::new();
    let wait = go_on.clone();
    world.agents_do(move |run| {
        let mut steps = Vec::new();
        if run.prompt.contains("the first") {
            steps.push(Step::WaitFor(wait.clone()));
        }
        steps.extend(diligent(run));
        steps
    });
    let first = world.submit("Do the first").await;
    let _running = world.run();
    world_has_running(&world, first).await;
    let second = world.submit("Do the second").await;
    tokio::time::sleep(Duration::from_secs(60)).await;

    world.queue.lose();
    // at the next sweep, and the other task may have been claimed before the slot was taken again
    tokio::time::sleep(Duration::from_secs(20)).await;
    // its slot is taken again, its limit is set, and the other one waits
    let why = world.engine.why(second).await.unwrap();
    let full = WaitReason::GlobalLimit {
        at_work: 1,
        limit: 1,
    };
    assert_eq!((why.position, why.reason), (Some(1), Some(full)));
    assert_eq!(world.runtime.spawned().len(), 1);
    go_on.raise();
    world.until(second, StateName::Completed).await;
    assert_eq!(world.runs(first).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_starts_what_waits_at_once() {
    let world = World::new(RepoSettings {
        max_concurrent_tasks: 1,
        ..auto_merge()
    })
    .await;
    world.agents_do(|_| vec![Step::Hang]);
    let (one, two) = (world.submit("One").await, world.submit("Two").await);
    let _running = world.run();
    world_has_running(&world, one).await;
    assert_eq!(world.task(two).await.state.name(), StateName::Queued);

    let raised = Instant::now();
    world
        .engine
        .update_repo(world.repo.id, |draft| {
            draft.settings.max_concurrent_tasks = 2;
            Ok(())
        })
        .await
        .unwrap();
    world_has_running(&world, two).await;
    assert!(
        raised.elapsed() < Duration::from_secs(1),
        "{:?}",
        raised.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_repository_does_not_delay_another() {
    let world = World::new(RepoSettings {
        max_concurrent_tasks: 1,
        ..auto_merge()
    })
    .await;
    let other = world.another_repo("garden", auto_merge()).await;
    let busy = world.repo.id;
    world.agents_do(move |run| {
        if run.prompt.contains("block") {
            vec![Step::Hang]
        } else {
            diligent(run)
        }
    });
    for n in 0..20 {
        let new = NewTask::new(busy, format!("block {n}")).with_priority(1);
        world.engine.submit(new).await.unwrap();
    }
    let free = world
        .engine
        .submit(NewTask::new(other.id, "Water the plants").with_priority(100))
        .await
        .unwrap();
    let submitted = Instant::now();
    let _running = world.run();
    world.until(free.id, StateName::Completed).await;
    assert!(
        submitted.elapsed() < Duration::from_secs(5),
        "{:?}",
        submitted.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn the_limits_hold_and_every_slot_is_used() {
    let settings = RepoSettings {
        max_concurrent_tasks: 3,
        max_pod_instances: 2,
        max_agents_per_pod: 2,
        ..auto_merge()
    };
    let world = World::new(settings).await;
    world.agents_do(|run| {
        let mut steps = vec![Step::Wait(Duration::from_secs(60))];
        steps.extend(diligent(run));
        steps
    });
    let mut tasks = Vec::new();
    for n in 0..9 {
        tasks.push(world.submit(&format!("Task {n}")).await);
    }
    let _running = world.run();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let live = world.runtime.processes();
    assert_eq!(live.len(), 3);
    assert_eq!(world.engine.store().workspaces().await.unwrap().len(), 2);
    for task in tasks {
        world.until(task, StateName::Completed).await;
    }
    assert_eq!(world.merges(), 9);
}

#[tokio::test(start_paused = true)]
async fn idle_workspaces_go_last_in_first_out_and_a_retry_returns_to_its_own() {
    let world = World::new(RepoSettings {
        max_pod_instances: 2,
        max_agents_per_pod: 1,
        ..auto_merge()
    })
    .await;
    world.agents_do(|run| match run.kind {
        RunKind::First => vec![
            Step::Wait(Duration::from_secs(5)),
            Step::Fail("not today".to_owned()),
        ],
        _ => diligent(run),
    });
    let (one, two) = (world.submit("One").await, world.submit("Two").await);
    let running = world.run();
    for task in [one, two] {
        world.until(task, StateName::Completed).await;
        let runs = world.runs(task).await;
        assert_eq!(runs.len(), 2);
        assert_eq!(
            runs[0].workspace, runs[1].workspace,
            "the retry went to the same workspace"
        );
    }
    assert_eq!(world.engine.store().workspaces().await.unwrap().len(), 2);
    tokio::time::sleep(Duration::from_secs(15 * 60)).await;
    assert_eq!(world.engine.store().workspaces().await.unwrap(), []);
    running.drain().await;
}

async fn world_has_running(world: &World, task: optio_core::id::TaskId) {
    while world.task(task).await.state.name() != StateName::Running {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
