//! What happens by the clock and what goes to the outside: schedules, tickets, webhooks, dependencies, logs.

use std::time::Duration;

use insta::assert_snapshot;
use optio_core::{
    NewTask, Retry,
    engine::NewSchedule,
    memory::{Signal, Step, diligent},
    schedule::CronLine,
    store::TaskQuery,
    task::{DEFAULT_PRIORITY, StateName},
    tickets::{Ticket, TicketOutcome},
    transcript::LogCursor,
};

use super::world::{World, auto_merge, run};

#[tokio::test(start_paused = true)]
async fn a_schedule_makes_one_task_each_time_over_any_number_of_workers() {
    let world = World::new(auto_merge()).await;
    let cron = CronLine::new("0 * * * *", "UTC").unwrap();
    let new = NewSchedule {
        cron,
        repo: world.repo.id,
        title: "Update dependencies".to_owned(),
        body: String::new(),
        priority: DEFAULT_PRIORITY,
    };
    world.engine.add_schedule(new).await.unwrap();
    let replica = world.replica("b");
    let (_a, _b) = (world.run(), run(&replica));
    tokio::time::sleep(Duration::from_secs(3 * 3600 + 60)).await;
    let made = world
        .engine
        .store()
        .tasks(&TaskQuery::default())
        .await
        .unwrap();
    assert_eq!(
        made.iter()
            .filter(|task| task.title == "Update dependencies")
            .count(),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn an_old_log_goes_and_says_so() {
    let day = Duration::from_secs(24 * 3600);
    let world = World::with(auto_merge(), |settings| {
        settings.log_retention = Some(day);
    })
    .await;
    // more than what goes in one step
    world.agents_do(|run| {
        let mut steps: Vec<Step> = (0..6_000).map(|n| Step::say(format!("line {n}"))).collect();
        steps.extend(diligent(run));
        steps
    });
    let task = world.submit("Say much").await;
    let _running = world.run();
    world.until(task, StateName::Completed).await;
    let log = || world.engine.store().log(task, LogCursor::default(), 9_000);
    let whole = log().await.unwrap();
    assert!(whole.len() > 6_000);
    tokio::time::sleep(day - Duration::from_secs(3600)).await;
    assert_eq!(log().await.unwrap(), whole);

    let later = world.submit("Say much again").await;
    world.until(later, StateName::Completed).await;
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    let left = log().await.unwrap();
    let shown: Vec<_> = left
        .iter()
        .map(|entry| format!("{} {:?}", entry.cursor, entry.event))
        .collect();
    assert_snapshot!(shown.join("\n"), @r#"
    1.1 System { text: "The log of run 1 is kept no longer: entries that stood here were removed." }
    "#);
    // who reads on from the middle is not told of an error, and the other task keeps its log
    let after = whole[3_000].cursor;
    let rest = world.engine.store().log(task, after, 9).await.unwrap();
    assert_eq!(rest, []);
    let other = world.engine.store().log(later, LogCursor::default(), 9_000);
    assert!(other.await.unwrap().len() > 6_000);
}

#[tokio::test(start_paused = true)]
async fn a_task_waits_for_those_it_depends_on() {
    let world = World::new(auto_merge()).await;
    let first = world.submit("First").await;
    let second = world
        .engine
        .submit(NewTask::new(world.repo.id, "Second").after(first))
        .await
        .unwrap()
        .id;
    assert!(
        world
            .engine
            .why(second)
            .await
            .unwrap()
            .explanation
            .contains(&first.to_string())
    );
    let refused = world
        .engine
        .add_dependencies(first, &[second])
        .await
        .unwrap_err();
    let cycle = refused.to_string();
    assert!(
        cycle.contains(&format!("{first} -> {second}"))
            && cycle.contains(&format!("{second} -> {first}")),
        "{cycle}"
    );
    let _running = world.run();
    world.until(second, StateName::Completed).await;
    assert_snapshot!(world.history(second).await, @"pending, waiting_on_deps, queued, provisioning, running, pr_opened, completed");
    let (first, second) = (world.runs(first).await, world.runs(second).await);
    assert!(first[0].ended_at().unwrap() <= second[0].started_at);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_becomes_one_task_and_hears_of_its_end() {
    let world = World::new(auto_merge()).await;
    let ticket = Ticket {
        key: "SHOP-7".to_owned(),
        repo: world.url.clone(),
        title: "Add a cart".to_owned(),
        body: "Please.".to_owned(),
        url: Some("https://tickets.test/SHOP-7".to_owned()),
        priority: Some(5),
    };
    world.tickets.write(ticket);
    let _running = world.run();
    tokio::time::sleep(Duration::from_secs(1800)).await;
    let tasks = world
        .engine
        .store()
        .tasks(&TaskQuery::default())
        .await
        .unwrap();
    let told: Vec<_> = tasks
        .iter()
        .map(|task| (task.title.as_str(), task.priority, task.state.name()))
        .collect();
    assert_eq!(told, [("Add a cart", 5, StateName::Completed)]);
    let outcomes = world.tickets.outcomes("SHOP-7");
    assert!(
        matches!(outcomes.as_slice(), [TicketOutcome::Completed { .. }]),
        "{outcomes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn webhooks_are_told_at_least_once_and_not_for_internal_retries() {
    let world = World::new(auto_merge()).await;
    let states = vec![StateName::Failed, StateName::Completed];
    world
        .engine
        .add_webhook(
            "https://example.test/hook".to_owned(),
            "secret".to_owned(),
            states,
        )
        .await
        .unwrap();
    world.webhooks.refuse(2, Retry::Later);
    world.agents_do(|run| {
        if run.attempt == 1 {
            vec![Step::Fail("no".to_owned())]
        } else {
            diligent(run)
        }
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::Completed).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let told: Vec<String> = world
        .webhooks
        .accepted()
        .into_iter()
        .map(|delivery| delivery.body)
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains(r#""event":"task.completed""#),
        "{}",
        told[0]
    );
}

#[tokio::test(start_paused = true)]
async fn a_log_is_followed_without_gap_or_duplicate() {
    let world = World::new(auto_merge()).await;
    let go_on = Signal::new();
    let wait = go_on.clone();
    world.agents_do(move |run| {
        let mut steps: Vec<Step> = (0..1000).map(|n| Step::say(format!("line {n}"))).collect();
        steps.push(Step::WaitFor(wait.clone()));
        steps.extend((1000..2000).map(|n| Step::say(format!("line {n}"))));
        steps.extend(diligent(run));
        steps
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    let mut log = world
        .engine
        .follow_log(task, LogCursor::default())
        .await
        .unwrap();
    let mut seqs = Vec::new();
    let mut restarted = false;
    while let Some(entries) = log.next().await.unwrap() {
        seqs.extend(entries.iter().map(|entry| entry.cursor.seq));
        if seqs.len() > 900 && !restarted {
            // the reader goes away and comes back with its cursor
            restarted = true;
            let cursor = log.cursor();
            log = world.engine.follow_log(task, cursor).await.unwrap();
            go_on.raise();
        }
    }
    let last = *seqs.last().unwrap();
    assert!(last > 2000);
    assert_eq!(seqs, (1..=last).collect::<Vec<_>>());
}
