//! A thousand seeds of the simulation, and that it finds what is planted.

use optio_sim::{Sabotage, Trail, play, sweep};

/// Plays a tenth of the thousand: in parts, so that they can be played side by side.
fn part(number: u64) {
    let seeds = number * 100..(number + 1) * 100;
    if let Err(failed) = sweep(seeds, 1, None) {
        let seed = failed.seed;
        panic!(
            "seed {seed} {}\nreplay it: cargo xtask sim --replay {seed}",
            failed.violation
        );
    }
}

macro_rules! parts {
    ($($name:ident $number:literal)+) => {
        $(#[test]
        fn $name() {
            part($number);
        })+
    };
}

parts! {
    seeds_from_000 0
    seeds_from_100 1
    seeds_from_200 2
    seeds_from_300 3
    seeds_from_400 4
    seeds_from_500 5
    seeds_from_600 6
    seeds_from_700 7
    seeds_from_800 8
    seeds_from_900 9
}

/// The invariant that a planted bug breaks first, within the thousand.
fn found(sabotage: Sabotage) -> &'static str {
    match sweep(0..1000, 1, Some(sabotage)) {
        Ok(_) => "nothing",
        Err(failed) => failed.violation.invariant,
    }
}

#[test]
fn a_store_without_the_fence_is_found() {
    assert_eq!(
        found(Sabotage::NoFence),
        "only its holder writes about a run"
    );
}

#[test]
fn a_second_run_before_the_first_has_ended_is_found() {
    assert_eq!(found(Sabotage::SecondRun), "one live run for each task");
}

#[test]
fn work_that_is_removed_without_being_saved_is_found() {
    assert_eq!(found(Sabotage::NoRescue), "no work is lost");
}

#[test]
fn a_merge_without_a_green_light_is_found() {
    assert_eq!(found(Sabotage::UnknownIsGreen), "unknown is not green");
}

#[test]
fn a_log_that_is_removed_too_early_is_found() {
    assert_eq!(
        found(Sabotage::EarlyRemoval),
        "logs are kept for their time"
    );
}

#[test]
fn the_same_seed_is_the_same_story() {
    for seed in 2000..2020 {
        let (one, other) = (
            play(seed, None, Trail::Last60),
            play(seed, None, Trail::Last60),
        );
        assert_eq!(one, other, "seed {seed}");
    }
}
