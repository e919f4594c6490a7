//! Kills and freezes at random moments, over many short tasks.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::{
    books::{Numbered, Runs, check_all},
    git::Bare,
    room::{Dice, Room},
};

#[tokio::test]
async fn fifty_kills_and_freezes_over_thirty_tasks_lose_and_double_nothing() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let dice = Dice::seeded(50);
    let arguments = ["--max-concurrent", "6"];
    let mut server = room.serve_with(&arguments).await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    let mut tasks = Vec::new();
    for number in 1..=30 {
        let (title, lines) = (format!("task-{number}"), 5 + dice.below(20));
        tasks.push(Numbered::submit(&server, &repo, &title, lines, 10).await);
    }
    let (mut killed, mut frozen, mut agents) = (0, 0, 0);
    for _ in 0..50 {
        dice.moment(500).await;
        match dice.below(4) {
            0 | 1 => {
                server.kill().await;
                killed += 1;
                server = room.serve_with(&arguments).await;
            }
            2 => {
                server.signal(Signal::SIGSTOP);
                frozen += 1;
                dice.moment(300).await;
                server.signal(Signal::SIGCONT);
            }
            _ => {
                // an agent, a git, a shell: whatever there is
                let others: Vec<i32> = room
                    .processes()
                    .into_iter()
                    .map(|(pid, _)| pid)
                    .filter(|pid| *pid != server.pid())
                    .collect();
                let Some(pid) = others.get(dice.below(others.len().max(1) as u64) as usize) else {
                    continue;
                };
                // it may have ended meanwhile
                let send = |signal| kill(Pid::from_raw(*pid), signal).unwrap_or_default();
                send(Signal::SIGSTOP);
                agents += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
                send(Signal::SIGCONT);
            }
        }
    }
    println!("{killed} kills, {frozen} frozen servers, {agents} other frozen processes");
    check_all(&server, &bare, &tasks, Runs::One).await;
    assert!(server.stop().await.success());
    room.until_quiet().await;
}
