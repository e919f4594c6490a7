//! Every way in which a run can end: no process is left, no work is lost, and what follows is right.

use std::time::Duration;

use insta::assert_snapshot;
use optio_core::{
    failure::{FailureClass, ReportedError},
    memory::{MemoryAgent, Signal, SpawnedRun, Step, diligent},
    repo::{AttemptLimits, RepoSettings},
    run::RunOutcome,
    runtime::Runtime,
    task::{StateName, Task, TaskState},
    transcript::TranscriptEvent,
    workspace::WorkspacePath,
    worktree::WorktreeState,
};

use super::world::{World, auto_merge};

/// Work that is half done, and then this.
fn half_done(then: Vec<Step>) -> impl Fn(&SpawnedRun) -> Vec<Step> + Send + Sync + 'static {
    move |_| {
        let mut steps = vec![
            Step::edit("committed.txt", "safe"),
            Step::commit("Half of it"),
            Step::edit("uncommitted.txt", "at risk"),
        ];
        steps.extend(then.clone());
        steps
    }
}

fn one_attempt() -> RepoSettings {
    RepoSettings {
        attempts: AttemptLimits {
            failures: 1,
            ..AttemptLimits::default()
        },
        ..auto_merge()
    }
}

fn class_of(task: &Task) -> FailureClass {
    match &task.state {
        TaskState::Failed { failure, .. } => failure.class,
        state => panic!("the task is {}", state.name()),
    }
}

/// What an agent reports as an error.
fn reports(kind: &str) -> Step {
    let error = ReportedError {
        kind: Some(kind.to_owned()),
        ..ReportedError::default()
    };
    let event = TranscriptEvent::Error { error };
    Step::Print(serde_json::to_string(&event).unwrap())
}

