//! What one run finds out about its account, no other has to find out: they wait, and go on by themselves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use optio_core::{
    ErrorKind, NewTask, Optio, Timestamp,
    account::AccountName,
    clock::later,
    engine::Ports,
    failure::ReportedError,
    id::TaskId,
    memory::{MemoryAgent, SpawnedRun, Step, diligent},
    repo::RepoSettings,
    scheduling::WaitReason,
    task::StateName,
    transcript::TranscriptEvent,
};
use tracing_subscriber::layer::SubscriberExt as _;

use super::world::{World, auto_merge, run};

fn account(credential: &str) -> AccountName {
    AccountName::unseen("memory", credential)
}

/// A world whose agents work with one account, and `other` with another one; many may be at work at once.
async fn world_with(global: u32) -> World {
    let settings = RepoSettings {
        max_concurrent_tasks: 50,
        max_agents_per_pod: 50,
        ..auto_merge()
    };
    World::with_agents(
        settings,
        |settings| settings.limits = settings.limits.with_global(global),
        [
            MemoryAgent::new().with_account(account("mine")),
            MemoryAgent::named("other").with_account(account("another")),
        ],
    )
    .await
}

fn at(time: &str) -> Timestamp {
    format!("2026-01-01T{time}Z").parse().unwrap()
}

/// The steps of a run whose credentials are refused.
fn refused() -> Vec<Step> {
    refused_with("authentication_failed", 401, "the key was revoked")
}

/// The steps of a run whose provider refuses what it asks for.
fn refused_with(kind: &str, status: u16, message: &str) -> Vec<Step> {
    let event = TranscriptEvent::Error {
        error: ReportedError {
            kind: Some(kind.to_owned()),
            http_status: Some(status),
            ..ReportedError::message(message)
        },
    };
    vec![
        Step::Print(serde_json::to_string(&event).unwrap()),
        Step::Exit(1),
    ]
}

/// Half of the work, and then the limit.
fn limited(until: Timestamp) -> Vec<Step> {
    vec![Step::edit("half.txt", "half"), Step::RateLimit(Some(until))]
}

async fn submit_for(world: &World, agent: &str, title: &str) -> TaskId {
    let mut new = NewTask::new(world.repo.id, title);
    new.agent = Some(agent.to_owned());
    world.engine.submit(new).await.unwrap().id
}

async fn until(world: &World, time: &str) {
    let left = optio_core::clock::elapsed(now(world), at(time));
    tokio::time::sleep(left).await;
}

fn now(world: &World) -> Timestamp {
    world.engine.ports().clock.now()
}

async fn why(world: &World, task: TaskId) -> String {
    world.engine.why(task).await.unwrap().explanation
}

/// Another engine on the same backends, whose agents work with this account.
fn engine_with(world: &World, name: &str, agent: MemoryAgent) -> Optio {
    let agent: Arc<dyn optio_core::agent::Agent> = Arc::new(agent);
    let ports = Ports {
        agents: [("memory".to_owned(), agent)].into(),
        ..world.engine.ports().clone()
    };
    Optio::new(ports, world.replica(name).settings().clone())
}

