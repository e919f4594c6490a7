//! The engine of Optio under faults, by seed.
//!
//! A seed decides everything: repositories and their settings, how many replicas share the ports, what agents and CI do,
//! what people want and when, and which call of which replica fails, is slow, is answered by nobody or is its last.
//! The whole engine runs on paused time over the ports in memory. Decorators next to those ports see what truly happens
//! and hold each commit, each process and each merge against the invariants that ARCHITECTURE.md lists. Then the storm
//! ends, and every task has to come to rest.
//!
//! The same seed is the same story, event for event: a seed that fails can be looked at again.

mod dice;
mod watch;
mod faulty;
mod sabotage;
mod agents;
mod world;
mod people;
mod chaos;
mod settle;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::{
    chaos::Place,
    dice::Dice,
    people::People,
    world::{Fleet, PATIENCE, World},
};
pub use self::{
    sabotage::Sabotage,
    watch::{Trail, Violation},
};

/// What a seed came to without breaking anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many tasks there were in the end.
    pub tasks: usize,
    /// How many runs.
    pub runs: usize,
    /// How many events.
    pub events: u64,
    /// A number that differs if any event does.
    pub digest: u64,
}

/// A seed that broke an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// What it broke.
    pub violation: Violation,
}

/// A seed that was played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// What it came to, or the first invariant that it broke.
    pub outcome: Result<Summary, Violation>,
    /// What happened, as far as it was kept.
    pub events: Vec<String>,
}

/// Plays one seed.
///
/// # Panics
/// No async runtime can be made.
#[must_use]
pub fn play(seed: u64, sabotage: Option<Sabotage>, trail: Trail) -> Played {
    #[expect(
        clippy::expect_used,
        reason = "without a runtime there is nothing to play"
    )]
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be made");
    runtime.block_on(Box::pin(story(seed, sabotage, trail)))
}

/// Plays many seeds on so many threads. Stops at the first that fails; of several at once, gives the lowest.
///
/// # Errors
/// A seed that failed.
pub fn sweep(
    seeds: std::ops::Range<u64>,
    threads: usize,
    sabotage: Option<Sabotage>,
) -> Result<Vec<Summary>, Failed> {
    let next = AtomicU64::new(seeds.start);
    let (summaries, failed) = (Mutex::new(Vec::new()), Mutex::new(None::<Failed>));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    match play(seed, sabotage, Trail::Last60).outcome {
                        Ok(summary) => summaries
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(summary),
                        Err(violation) => {
                            next.store(seeds.end, Ordering::Relaxed);
                            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                            if failed.as_ref().is_none_or(|other| seed < other.seed) {
                                *failed = Some(Failed { seed, violation });
                            }
                        }
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failed) => Err(failed),
        None => Ok(summaries
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)),
    }
}

async fn story(seed: u64, sabotage: Option<Sabotage>, trail: Trail) -> Played {
    let world = World::new(seed, sabotage, trail);
    let calm = CancellationToken::new();
    let count = match world.fleet {
        Fleet::Alone => 1,
        Fleet::Shared(count) => count,
    };
    let places: Vec<Place> = (0..count).map(Place::new).collect();
    let lives =
        futures_util::future::join_all(places.iter().map(|place| place.live(&world, &calm)));
    tokio::select! {
        biased;
        () = world.ledger.broken() => {}
        () = tell(&world, &places, &calm) => {}
        _ = lives => {}
    }
    let (events, digest) = world.ledger.digest();
    let outcome = match world.ledger.violation() {
        Some(violation) => Err(violation),
        None => Ok(Summary {
            tasks: world.ledger.tasks().len(),
            runs: world.ledger.runs().len(),
            events,
            digest,
        }),
    };
    Played {
        outcome,
        events: world.ledger.trail(),
    }
}

/// The storm, the calm after it, and the end.
async fn tell(world: &World, places: &[Place], calm: &CancellationToken) {
    let desk = world.front_desk();
    let repos = match world.add_repos(&desk).await {
        Ok(repos) => repos,
        Err(error) => {
            world
                .ledger
                .broke("the world can be made", error.to_string());
            return;
        }
    };
    let people = People {
        world,
        desk: &desk,
        repos: &repos,
        dice: Dice::new(world.seed, "people"),
    };
    for _ in 0..world.dice.within(3, 8) {
        tokio::time::sleep(world.dice.millis(1, 5_000)).await;
        people.submit().await;
    }
    let end = Instant::now() + world.dice.millis(300_000, 2_400_000);
    let busy = async {
        while Instant::now() < end {
            tokio::time::sleep(people.dice.millis(1, 180_000)).await;
            people.act().await;
        }
    };
    tokio::join!(busy, chaos::storm(world, places, end));
    world.ledger.note(|| "the storm is over".to_owned());
    calm.cancel();
    places.iter().for_each(Place::calm);
    let deadline = Instant::now() + PATIENCE;
    // quiet for a while: what is delivered late is delivered by then
    let mut quiet = 0;
    while quiet < 4 {
        tokio::time::sleep(Duration::from_secs(30)).await;
        // an account whose credentials were refused waits for nobody but a person
        people.resume_accounts().await;
        let open = settle::unsettled(world);
        quiet = if open.is_empty() { quiet + 1 } else { 0 };
        if Instant::now() > deadline {
            let mut why = Vec::new();
            for task in world.ledger.tasks() {
                if !task.state.is_final()
                    && let Ok(told) = desk.why(task.id).await
                {
                    why.push(format!("{}: {}", task.id, told.explanation));
                }
            }
            let detail = format!("{}; {}", open.join("; "), why.join("; "));
            world.ledger.broke("no task is stuck", detail);
            return;
        }
    }
    settle::check(world, &desk).await;
}
