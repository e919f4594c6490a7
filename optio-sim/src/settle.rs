//! The end: when every task rests where it may rest, and whether all that was promised of it is so.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use optio_core::{
    Optio,
    id::{TaskId, WorkspaceId},
    pull_request::PrState,
    queue::Queue,
    reconcile::{Action, PrSnapshot, SeenReview, reconcile_pull_request},
    repo::Repo,
    run::{Run, RunOutcome},
    runtime::{Runtime, WorkspaceHealth},
    task::{AttentionReason, Completion, StateName, Task, TaskRole, TaskState},
    transcript::{LogCursor, LogEntry, TranscriptEvent},
};

use crate::{agents, world::World};

/// What is still to come, by task; nothing once everything rests.
pub(crate) fn unsettled(world: &World) -> Vec<String> {
    let tasks = world.ledger.tasks();
    let states: BTreeMap<TaskId, StateName> = tasks
        .iter()
        .map(|task| (task.id, task.state.name()))
        .collect();
    let repos = world.ledger.repos();
    let mut open = Vec::new();
    for run in world.ledger.runs() {
        if run.is_live() {
            open.push(format!(
                "{} of {} is {}",
                run.id,
                run.task,
                run.phase.name()
            ));
        }
    }
    for task in &tasks {
        let Some(repo) = repos.iter().find(|repo| repo.id == task.repo) else {
            continue;
        };
        if let Err(why) = rests(world, repo, task, &tasks, &states) {
            open.push(format!("{} is {}: {why}", task.id, task.state.name()));
        }
    }
    for process in world.facts.runtime.processes() {
        open.push(format!("the agent of {} is at work", process.run));
    }
    open
}

fn rests(
    world: &World,
    repo: &Repo,
    task: &Task,
    tasks: &[Task],
    states: &BTreeMap<TaskId, StateName>,
) -> Result<(), String> {
    match &task.state {
        TaskState::Completed { .. } | TaskState::Cancelled { .. } => match &task.worktree {
            Some(tree)
                if world
                    .facts
                    .git
                    .is_dirty(tree.workspace, &tree.path)
                    .is_some()
                    && !is_broken(world, tree.workspace) =>
            {
                Err("its worktree is still there".to_owned())
            }
            _ => Ok(()),
        },
        TaskState::Failed { .. } => Ok(()),
        TaskState::WaitingOnDeps => {
            let waits = task
                .depends_on
                .iter()
                .any(|other| states.get(other).is_some_and(|state| !state.is_final()));
            if waits {
                Ok(())
            } else {
                Err("what it waited for has ended".to_owned())
            }
        }
        TaskState::NeedsAttention {
            reason: AttentionReason::Person { .. },
            ..
        } => Ok(()),
        TaskState::PrOpened { .. } | TaskState::NeedsAttention { .. } => {
            waits_for_people(world, repo, task, tasks)
        }
        TaskState::Queued { not_before, .. } => Err(format!("not before {not_before:?}")),
        _ => Err("it is on its way".to_owned()),
    }
}

/// Nothing can be saved from a broken workspace, so nothing is taken away from it either.
fn is_broken(world: &World, id: WorkspaceId) -> bool {
    match world.facts.runtime.list().now_or_never() {
        Some(Ok(all)) => all
            .iter()
            .any(|seen| seen.id == id && matches!(seen.health, WorkspaceHealth::Broken { .. })),
        _ => false,
    }
}

/// Whether policy itself says that only a person can move the pull request on.
fn waits_for_people(world: &World, repo: &Repo, task: &Task, tasks: &[Task]) -> Result<(), String> {
    let number = task.pull_request.as_ref().map(|it| it.number);
    let seen = world
        .facts
        .forge
        .pull_requests(&repo.url)
        .into_iter()
        .find(|seen| Some(seen.number) == number)
        .ok_or("its pull request does not exist")?;
    let reviews: Vec<SeenReview> = tasks
        .iter()
        .filter(|other| other.parent() == Some(task.id))
        .filter_map(seen_review)
        .collect();
    let snapshot = PrSnapshot {
        task,
        settings: &repo.settings,
        pull_request: Ok(&seen),
        reviews: &reviews,
    };
    let decision = reconcile_pull_request(&snapshot, world.clock.now());
    let people = [
        "ready_no_auto_merge",
        "review_required",
        "review_stands",
        "review_manual",
        "changes_requested_no_auto_resume",
    ];
    match &decision.action {
        Action::Wait { .. } | Action::Nothing { .. } if people.contains(&decision.rule) => Ok(()),
        action => Err(format!("{}: {action:?}", decision.rule)),
    }
}

fn seen_review(review: &Task) -> Option<SeenReview> {
    let TaskRole::Review {
        head,
        blocks_parent,
        ..
    } = &review.role
    else {
        return None;
    };
    let report = match &review.state {
        TaskState::Completed {
            how: Completion::Reviewed { report, .. },
            ..
        } => Some(report.clone()),
        _ => None,
    };
    Some(SeenReview {
        head: head.clone(),
        blocking: *blocks_parent,
        state: review.state.name(),
        report,
    })
}

