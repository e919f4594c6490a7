//! The machine's clock is set by a day under a running server, forward and back: no run is ended or doubled for it.
//!
//! The server is given another clock by libfaketime, which reads from a file how far it is off. Stories on paused time in
//! `optio-core` say what a clock that is set does change.

use std::{fs, path::PathBuf};

use optio_core::{Clock as _, SystemClock};
use serde_json::json;

use crate::{
    books::{Numbered, Runs, check_all},
    git::Bare,
    room::{Room, until},
    server::{self, Server},
};

const DAY: f64 = 24.0 * 3600.0;

/// The clock of a room's servers.
struct Wall<'r> {
    room: &'r Room,
    library: PathBuf,
}

impl<'r> Wall<'r> {
    fn new(room: &'r Room) -> Self {
        let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
        let below = folders.iter().flat_map(|folder| {
            let inner = fs::read_dir(folder).into_iter().flatten().flatten();
            inner.map(|entry| entry.path()).chain([folder.clone()])
        });
        let library = below
            .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
            .find(|library| library.exists())
            .expect("libfaketime is missing: `apt-get install faketime`, which `cargo xtask test` does by itself");
        let wall = Self { room, library };
        wall.set("+0");
        wall
    }

    /// From now on the servers' clock is off by this much.
    fn set(&self, offset: &str) {
        let (aside, file) = (self.room.at("clock.new"), self.room.at("clock"));
        fs::write(&aside, format!("{offset}\n")).unwrap();
        fs::rename(aside, file).unwrap();
    }

    async fn serve(&self) -> Server {
        let mut command = server::command(self.room, &[]);
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.room.at("clock"))
            .env("FAKETIME_NO_CACHE", "1")
            // what it measures time with goes on, as it does when a clock is set
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
        Server::start_by(command).await
    }
}

/// How far the server's clock is ahead of ours, in days, by a task that it makes now.
async fn days_ahead(server: &Server, task: &Numbered) -> f64 {
    let made = server.task(&task.id).await.created_at;
    let off = made.as_microsecond() - SystemClock.now().as_microsecond();
    (off as f64 / 1e6 / DAY).round()
}

#[tokio::test]
async fn a_clock_that_is_set_by_a_day_under_the_server_loses_and_doubles_nothing() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let wall = Wall::new(&room);
    let mut server = wall.serve().await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    let mut tasks = vec![Numbered::submit(&server, &repo, "before", 200, 20).await];
    for (title, offset, days) in [
        ("tomorrow", "+1d", 1.0),
        ("today-again", "+0", 0.0),
        ("yesterday", "-1d", -1.0),
    ] {
        // the one before is in the middle of its work
        let before = tasks.last().unwrap();
        until("the agent's first words", || async {
            let read = server.log(&before.id).await.len();
            (read > 5).then_some(()).ok_or(format!("{read} lines"))
        })
        .await;
        wall.set(offset);
        let task = Numbered::submit(&server, &repo, title, 100, 20).await;
        assert_eq!(days_ahead(&server, &task).await, days, "{title}");
        tasks.push(task);
    }
    // and a server that starts with the clock set back finds its runs held by one from the future
    server.kill().await;
    server = wall.serve().await;
    check_all(&server, &bare, &tasks, Runs::One).await;
    assert!(server.stop().await.success());
    room.until_quiet().await;
}
