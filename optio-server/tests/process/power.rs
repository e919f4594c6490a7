//! The power goes: every process at once, with writes torn in the middle.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
};

use insta::assert_snapshot;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use optio_core::{
    id::TaskId,
    store::{RunQuery, Store as _, TaskQuery},
    task::StateName,
    transcript::LogCursor,
};
use optio_local::SqliteStore;
use optio_server::api::{
    log::{EventView, LogEntryView},
    runs::RunView,
};
use serde_json::json;

use crate::{
    books::{Numbered, Runs, check_all},
    git::Bare,
    room::{Dice, Room, until},
    server::Server,
};

/// Ends everything in a room at once.
async fn power_cut(room: &Room, server: Server) {
    server.kill().await;
    until("darkness", || async {
        let left = room.processes();
        for (pid, _) in &left {
            // it may have ended by itself
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    })
    .await;
}

/// A write of which only the first part reached the disk.
fn tear(wal: &Path, dice: &Dice) {
    let Ok(mut wal) = OpenOptions::new().append(true).open(wal) else {
        return;
    };
    let torn: Vec<u8> = (0..dice.below(4000))
        .map(|_| dice.below(256) as u8)
        .collect();
    wal.write_all(&torn).unwrap();
}

/// What was told to have been stored is in a copy of the database, and everything in it fits together.
async fn check_copy(room: &Room, number: u64, told: &BTreeMap<TaskId, u64>, dice: &Dice) {
    let elsewhere = room.at(&format!("copy-{number}"));
    fs::create_dir(&elsewhere).unwrap();
    for name in ["optio.db", "optio.db-wal"] {
        let there = room.data().join(name);
        if there.exists() {
            fs::copy(there, elsewhere.join(name)).unwrap();
        }
    }
    tear(&elsewhere.join("optio.db-wal"), dice);
    let store = SqliteStore::open(elsewhere.join("optio.db")).await.unwrap();
    let tasks = store.tasks(&TaskQuery::default()).await.unwrap();
    assert_eq!(tasks.len(), told.len());
    for task in tasks {
        let runs = store
            .runs(&RunQuery {
                task: Some(task.id),
                ..RunQuery::default()
            })
            .await
            .unwrap();
        let live: Vec<_> = runs
            .iter()
            .filter(|run| run.is_live())
            .map(|run| run.id)
            .collect();
        assert!(live.len() <= 1, "{live:?}");
        // an entry is stored together with how far the output was read
        let log = store
            .log(task.id, LogCursor::default(), 100_000)
            .await
            .unwrap();
        assert!(
            log.len() as u64 >= told[&task.id],
            "{} of {told:?}",
            log.len()
        );
        for run in &runs {
            let numbers: Vec<u64> = log
                .iter()
                .filter(|entry| entry.cursor.run == run.number)
                .map(|entry| entry.cursor.seq)
                .collect();
            assert_eq!(
                numbers,
                (1..=run.progress.seq).collect::<Vec<_>>(),
                "{}",
                task.id
            );
        }
        // what it says of itself is what its history says
        let last = store.history(task.id).await.unwrap().pop().unwrap();
        assert_eq!(last.to, task.state.name());
    }
    store.close().await;
}

#[tokio::test]
async fn a_kill_in_the_middle_of_writing_leaves_a_database_that_can_be_read_anywhere() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let dice = Dice::seeded(9);
    let mut server = room.serve().await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    let mut tasks = Vec::new();
    for title in ["one", "two", "three", "four"] {
        tasks.push(Numbered::submit(&server, &repo, title, 400, 5).await);
    }
    for number in 0..6 {
        dice.moment(400).await;
        let mut told = BTreeMap::new();
        for task in &tasks {
            let stored = server.log(&task.id).await.len() as u64;
            told.insert(task.id.parse().unwrap(), stored);
        }
        dice.moment(50).await;
        server.kill().await;
        check_copy(&room, number, &told, &dice).await;
        tear(&room.data().join("optio.db-wal"), &dice);
        server = room.serve().await;
    }
    check_all(&server, &bare, &tasks, Runs::One).await;
    assert!(server.stop().await.success());
    room.until_quiet().await;
}

/// The file with a run's output.
fn spool(room: &Room, run: &str) -> std::path::PathBuf {
    let workspaces = fs::read_dir(room.data().join("workspaces")).unwrap();
    workspaces
        .map(|workspace| workspace.unwrap().path().join("runs").join(run))
        .find(|folder| folder.exists())
        .unwrap()
}

fn texts(log: &[LogEntryView]) -> Vec<String> {
    let text = |entry: &LogEntryView| match &entry.event {
        EventView::Text { text } | EventView::Raw { text } => Some(text.clone()),
        _ => None,
    };
    log.iter().filter_map(text).collect()
}

