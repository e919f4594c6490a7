//! The server dies by `kill -9`, and comes back.

use std::{collections::BTreeMap, fs};

use serde_json::json;

use crate::{
    books::{Numbered, Runs, check_all},
    git::Bare,
    room::{Dice, Room, until},
};

/// When a process started, in ticks since the machine did: tells it from a later one with the same id.
fn started(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

#[tokio::test]
async fn twenty_kills_of_the_server_lose_and_double_nothing() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let dice = Dice::seeded(20);
    let mut server = room.serve().await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    let mut tasks = Vec::new();
    for (title, lines) in [("one", 60), ("two", 150), ("three", 250), ("four", 400)] {
        tasks.push(Numbered::submit(&server, &repo, title, lines, 25).await);
    }
    // before that there is nothing to adopt; kills while runs are prepared are a story of their own
    until("all agents at work", || async {
        let at_work = room.supervisors().len();
        (at_work == tasks.len())
            .then_some(())
            .ok_or(format!("{at_work}"))
    })
    .await;
    // each run's process, with the moment it started; and how often it outlived a server
    let mut agents: BTreeMap<String, (i32, String)> = BTreeMap::new();
    let mut outlived = 0;
    for _ in 0..20 {
        dice.moment(500).await;
        server.kill().await;
        for (run, pid) in room.supervisors() {
            let Some(since) = started(pid) else { continue };
            let agent = (pid, since);
            match agents.get(&run) {
                Some(known) => assert_eq!(*known, agent, "{run} was started twice"),
                None => drop(agents.insert(run, agent)),
            }
            outlived += 1;
        }
        server = room.serve().await;
    }
    assert_eq!(agents.len(), tasks.len(), "one process each: {agents:?}");
    let checked = check_all(&server, &bare, &tasks, Runs::One).await;
    let adopted = checked.iter().filter(|task| task.epoch > 1).count();
    println!("{checked:?}, {outlived} times a process outlived a server");
    assert!(adopted == tasks.len() && outlived > 20);
    assert!(server.stop().await.success());
    room.until_quiet().await;
}

#[tokio::test]
async fn kills_of_the_server_while_it_prepares_runs_lose_and_double_nothing() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let dice = Dice::seeded(10);
    let mut server = room.serve().await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    let mut tasks = Vec::new();
    for title in ["one", "two", "three", "four"] {
        tasks.push(Numbered::submit(&server, &repo, title, 20, 5).await);
    }
    for _ in 0..10 {
        dice.moment(150).await;
        server.kill().await;
        server = room.serve().await;
    }
    check_all(&server, &bare, &tasks, Runs::One).await;
    assert!(server.stop().await.success());
    room.until_quiet().await;
}
