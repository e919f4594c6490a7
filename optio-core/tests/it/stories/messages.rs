//! What people say to agents: heard at once where that is possible, by the next run otherwise, and never lost or doubled.

use std::time::Duration;

use optio_core::{
    ErrorKind,
    id::TaskId,
    memory::{MemoryAgent, Signal, SpawnedRun, Step, diligent},
    pull_request::Checks,
    task::StateName,
    transcript::{LogStream, TranscriptEvent},
};

use super::world::{World, auto_merge, red, run};

/// A world whose agents can be told something while they are at work.
async fn listening() -> World {
    let agent = MemoryAgent::new().that_listens();
    World::with_agents(auto_merge(), |_| (), [agent]).await
}

/// Its work, then what it still hears.
fn attentive(run: &SpawnedRun) -> Vec<Step> {
    let mut steps = diligent(run);
    steps.pop();
    steps.push(Step::HearAll);
    steps
}

/// What was said to the agent and by it, in order.
async fn talk(world: &World, task: TaskId) -> Vec<String> {
    let log = world.engine.store().log_tail(task, 100).await.unwrap();
    let talk = log.into_iter().filter_map(|entry| match entry.event {
        TranscriptEvent::Message { number, text } => {
            assert_eq!(entry.stream, LogStream::Optio);
            Some(format!("{}: message {number}: {text}", entry.cursor.run))
        }
        TranscriptEvent::Text { text } => Some(format!("{}: agent: {text}", entry.cursor.run)),
        _ => None,
    });
    talk.collect()
}

