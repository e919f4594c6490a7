//! Tasks as people see them.

use anyhow::Result;
use optio_core::{Timestamp, clock::elapsed, money::Usd, task::StateName};

use crate::{
    api::{
        runs::{History, RunList},
        task::TaskView,
        tasks::TaskPage,
    },
    cli::{
        out::{Out, Paint, Tone},
        table::{Cell, Table},
    },
};

/// The colour of a state.
fn tone(state: StateName) -> Tone {
    match state {
        StateName::Completed => Tone::Good,
        StateName::Failed => Tone::Bad,
        StateName::NeedsAttention => Tone::Attention,
        StateName::Provisioning | StateName::Running | StateName::PrOpened => Tone::Busy,
        StateName::Pending
        | StateName::WaitingOnDeps
        | StateName::Queued
        | StateName::Cancelled => Tone::Quiet,
    }
}

/// A state's name in its colour.
pub(super) fn state(state: StateName, paint: Paint) -> String {
    paint.text(tone(state), state.as_str())
}

/// A page of tasks.
pub(super) fn list(page: &TaskPage, now: Timestamp, out: &mut Out) -> Result<()> {
    if page.tasks.is_empty() {
        return Ok(out.line("there is no such task: add one with `optio task add REPO TITLE`")?);
    }
    let mut table = Table::new(&[
        "ID", "STATE", "PRIO", "REPO", "PR", "RUNS", "COST", "AGE", "TITLE",
    ]);
    for task in &page.tasks {
        table.row([
            task.id.short().into(),
            Cell::toned(tone(task.state), task.state.as_str()),
            task.priority.to_string().into(),
            task.repo.name.clone().into(),
            task.pull_request
                .as_ref()
                .map_or("-".to_owned(), |pr| format!("#{}", pr.number))
                .into(),
            task.runs.to_string().into(),
            cost(task.usage.cost).into(),
            age(task.created_at, now).into(),
            task.title.clone().into(),
        ]);
    }
    for line in table.lines(out.paint()) {
        out.line(line)?;
    }
    if let Some(next) = page.next {
        out.line(
            out.paint()
                .text(Tone::Quiet, &format!("there are more: --after {next}")),
        )?;
    }
    Ok(())
}

/// A task with everything that is known of it.
pub(super) fn task(
    task: &TaskView,
    runs: &RunList,
    history: &History,
    out: &mut Out,
) -> Result<()> {
    let paint = out.paint();
    let mut table = Table::plain();
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            table.row([Cell::toned(Tone::Quiet, name), value.into()]);
        }
    };
    row("task", Some(task.id.to_string()));
    row("title", Some(task.title.clone()));
    row("state", Some(state(task.state, paint)));
    row(
        "hold",
        task.hold.as_ref().map(|hold| {
            task.not_before
                .map_or(hold.clone(), |until| format!("{hold}, until {until}"))
        }),
    );
    row(
        "attention",
        task.attention
            .as_ref()
            .map(|attention| attention.summary.clone()),
    );
    row(
        "failure",
        task.failure.as_ref().map(|failure| {
            failure
                .detail
                .as_ref()
                .map_or(failure.title.clone(), |detail| {
                    format!("{}: {detail}", failure.title)
                })
        }),
    );
    row(
        "remedy",
        task.failure.as_ref().map(|failure| failure.remedy.clone()),
    );
    row(
        "completed",
        task.completion
            .as_ref()
            .map(|how| format!("{} {}", how.how, how.commit)),
    );
    row(
        "repository",
        Some(format!("{} ({})", task.repo.name, task.repo.url)),
    );
    row("branch", Some(task.branch.clone()));
    row(
        "pull request",
        task.pull_request
            .as_ref()
            .map(|pr| format!("#{} {}", pr.number, pr.url)),
    );
    row("reviews", task.parent.map(|parent| parent.to_string()));
    row(
        "waits for",
        Some(
            task.depends_on
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        )
        .filter(|tasks| !tasks.is_empty()),
    );
    row("priority", Some(task.priority.to_string()));
    row("agent", task.agent.clone());
    row("model", task.model.clone());
    row(
        "cost",
        Some(format!(
            "{} over {} {}",
            cost(task.usage.cost),
            task.runs,
            if task.runs == 1 { "run" } else { "runs" }
        )),
    );
    row("created", Some(task.created_at.to_string()));
    row("ended", task.ended_at.map(|at| at.to_string()));
    let mut lines = table.lines(paint);
    if !task.body.trim().is_empty() {
        lines.push(String::new());
        lines.extend(task.body.trim().lines().map(|line| format!("  {line}")));
    }
    if !runs.runs.is_empty() {
        lines.push(String::new());
        let mut table = Table::new(&["RUN", "KIND", "AGENT", "OUTCOME", "COST", "TOOK", "REMARK"]);
        for run in &runs.runs {
            let took = run
                .ended_at
                .map_or("-".to_owned(), |end| age(run.started_at, end));
            let remark = run
                .failure
                .as_ref()
                .map(|failure| failure.title.clone())
                .into_iter()
                .chain(run.rescue_ref.clone())
                .collect::<Vec<_>>()
                .join(", ");
            table.row([
                run.number.to_string().into(),
                run.kind.as_str().into(),
                run.agent.clone().into(),
                run.outcome
                    .clone()
                    .unwrap_or_else(|| run.phase.clone())
                    .into(),
                cost(run.usage.cost).into(),
                took.into(),
                remark.into(),
            ]);
        }
        lines.extend(table.lines(paint));
    }
    if !history.history.is_empty() {
        lines.push(String::new());
        let mut table = Table::new(&["AT", "STATE", "RULE", "DETAIL"]);
        for line in &history.history {
            let detail = line.detail.clone().unwrap_or_default();
            table.row([
                line.at.to_string().into(),
                Cell::toned(tone(line.to), line.to.as_str()),
                line.rule.clone().into(),
                detail.into(),
            ]);
        }
        lines.extend(table.lines(paint));
    }
    for line in lines {
        out.line(line)?;
    }
    Ok(())
}

/// How a task ended, in one line.
pub(super) fn ending(task: &TaskView, paint: Paint) -> String {
    let how = match (&task.failure, &task.attention, &task.completion) {
        (Some(failure), ..) => format!(
            ": {}. {}",
            failure.detail.as_deref().unwrap_or(&failure.title),
            failure.remedy
        ),
        (_, Some(attention), _) => format!(": {}", attention.summary),
        (.., Some(completion)) => format!(
            ": {} {}",
            completion.how,
            completion.commit.get(..8).unwrap_or(&completion.commit)
        ),
        _ => String::new(),
    };
    format!("{} is {}{how}", task.id, state(task.state, paint))
}

fn cost(dollars: f64) -> String {
    Usd::from_dollars(dollars).to_string()
}

/// The time between two moments, in its largest unit.
fn age(from: Timestamp, to: Timestamp) -> String {
    let seconds = elapsed(from, to).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        let start = Timestamp::UNIX_EPOCH;
        let ages = [0, 59, 60, 3599, 3600, 172_799, 172_800]
            .map(|seconds| age(start, Timestamp::from_second(seconds).unwrap()));
        assert_eq!(ages.join(" "), "0s 59s 1m 59m 1h 47h 2d");
    }
}
