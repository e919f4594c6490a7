//! A start while database and queue are not up yet, as when a whole installation is started at once.

use std::{fs, os::unix::fs::symlink, process::Stdio};

use crate::{
    room::{Room, until},
    server::{Server, command},
    shared::Shared,
};

/// What a server says that does not start.
async fn refusal(room: &Room, arguments: &[&str]) -> String {
    let mut command = command(room, arguments);
    let output = command.stderr(Stdio::piped()).output().await.unwrap();
    assert_eq!(output.stdout, b"");
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).unwrap()
}

/// Waits until the server has said this.
async fn until_said(room: &Room, words: &str) {
    until(words, || async {
        let log = fs::read_to_string(room.at("serve.log")).unwrap();
        log.contains(words).then_some(()).ok_or(log)
    })
    .await;
}

#[tokio::test]
async fn a_server_waits_for_a_database_and_a_queue_that_are_not_up_yet() {
    let (room, shared) = (Room::new(), Shared::start());
    let (database, redis) = (shared.database_url(), shared.redis_url());
    // the folders of their sockets, which are not there yet
    let late = [room.at("late-p"), room.at("late-r")];
    let (before, folder) = database.split_once("?host=").unwrap();
    let real_p = folder.replace("%2F", "/");
    let late_p = late[0].to_str().unwrap().replace('/', "%2F");
    let real_r = redis.trim_start_matches("redis+unix://");
    let real_r = real_r.trim_end_matches("/socket");
    let arguments = [
        "--database-url",
        &format!("{before}?host={late_p}"),
        "--redis-url",
        &format!("redis+unix://{}/socket", late[1].display()),
    ];
    let serve = command(&room, &arguments);
    let starting = tokio::spawn(async move { Server::start_by(serve).await });
    until_said(&room, "waiting for the database").await;
    symlink(&real_p, &late[0]).unwrap();
    until_said(&room, "the database is up").await;
    until_said(&room, "waiting for the queue").await;
    symlink(real_r, &late[1]).unwrap();
    let server = starting.await.unwrap();
    until_said(&room, "the queue is up").await;
    let log = fs::read_to_string(room.at("serve.log")).unwrap();
    let waits = log.matches("waiting for").count();
    assert_eq!(waits, 2, "one line for each reason: {log}");
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_while_it_waits_stops() {
    let room = Room::new();
    let nowhere = room.at("nowhere").to_str().unwrap().replace('/', "%2F");
    let arguments = [
        "--database-url",
        &format!("postgres://optio@localhost/optio?host={nowhere}"),
        "--redis-url",
        "redis://127.0.0.1:1",
    ];
    let mut process = command(&room, &arguments).spawn().unwrap();
    until_said(&room, "waiting for the database").await;
    let pid = nix::unistd::Pid::from_raw(process.id().unwrap().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(process.wait().await.unwrap().success());
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_told_without_waiting() {
    let (room, shared) = (Room::new(), Shared::start());
    let (database, redis) = (shared.database_url(), shared.redis_url());
    let missing = database.replace("/postgres?", "/missing?");
    let away = database.replace("%2Fp", "%2Fnowhere");
    for (database, more, words) in [
        (&missing, &[][..], "there is no such database"),
        (
            &away,
            &["--start-timeout-seconds", "0"],
            "check that the server is up",
        ),
    ] {
        let arguments = [
            &["--database-url", database, "--redis-url", &redis][..],
            more,
        ];
        let said = refusal(&room, &arguments.concat()).await;
        assert!(said.contains(words), "{said}");
        assert_eq!(said.trim().lines().count(), 1, "{said}");
    }
}
