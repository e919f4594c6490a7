//! The machine's clock is set: by a day, forward or back, while agents are at work. No run is ended for it, none is
//! started twice, and what truly hangs is still ended.
//!
//! What a clock that is set does change: waits until a moment (a pause after a failure, a rate limit) end by the clock,
//! and a lease of a worker on a shared store that died just before the clock was set back is waited for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use optio_core::{
    Clock, NewTask, Optio, Timestamp,
    id::TaskId,
    memory::{MemoryQueue, Signal, Step, TokioClock, diligent},
    repo::RepoSettings,
    run::RunOutcome,
    task::StateName,
    transcript::LogCursor,
};

use super::world::{World, auto_merge, run};

const DAY: i64 = 24 * 3600;

/// A clock that can be set.
#[derive(Debug)]
struct SettableClock {
    clock: TokioClock,
    ahead: AtomicI64,
}

impl SettableClock {
    fn set(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for SettableClock {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let now = self.clock.now().as_microsecond() + ahead * 1_000_000;
        Timestamp::from_microsecond(now).unwrap()
    }

    fn random(&self) -> u64 {
        self.clock.random()
    }
}

/// The world's engine with such a clock.
fn with_settable_clock(world: &World) -> (Optio, Arc<SettableClock>) {
    let clock = Arc::new(SettableClock {
        clock: TokioClock::new(),
        ahead: AtomicI64::new(0),
    });
    let mut ports = world.engine.ports().clone();
    ports.clock = Arc::<SettableClock>::clone(&clock);
    ports.queue = Arc::new(MemoryQueue::new(Arc::<SettableClock>::clone(&clock)));
    (Optio::new(ports, world.engine.settings().clone()), clock)
}

async fn submit(world: &World, engine: &Optio) -> TaskId {
    let task = engine
        .submit(NewTask::new(world.repo.id, "Add a cart"))
        .await;
    task.unwrap().id
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_by_a_day_disturbs_no_run() {
    for jumps in [
        &[DAY][..],
        &[-DAY],
        &[DAY, -DAY],
        &[-DAY, DAY],
        &[DAY, DAY, -DAY],
    ] {
        let world = World::new(auto_merge()).await;
        let (engine, clock) = with_settable_clock(&world);
        let begun = Signal::new();
        let raise = begun.clone();
        world.agents_do(move |run| {
            let mut steps = vec![Step::Raise(raise.clone())];
            for line in 1..=60 {
                steps.push(Step::say(format!("line {line}")));
                steps.push(Step::Wait(Duration::from_secs(60)));
            }
            steps.extend(diligent(run));
            steps
        });
        let mut tasks = vec![submit(&world, &engine).await];
        let running = run(&engine);
        begun.raised().await;
        for jump in jumps {
            // at no moment that anything else happens at
            tokio::time::sleep(Duration::from_millis(601_234)).await;
            clock.set(*jump);
            // and with something new in the queue, so that all look at it at once
            tasks.push(submit(&world, &engine).await);
        }
        for task in &tasks {
            world.until(*task, StateName::Completed).await;
            let runs = world.runs(*task).await;
            let outcomes: Vec<_> = runs.iter().filter_map(|run| run.outcome()).collect();
            assert!(
                matches!(outcomes[..], [RunOutcome::Pushed { .. }]),
                "{jumps:?}: {outcomes:#?}"
            );
            let log = engine.store().log(*task, LogCursor::default(), 1000).await;
            let numbers: Vec<u64> = log.unwrap().iter().map(|entry| entry.cursor.seq).collect();
            assert_eq!(numbers, (1..=runs[0].progress.seq).collect::<Vec<_>>());
        }
        assert_eq!(world.runtime.spawned().len(), tasks.len(), "{jumps:?}");
        assert_eq!(world.merges() as usize, tasks.len(), "{jumps:?}");
        running.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_hangs_is_ended_after_its_time_whatever_the_clock_says() {
    for jump in [DAY, -DAY] {
        let world = World::new(RepoSettings {
            silence_minutes: 30,
            ..auto_merge()
        })
        .await;
        let (engine, clock) = with_settable_clock(&world);
        let begun = Signal::new();
        let raise = begun.clone();
        world.agents_do(move |_| vec![Step::say("begin"), Step::Raise(raise.clone()), Step::Hang]);
        let task = submit(&world, &engine).await;
        let _running = run(&engine);
        begun.raised().await;
        let since = tokio::time::Instant::now();
        tokio::time::sleep(Duration::from_secs(600)).await;
        clock.set(jump);
        while world.runs(task).await[0].is_live() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let minutes = since.elapsed().as_secs() / 60;
        assert_eq!(minutes, 30, "{jump}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forward_and_back_again_removes_no_log_too_early() {
    let day = Duration::from_secs(24 * 3600);
    let world = World::with(auto_merge(), |settings| settings.log_retention = Some(day)).await;
    let (engine, clock) = with_settable_clock(&world);
    world.agents_do(diligent);
    let task = submit(&world, &engine).await;
    let _running = run(&engine);
    world.until(task, StateName::Completed).await;
    let log = || engine.store().log(task, LogCursor::default(), 1000);
    let whole = log().await.unwrap();
    assert!(whole.len() > 1);
    clock.set(2 * DAY);
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    assert_eq!(log().await.unwrap(), whole);
    clock.set(-2 * DAY);
    tokio::time::sleep(Duration::from_secs(20 * 3600)).await;
    assert_eq!(log().await.unwrap(), whole);
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(log().await.unwrap().len(), 1, "a day has passed");
}