/// Those that a person has to look at; limits, budgets, time and silence have stories of their own.
#[tokio::test(start_paused = true)]
async fn every_ending_is_told_from_the_others_and_loses_no_work() {
    let endings = [
        (
            "it calls its work a failure",
            vec![Step::Fail("no idea".to_owned())],
        ),
        ("it gives up with a code", vec![Step::Exit(3)]),
        (
            "it ran out of turns",
            vec![reports("max_turns"), Step::Exit(1)],
        ),
        (
            "it was refused",
            vec![reports("invalid_api_key"), Step::Exit(1)],
        ),
        ("somebody ends it", vec![Step::Exit(143)]),
        ("it is killed", vec![Step::Crash]),
        ("its program is not there", vec![Step::Exit(127)]),
        ("it is over without a word", vec![Step::Vanish]),
    ];
    let mut table = Vec::new();
    for (name, then) in endings {
        let world = World::new(one_attempt()).await;
        let ending = then.clone();
        world.agents_do(move |run| match run.attempt {
            1 => half_done(ending.clone())(run),
            _ => vec![Step::Fail("and again".to_owned())],
        });
        let task = world.submit("Add a cart").await;
        let running = world.run();
        world.until(task, StateName::Failed).await;
        let Some(RunOutcome::Failed { failure, rescue }) =
            world.runs(task).await[0].outcome().cloned()
        else {
            panic!("{name}")
        };
        assert!(rescue.is_some(), "{name}");
        assert_eq!(world.rescued(), ["committed.txt", "uncommitted.txt"]);
        assert_eq!(world.runtime.processes(), []);
        table.push(format!("{name}: {}, {}", failure.class, failure.retry));
        running.drain().await;
    }
    assert_snapshot!(table.join("\n"), @r"
    it calls its work a failure: agent_reported, attempt
    it gives up with a code: agent_crashed, attempt
    it ran out of turns: max_turns, attempt
    it was refused: auth_expired, never
    somebody ends it: interrupted, free
    it is killed: agent_crashed, attempt
    its program is not there: agent_not_installed, never
    it is over without a word: workspace_lost, free
    ");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_is_saved() {
    let world = World::new(auto_merge()).await;
    let begun = Signal::new();
    world.agents_do(half_done(vec![Step::Raise(begun.clone()), Step::Hang]));
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    begun.raised().await;
    world.engine.cancel(task).await.unwrap();
    assert_eq!(
        world.task(task).await.state.name(),
        StateName::Cancelled,
        "at once"
    );
    world.until(task, StateName::Cancelled).await;
    assert_eq!(world.runtime.processes(), []);
    assert_eq!(world.rescued(), ["committed.txt", "uncommitted.txt"]);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(
        world.task(task).await.worktree.unwrap().state,
        WorktreeState::Removed
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_too_long_is_ended_and_saved() {
    let world = World::new(RepoSettings {
        run_timeout_minutes: 30,
        silence_minutes: 1000,
        ..one_attempt()
    })
    .await;
    world.agents_do(half_done(vec![Step::Hang]));
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    let task = world.until(task, StateName::Failed).await;
    assert_eq!(class_of(&task), FailureClass::TimedOut);
    assert_eq!(world.runtime.processes(), []);
    assert_eq!(world.rescued(), ["committed.txt", "uncommitted.txt"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_silent_and_idle_has_stalled() {
    let world = World::new(one_attempt()).await;
    world.agents_do(half_done(vec![Step::Hang]));
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    assert_eq!(
        class_of(&world.until(task, StateName::Failed).await),
        FailureClass::Stalled
    );
    assert_eq!(world.rescued(), ["committed.txt", "uncommitted.txt"]);
}

#[tokio::test(start_paused = true)]
async fn a_long_silent_build_is_no_stall() {
    let world = World::new(one_attempt()).await;
    world.agents_do(|run| {
        let mut steps = vec![Step::Wait(Duration::from_secs(90 * 60))];
        steps.extend(diligent(run));
        steps
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::Completed).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_is_saved_and_tried_again_from_a_clean_start() {
    let world = World::new(auto_merge()).await;
    world.agents_do(|run| match run.attempt {
        1 => half_done(vec![Step::Fail("I am lost".to_owned())])(run),
        _ => diligent(run),
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::Completed).await;
    assert_snapshot!(world.history(task).await, @"pending, queued, provisioning, running, queued, provisioning, running, pr_opened, completed");
    assert_eq!(world.rescued(), ["committed.txt", "uncommitted.txt"]);
    let second = &world.runtime.spawned()[1];
    assert!(second.prompt.contains("I am lost"), "{}", second.prompt);
    let main = world.git.branch(&world.url, "main").unwrap();
    assert!(
        !world.git.files(&main).contains_key("uncommitted.txt"),
        "the retry began clean"
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_lies_completes_nothing() {
    let world = World::new(one_attempt()).await;
    world.agents_do(|_| vec![Step::Lie]);
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    assert_eq!(
        class_of(&world.until(task, StateName::Failed).await),
        FailureClass::NoChanges
    );
    assert!(world.forge.pull_requests(&world.url).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_waited_for_at_no_cost_and_the_session_goes_on() {
    let world = World::new(one_attempt()).await;
    let reset = "2026-01-01T02:00:00Z".parse().unwrap();
    world.agents_do(move |run| match run.attempt {
        1 => half_done(vec![Step::RateLimit(Some(reset))])(run),
        _ => diligent(run),
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    let task = world.until(task, StateName::Completed).await;
    assert_eq!(task.attempts.failures, 0);
    let spawned = world.runtime.spawned();
    assert_eq!(spawned[0].session, spawned[1].session);
    let runs = world.runs(task.id).await;
    assert!(runs[1].started_at >= reset, "{}", runs[1].started_at);
    let main = world.git.branch(&world.url, "main").unwrap();
    assert!(
        world.git.files(&main).contains_key("committed.txt"),
        "it went on where it was"
    );
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_dies_costs_no_attempt() {
    let world = World::new(one_attempt()).await;
    let begun = Signal::new();
    let raised = begun.clone();
    world.agents_do(move |run| match run.attempt {
        1 => vec![
            Step::say("hello"),
            Step::Raise(raised.clone()),
            Step::Vanish,
        ],
        _ => diligent(run),
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    begun.raised().await;
    let workspace = world.runs(task).await[0].workspace;
    world.runtime.lose(workspace);
    let task = world.until(task, StateName::Completed).await;
    assert_eq!(task.attempts.failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_a_cancelled_task_waits_for_its_old_run_to_end() {
    let world = World::new(auto_merge()).await;
    let begun = Signal::new();
    let raised = begun.clone();
    world.agents_do(move |run| match run.attempt {
        1 => vec![Step::Raise(raised.clone()), Step::Hang],
        _ => diligent(run),
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    begun.raised().await;
    world.engine.cancel(task).await.unwrap();
    world.engine.retry(task).await.unwrap();
    world.until(task, StateName::Completed).await;
    let runs = world.runs(task).await;
    assert!(matches!(
        runs[0].outcome(),
        Some(RunOutcome::Cancelled { .. })
    ));
    assert!(
        runs[0].ended_at().unwrap() <= runs[1].started_at,
        "one at a time"
    );
}

#[tokio::test(start_paused = true)]
async fn a_waiting_or_provisioning_task_can_be_cancelled() {
    let world = World::with(auto_merge(), |settings| {
        settings.limits = settings.limits.with_global(1)
    })
    .await;
    world.agents_do(|_| vec![Step::Hang]);
    let one = world.submit("One").await;
    let two = world.submit("Two").await;
    let three = world
        .engine
        .submit(optio_core::NewTask::new(world.repo.id, "Three").after(two))
        .await
        .unwrap()
        .id;
    let _running = world.run();
    world.engine.cancel(two).await.unwrap();
    let three = world.until(three, StateName::Failed).await;
    assert_eq!(class_of(&three), FailureClass::DependencyFailed);
    world.engine.cancel(one).await.unwrap();
    world.until(one, StateName::Cancelled).await;
    assert_eq!(world.runtime.processes(), []);
    assert!(
        world
            .engine
            .cancel(one)
            .await
            .unwrap_err()
            .to_string()
            .contains("cancelled already")
    );
}

/// They share a clone, whoever runs in it first.
#[tokio::test(start_paused = true)]
async fn git_overlooks_what_any_agent_leaves_behind() {
    let agents = [
        MemoryAgent::new().with_leftover(".cache-of-one/"),
        MemoryAgent::named("other").with_leftover(".cache-of-another/"),
    ];
    let world = World::with_agents(auto_merge(), |_| (), agents).await;
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::Completed).await;
    let place = world.runtime.spawned()[0].workspace;
    let path = WorkspacePath::new("repo/info/exclude").unwrap();
    let text = world.runtime.read_file(place, &path, 1000).await.unwrap();
    assert_eq!(text, ".cache-of-another/\n.cache-of-one/\n");
}

/// Some programs name their session only as their last word, and their version never.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_killed_has_the_session_and_the_version_that_its_agent_did_not_come_to_tell()
{
    let agent = MemoryAgent::new().that_is_taciturn();
    let world = World::with_agents(one_attempt(), |_| {}, [agent]).await;
    world.agents_do(|_| vec![Step::say("I have begun"), Step::Crash]);
    let (first, second) = (world.submit("One").await, world.submit("Two").await);
    let _running = world.run();
    for task in [first, second] {
        world.until(task, StateName::Failed).await;
        let run = world.runs(task).await.remove(0);
        let session = run.report.session.unwrap();
        assert_eq!(session.0, run.id.to_string());
        assert_eq!(world.task(task).await.session, Some(session));
        assert_eq!(run.report.agent_version.as_deref(), Some("1.0"));
    }
}

/// What was never begun cannot be resumed.
#[tokio::test(start_paused = true)]
async fn a_run_whose_model_never_answered_has_no_session() {
    let agent = MemoryAgent::new().that_is_taciturn();
    let world = World::with_agents(one_attempt(), |_| {}, [agent]).await;
    world.agents_do(|_| vec![reports("invalid_request"), Step::Crash]);
    let task = world.submit("One").await;
    let _running = world.run();
    world.until(task, StateName::Failed).await;
    assert_eq!(world.task(task).await.session, None);
}
