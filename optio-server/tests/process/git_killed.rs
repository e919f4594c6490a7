//! Git is killed before, while and after it does its work: the task gets to its end all the same.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::json;

use crate::{
    books::{Numbered, Runs, check_all},
    git::Bare,
    room::Room,
};

/// Stands in for git. The first command with the word of a marker dies by SIGKILL: before it has done anything, a
/// moment after it began, or when it has done all of it but nobody knows.
const KILLER: &str = r#"#!/bin/sh
for word in "$@"; do
    for moment in before while after; do
        if [ -e "ROOM/kill/$moment-$word" ] && rmdir "ROOM/kill/$moment-$word" 2>/dev/null; then
            echo "$moment $word" >>ROOM/killed
            case $moment in
            while)
                REAL "$@" &
                sleep 0.003
                kill -9 $! 2>/dev/null
                ;;
            after) REAL "$@" ;;
            esac
            kill -9 $$
        fi
    done
done
exec REAL "$@"
"#;

/// Git commands of the engine and of the local forge.
const WORDS: [&str; 6] = [
    "fetch",
    "worktree",
    "rev-parse",
    "push",
    "update-ref",
    "merge-tree",
];

#[tokio::test]
async fn tasks_survive_a_git_that_is_killed_at_any_step() {
    let mut room = Room::new();
    let bare = Bare::new(&room, "shop");
    let real = room
        .path
        .split(':')
        .map(|folder| format!("{folder}/git"))
        .find(|git| fs::exists(git).unwrap())
        .unwrap();
    let folder = room.at("bin");
    fs::create_dir_all(&folder).unwrap();
    let script = KILLER.replace("ROOM", room.at("").to_str().unwrap().trim_end_matches('/'));
    fs::write(folder.join("git"), script.replace("REAL", &real)).unwrap();
    fs::set_permissions(folder.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    room.path = format!("{}:{}", folder.display(), room.path);
    let server = room.serve_with(&["--max-concurrent", "4"]).await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    for word in WORDS {
        for moment in ["before", "while", "after"] {
            fs::create_dir_all(room.at(&format!("kill/{moment}-{word}"))).unwrap();
        }
    }
    let mut tasks = Vec::new();
    for title in ["one", "two", "three", "four", "five", "six"] {
        tasks.push(Numbered::submit(&server, &repo, title, 3, 1).await);
    }
    let checked = check_all(&server, &bare, &tasks, Runs::AsManyAsNeeded).await;
    println!(
        "{checked:?}\n{}",
        fs::read_to_string(room.at("killed")).unwrap()
    );
    assert!(server.stop().await.success());
    room.until_quiet().await;
}