#[tokio::test(start_paused = true)]
async fn an_agent_at_work_hears_at_once() {
    let world = listening().await;
    let begun = Signal::new();
    let raised = begun.clone();
    world.agents_do(move |run| {
        let mut steps = vec![Step::Raise(raised.clone()), Step::Hear, Step::Hear];
        steps.extend(attentive(run));
        steps
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    begun.raised().await;
    world.engine.message(task, " use tabs\n").await.unwrap();
    let told = world.engine.message(task, "and no emoji").await.unwrap();
    assert_eq!(told.last_message, 2);
    let done = world.until(task, StateName::Completed).await;
    assert_eq!(
        talk(&world, task).await,
        [
            "1: message 1: use tabs",
            "1: message 2: and no emoji",
            "1: agent: heard: use tabs",
            "1: agent: heard: and no emoji",
            "1: agent: on it",
        ]
    );
    assert_eq!((done.messages, done.runs), (Vec::new(), 1));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_says_it_is_done_is_told_what_came_meanwhile_and_ends_then() {
    let world = listening().await;
    let (begun, told) = (Signal::new(), Signal::new());
    let (raised, wait) = (begun.clone(), told.clone());
    world.agents_do(move |run| {
        let mut steps = vec![
            Step::Raise(raised.clone()),
            Step::WaitFor(wait.clone()),
            Step::Wait(Duration::from_secs(60)),
        ];
        steps.extend(attentive(run));
        steps
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    begun.raised().await;
    world.engine.message(task, "one more thing").await.unwrap();
    told.raise();
    world.until(task, StateName::Completed).await;
    let talk = talk(&world, task).await;
    assert_eq!(talk.last().unwrap(), "1: agent: heard: one more thing");
    assert_eq!(world.runtime.processes(), []);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_heard_now_is_in_the_prompt_of_the_next_run() {
    let world = World::new(auto_merge()).await;
    let (begun, go_on) = (Signal::new(), Signal::new());
    let (raised, wait) = (begun.clone(), go_on.clone());
    world.agents_do(move |run| {
        let mut steps = vec![Step::Raise(raised.clone()), Step::WaitFor(wait.clone())];
        steps.extend(diligent(run));
        steps
    });
    world
        .forge
        .plan_checks(|head| if head.nth == 1 { red() } else { Checks::Passed });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    begun.raised().await;
    world.engine.message(task, "use tabs").await.unwrap();
    go_on.raise();
    let done = world.until(task, StateName::Completed).await;
    let spawned = world.runtime.spawned();
    assert!(!spawned[0].prompt.contains("use tabs"));
    assert!(
        spawned[1].prompt.contains("> use tabs"),
        "{}",
        spawned[1].prompt
    );
    assert_eq!(
        talk(&world, task).await,
        [
            "1: agent: on it",
            "2: message 1: use tabs",
            "2: agent: on it"
        ]
    );
    assert_eq!(done.messages, [], "it was heard by a run that did its work");
}

#[tokio::test(start_paused = true)]
async fn what_was_said_to_a_run_that_failed_is_said_to_the_next_one() {
    let world = listening().await;
    let begun = Signal::new();
    let raised = begun.clone();
    world.agents_do(move |run| match run.attempt {
        1 => vec![
            Step::Raise(raised.clone()),
            Step::Hear,
            Step::Fail("I am lost".to_owned()),
        ],
        _ => attentive(run),
    });
    let task = world.submit("Add a cart").await;
    world.engine.message(task, "it is in src").await.unwrap();
    let _running = world.run();
    begun.raised().await;
    world.engine.message(task, "use tabs").await.unwrap();
    world.until(task, StateName::Completed).await;
    let spawned = world.runtime.spawned();
    assert!(spawned[0].prompt.contains("> it is in src"));
    assert!(spawned[1].prompt.contains("> it is in src\n\n> use tabs\n"));
    assert_eq!(
        talk(&world, task).await,
        [
            "1: message 1: it is in src",
            "1: message 2: use tabs",
            "1: agent: heard: use tabs",
            "2: message 1: it is in src",
            "2: message 2: use tabs",
            "2: agent: on it",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_is_heard_once_however_often_its_bearer_dies() {
    let world = listening().await;
    let begun = Signal::new();
    let raised = begun.clone();
    world.agents_do(move |run| {
        let mut steps = vec![Step::say("up"), Step::Raise(raised.clone())];
        steps.extend((0..20).map(|_| Step::Hear));
        steps.extend(attentive(run));
        steps
    });
    let task = world.submit("Add a cart").await;
    let mut running = world.run();
    begun.raised().await;
    for n in 0_u32..20 {
        world
            .engine
            .message(task, &format!("word {n}"))
            .await
            .unwrap();
        // killed before, while or after it passes the message on
        for _ in 0..n {
            tokio::task::yield_now().await;
        }
        running.kill().await;
        running = run(&world.replica(&format!("w{n}")));
    }
    world.until(task, StateName::Completed).await;
    let talk = talk(&world, task).await;
    for n in 0..20 {
        let said = format!("1: message {}: word {n}", n + 1);
        let heard = format!("1: agent: heard: word {n}");
        for line in [said, heard] {
            assert_eq!(talk.iter().filter(|it| **it == line).count(), 1, "{line}");
        }
    }
    assert_eq!(world.runtime.spawned().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_has_said_its_last_word_and_does_not_end_is_done_all_the_same() {
    let world = World::new(auto_merge()).await;
    world.agents_do(|run| {
        let mut steps = diligent(run);
        steps.pop();
        let word = TranscriptEvent::Result {
            failed: false,
            summary: "done".to_owned(),
        };
        steps.push(Step::Print(serde_json::to_string(&word).unwrap()));
        steps.push(Step::Hang);
        steps
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    let done = world.until(task, StateName::Completed).await;
    assert_eq!((done.runs, done.attempts.failures), (1, 0));
    assert!(done.updated_at < "2026-01-01T00:10:00Z".parse().unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_could_hear_is_refused() {
    let world = World::new(auto_merge()).await;
    let task = world.submit("Add a cart").await;
    let refuse = async |text: &str| {
        let refused = world.engine.message(task, text).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        refused.to_string()
    };
    insta::assert_snapshot!(refuse(" \n").await, @"optio: the message is empty");
    insta::assert_snapshot!(refuse(&"x".repeat(70_000)).await, @"optio: the message has 70000 bytes: the longest may have 65536");
    let _running = world.run();
    world.until(task, StateName::Completed).await;
    assert!(refuse("hello").await.contains("is completed"));
}
