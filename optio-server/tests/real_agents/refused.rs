//! The provider refuses: the key, or any more work before a limit resets.

use std::time::Duration;

use optio_core::{clock::later, task::StateName};
use optio_server::api::{runs::RunView, task::TaskView};
use serde_json::json;

use crate::{
    model::Turn,
    programs::Cli,
    room::until,
    server::Server,
    world::{Customer, World},
};

/// The first run of a task, which has ended, and the task as it is then.
async fn first_run(server: &Server, id: &str) -> (TaskView, RunView) {
    until("the end of the first run", || async {
        let task = server.task(id).await;
        let runs = server.runs(id).await;
        match runs.as_slice() {
            [run] if run.phase == "ended" => Ok((task, run.clone())),
            _ => Err(format!("{runs:#?}")),
        }
    })
    .await
}

/// A key that was revoked. By themselves, both programs try it again: for half a minute and for seven seconds.
pub(crate) async fn a_refused_key_ends_the_run_at_once(cli: Cli) {
    let world = World::new(cli).await;
    world.model.will([Turn::RefuseKey]);
    let server = world.room.serve().await;
    let id = world.submit(&server).await;
    let (_, run) = first_run(&server, &id).await;
    let failure = run.failure.unwrap();
    assert_eq!(failure.class, "auth_expired");
    assert!(!failure.remedy.is_empty());
    println!("{:#?} {:#?}", server.task(&id).await, server.get(&["api", "accounts"]).await);
    println!("{:#?} requests", world.model.asked().len());
    println!("{:#?}", server.get(&["api","tasks",&id, "why"]).await);
    assert!(server.stop().await.success());
    world.room.until_quiet().await;
}

/// The limit of a plan is reached in the middle of the work. The task goes back to the queue until it resets, and then
/// on in its session; though a single failure would end it, as this is none.
pub(crate) async fn a_limit_is_waited_for_and_the_session_goes_on(cli: Cli) {
    let mut world = World::with_customer(cli, Customer::Subscriber).await;
    // Codex tells a time of day and no time zone: it must be one that we know
    world
        .room
        .variables
        .push(("TZ", "America/New_York".to_owned()));
    world.model.will([
        Turn::Run("echo hello >greeting.txt".to_owned()),
        Turn::ReachLimit(Duration::from_secs(15)),
        Turn::Run("cat greeting.txt".to_owned()),
        Turn::Say("The guests are greeted."),
    ]);
    let server = world.room.serve().await;
    let id = world
        .submit_with(&server, json!({"attempts": {"failures": 1}}))
        .await;
    let (task, run) = first_run(&server, &id).await;
    assert_eq!(run.failure.as_ref().unwrap().class, "rate_limited");
    assert_eq!(task.state, StateName::Queued, "{task:#?}");
    // not before its reset, and not long after: Codex tells it to the minute, and no wait is shorter than ten seconds
    let (not_before, ended_at) = (task.not_before.unwrap(), run.ended_at.unwrap());
    let resets_at = world.model.asked()[1].resets_at.unwrap();
    let latest = resets_at.max(later(ended_at, Duration::from_secs(10)));
    assert!(not_before <= latest, "{not_before} instead of {latest}");
    if cli == Cli::Claude {
        assert!(
            not_before >= resets_at,
            "{not_before} instead of {resets_at}"
        );
    }
    let task = server.until(&id, StateName::Completed).await;
    let runs = server.runs(&id).await;
    assert_eq!(runs.len(), 2, "{runs:#?}");
    assert!(runs[1].started_at >= not_before);
    let asked = world.check_asked(&runs);
    // the session remembers what was done before
    assert!(
        asked[2].conversation.contains("echo hello >greeting.txt"),
        "{:#?}",
        asked[2]
    );
    world.check_usage(&task.usage, &asked);
    assert_eq!(world.bare.file("greeting.txt"), "hello");
    assert!(server.stop().await.success());
    world.room.until_quiet().await;
}