#[tokio::test(start_paused = true)]
async fn fifty_tasks_wait_for_a_limit_that_three_have_met() {
    let world = world_with(3).await;
    let resets = ["02:00:00", "02:30:00", "02:10:00"].map(at);
    let met = AtomicU32::new(0);
    world.agents_do(
        move |run| match resets.get(met.fetch_add(1, Ordering::Relaxed) as usize) {
            Some(reset) => limited(*reset),
            None => diligent(run),
        },
    );
    let mut tasks = Vec::new();
    for n in 0..50 {
        tasks.push(world.submit(&format!("Task {n}")).await);
    }
    let urgent = tasks[40];
    world.engine.reprioritise(urgent, -1000).await.unwrap();
    let first_three = [urgent, tasks[0], tasks[1]];
    let _running = world.run();
    until(&world, "02:29:59").await;
    assert_eq!(world.runtime.spawned().len(), 3, "nobody else tries");
    for task in &tasks {
        assert_eq!(world.task(*task).await.state.name(), StateName::Queued);
    }
    insta::assert_snapshot!(why(&world, tasks[7]).await, @"the account memory:mine is paused until 2026-01-01T02:30:00Z: Model rate limit reached: rate_limited");
    let waits = world.engine.why(tasks[7]).await.unwrap().reason;
    let expected = WaitReason::AccountPaused {
        account: account("mine"),
        until: Some(at("02:30:00")),
    };
    assert_eq!(waits, Some(expected.clone()));
    let queue = world.engine.waiting().await.unwrap();
    assert!(queue.len() == 50 && queue.iter().all(|it| it.why == expected));

    for task in &tasks {
        let task = world.until(*task, StateName::Completed).await;
        let expected = if first_three.contains(&task.id) { 2 } else { 1 };
        assert_eq!(task.runs, expected, "no run finds out in vain");
        assert_eq!(task.attempts.failures + task.attempts.free, 0);
    }
    let spawned = world.runtime.spawned();
    assert_eq!(spawned[3].task, urgent, "by priority");
    let its_first = spawned.iter().find(|run| run.task == urgent).unwrap();
    assert_eq!(spawned[3].session, its_first.session, "in the same session");
    assert_eq!(world.engine.store().pauses().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn only_the_tasks_of_the_account_wait() {
    let world = world_with(2).await;
    world.agents_do(|run| match run.attempt {
        1 if run.prompt.contains("Mine") => limited(at("05:00:00")),
        _ => diligent(run),
    });
    let mine = [world.submit("Mine 1").await, world.submit("Mine 2").await];
    let _running = world.run();
    until(&world, "00:01:00").await;
    let mut others = Vec::new();
    for n in 0..4 {
        others.push(submit_for(&world, "other", &format!("Theirs {n}")).await);
    }
    for task in others {
        let done = world.until(task, StateName::Completed).await;
        assert!(done.updated_at < at("00:10:00"), "{}", done.updated_at);
    }
    for task in mine {
        let done = world.until(task, StateName::Completed).await;
        assert!(done.updated_at >= at("05:00:00"), "{}", done.updated_at);
    }
}

#[tokio::test(start_paused = true)]
async fn if_the_limit_is_still_there_one_run_finds_out() {
    let world = world_with(5).await;
    // five before, one after each reset
    let tries = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&tries);
    let clock = Arc::clone(&world.engine.ports().clock);
    world.agents_do(move |run| {
        count.fetch_add(1, Ordering::Relaxed);
        if clock.now() < at("03:00:00") {
            limited(later(clock.now(), Duration::from_secs(3600)))
        } else {
            diligent(run)
        }
    });
    let mut tasks = Vec::new();
    for n in 0..20 {
        tasks.push(world.submit(&format!("Task {n}")).await);
    }
    let _running = world.run();
    until(&world, "02:50:00").await;
    assert_eq!(tries.load(Ordering::Relaxed), 5 + 2);
    for task in &tasks {
        world.until(*task, StateName::Completed).await;
    }
    assert_eq!(tries.load(Ordering::Relaxed), 5 + 2 + 20);
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_pause_the_account_until_somebody_resumes_it() {
    let warnings = Warnings::default();
    let subscriber = tracing_subscriber::registry().with(warnings.clone());
    let _listening = tracing::subscriber::set_default(subscriber);
    let world = world_with(3).await;
    world.agents_do(|run| match run.attempt {
        1 if run.prompt.contains("Early") => refused(),
        _ => diligent(run),
    });
    let mut tasks = Vec::new();
    for n in 0..3 {
        tasks.push(world.submit(&format!("Early {n}")).await);
    }
    for n in 0..10 {
        tasks.push(world.submit(&format!("Late {n}")).await);
    }
    let _running = world.run();
    until(&world, "09:00:00").await;
    assert_eq!(world.runtime.spawned().len(), 3);
    assert_eq!(warnings.0.load(Ordering::Relaxed), 1, "it is said once");
    insta::assert_snapshot!(why(&world, tasks[0]).await, @"the account memory:mine is paused until it gets other credentials or `optio account resume memory:mine`: Agent's credentials were refused: the key was revoked");
    let accounts = world.engine.accounts().await.unwrap();
    let shown = accounts
        .iter()
        .map(|it| format!("{} {:?} {}", it.name, it.agents, it.pause.is_some()));
    insta::assert_snapshot!(shown.collect::<Vec<_>>().join("\n"), @r#"
    memory:another ["other"] false
    memory:mine ["memory"] true
    "#);

    let nobody = account("nobody");
    let refused = world.engine.resume_account(&nobody).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    insta::assert_snapshot!(refused, @"optio: no account is called memory:nobody: there is memory:another, memory:mine");
    world.engine.resume_account(&account("mine")).await.unwrap();
    for task in tasks {
        let done = world.until(task, StateName::Completed).await;
        assert!(done.updated_at < at("09:05:00"), "{}", done.updated_at);
        assert_eq!(done.attempts.failures, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn other_credentials_are_another_account() {
    let world = world_with(3).await;
    world.agents_do(|run: &SpawnedRun| match run.attempt {
        1 => refused(),
        _ => diligent(run),
    });
    let task = world.submit("Add a cart").await;
    let running = world.run();
    until(&world, "00:10:00").await;
    running.drain().await;
    // a restart with the old key changes nothing, also when everything but the store was lost
    let old = engine_with(
        &world,
        "b",
        MemoryAgent::new().with_account(account("mine")),
    );
    let running = run(&old);
    until(&world, "03:00:00").await;
    assert_eq!(world.runtime.spawned().len(), 1);
    running.kill().await;
    let new = engine_with(&world, "c", MemoryAgent::new().with_account(account("new")));
    let _running = run(&new);
    let done = world.until(task, StateName::Completed).await;
    assert!(done.updated_at < at("03:02:00"), "{}", done.updated_at);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_at_work_all_along_lifts_a_pause_that_is_over() {
    let world = world_with(3).await;
    let clock = Arc::clone(&world.engine.ports().clock);
    world.agents_do(move |run| {
        let mut steps = Vec::new();
        if run.prompt.contains("Long") {
            for _ in 0..14 {
                steps.push(Step::say("still at it"));
                steps.push(Step::Wait(Duration::from_secs(300)));
            }
        } else if clock.now() < at("01:00:00") {
            return limited(at("01:00:00"));
        }
        steps.extend(diligent(run));
        steps
    });
    let long = world.submit("Long").await;
    let short = world.submit("Short").await;
    let _running = world.run();
    until(&world, "00:59:59").await;
    let pauses = || async { world.engine.store().pauses().await.unwrap().len() };
    assert_eq!(pauses().await, 1, "what was under way proves nothing");
    world.engine.cancel(short).await.unwrap();
    until(&world, "01:06:00").await;
    assert_eq!(pauses().await, 0);
    world.until(long, StateName::Completed).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_tries_a_refused_key_again_is_stopped_at_the_first_refusal() {
    let world = world_with(1).await;
    world.agents_do(|run| match run.attempt {
        1 => {
            let mut steps = vec![Step::edit("half.txt", "half")];
            for _ in 0..10 {
                steps.extend(refused().into_iter().take(1));
                steps.push(Step::Wait(Duration::from_secs(20)));
            }
            steps
        }
        _ => diligent(run),
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    until(&world, "00:00:10").await;
    assert_eq!(world.runtime.processes(), [], "no process is left");
    assert_eq!(world.rescued(), ["half.txt"], "its work is saved");
    assert_eq!(world.task(task).await.state.name(), StateName::Queued);
    let log = world.engine.store().log_tail(task, 100).await.unwrap();
    let errors = log
        .iter()
        .filter(|entry| matches!(entry.event, TranscriptEvent::Error { .. }));
    assert_eq!(errors.count(), 1);
    world.engine.resume_account(&account("mine")).await.unwrap();
    world.until(task, StateName::Completed).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_waits_for_a_limit_for_hours_is_stopped_and_one_that_gets_over_it_is_not() {
    let world = world_with(2).await;
    let tries_again = |wait: &str| {
        let event = TranscriptEvent::Error {
            error: ReportedError {
                kind: Some("rate_limit".to_owned()),
                http_status: Some(429),
                ..ReportedError::message(format!("refused, trying again in {wait}"))
            },
        };
        Step::Print(serde_json::to_string(&event).unwrap())
    };
    world.agents_do(move |run| {
        let first = if run.prompt.contains("Short") {
            vec![
                tries_again("40s"),
                Step::Wait(Duration::from_secs(40)),
                tries_again("5h"),
                Step::Wait(Duration::from_secs(2)),
                Step::say("it worked after all"),
                Step::Wait(Duration::from_secs(60)),
            ]
        } else if run.attempt == 1 {
            vec![tries_again("5h"), Step::Wait(Duration::from_secs(5 * 3600))]
        } else {
            Vec::new()
        };
        first.into_iter().chain(diligent(run)).collect()
    });
    let short = world.submit("Short").await;
    let long = submit_for(&world, "other", "Long").await;
    let _running = world.run();
    until(&world, "00:01:00").await;
    assert_eq!(world.runtime.processes().len(), 1);
    assert_eq!(world.until(short, StateName::Completed).await.runs, 1);
    let long = world.until(long, StateName::Completed).await;
    assert_eq!((long.runs, long.attempts.failures), (2, 0));
    assert!(long.updated_at >= at("05:00:00"), "{}", long.updated_at);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_account_is_paused_once_and_one_that_is_denied_a_model_works_on() {
    for (kind, message, started, paused) in [
        ("account_on_hold", "Your account is on hold", 1, true),
        (
            "oauth_org_not_allowed",
            "not for this organization",
            1,
            true,
        ),
        ("verification_required", "verify your account", 1, true),
        ("permission_error", "no access to this model", 4, false),
    ] {
        let world = world_with(1).await;
        world.agents_do(move |_| refused_with(kind, 403, message));
        let mut tasks = Vec::new();
        for n in 0..4 {
            tasks.push(world.submit(&format!("Part {n}")).await);
        }
        let _running = world.run();
        until(&world, "09:00:00").await;
        assert_eq!(world.runtime.spawned().len(), started, "{kind}");
        let accounts = world.engine.accounts().await.unwrap();
        assert_eq!(accounts.iter().any(|it| it.pause.is_some()), paused);
        for task in tasks {
            let state = world.task(task).await.state.name();
            assert_eq!(state == StateName::Queued, paused, "{kind}: {state:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_an_account_fails_for_good_when_its_credentials_are_refused() {
    let world = World::new(auto_merge()).await;
    world.agents_do(|_| refused());
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::Failed).await;
    assert_eq!(world.engine.accounts().await.unwrap(), []);
}

/// Counts the warnings that speak of a pause.
#[derive(Debug, Clone, Default)]
struct Warnings(Arc<AtomicU32>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Warnings {
    fn on_event(
        &self,
        event: &tracing::Event<'_>,
        _context: tracing_subscriber::layer::Context<'_, S>,
    ) {
        let mut speaks = Speaks(false);
        event.record(&mut speaks);
        if *event.metadata().level() == tracing::Level::WARN && speaks.0 {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Speaks(bool);

impl tracing::field::Visit for Speaks {
    fn record_debug(&mut self, _field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0 |= format!("{value:?}").contains("is paused");
    }
}
