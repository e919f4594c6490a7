//! Pushing, with the lease kept and lost.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;
use crate::{clock::Timestamp, engine::git::PushOutcome, failure::FailureClass};

#[tokio::test]
async fn pushing_twice_pushes_once() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    let own = commit(&dir, "a", "a");
    let git = world.git();
    let push = async || git.push(&path, TASK, None).await.unwrap();
    assert_eq!(push().await, PushOutcome::Pushed(own.clone()));
    assert_eq!(push().await, PushOutcome::UpToDate(own.clone()));
    assert_eq!(world.on_remote(TASK), Some(own.clone()));
    assert_eq!(git.remembered(TASK).await.unwrap(), Some(own));
}

#[tokio::test]
async fn a_rewritten_branch_of_our_own_may_be_pushed() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    let before = commit(&dir, "a", "a");
    let git = world.git();
    git.push(&path, TASK, None).await.unwrap();
    world.other_commits("main", "b", "b");
    git_in(&dir, &["fetch", "-q", "origin"]);
    git_in(&dir, &["rebase", "-q", "origin/main"]);
    let outcome = git.push(&path, TASK, Some(&before)).await.unwrap();
    assert_eq!(outcome, PushOutcome::Pushed(head(&dir)));
    assert_eq!(world.on_remote(TASK), Some(head(&dir)));
}

#[tokio::test]
async fn a_lost_lease_changes_nothing() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    let own = commit(&dir, "a", "a");
    let git = world.git();
    git.push(&path, TASK, None).await.unwrap();
    let theirs = world.other_commits(TASK, "theirs", "theirs");
    commit(&dir, "b", "b");
    for expected in [Some(&own), None] {
        let outcome = git.push(&path, TASK, expected).await.unwrap();
        assert_eq!(
            outcome,
            PushOutcome::Rejected {
                reason: "[rejected] (stale info)".to_owned()
            }
        );
    }
    assert_eq!(world.on_remote(TASK), Some(theirs));
}

#[tokio::test]
async fn a_hook_of_the_server_that_declines_is_an_error_in_its_words() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    commit(&dir, "a", "a");
    let hook = Path::new(&world.url).join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\necho no tickets in main >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let error = world.git().push(&path, TASK, None).await.unwrap_err();
    assert_eq!(
        error.failure(Timestamp::UNIX_EPOCH).class,
        FailureClass::GitPushForbidden,
        "{error}"
    );
    assert!(error.to_string().contains("no tickets in main"));
}

#[tokio::test]
async fn a_detached_head_is_pushed_to_the_branch() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    git_in(&dir, &["checkout", "-q", "--detach"]);
    let own = commit(&dir, "a", "a");
    assert_eq!(
        world.git().push(&path, TASK, None).await.unwrap(),
        PushOutcome::Pushed(own.clone())
    );
    assert_eq!(world.on_remote(TASK), Some(own));
}
