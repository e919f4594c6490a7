//! The provider refuses: the key, or any more work before a limit resets.

use std::time::Duration;

use optio_core::{
    clock::{Timestamp, later},
    task::StateName,
};
use optio_server::api::{runs::RunView, task::TaskView};
use serde_json::{Value, json};

use crate::{
    model::Turn,
    programs::Cli,
    room::until,
    server::Server,
    world::{Customer, World},
};

/// Waits for the end of the first run of a task; gives the task as it is then, and the run.
async fn first_run(server: &Server, id: &str) -> (TaskView, RunView) {
    let run = until("the end of the first run", || async {
        let runs = server.runs(id).await;
        match runs.as_slice() {
            [run] if run.phase == "ended" => Ok(run.clone()),
            _ => Err(format!("{runs:#?}")),
        }
    })
    .await;
    (server.task(id).await, run)
}

/// What holds a task back in the queue, as `optio task why` tells it.
async fn wait(server: &Server, id: &str) -> Value {
    server.get(&["api", "tasks", id, "why"]).await["wait"].clone()
}

/// A key that was revoked. By themselves, both programs try it again: for half a minute and for seven seconds. The
/// account is paused instead, and once it is mended, the task goes on; though a single failure would end it.
pub(crate) async fn a_refused_key_pauses_its_account_at_once(cli: Cli) {
    let world = World::new(cli).await;
    world.model.will([Turn::RefuseKey]);
    let server = world.room.serve().await;
    let id = world.submit_with(&server, one_failure()).await;
    let (task, run) = first_run(&server, &id).await;
    let failure = run.failure.unwrap();
    assert_eq!(failure.class, "auth_expired");
    assert!(failure.remedy.contains("fresh API key"), "{failure:#?}");
    // one refusal was enough: a second one would never have come. The program may have been quick enough to ask for it
    let asked = world.model.asked().len();
    assert!((1..=2).contains(&asked), "it was asked {asked} times");
    assert_eq!(task.state, StateName::Queued);
    let wait = wait(&server, &id).await;
    assert_eq!(wait["reason"], "account_paused", "{wait}");
    assert_eq!(wait["until"], Value::Null);
    let account = wait["account"].as_str().unwrap();
    assert!(account.starts_with(&format!("{}:api-key:", cli.agent())));

    world.model.accept_key();
    world.model.will([
        Turn::Run("echo hello >greeting.txt".to_owned()),
        Turn::Say("The guests are greeted."),
    ]);
    let resume = ["api", "accounts", account, "resume"];
    server.post(&resume, &json!({})).await.unwrap();
    let task = server.until(&id, StateName::Completed).await;
    let runs = server.runs(&id).await;
    assert_eq!(runs.len(), 2, "{runs:#?}");
    let asked = world.check_asked(&runs);
    world.check_usage(&task.usage, &asked);
    assert!(server.stop().await.success());
    world.room.until_quiet().await;
}

/// Optio has no key. Somebody has logged in on the machine with both programs, but for themselves: what they left in
/// their home and in their environment is not used.
pub(crate) async fn credentials_of_the_machine_are_not_used(cli: Cli) {
    let world = World::with_customer(cli, Customer::Nobody).await;
    let server = world.room.serve().await;
    let id = world.submit(&server).await;
    let (_, run) = first_run(&server, &id).await;
    assert_eq!(run.failure.unwrap().class, "auth_missing");
    assert!(world.model.told().is_empty(), "{:#?}", world.model.told());
    assert!(server.stop().await.success());
    world.room.until_quiet().await;
}

/// The limit of a plan is reached in the middle of the work. The task waits until it resets, and then goes on in its
/// session; though a single failure would end it, as this is none.
pub(crate) async fn a_limit_is_waited_for_and_the_session_goes_on(cli: Cli) {
    let mut world = World::with_customer(cli, Customer::Subscriber).await;
    // programs tell times of day: whatever zone they think they are in, we have to think the same
    let zone = ("TZ", "America/New_York".to_owned());
    world.room.variables.push(zone);
    world.model.will([
        Turn::Run("echo hello >greeting.txt".to_owned()),
        Turn::ReachLimit(Duration::from_secs(15)),
        Turn::Run("cat greeting.txt".to_owned()),
        Turn::Say("The guests are greeted."),
    ]);
    let server = world.room.serve().await;
    let id = world.submit_with(&server, one_failure()).await;
    let (task, run) = first_run(&server, &id).await;
    assert_eq!(run.failure.as_ref().unwrap().class, "rate_limited");
    assert_eq!(task.state, StateName::Queued, "{task:#?}");
    let wait = wait(&server, &id).await;
    assert_eq!(wait["reason"], "account_paused", "{wait}");
    // until its reset, or little longer: no wait is shorter than ten seconds. Codex tells a reset to the minute
    let until: Timestamp = wait["until"].as_str().unwrap().parse().unwrap();
    let resets_at = world.model.asked()[1].resets_at.unwrap();
    let latest = resets_at.max(later(run.ended_at.unwrap(), Duration::from_secs(10)));
    assert!(until <= latest, "{until} instead of {latest}");
    if cli == Cli::Claude {
        assert!(until >= resets_at, "{until} instead of {resets_at}");
    }
    let task = server.until(&id, StateName::Completed).await;
    let runs = server.runs(&id).await;
    assert_eq!(runs.len(), 2, "{runs:#?}");
    assert!(runs[1].started_at >= until, "{runs:#?}");
    let asked = world.check_asked(&runs);
    // the session remembers what was done before
    let resumed = &asked[2].conversation;
    assert!(resumed.contains("echo hello >greeting.txt"), "{resumed}");
    world.check_usage(&task.usage, &asked);
    assert_eq!(world.bare.file("greeting.txt"), "hello");
    assert!(server.stop().await.success());
    world.room.until_quiet().await;
}

/// Settings with which the first failure that counts is the last.
fn one_failure() -> Value {
    json!({"attempts": {"failures": 1}})
}
