//! Ending processes for certain: nothing returns `Ok` from here before a look at the machine finds none left.

use std::time::Duration;

use nix::sys::signal::Signal;
use optio_core::{Error, Result};
use tokio::time::{Instant, sleep};

use super::{
    NAME, offload,
    processes::{Family, Marker, Process},
    run_dir::{Contained, RunDir},
};

/// How long killed processes may take to be gone. Only one that hangs in the kernel takes more than moments.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long a supervisor whose command is gone may take to write down how it ended.
const SUPERVISOR_TIME: Duration = Duration::from_secs(2);

/// How often at most the rest is searched for processes that were forked while others were being stopped.
const ROUNDS: usize = 20;

/// Between two looks at processes that are ending. Nothing tells of the end of a process that is not our child.
fn pauses() -> impl Iterator<Item = Duration> {
    [1, 2, 5, 10, 20]
        .map(Duration::from_millis)
        .into_iter()
        .chain(std::iter::repeat(Duration::from_millis(50)))
}

async fn find(marker: &Marker, leader: Option<i32>) -> Result<Vec<Process>> {
    let marker = marker.clone();
    offload(move || Ok(Family::find(&marker, leader).alive)).await
}

/// Who of a run asks and records, and who works.
struct Roles {
    supervisors: Vec<Process>,
    workers: Vec<Process>,
}

impl Roles {
    fn of(members: Vec<Process>, run: &Parts) -> Self {
        let outside: Vec<i32> = members
            .iter()
            .filter(|process| !process.contained)
            .map(|process| process.pid)
            .collect();
        let supervises = |process: &Process| match run.contained {
            // all that is outside, and the namespace's first process, whose parent is
            Contained::Namespace => !process.contained || outside.contains(&process.parent),
            Contained::Marker => Some(process.pid) == run.leader,
        };
        let (supervisors, workers) = members.into_iter().partition(supervises);
        Self {
            supervisors,
            workers,
        }
    }
}

/// What is known of a run's processes.
struct Parts {
    marker: Marker,
    leader: Option<i32>,
    contained: Contained,
}

impl Parts {
    fn of(run: &RunDir) -> Self {
        Self {
            marker: Marker::run(run.id),
            leader: run.leader(),
            contained: run.read_record().containment,
        }
    }

    async fn roles(&self) -> Result<Roles> {
        Ok(Roles::of(find(&self.marker, self.leader).await?, self))
    }
}

/// Ends a run: asks, waits for `grace`, then kills. Its exit status is on disk afterwards.
pub(super) async fn end_run(run: &RunDir, grace: Duration) -> Result<()> {
    let parts = Parts::of(run);
    if !grace.is_zero() {
        ask(&parts, grace).await?;
    }
    if find(&parts.marker, parts.leader).await?.is_empty() {
        return end_all(&parts.marker, parts.leader).await;
    }
    strike(&parts).await?;
    end_all(&parts.marker, parts.leader).await?;
    // a run that had vanished before keeps having no status
    let run = run.clone();
    offload(move || run.note_killed()).await
}

/// Asks a run's processes to stop and waits until they have, or for `grace`.
async fn ask(parts: &Parts, grace: Duration) -> Result<()> {
    let deadline = Instant::now() + grace;
    let mut asked = false;
    for pause in pauses() {
        let roles = parts.roles().await?;
        if roles.workers.is_empty() && roles.supervisors.is_empty() {
            break;
        }
        if !asked {
            // once: what they start to clean up with is not asked to stop doing so
            asked = !roles.workers.is_empty();
            for process in &roles.workers {
                process.signal(Signal::SIGTERM);
                process.signal(Signal::SIGCONT); // one that is stopped would not hear it
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        sleep(pause.min(left)).await;
    }
    Ok(())
}

/// Kills a run's processes, and gives its supervisor the time to say so and end.
async fn strike(parts: &Parts) -> Result<()> {
    let deadline = Instant::now() + SUPERVISOR_TIME;
    match parts.contained {
        Contained::Namespace => {
            // its first process takes all others along, those that cannot be seen included
            let mut supervisors = parts.roles().await?.supervisors;
            supervisors.retain(|process| process.contained);
            if supervisors.is_empty() {
                return Ok(()); // it is only being made, or its first process is gone
            }
            for process in supervisors {
                process.signal(Signal::SIGKILL);
            }
        }
        Contained::Marker => {
            let roles = parts.roles().await?;
            let supervisors: Vec<i32> = roles
                .supervisors
                .iter()
                .map(|process| process.pid)
                .collect();
            kill_all(&parts.marker, parts.leader, &supervisors).await?;
        }
    }
    for pause in pauses() {
        let left = find(&parts.marker, parts.leader).await?;
        if left.is_empty() || Instant::now() >= deadline {
            break;
        }
        sleep(pause).await;
    }
    Ok(())
}

/// Stops all processes of a marker first, so that none can fork away, then kills them; except for `spared`.
async fn kill_all(marker: &Marker, leader: Option<i32>, spared: &[i32]) -> Result<()> {
    let mut stopped: Vec<Process> = Vec::new();
    for _ in 0..ROUNDS {
        let fresh: Vec<Process> = find(marker, leader)
            .await?
            .into_iter()
            .filter(|process| !spared.contains(&process.pid) && !stopped.contains(process))
            .collect();
        if fresh.is_empty() {
            break;
        }
        for process in &fresh {
            process.signal(Signal::SIGSTOP);
        }
        stopped.extend(fresh);
    }
    for process in &stopped {
        process.signal(Signal::SIGKILL);
    }
    Ok(())
}

/// Kills all processes of a marker, and returns when two looks in a row find none.
///
/// Two, because a process that is just becoming another program has no environment for an instant.
pub(super) async fn end_all(marker: &Marker, leader: Option<i32>) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    let mut clear = 0;
    for pause in pauses() {
        let left = find(marker, leader).await?;
        clear = if left.is_empty() { clear + 1 } else { 0 };
        if clear == 2 {
            return Ok(());
        }
        if !left.is_empty() {
            if Instant::now() >= deadline {
                let pids: Vec<String> =
                    left.iter().map(|process| process.pid.to_string()).collect();
                return Err(Error::unavailable(
                    NAME,
                    format!("processes {} do not end, although killed", pids.join(", ")),
                ));
            }
            kill_all(marker, leader, &[]).await?;
        }
        sleep(pause).await;
    }
    Ok(())
}

/// The same without waiting, for when nobody can: on a thread of its own.
pub(super) fn end_all_soon(marker: Marker) {
    let sweep = move || {
        for _ in 0..ROUNDS {
            let left = Family::find(&marker, None).alive;
            if left.is_empty() {
                return;
            }
            for process in left {
                process.signal(Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    if let Err(error) = std::thread::Builder::new()
        .name("optio-sweep".into())
        .spawn(sweep)
    {
        tracing::warn!(%error, "what an abandoned command left behind could not be searched for");
    }
}
