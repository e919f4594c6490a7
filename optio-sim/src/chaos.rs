//! The storm: replicas die, freeze and come back; the queue, workspaces, the forge and the remote fail.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{dice::Dice, faulty::Link, faulty::Weather, world::World};

/// The place of one replica: who stands there now.
#[derive(Debug)]
pub(crate) struct Place {
    number: u32,
    link: Mutex<Option<Arc<Link>>>,
    drain: Mutex<CancellationToken>,
}

impl Place {
    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            link: Mutex::default(),
            drain: Mutex::default(),
        }
    }

    fn link(&self) -> Option<Arc<Link>> {
        self.link
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn drain(&self) -> CancellationToken {
        self.drain
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Lets replicas live and die here, one after the other, for ever.
    pub(crate) async fn live(&self, world: &World, calm: &CancellationToken) {
        let dice = Dice::new(world.seed, ("place", self.number));
        for life in 0_u32.. {
            let name = format!("{}.{life}", char::from(b'a' + (self.number % 26) as u8));
            let weather = if calm.is_cancelled() {
                Weather::default()
            } else {
                world.weather
            };
            let link = Arc::new(Link::new(
                name.clone(),
                Dice::new(world.seed, ("link", name)),
                weather,
                Arc::clone(&world.ledger),
            ));
            let drain = CancellationToken::new();
            *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&link));
            *self.drain.lock().unwrap_or_else(PoisonError::into_inner) = drain.clone();
            world.ledger.note(|| format!("{} begins", link.name));
            let engine = world.engine(&link);
            // a task of its own, so that whatever it started is dropped when it is
            let mut running = tokio::task::JoinSet::new();
            running.spawn(async move { engine.run(drain).await });
            tokio::select! {
                biased;
                () = link.death() => {}
                _ = running.join_next() => {}
            }
            // from here on nothing that it has started may still have an effect
            link.kill();
            running.shutdown().await;
            world.ledger.note(|| format!("{} is gone", link.name));
            if !calm.is_cancelled() {
                tokio::time::sleep(dice.millis(0, 60_000)).await;
            }
        }
    }

    /// The storm is over: whoever stands here works on in peace.
    pub(crate) fn calm(&self) {
        if let Some(link) = self.link() {
            link.set_weather(Weather::default());
            link.thaw();
        }
    }
}

/// Lets things happen until `end`.
pub(crate) async fn storm(world: &World, places: &[Place], end: Instant) {
    let dice = Dice::new(world.seed, "chaos");
    if world.weather.slow == 0 && world.weather.refused == 0 && world.weather.hints == 0 {
        tokio::time::sleep_until(end).await;
        return;
    }
    let pace = dice.millis(10_000, 180_000);
    let facts = &world.facts;
    while Instant::now() < end {
        let most = u64::try_from(pace.as_millis()).unwrap_or(u64::MAX);
        tokio::time::sleep(dice.millis(0, 2 * most)).await;
        let Some(place) = dice.pick(places) else {
            return;
        };
        let outage = dice.millis(1_000, 120_000);
        match dice.below(100) {
            0..30 => {
                if let Some(link) = place.link() {
                    world
                        .ledger
                        .note(|| format!("chaos: {} is killed", link.name));
                    link.kill();
                }
            }
            30..55 => {
                if let Some(link) = place.link() {
                    world
                        .ledger
                        .note(|| format!("chaos: {} freezes for {outage:?}", link.name));
                    link.freeze();
                    tokio::time::sleep(outage).await;
                    world.ledger.note(|| format!("chaos: {} thaws", link.name));
                    link.thaw();
                }
            }
            55..63 => {
                if let Some(link) = place.link() {
                    world.ledger.note(|| format!("chaos: {} drains", link.name));
                    place.drain().cancel();
                }
            }
            63..73 => {
                world.ledger.note(|| "chaos: the queue is lost".to_owned());
                facts.queue.lose();
            }
            73..78 => lose_workspace(world, &dice),
            78..88 => {
                world
                    .ledger
                    .note(|| format!("chaos: the forge is out of reach for {outage:?}"));
                facts.forge.set_unreachable(Some("out of reach"));
                tokio::time::sleep(outage).await;
                facts.forge.set_unreachable(None);
            }
            88..94 => {
                world
                    .ledger
                    .note(|| format!("chaos: remotes are out of reach for {outage:?}"));
                reach_remotes(
                    world,
                    Some("unable to access: Could not resolve host: memory.test"),
                );
                tokio::time::sleep(outage).await;
                reach_remotes(world, None);
            }
            _ => {
                world
                    .ledger
                    .note(|| format!("chaos: the runtime is out of reach for {outage:?}"));
                facts.runtime.set_unreachable(Some("out of reach"));
                tokio::time::sleep(outage).await;
                facts.runtime.set_unreachable(None);
            }
        }
    }
    tokio::time::sleep(Duration::ZERO).await;
}

fn reach_remotes(world: &World, trouble: Option<&str>) {
    for repo in world.ledger.repos() {
        world.facts.git.set_unreachable(&repo.url, trouble);
    }
}

fn lose_workspace(world: &World, dice: &Dice) {
    let runs = world.ledger.runs();
    let Some(run) = dice.pick(&runs) else {
        return;
    };
    world.ledger.take_stock();
    world
        .ledger
        .note(|| format!("chaos: {} is lost", run.workspace));
    if dice.hits(7_000) {
        world.facts.runtime.lose(run.workspace);
    } else {
        world
            .facts
            .runtime
            .break_down(run.workspace, "the disk is broken");
    }
    world.ledger.write_off();
}