/// Holds the end against what was promised.
pub(crate) async fn check(world: &World, desk: &Optio) {
    let ledger = &world.ledger;
    for task in ledger.tasks() {
        merged_is_completed(world, &task);
        costs_add_up(world, &task);
        log_is_whole(world, desk, &task).await;
    }
    ledger.take_stock();
    ledger.check_stock(&|| "everything".to_owned());
    if let Ok(claimed) = world.facts.queue.claimed().await
        && !claimed.is_empty()
    {
        ledger.broke(
            "slots are given back",
            format!("{claimed:?} are still claimed"),
        );
    }
    let unknown = world.facts.git.unknown_commands();
    if !unknown.is_empty() {
        ledger.broke("git is understood", unknown.join("; "));
    }
}

/// What is merged is completed, unless a person has cancelled it.
fn merged_is_completed(world: &World, task: &Task) {
    let (Some(url), Some(pull_request)) = (world.ledger.url(task.repo), &task.pull_request) else {
        return;
    };
    let merged = world.facts.forge.pull_requests(&url).iter().any(|seen| {
        seen.number == pull_request.number && matches!(seen.state, PrState::Merged { .. })
    });
    let expected = match task.state.name() {
        StateName::Completed | StateName::Cancelled => true,
        _ => task.role != TaskRole::Coding || !merged,
    };
    if !expected {
        let detail = format!("{} is merged and {}", task.id, task.state.name());
        world.ledger.broke("merged is completed", detail);
    }
}

/// A task has cost what its runs have, and those of its reviews.
fn costs_add_up(world: &World, task: &Task) {
    let of = |id: TaskId| -> Vec<Run> {
        let mut runs = world.ledger.runs();
        runs.retain(|run| run.task == id);
        runs
    };
    let mut runs = of(task.id);
    for other in world.ledger.tasks() {
        if other.parent() == Some(task.id) {
            runs.extend(of(other.id));
        }
    }
    let sum: optio_core::money::Usd = runs.iter().map(|run| run.usage().cost).sum();
    if sum != task.usage.cost {
        let detail = format!("{} has cost {}, its runs {sum}", task.id, task.usage.cost);
        world.ledger.broke("costs add up", detail);
    }
}

/// Every message was told to some run, to none of them twice; or it still waits for one.
fn messages_are_heard(world: &World, task: &Task, entries: &[LogEntry]) {
    let mut told = std::collections::BTreeSet::new();
    let mut last = (0, 0);
    for entry in entries {
        if let TranscriptEvent::Message { number, .. } = entry.event {
            let this = (entry.cursor.run, number);
            if this <= last {
                let detail = format!("{} was told message {number} again", task.id);
                world.ledger.broke("a message is told once", detail);
            }
            last = this;
            told.insert(number);
        }
    }
    let waits = |number| task.messages.iter().any(|it| it.number == number);
    let lost = (1..=task.last_message).find(|number| !told.contains(number) && !waits(*number));
    if let Some(number) = lost {
        let detail = format!("message {number} of {} is nowhere", task.id);
        world.ledger.broke("no message is lost", detail);
    }
}

/// Every line of every agent was written to the log once, in order; and all of them if the run came to its end by itself.
/// What was not removed since is still there.
async fn log_is_whole(world: &World, desk: &Optio, task: &Task) {
    let stored = desk
        .store()
        .log(task.id, LogCursor::default(), usize::MAX)
        .await;
    if stored.is_ok_and(|stored| stored != world.ledger.left_log(task.id)) {
        let detail = format!("the log of {} is not what was written", task.id);
        world.ledger.broke("logs are kept for their time", detail);
    }
    let entries = world.ledger.written_log(task.id);
    messages_are_heard(world, task, &entries);
    let spawned = world.facts.runtime.spawned();
    for run in world.ledger.runs().iter().filter(|run| run.task == task.id) {
        let mine = entries
            .iter()
            .filter(|entry| entry.cursor.run == run.number);
        let mut said = 0;
        for (entry, seq) in mine.zip(1_u64..) {
            if entry.cursor.seq != seq {
                let detail = format!("{} of {} stands where {seq} should", entry.cursor, task.id);
                world.ledger.broke("the log has no gap", detail);
            }
            if let TranscriptEvent::Text { text } = &entry.event
                && text.contains(" says ")
            {
                if *text != agents::line(run.id, said) {
                    let detail = format!("{text:?} stands where line {said} of {} should", run.id);
                    world.ledger.broke("each line is logged once", detail);
                }
                said += 1;
            }
        }
        let whole = matches!(
            run.outcome(),
            Some(RunOutcome::Pushed { .. } | RunOutcome::Reviewed { .. })
        );
        if whole && let Some(spawned) = spawned.iter().find(|other| other.run == run.id) {
            let (steps, _) = agents::steps(world.seed, spawned, &*world.clock);
            let planned = agents::lines(&steps);
            if planned != said {
                let detail = format!("{} said {planned} lines, its log has {said}", run.id);
                world.ledger.broke("each line is logged once", detail);
            }
        }
    }
}