/// What became of a run whose output was cut off.
struct Cut {
    /// What was stored before, and what is stored after it has ended.
    before: Vec<String>,
    after: Vec<String>,
    run: RunView,
}

/// Kills the server while an agent prints, lets the agent finish, cuts its output off at the place that `cut` makes of
/// how much was read and how much there is, and has the next server see to its end. The task gets done in any case.
async fn cut_spool(cut: impl Fn(u64, u64) -> u64) -> Cut {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let server = room.serve().await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    let go = room.at("go");
    let script = format!(
        "spam 50\nsay half\nwait-file {}\nspam 50\nedit done <<END\nyes\nEND\ncommit Do it",
        go.display()
    );
    let task = server.add_task(&repo, "Talk", &script).await;
    let before = until("the first half", || async {
        let log = texts(&server.log(&task).await);
        let there = log.contains(&"half".to_owned());
        there.then_some(log).ok_or("not yet".to_owned())
    })
    .await;
    let run = server.runs(&task).await[0].id.to_string();
    let folder = spool(&room, &run);
    server.kill().await;
    let read = fs::metadata(folder.join("stdout")).unwrap().len();
    fs::write(go, "").unwrap();
    until("the agent's end", || async {
        let ended = folder.join("exit").exists();
        ended.then_some(()).ok_or("it runs".to_owned())
    })
    .await;
    let stdout = File::options().write(true).open(folder.join("stdout"));
    let stdout = stdout.unwrap();
    let length = stdout.metadata().unwrap().len();
    stdout.set_len(cut(read, length)).unwrap();
    let server = room.serve().await;
    server.until(&task, StateName::Completed).await;
    let run = server.runs(&task).await.remove(0);
    let mut log = server.log(&task).await;
    log.retain(|entry| entry.cursor.run == run.number);
    let numbers: Vec<u64> = log.iter().map(|entry| entry.cursor.seq).collect();
    assert_eq!(numbers, (1..=log.len() as u64).collect::<Vec<_>>());
    assert_eq!(bare.subjects().len(), 2, "{:?}", bare.subjects());
    assert!(server.stop().await.success());
    room.until_quiet().await;
    let after = texts(&log);
    Cut { before, after, run }
}

/// How the run ended, in short: without its last word, an agent does not count as finished; its work is saved.
fn ending(run: &RunView) -> String {
    let failure = run.failure.as_ref().map(|failure| &*failure.class);
    let saved = run.rescue_ref.is_some();
    format!("{}, work saved: {saved}", failure.unwrap_or("no failure"))
}

#[tokio::test]
async fn output_that_was_cut_off_behind_what_was_read_is_read_to_there() {
    // in the middle of a line of the second half
    let cut = cut_spool(|read, length| read + (length - read) / 2 + 3).await;
    assert_eq!(cut.after[..cut.before.len()], cut.before);
    assert!(cut.after.len() > cut.before.len());
    assert_snapshot!(ending(&cut.run), @"agent_crashed, work saved: true");
}

#[tokio::test]
async fn output_that_was_cut_off_before_what_was_read_changes_nothing_that_is_stored() {
    let cut = cut_spool(|read, _| read / 2).await;
    assert_eq!(cut.after, cut.before);
    assert_snapshot!(ending(&cut.run), @"agent_crashed, work saved: true");
}

#[tokio::test]
async fn when_the_power_goes_every_task_gets_to_its_end_all_the_same() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let dice = Dice::seeded(3);
    let server = room.serve().await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    let mut tasks = Vec::new();
    for title in ["one", "two", "three"] {
        let script = format!(
            "say begin\nedit notes/{title} <<END\nhalf\nEND\ncommit Begin {title}\nsleep 600\n\
             edit notes/{title} <<END\nwhole\nEND\ncommit Finish {title}"
        );
        tasks.push((title, server.add_task(&repo, title, &script).await));
    }
    until("all agents at work", || async {
        let mut logs = String::new();
        for (_, task) in &tasks {
            logs += &format!("{:?}", server.log(task).await);
        }
        (logs.matches("begin").count() >= 3)
            .then_some(())
            .ok_or(logs)
    })
    .await;
    dice.moment(400).await;
    power_cut(&room, server).await;
    tear(&room.data().join("optio.db-wal"), &dice);
    let server = room.serve().await;
    for (title, task) in &tasks {
        server.until(task, StateName::Completed).await;
        assert_eq!(bare.file(&format!("notes/{title}")), "whole");
    }
    assert_eq!(
        bare.subjects().len(),
        tasks.len() + 1,
        "{:?}",
        bare.subjects()
    );
    assert!(server.stop().await.success());
    room.until_quiet().await;
}
