//! Everything dies at random moments: replicas are killed, or frozen for longer than their leases and thawed; Redis
//! forgets everything, or is away for as long; Redis and PostgreSQL are restarted. Forty and more tasks over five
//! repositories come through.
//!
//! A seed decides what happens when; what it meets depends on the machine. `OPTIO_TEST_SEED` plays another one, and
//! `OPTIO_TEST_CHAOS=long` goes on for some minutes.

use std::time::Duration;

use optio_core::task::StateName;
use serde_json::json;

use crate::{
    books::{Numbered, Runs, check_all},
    fleet::{Fleet, LEASE},
    git::Bare,
    limits::Limits,
    room::{Dice, Room},
    server::Server,
    shared::{Shared, Stop},
};

const REPOSITORIES: usize = 5;
const LIMITS: Limits = Limits { global: 6, repo: 2 };

/// How much happens.
#[derive(Debug, Clone, Copy)]
struct Measure {
    /// Tasks of each repository that come to a merge; one more fails, and one more is cancelled.
    tasks_each: usize,
    blows: usize,
}

const SHORT: Measure = Measure {
    tasks_each: 8,
    blows: 24,
};
const LONG: Measure = Measure {
    tasks_each: 40,
    blows: 240,
};

/// Something that happens to the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    Kill,
    Freeze,
    FlushRedis,
    RestartRedis,
    /// It is away for longer than a lease.
    LoseRedis,
    StopPostgres,
    CrashPostgres,
}

/// What comes in each dozen, in whatever order.
const DOZEN: [Blow; 12] = [
    Blow::Kill,
    Blow::Kill,
    Blow::Kill,
    Blow::Kill,
    Blow::Freeze,
    Blow::Freeze,
    Blow::Freeze,
    Blow::FlushRedis,
    Blow::LoseRedis,
    Blow::RestartRedis,
    Blow::StopPostgres,
    Blow::CrashPostgres,
];

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

/// The tasks of one repository.
#[derive(Debug)]
struct Shop {
    bare: Bare,
    merged: Vec<Numbered>,
    failing: String,
    hanging: String,
}

impl Shop {
    async fn open(
        room: &Room,
        fleet: &Fleet<'_>,
        dice: &Dice,
        number: usize,
        tasks: usize,
    ) -> Self {
        let bare = Bare::new(room, &format!("shop-{number}"));
        let settings = json!({
            "maxConcurrentTasks": LIMITS.repo, "maxPodInstances": 2, "maxAgentsPerPod": 2,
            "attempts": {"failures": 1},
        });
        let server = fleet.server(number % fleet.len());
        let repo = server.add_repo(&bare.path, settings).await;
        let failing = server.add_task(&repo, "fails", "say oh\nfail 1 no such luck");
        let failing = failing.await;
        let hanging = server.add_task(&repo, "hangs", "say waiting\nhang").await;
        let mut merged = Vec::new();
        for task in 0..tasks {
            let title = format!("task-{number}-{task}");
            let lines = 5 + dice.below(25);
            let server = fleet.server(task % fleet.len());
            merged.push(Numbered::submit(server, &repo, &title, lines, 40).await);
        }
        Self {
            bare,
            merged,
            failing,
            hanging,
        }
    }

    async fn check(&self, server: &Server) {
        for (task, end) in [
            (&self.failing, StateName::Failed),
            (&self.hanging, StateName::Cancelled),
        ] {
            let ended = server.until(task, end).await;
            assert!(ended.pull_request.is_none(), "{ended:#?}");
            assert!(server.runs(task).await.len() <= 1, "{ended:#?}");
        }
        check_all(server, &self.bare, &self.merged, Runs::One).await;
    }
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
    let mut shops = Vec::new();
    for number in 0..REPOSITORIES {
        shops.push(Shop::open(&room, &fleet, &dice, number, measure.tasks_each).await);
    }
    let blows = shuffled(&dice, measure.blows);
    for (nth, blow) in blows.iter().enumerate() {
        dice.moment(800).await;
        fleet.thaw_due();
        strike(*blow, &dice, &mut fleet, &mut shared).await;
        // people go on meanwhile
        if let Some(shop) = shops.get((nth + 1) * REPOSITORIES / blows.len()) {
            fleet.cancel(&shop.hanging).await;
        }
    }
    fleet.all_thawed().await;
    for (number, shop) in shops.iter().enumerate() {
        fleet.cancel(&shop.hanging).await;
        shop.check(fleet.server(number % fleet.len())).await;
    }
    let kept = LIMITS.seen(&shared).await;
    println!("at most {} runs at once", kept.most);
    assert!(kept.broken.is_empty(), "{:#?}", kept.broken);
    assert!(kept.most > 1, "nothing was ever at work at once");
    fleet.stop().await;
    room.until_quiet().await;
}

/// Dozens of blows, each in an order of its own.
fn shuffled(dice: &Dice, count: usize) -> Vec<Blow> {
    let mut blows = Vec::new();
    while blows.len() < count {
        let mut dozen = DOZEN;
        for last in (1..dozen.len()).rev() {
            let other = usize::try_from(dice.below(last as u64 + 1)).unwrap();
            dozen.swap(last, other);
        }
        blows.extend(dozen);
    }
    blows.truncate(count);
    blows
}

fn longer_than_a_lease(dice: &Dice) -> Duration {
    LEASE + Duration::from_millis(500 + dice.below(2000))
}

async fn strike(blow: Blow, dice: &Dice, fleet: &mut Fleet<'_>, shared: &mut Shared) {
    let number = usize::try_from(dice.below(3)).unwrap();
    println!("{blow:?}, replica {number}");
    match blow {
        Blow::Kill => fleet.kill_and_start(number).await,
        Blow::Freeze => {
            // one replica always goes on
            if fleet.frozen() == 2 {
                fleet.all_thawed().await;
            }
            fleet.freeze(number, longer_than_a_lease(dice));
        }
        Blow::FlushRedis => shared.flush_redis(),
        Blow::RestartRedis => shared.restart_redis(),
        Blow::LoseRedis => {
            shared.stop_redis();
            tokio::time::sleep(longer_than_a_lease(dice)).await;
            shared.restart_redis();
        }
        Blow::StopPostgres => shared.restart_postgres(Stop::InOrder),
        Blow::CrashPostgres => shared.restart_postgres(Stop::Crash),
    }
}
