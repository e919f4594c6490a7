//! Waiting for tasks. The server answers when something has happened; a server that is away for a while is waited for.

use std::time::Duration;

use anyhow::Result;
use optio_core::task::StateName;
use serde_json::Value;
use tokio::time::Instant;

use super::show;
use crate::{
    api::task::TaskView,
    cli::{
        Outcome,
        client::{Client, Path, shape},
        follow::can_pass,
        out::{Out, Shape},
    },
};

/// How long one request waits, in seconds.
const ROUND: u64 = 30;
/// How long a server may be away.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait before asking again whether it is back.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits for all of these tasks, and shows each as it ends.
pub(super) async fn wait(
    client: &Client,
    tasks: &[String],
    timeout: Option<Duration>,
    wanted: Shape,
    out: &mut Out,
) -> Result<Outcome> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    // a wrong name is told before anything is waited for
    for task in tasks {
        client.get(&Path::of(&["api", "tasks", task])).await?;
    }
    let mut ended = Vec::with_capacity(tasks.len());
    let mut shown = Vec::new();
    for task in tasks {
        let Some(answer) = settled(client, task, deadline).await? else {
            if wanted == Shape::Json {
                out.json(&shown)?;
            } else {
                out.remark(format!("time is up, and {task} has not ended: `optio task why {task}` says what it waits for"));
            }
            return Ok(Outcome::TimedOut);
        };
        let view: TaskView = shape(&answer)?;
        if wanted == Shape::Human {
            out.line(show::ending(&view, out.paint()))?;
            out.flush()?;
        }
        ended.push(view.state);
        shown.push(answer);
    }
    if wanted == Shape::Json {
        out.json(&shown)?;
    }
    Ok(outcome(&ended))
}

/// The task once it has ended or needs a person; none if time is up first.
async fn settled(client: &Client, task: &str, deadline: Option<Instant>) -> Result<Option<Value>> {
    let mut away_since: Option<Instant> = None;
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let seconds = left
            .map_or(ROUND, |left| left.as_secs_f64().ceil() as u64)
            .min(ROUND);
        let path = Path::of(&["api", "tasks", task, "wait"]).with("seconds", seconds);
        match client
            .get_waiting(&path, Duration::from_secs(seconds))
            .await
        {
            Ok(answer) => {
                away_since = None;
                if shape::<TaskView>(&answer)?.is_settled() {
                    return Ok(Some(answer));
                }
            }
            Err(error)
                if can_pass(&error)
                    && away_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(None);
        }
    }
}

/// What tasks that ended like this come to.
fn outcome(ended: &[StateName]) -> Outcome {
    let any = |state| ended.contains(&state);
    if any(StateName::Failed) {
        Outcome::Failed
    } else if any(StateName::NeedsAttention) {
        Outcome::NeedsAttention
    } else if any(StateName::Cancelled) {
        Outcome::Cancelled
    } else {
        Outcome::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_ending_counts() {
        use StateName::{Cancelled, Completed, Failed, NeedsAttention};
        let rows: [(&[StateName], Outcome); 5] = [
            (&[Completed, Completed], Outcome::Done),
            (&[Completed, Cancelled], Outcome::Cancelled),
            (&[Cancelled, NeedsAttention], Outcome::NeedsAttention),
            (&[NeedsAttention, Failed, Cancelled], Outcome::Failed),
            (&[Failed], Outcome::Failed),
        ];
        for (ended, expected) in rows {
            assert_eq!(outcome(ended), expected, "{ended:?}");
        }
    }
}
