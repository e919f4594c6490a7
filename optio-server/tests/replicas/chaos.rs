//! Everything dies at random moments: replicas are killed, or frozen for longer than their leases and thawed; Redis
//! forgets everything; Redis and PostgreSQL are restarted. Forty and more tasks over five repositories come through.
//!
//! A seed decides what happens when; what it meets depends on the machine. `OPTIO_TEST_SEED` plays another one, and
//! `OPTIO_TEST_CHAOS=long` goes on for some minutes.

use std::time::Duration;

use serde_json::json;

use crate::{
    books::{Numbered, Runs, check_all},
    fleet::{Fleet, LEASE},
    git::Bare,
    limits::Limits,
    room::{Dice, Room},
    shared::{Shared, Stop},
};

const REPOSITORIES: usize = 5;
const LIMITS: Limits = Limits { global: 6, repo: 2 };

/// How much happens.
#[derive(Debug, Clone, Copy)]
struct Measure {
    tasks_each: usize,
    blows: usize,
}

const SHORT: Measure = Measure {
    tasks_each: 9,
    blows: 24,
};
const LONG: Measure = Measure {
    tasks_each: 40,
    blows: 200,
};

/// What happened, for whoever reads a failure.
#[derive(Debug, Default)]
struct Tally {
    killed: u32,
    frozen: u32,
    emptied: u32,
    redis_restarts: u32,
    postgres_restarts: u32,
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the tests says how long and how"
)]
fn asked_for() -> (Measure, u64) {
    let measure = match std::env::var("OPTIO_TEST_CHAOS").as_deref() {
        Ok("long") => LONG,
        _ => SHORT,
    };
    let seed = std::env::var("OPTIO_TEST_SEED").ok();
    (measure, seed.map_or(3, |seed| seed.parse().unwrap()))
}

#[tokio::test]
async fn whatever_dies_every_task_comes_to_its_end_once() {
    let (measure, seed) = asked_for();
    println!(
        "again: OPTIO_TEST_SEED={seed} cargo nextest run -p optio-server --test replicas whatever_dies"
    );
    let dice = Dice::seeded(seed);
    let (room, mut shared) = (Room::new(), Shared::start());
    let global = LIMITS.global.to_string();
    let mut fleet = Fleet::start(&room, &shared, 3, &["--max-concurrent", &global]).await;
    LIMITS.watch(&shared).await;
    let mut shops: Vec<(Bare, Vec<Numbered>)> = Vec::new();
    for number in 0..REPOSITORIES {
        let bare = Bare::new(&room, &format!("shop-{number}"));
        let server = fleet.server(number % fleet.len());
        let limits =
            json!({"maxConcurrentTasks": LIMITS.repo, "maxPodInstances": 2, "maxAgentsPerPod": 2});
        let repo = server.add_repo(&bare.path, limits).await;
        let mut tasks = Vec::new();
        for task in 0..measure.tasks_each {
            let title = format!("task-{number}-{task}");
            let lines = 5 + dice.below(25);
            let server = fleet.server(task % fleet.len());
            tasks.push(Numbered::submit(server, &repo, &title, lines, 40).await);
        }
        shops.push((bare, tasks));
    }
    let tally = blows(&dice, measure.blows, &mut fleet, &mut shared).await;
    println!("{tally:?}");
    fleet.all_thawed().await;
    for (number, (bare, tasks)) in shops.iter().enumerate() {
        let server = fleet.server(number % fleet.len());
        check_all(server, bare, tasks, Runs::One).await;
    }
    let kept = LIMITS.seen(&shared).await;
    println!("at most {} runs at once", kept.most);
    assert!(kept.broken.is_empty(), "{:#?}", kept.broken);
    assert!(kept.most > 1, "nothing was ever at work at once");
    fleet.stop().await;
    room.until_quiet().await;
}

async fn blows(dice: &Dice, blows: usize, fleet: &mut Fleet<'_>, shared: &mut Shared) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..blows {
        dice.moment(800).await;
        fleet.thaw_due();
        let number = usize::try_from(dice.below(3)).unwrap();
        match dice.below(10) {
            0..=3 => {
                fleet.kill_and_start(number).await;
                tally.killed += 1;
            }
            4..=6 => {
                // one replica always goes on
                if fleet.frozen() < 2 {
                    let time = LEASE + Duration::from_millis(500 + dice.below(2000));
                    fleet.freeze(number, time);
                    tally.frozen += 1;
                }
            }
            7 => {
                shared.flush_redis();
                tally.emptied += 1;
            }
            8 => {
                shared.restart_redis();
                tally.redis_restarts += 1;
            }
            _ => {
                let stop = if dice.below(2) == 0 {
                    Stop::InOrder
                } else {
                    Stop::Crash
                };
                shared.restart_postgres(stop);
                tally.postgres_restarts += 1;
            }
        }
    }
    tally
}
