//! What cannot be done is said in one clear sentence with the way out, and changes nothing.
//!
//! Ports that are taken, a second server, a folder that will not do and a missing git are in the tests of the command
//! line.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
};

use insta::assert_snapshot;
use optio_core::task::StateName;
use serde_json::json;
use tokio::process::Command;

use crate::{
    git::Bare,
    room::{Room, until},
    server::{self, Server},
};

/// What `optio` says to these arguments, and its exit code.
async fn said(room: &Room, server: &Server, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_optio"))
        .args(arguments)
        .env_clear()
        .env("PATH", &room.path)
        .env("OPTIO_SERVER", &server.address)
        .output()
        .await
        .unwrap();
    assert_eq!(output.stdout, b"", "{arguments:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    let code = output.status.code().unwrap();
    let said = without_agents(&room.redact(&said));
    format!("$ optio {}\n{said}exit code {code}", arguments.join(" "))
        .replace(room.at("").to_str().unwrap(), "[room]/")
}

/// Which agents there are is not what these tests are about.
fn without_agents(said: &str) -> String {
    match said.split_once("one of ") {
        Some((before, agents)) if agents.contains("scripted") => {
            format!("{before}one of [the agents]\n")
        }
        _ => said.to_owned(),
    }
}

/// What a server says that cannot start in this room.
async fn refuses_to_start(room: &Room, arguments: &[&str]) -> String {
    let mut command = server::command(room, arguments);
    let output = command
        .stderr(std::process::Stdio::piped())
        .output()
        .await
        .unwrap();
    assert_eq!(output.stdout, b"");
    let said = without_agents(&room.redact(&String::from_utf8(output.stderr).unwrap()));
    format!("{said}exit code {}", output.status.code().unwrap())
}

/// Names, sizes and digests of all files below a folder.
fn everything(folder: &Path) -> Vec<(String, usize, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&path));
        } else {
            let content = fs::read(&path).unwrap();
            let mut digest = DefaultHasher::new();
            content.hash(&mut digest);
            let name = path.display().to_string();
            found.push((name, content.len(), digest.finish()));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn repositories_settings_and_agents_that_do_not_exist_are_refused() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let server = room.serve().await;
    let nowhere = room.at("nowhere.git");
    let empty = room.at("empty");
    fs::create_dir(&empty).unwrap();
    let (nowhere, empty) = (nowhere.to_str().unwrap(), empty.to_str().unwrap());
    let repo = server.add_repo(&bare.path, json!({})).await;
    let before = server.get(&["api", "repos"]).await;
    let rows: &[&[&str]] = &[
        &["repo", "add", nowhere],
        &["repo", "add", empty],
        &["repo", "add", "shop"],
        &["repo", "add", bare.path.to_str().unwrap()],
        &["repo", "set", "shop", "autoMrege=true"],
        &["repo", "set", "shop", "autoMerge=perhaps"],
        &["repo", "set", "shop", "maxPodInstances=21"],
        &["repo", "set", "shop", "agent=clod"],
        &["repo", "set", "shop", "prompts.coding={{#if taskTitle}}"],
        &["repo", "set", "shop", "prompts.coding={{TASK_TITEL}}"],
        &["task", "add", "shop", "Do it", "--agent", "clod"],
        &["task", "add", "shpo", "Do it"],
        &["task", "add", "shop", ""],
    ];
    let mut table = Vec::new();
    for row in rows {
        table.push(said(&room, &server, row).await);
    }
    assert_snapshot!(table.join("\n\n").replace(&repo, "[repo]"));
    assert_eq!(server.get(&["api", "repos"]).await, before);
    assert_eq!(server.get(&["api", "tasks"]).await["tasks"], json!([]));
}

