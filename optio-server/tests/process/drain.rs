//! Ctrl-C: the server stops in order, its agents work on, and the next server adopts them at once.

use std::os::unix::process::ExitStatusExt as _;

use nix::sys::signal::Signal;
use optio_core::task::StateName;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    git::Bare,
    room::{Room, until},
    server::Server,
};

/// Says a word, waits for the file `go` in the room, and finishes its work.
fn patient(room: &Room) -> String {
    format!(
        "say I wait\nwait-file {}\nsay I go on\nedit waited <<END\nlong\nEND\ncommit Wait",
        room.at("go").display()
    )
}

async fn until_it_waits(server: &Server, task: &str) {
    until("the agent at work", || async {
        let log = format!("{:?}", server.log(task).await);
        log.contains("I wait").then_some(()).ok_or(log)
    })
    .await;
}

#[tokio::test]
async fn ctrl_c_leaves_the_agent_at_work_and_the_next_start_adopts_it() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let server = room.serve_with(&["--drain-seconds", "30"]).await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    let task = server.add_task(&repo, "Wait", &patient(&room)).await;
    until_it_waits(&server, &task).await;
    let before = room.supervisors();
    assert!(server.stop().await.success());
    // it works on with nobody there
    assert_eq!(room.supervisors(), before);
    assert!(!room.processes().is_empty());
    std::fs::write(room.at("go"), "").unwrap();
    let server = room.serve().await;
    server.until(&task, StateName::Completed).await;
    let runs = server.runs(&task).await;
    assert_eq!((runs.len(), runs[0].epoch), (1, 2), "{runs:#?}");
    assert!(server.stop().await.success());
    room.until_quiet().await;
}

#[tokio::test]
async fn an_agent_is_adopted_as_soon_as_the_server_is_there() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let server = room.serve().await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    let task = server.add_task(&repo, "Wait", &patient(&room)).await;
    until_it_waits(&server, &task).await;
    server.kill().await;
    let server = room.serve().await;
    // the lease of the one that was killed would last for half a minute
    let adopted = until("adoption", || async {
        let run = server.runs(&task).await.remove(0);
        if run.epoch > 1 {
            Ok(run)
        } else {
            Err(format!("{run:?}"))
        }
    })
    .await;
    assert_eq!(adopted.phase, "spawned");
    std::fs::write(room.at("go"), "").unwrap();
    server.until(&task, StateName::Completed).await;
}

#[tokio::test]
async fn draining_takes_no_longer_than_it_may() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let server = room.serve_with(&["--drain-seconds", "0"]).await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    let task = server.add_task(&repo, "Wait", &patient(&room)).await;
    until_it_waits(&server, &task).await;
    assert!(server.stop().await.success());
    std::fs::write(room.at("go"), "").unwrap();
    let server = room.serve().await;
    server.until(&task, StateName::Completed).await;
    assert_eq!(server.runs(&task).await.len(), 1);
}

#[tokio::test]
async fn a_second_ctrl_c_ends_it_at_once() {
    let room = Room::new();
    let server = room.serve_with(&["--drain-seconds", "3600"]).await;
    // somebody who never finishes a request keeps it from draining
    let mut caller = server.connect().await.unwrap();
    let host = server.address.trim_start_matches("http://");
    let head = format!(
        "POST /api/tasks HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\
                Expect: 100-continue\r\n\r\n"
    );
    caller.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    caller.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    server.signal(Signal::SIGINT);
    until("the end of listening", || async {
        let connected = server.connect().await;
        connected.map_or(Ok(()), |_| Err("it still listens".to_owned()))
    })
    .await;
    server.signal(Signal::SIGINT);
    let ended = server.ended().await;
    assert_eq!((ended.code(), ended.signal()), (Some(130), None));
}
