//! Spend is capped before a run and in the middle of it, and stopping strands nothing.

use std::time::Duration;

use optio_core::{
    failure::FailureClass,
    memory::{SpawnedRun, Step, diligent},
    money::{Usage, Usd},
    repo::RepoSettings,
    run::RunKind,
    store::TaskQuery,
    task::{StateName, TaskState},
    transcript::{TranscriptEvent, UsageOf},
};

use super::world::{World, auto_merge};

fn dollars(amount: f64) -> Usd {
    Usd::from_dollars(amount)
}

#[tokio::test(start_paused = true)]
async fn an_expensive_run_is_stopped_in_the_middle_and_saved() {
    let world = World::new(RepoSettings {
        max_cost_per_task: Some(dollars(5.0)),
        ..auto_merge()
    })
    .await;
    world.agents_do(expensive);
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    let task = world.until(task, StateName::Failed).await;
    let TaskState::Failed { failure, .. } = &task.state else {
        panic!()
    };
    assert_eq!(failure.class, FailureClass::BudgetReached);
    assert!(
        task.usage.cost >= dollars(5.0) && task.usage.cost <= dollars(7.0),
        "{}",
        task.usage.cost
    );
    assert_eq!(world.runtime.processes(), []);
    assert_eq!(world.rescued(), ["work.txt"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_tells_its_cost_only_in_the_end_is_stopped_by_what_its_answers_cost() {
    let world = World::new(RepoSettings {
        max_cost_per_task: Some(dollars(5.0)),
        ..auto_merge()
    })
    .await;
    world.agents_do(|_| {
        let mut steps = vec![Step::edit("work.txt", "half")];
        for n in 0..100 {
            // each answer is told twice, as it grows
            for cents in [20, 50] {
                let event = TranscriptEvent::Usage {
                    total: Usage {
                        cost: Usd::from_micros(cents * 10_000),
                        ..Usage::default()
                    },
                    of: UsageOf::Answer(format!("answer {n}")),
                };
                steps.push(Step::Print(serde_json::to_string(&event).unwrap()));
            }
            steps.push(Step::Wait(Duration::from_secs(30)));
        }
        steps.push(Step::Cost(dollars(50.0)));
        steps
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    let task = world.until(task, StateName::Failed).await;
    let TaskState::Failed { failure, .. } = &task.state else {
        panic!()
    };
    insta::assert_snapshot!(failure, @"Budget is used up: $5.00 of the $5.00 of the task (maxCostPerTask) are spent");
    assert_eq!(task.usage.cost, dollars(5.0), "nothing of it is forgotten");
    assert_eq!(world.rescued(), ["work.txt"]);
}

#[tokio::test(start_paused = true)]
async fn a_budget_for_the_day_puts_tasks_off_until_tomorrow() {
    let world = World::new(RepoSettings {
        max_cost_per_day: Some(dollars(1.0)),
        max_concurrent_tasks: 1,
        ..auto_merge()
    })
    .await;
    world.agents_do(|run| {
        let mut steps = vec![Step::Cost(dollars(1.0))];
        steps.extend(diligent(run));
        steps
    });
    let (one, two) = (world.submit("One").await, world.submit("Two").await);
    let _running = world.run();
    world.until(one, StateName::Completed).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.task(two).await.state.name(), StateName::Queued);
    let why = world.engine.why(two).await.unwrap();
    assert!(
        why.explanation.contains("of the repository for today"),
        "{}",
        why.explanation
    );
    let two = world.until(two, StateName::Completed).await;
    assert!(two.updated_at >= "2026-01-02T00:00:00Z".parse().unwrap());
}

/// Half of the work, then ever more money, then the rest.
fn expensive(run: &SpawnedRun) -> Vec<Step> {
    let mut steps = vec![Step::edit("work.txt", "half")];
    for _ in 0..100 {
        steps.extend([
            Step::Cost(dollars(1.0)),
            Step::Wait(Duration::from_secs(60)),
        ]);
    }
    steps.extend(diligent(run));
    steps
}

#[tokio::test(start_paused = true)]
async fn a_repositorys_day_that_is_spent_in_the_middle_of_a_run_is_waited_for() {
    let world = World::new(RepoSettings {
        max_cost_per_day: Some(dollars(5.0)),
        ..auto_merge()
    });
    goes_on_tomorrow(world.await).await;
}

#[tokio::test(start_paused = true)]
async fn everybodys_day_that_is_spent_in_the_middle_of_a_run_is_waited_for() {
    let world = World::with(auto_merge(), |settings| {
        settings.limits = settings.limits.with_cost_per_day(Some(dollars(5.0)));
    });
    goes_on_tomorrow(world.await).await;
}

async fn goes_on_tomorrow(world: World) {
    world.agents_do(|run| match run.attempt {
        1 => expensive(run),
        _ => diligent(run),
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.runtime.processes(), [], "it is stopped");
    assert_eq!(world.rescued(), ["work.txt"]);
    let why = world.engine.why(task).await.unwrap();
    assert!(
        why.explanation.contains("for today") && why.explanation.contains("2026-01-02"),
        "{}",
        why.explanation
    );
    let task = world.until(task, StateName::Completed).await;
    assert!(task.updated_at >= "2026-01-02T00:00:00Z".parse().unwrap());
    assert_eq!(task.attempts.failures, 0, "at no cost in attempts");
    let spawned = world.runtime.spawned();
    assert_eq!(spawned[0].session, spawned[1].session);
    let main = world.git.branch(&world.url, "main").unwrap();
    assert!(world.git.files(&main).contains_key("work.txt"));
}

#[tokio::test(start_paused = true)]
async fn what_a_review_costs_counts_as_its_tasks() {
    let world = World::new(RepoSettings {
        max_cost_per_task: Some(dollars(5.0)),
        review_enabled: true,
        ..auto_merge()
    })
    .await;
    world.agents_do(|run| match run.kind {
        RunKind::Review => expensive(run),
        _ => {
            let mut steps = vec![Step::Cost(dollars(3.0))];
            steps.extend(diligent(run));
            steps
        }
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    let task = world.until(task, StateName::NeedsAttention).await;
    let reviews = TaskQuery {
        parent: Some(task.id),
        ..TaskQuery::default()
    };
    let reviews = world.engine.store().tasks(&reviews).await.unwrap();
    let TaskState::Failed { failure, .. } = &reviews[0].state else {
        panic!("{:?}", reviews[0].state)
    };
    assert_eq!(failure.class, FailureClass::BudgetReached);
    assert!(
        task.usage.cost >= dollars(5.0) && task.usage.cost <= dollars(6.5),
        "{}",
        task.usage.cost
    );
}

#[tokio::test(start_paused = true)]
async fn costs_add_up_over_runs() {
    let world = World::new(auto_merge()).await;
    world.agents_do(|run| match run.attempt {
        1 => vec![Step::Cost(dollars(0.25)), Step::Fail("no".to_owned())],
        _ => diligent(run),
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    let task = world.until(task, StateName::Completed).await;
    assert_eq!(task.usage.cost, dollars(0.26));
}
