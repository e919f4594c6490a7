//! What came of the demo: a row for each task.

use optio_core::{
    Result,
    clock::elapsed,
    engine::Optio,
    id::TaskId,
    money::Usd,
    pull_request::PullRequestRef,
    store::{RunQuery, TaskQuery},
    task::{StateName, Task, TaskState},
};
use serde_json::json;

use super::{plan::PLAN, progress::cut};

/// What came of a task.
pub(super) struct Row {
    pub(super) title: String,
    pub(super) shows: &'static str,
    pub(super) state: StateName,
    pub(super) runs: usize,
    pub(super) reviews: usize,
    pub(super) cost: Usd,
    pub(super) pull_request: Option<PullRequestRef>,
    pub(super) seconds: f64,
    /// Why it failed and what to do about it.
    pub(super) failure: Option<(String, &'static str)>,
}

pub(super) async fn rows(engine: &Optio, tasks: &[TaskId]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (&id, planned) in tasks.iter().zip(PLAN) {
        let task: Task = engine.store().task(id).await?;
        let runs = engine
            .store()
            .runs(&RunQuery {
                task: Some(id),
                ..RunQuery::default()
            })
            .await?;
        let reviews = engine
            .store()
            .tasks(&TaskQuery {
                parent: Some(id),
                ..TaskQuery::default()
            })
            .await?;
        let failure = match &task.state {
            TaskState::Failed { failure, .. } => Some((failure.to_string(), failure.remedy())),
            _ => None,
        };
        rows.push(Row {
            shows: planned.shows,
            state: task.state.name(),
            runs: runs.len(),
            reviews: reviews.len(),
            cost: task.usage.cost,
            pull_request: task.pull_request,
            seconds: elapsed(task.created_at, task.updated_at).as_secs_f64(),
            failure,
            title: task.title,
        });
    }
    Ok(rows)
}

pub(super) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "\n{:<28}  {:<32}  {:<10}  {:>4}  {:>7}  {:>6}  {:<4}  {:>6}\n",
        "TASK", "SHOWS", "STATE", "RUNS", "REVIEWS", "COST", "PR", "TIME"
    );
    for row in rows {
        let pull_request = row.pull_request.as_ref().map_or_else(
            || "-".to_owned(),
            |pull_request| pull_request.number.to_string(),
        );
        text.push_str(&format!(
            "{:<28}  {:<32}  {:<10}  {:>4}  {:>7}  {:>6}  {:<4}  {:>5.1}s\n",
            cut(&row.title, 28),
            row.shows,
            row.state,
            row.runs,
            row.reviews,
            row.cost.to_string(),
            pull_request,
            row.seconds
        ));
    }
    let cost: Usd = rows.iter().map(|row| row.cost).sum();
    let completed = rows
        .iter()
        .filter(|row| row.state == StateName::Completed)
        .count();
    text.push_str(&format!(
        "\n{completed} of {} tasks are merged; all of them cost {cost}.\n",
        rows.len()
    ));
    for row in rows {
        if let Some((failure, remedy)) = &row.failure {
            text.push_str(&format!(
                "\n{}: {failure}\n  What to do: {remedy}\n",
                row.title
            ));
        }
    }
    text
}

pub(super) fn json(rows: &[Row]) -> serde_json::Value {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "title": row.title,
                "shows": row.shows,
                "state": row.state,
                "runs": row.runs,
                "reviews": row.reviews,
                "cost": row.cost,
                "pullRequest": row.pull_request.as_ref().map(|pull_request| pull_request.number),
                "seconds": row.seconds,
                "failure": row.failure.as_ref().map(|(failure, _)| failure),
                "remedy": row.failure.as_ref().map(|(_, remedy)| remedy),
            })
        })
        .collect();
    json!({ "tasks": rows })
}