#[tokio::test]
async fn tasks_that_wait_for_each_other_are_refused() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let server = room.serve_with(&["--max-concurrent", "1"]).await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    // it has the only place, so that none of the others is started
    let gate = format!("wait-file {}", room.at("never").display());
    let busy = server.add_task(&repo, "Zeroth", &gate).await;
    until("a task at work", || async {
        let state = server.task(&busy).await.state;
        (state == StateName::Running)
            .then_some(())
            .ok_or(state.to_string())
    })
    .await;
    let first = server.add_task(&repo, "First", "say hello").await;
    let wish = json!({"repo": repo, "title": "Second", "dependsOn": [first]});
    let second = server.post(&["api", "tasks"], &wish).await.unwrap()["id"].clone();
    let back = json!({"dependsOn": [second]});
    let refused = server
        .post(&["api", "tasks", &first, "dependencies"], &back)
        .await;
    let sentence = refused.unwrap_err().to_string();
    assert_snapshot!(sentence.replace(&first, "[first]").replace(second.as_str().unwrap(), "[second]"), @"these tasks would wait for each other for ever: [first] -> [second] -> [first]");
    assert!(server.task(&first).await.depends_on.is_empty());
}

#[tokio::test]
async fn a_script_that_makes_no_sense_fails_its_task_and_says_where() {
    let room = Room::new();
    let bare = Bare::new(&room, "shop");
    let server = room.serve().await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    let task = server
        .add_task(&repo, "Dance", "say hello\ndance wildly")
        .await;
    let failed = server.until(&task, StateName::Failed).await;
    let failure = failed.failure.unwrap();
    assert_eq!(
        (failure.class.as_str(), failed.runs),
        ("invalid_configuration", 1)
    );
    assert_snapshot!(format!("{}\n{}", failure.detail.unwrap(), failure.remedy), @r#"
    optio-scripted-agent: the script in the prompt, line 2: there is no step "dance"; the steps are say, think, edit, append, delete, run, try, when, commit, comment, verdict, cost, rate-limit, fail, error, hang, sleep, spam, raw, bytes, long, lie, crash, spawn-stray, wait-file
    Correct the setting named in the message below, then retry the task.
    "#);
}

#[tokio::test]
async fn a_database_that_cannot_be_read_is_left_as_it_is() {
    let room = Room::new();
    let database = room.data().join("optio.db");
    fs::create_dir(room.data()).unwrap();
    let mut table = Vec::new();
    let mut check = async |what: &str| {
        // the lock says who looked last, and SQLite may leave its working files behind, with nothing in them
        let sound = |(name, length, _): &(String, usize, u64)| {
            !name.ends_with(".lock") && !name.ends_with("-shm") && *length > 0
        };
        let mut before = everything(&room.data());
        before.retain(sound);
        table.push(format!("{what}\n{}", refuses_to_start(&room, &[]).await));
        let mut after = everything(&room.data());
        after.retain(sound);
        assert_eq!(before, after, "{what}");
    };
    fs::write(
        &database,
        "this is no database, whatever its name may be\n".repeat(100),
    )
    .unwrap();
    check("it is something else").await;
    fs::remove_file(&database).unwrap();
    fs::create_dir(&database).unwrap();
    check("it is a folder").await;
    fs::remove_dir(&database).unwrap();
    // a real one, damaged in the middle
    room.serve().await.stop().await;
    let sound = fs::read(&database).unwrap();
    let mut damaged = sound.clone();
    damaged[4096..].fill(0xff);
    fs::write(&database, &damaged).unwrap();
    fs::remove_file(room.data().join("optio.db.lock")).unwrap_or_default();
    check("it is damaged").await;
    fs::write(&database, &sound[..sound.len() / 2]).unwrap();
    check("it is cut off").await;
    assert_snapshot!(table.join("\n\n"));
    // and with the sound one back in its place, all is well
    fs::write(&database, &sound).unwrap();
    assert!(room.serve().await.stop().await.success());
}

#[tokio::test]
async fn a_default_agent_that_does_not_exist_is_refused_at_the_start() {
    let room = Room::new();
    assert_snapshot!(refuses_to_start(&room, &["--default-agent", "clod"]).await, @r#"
    optio: there is no agent called "clod": set --default-agent or OPTIO_DEFAULT_AGENT to one of [the agents]
    exit code 2
    "#);
    assert!(!room.data().exists());
}
