//! Runs that are cancelled or fail: nothing of them is left alive, and nothing of their work is lost.
//!
//! Timeouts and stalls end a run the same way; they are counted in minutes and told on paused time, in the stories of
//! optio-core.

use optio_core::task::StateName;
use serde_json::json;

use crate::{
    git::Bare,
    room::{Room, until},
    server::Server,
};

/// Leaves a commit, a file that is not committed, and a process in a session of its own.
const MESS: &str = "
edit kept/committed <<END
first
END
commit Write the first
edit kept/uncommitted <<END
second
END
spawn-stray exec sleep 1000
say made a mess
";

/// Waits until the agent has said that it made the mess; the stray lives then.
async fn until_mess(room: &Room, server: &Server, task: &str) {
    until("the mess", || async {
        let stray = room
            .processes_of_runs()
            .iter()
            .any(|(_, line)| line == "sleep 1000");
        let logged = format!("{:?}", server.log(task).await).contains("made a mess");
        (stray && logged)
            .then_some(())
            .ok_or_else(|| format!("stray {stray}, logged {logged}"))
    })
    .await;
}

/// No process of a run is left, and the work is on a rescue ref of this task.
async fn check_saved(room: &Room, server: Server, bare: &Bare, task: &str) {
    let left = room.processes_of_runs();
    assert!(left.is_empty(), "{left:?}");
    let refs = bare.refs(&format!("refs/optio/rescue/{task}"));
    assert_eq!(refs.len(), 1, "{refs:?}");
    let show = |path: &str| bare.git(&["show", &format!("{}:{path}", refs[0])]);
    assert_eq!(
        (show("kept/committed"), show("kept/uncommitted")),
        ("first".to_owned(), "second".to_owned())
    );
    assert_eq!(server.runs(task).await[0].rescue_ref.as_ref(), refs.first());
    assert!(server.stop().await.success());
    room.until_quiet().await;
}

#[tokio::test]
async fn a_cancelled_run_leaves_no_process_and_its_work_is_saved() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let server = room.serve().await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    let task = server
        .add_task(&repo, "Hang", &format!("{MESS}\nhang"))
        .await;
    until_mess(&room, &server, &task).await;
    server.cancel(&task).await;
    server.until(&task, StateName::Cancelled).await;
    check_saved(&room, server, &bare, &task).await;
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_no_server_is_there_to_see_ends_with_the_next() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let server = room.serve().await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    let task = server
        .add_task(&repo, "Hang", &format!("{MESS}\nhang"))
        .await;
    until_mess(&room, &server, &task).await;
    // the state is cancelled at once; the server that has to see to its end dies in the same moment
    server.cancel(&task).await;
    server.kill().await;
    let server = room.serve().await;
    server.until(&task, StateName::Cancelled).await;
    check_saved(&room, server, &bare, &task).await;
}

#[tokio::test]
async fn a_failed_run_leaves_no_process_and_its_work_is_saved() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let server = room.serve().await;
    let once = json!({"attempts": {"failures": 1}});
    let repo = server.add_repo(&bare.path, once).await;
    let task = server
        .add_task(&repo, "Fail", &format!("{MESS}\nfail 1 no such luck"))
        .await;
    let failed = server.until(&task, StateName::Failed).await;
    assert_eq!(failed.failure.unwrap().class, "agent_reported");
    check_saved(&room, server, &bare, &task).await;
}

#[tokio::test]
async fn an_agent_that_dies_by_a_signal_leaves_no_process_and_its_work_is_saved() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let server = room.serve().await;
    let once = json!({"attempts": {"failures": 1}});
    let repo = server.add_repo(&bare.path, once).await;
    let task = server
        .add_task(&repo, "Crash", &format!("{MESS}\ncrash"))
        .await;
    let failed = server.until(&task, StateName::Failed).await;
    insta::assert_snapshot!(failed.failure.unwrap().class, @"agent_crashed");
    check_saved(&room, server, &bare, &task).await;
}
