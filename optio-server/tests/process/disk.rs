//! Workspaces on a disk that is full, or that cannot be written.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use optio_core::task::StateName;
use serde_json::json;

use crate::{
    git::Bare,
    room::{Room, until},
    server::Server,
};

/// A small disk of its own for the workspaces of a room.
#[derive(Debug)]
struct Disk(PathBuf);

impl Disk {
    /// Mounts it. None where that is not permitted: told on the test's output.
    fn mount(room: &Room, size: &str) -> Option<Self> {
        let folder = room.data().join("workspaces");
        fs::create_dir_all(&folder).unwrap();
        let option = format!("size={size},mode=0700");
        if mount(&["-t", "tmpfs", "-o", &option, "tmpfs"], &folder) {
            return Some(Self(folder));
        }
        println!("SKIPPED: a disk of its own needs the right to mount one, which root has");
        None
    }

    /// Leaves no byte on it.
    fn fill(&self) {
        let zeros = vec![0; 64 << 20];
        let filled = fs::write(self.ballast(), zeros);
        assert!(filled.is_err(), "the disk is larger than it should be");
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn remount(&self, option: &str) {
        assert!(
            mount(&["-o", &format!("remount,{option}")], &self.0),
            "remount {option}"
        );
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // lazily: agents may still be there
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], folder: &Path) -> bool {
    let mut command = Command::new("mount");
    command
        .args(arguments)
        .arg(folder)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Waits for the first run's failure: its class, and what the task says about what follows.
async fn first_failure(room: &Room, server: &Server, task: &str) -> String {
    let class = until("a failed run", || async {
        let runs = server.runs(task).await;
        let failure = runs.into_iter().find_map(|run| run.failure);
        failure.ok_or_else(|| "none".to_owned())
    })
    .await;
    let seen = server.task(task).await;
    let workspace = server.runs(task).await[0].workspace.to_string();
    let told = format!(
        "{}; {}; {}",
        class.class,
        seen.state.as_str(),
        seen.hold.unwrap_or_default()
    );
    room.redact(&told).replace(&workspace, "[workspace]")
}

#[tokio::test]
async fn a_full_disk_holds_a_task_up_and_costs_it_nothing() {
    let room = Room::new();
    let Some(disk) = Disk::mount(&room, "8m") else {
        return;
    };
    let bare = Bare::new(&room, "shop");
    let server = room.serve().await;
    let repo = server
        .add_repo(&bare.path, json!({"attempts": {"failures": 1}}))
        .await;
    disk.fill();
    let task = server
        .add_task(&repo, "Write", "edit small <<END\nword\nEND\ncommit Write")
        .await;
    let told = first_failure(&room, &server, &task).await;
    assert!(told.starts_with("disk_full; queued; "), "{told}");
    disk.free();
    server.until(&task, StateName::Completed).await;
    assert!(server.stop().await.success());
    room.until_quiet().await;
    drop(disk);
}

#[tokio::test]
async fn an_agent_that_fills_the_disk_fails_alone_and_its_next_run_gets_it_done() {
    let room = Room::new();
    let Some(disk) = Disk::mount(&room, "8m") else {
        return;
    };
    let bare = Bare::new(&room, "shop");
    let server = room.serve().await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    // where it fills the disk, not even its own output has room
    let script = format!(
        "try test -e {once} || {{ touch {once}; dd if=/dev/zero of={ballast} bs=1M; }}\nspam 1000\n\
         edit small <<END\nword\nEND\ncommit Write",
        once = room.at("once").display(),
        ballast = disk.ballast().display()
    );
    let task = server.add_task(&repo, "Fill", &script).await;
    let told = first_failure(&room, &server, &task).await;
    println!("{told}");
    assert!(told.contains("; queued; "), "{told}");
    disk.free();
    server.until(&task, StateName::Completed).await;
    assert!(server.stop().await.success());
    room.until_quiet().await;
    drop(disk);
}

#[tokio::test]
async fn workspaces_that_cannot_be_written_are_told_and_the_server_lives_on() {
    let room = Room::new();
    let Some(disk) = Disk::mount(&room, "8m") else {
        return;
    };
    let bare = Bare::new(&room, "shop");
    let server = room.serve().await;
    let repo = server.add_repo(&bare.path, json!({})).await;
    disk.remount("ro");
    let task = server
        .add_task(&repo, "Write", "edit small <<END\nword\nEND\ncommit Write")
        .await;
    let told = first_failure(&room, &server, &task).await;
    insta::assert_snapshot!(told, @"permission_denied; failed;");
    disk.remount("rw");
    server
        .post(&["api", "tasks", &task, "retry"], &json!({}))
        .await
        .unwrap();
    server.until(&task, StateName::Completed).await;
    assert!(server.stop().await.success());
    room.until_quiet().await;
    drop(disk);
}
