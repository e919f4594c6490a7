//! `optio-sim`: plays seeds until one fails. Started by `cargo xtask sim`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a command line program: printing is its output"
)]

use std::process::ExitCode;

const HELP: &str = "\
Plays the engine under faults on paused time, seed by seed, and stops at the first that breaks an invariant.

usage: optio-sim [--seeds N] [--from S] [--threads T]
       optio-sim --replay SEED
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match Order::read(&arguments) {
        Ok(Order::Help) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Order::Replay(seed)) => replay(seed),
        Ok(Order::Sweep {
            seeds,
            from,
            threads,
        }) => sweep(seeds, from, threads),
        Err(error) => {
            eprintln!("error: {error}\n\n{HELP}");
            ExitCode::FAILURE
        }
    }
}

enum Order {
    Help,
    Replay(u64),
    Sweep {
        seeds: u64,
        from: u64,
        threads: usize,
    },
}

impl Order {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let (mut seeds, mut from) = (1_000, 0);
        let mut threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            if matches!(name.as_str(), "--help" | "-h") {
                return Ok(Self::Help);
            }
            let value: u64 = arguments
                .next()
                .and_then(|value| value.parse().ok())
                .ok_or_else(|| format!("{name} needs a number"))?;
            match name.as_str() {
                "--seeds" => seeds = value,
                "--from" => from = value,
                "--threads" => threads = usize::try_from(value).unwrap_or(1),
                "--replay" => return Ok(Self::Replay(value)),
                _ => return Err(format!("there is no option {name}")),
            }
        }
        Ok(Self::Sweep {
            seeds,
            from,
            threads,
        })
    }
}

fn replay(seed: u64) -> ExitCode {
    let played = optio_sim::play(seed, None, optio_sim::Trail::All);
    for event in &played.events {
        println!("{event}");
    }
    match played.outcome {
        Ok(summary) => {
            println!("seed {seed} breaks nothing: {summary:?}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!(
                "seed {seed} breaks: {}\n  {}",
                violation.invariant, violation.detail
            );
            ExitCode::FAILURE
        }
    }
}

fn sweep(seeds: u64, from: u64, threads: usize) -> ExitCode {
    let end = from.saturating_add(seeds);
    match optio_sim::sweep(from..end, threads, None) {
        Ok(summaries) => {
            let tasks: usize = summaries.iter().map(|summary| summary.tasks).sum();
            let runs: usize = summaries.iter().map(|summary| summary.runs).sum();
            let events: u64 = summaries.iter().map(|summary| summary.events).sum();
            println!(
                "seeds {from} to {} break nothing: {tasks} tasks, {runs} runs, {events} events",
                end - 1
            );
            ExitCode::SUCCESS
        }
        Err(failed) => {
            println!("seed {}\n{}", failed.seed, failed.violation);
            println!("replay it: cargo xtask sim --replay {}", failed.seed);
            ExitCode::FAILURE
        }
    }
}
