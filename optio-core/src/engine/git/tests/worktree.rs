//! Worktrees in each mode, and after what agents do to them.

use std::{fs, time::Duration};

use super::*;
use crate::engine::git::{GitTimeouts, Operation, WorktreeFacts};

fn kept(world: &World) -> usize {
    let refs = git_in(
        &world.root().join("repo"),
        &["for-each-ref", "refs/optio/kept"],
    );
    refs.lines().count()
}

fn status(dir: &Path) -> String {
    git_in(dir, &["status", "--porcelain"])
}

fn branch_of(dir: &Path) -> String {
    git_in(dir, &["branch", "--show-current"])
}

#[tokio::test]
async fn fresh_is_a_new_branch_from_the_base_whatever_was_there() {
    let world = World::new().await;
    let path = task("t");
    let main = world.fresh(&path).await;
    let dir = world.dir(&path);
    assert_eq!((head(&dir), branch_of(&dir).as_str()), (main, TASK));
    commit(&dir, "a", "a");
    write(&dir, "loose", "loose");
    let main = world.other_commits("main", "b", "b");
    assert_eq!(world.fresh(&path).await, main);
    assert_eq!(head(&dir), main);
    assert_eq!(status(&dir), "");
    assert!(!dir.join("loose").exists());
    assert_eq!(kept(&world), 1, "what nobody rescued is set aside");
}

#[tokio::test]
async fn resume_keeps_what_is_ahead_of_the_remote_uncommitted_files_too() {
    let world = World::new().await;
    let path = task("t");
    let dir = world.dir(&path);
    world.fresh(&path).await;
    commit(&dir, "a", "a");
    world.git().push(&path, TASK, None).await.unwrap();
    let ahead = commit(&dir, "b", "b");
    write(&dir, "loose", "loose");
    assert_eq!(world.ensure(&path, WorktreeMode::Resume).await, ahead);
    assert_eq!(status(&dir), "?? loose");
    // its folder is gone: the branch is still known
    world.git().remove_worktree(&path, None).await.unwrap();
    assert_eq!(world.ensure(&path, WorktreeMode::Resume).await, ahead);
    assert_eq!(branch_of(&dir), TASK);
}

#[tokio::test]
async fn resume_takes_the_remote_where_somebody_pushed() {
    let world = World::new().await;
    let path = task("t");
    let dir = world.dir(&path);
    world.fresh(&path).await;
    commit(&dir, "a", "a");
    world.git().push(&path, TASK, None).await.unwrap();
    let theirs = world.other_commits(TASK, "theirs", "theirs");
    assert_eq!(
        world.ensure(&path, WorktreeMode::Resume).await,
        theirs,
        "behind"
    );
    assert_eq!(kept(&world), 0);
    commit(&dir, "mine", "mine");
    let theirs = world.other_commits(TASK, "theirs", "more");
    assert_eq!(
        world.ensure(&path, WorktreeMode::Resume).await,
        theirs,
        "diverged"
    );
    assert_eq!(status(&dir), "");
    assert_eq!(kept(&world), 1);
    // in a workspace that has never seen the branch
    world
        .git()
        .remove_worktree(&path, Some(TASK))
        .await
        .unwrap();
    assert_eq!(world.ensure(&path, WorktreeMode::Resume).await, theirs);
    assert_eq!(branch_of(&dir), TASK);
}

#[tokio::test]
async fn resume_brings_an_agent_back_that_wandered_off() {
    let world = World::new().await;
    let path = task("t");
    let dir = world.dir(&path);
    world.fresh(&path).await;
    git_in(&dir, &["checkout", "-q", "-b", "its-own"]);
    let own = commit(&dir, "a", "a");
    assert_eq!(
        world.ensure(&path, WorktreeMode::Resume).await,
        own,
        "another branch"
    );
    assert_eq!((branch_of(&dir).as_str(), head(&dir)), (TASK, own.clone()));
    git_in(&dir, &["checkout", "-q", "--detach"]);
    let own = commit(&dir, "b", "b");
    assert_eq!(
        world.ensure(&path, WorktreeMode::Resume).await,
        own,
        "detached"
    );
    assert_eq!(branch_of(&dir), TASK);
    assert_eq!(status(&dir), "");
}

#[tokio::test]
async fn resume_leaves_a_rebase_to_the_agent_that_began_it() {
    let world = World::new().await;
    let path = task("t");
    let dir = world.dir(&path);
    world.fresh(&path).await;
    stop_in_rebase(&world, &dir);
    let at = head(&dir);
    assert_eq!(world.ensure(&path, WorktreeMode::Resume).await, at);
    let facts = world.git().facts(&path, &at, "main").await.unwrap();
    assert_eq!(facts.operation, Some(Operation::Rebase));
    write(&dir, "clash.txt", "both\n");
    git_in(&dir, &["add", "--all"]);
    git_in(&dir, &["rebase", "--continue"]);
    assert_eq!(branch_of(&dir), TASK);
}

#[tokio::test]
async fn reset_ends_what_was_begun_and_keeps_ignored_caches() {
    let world = World::new().await;
    world.other_commits("main", ".gitignore", "cache/\n");
    let path = task("t");
    let dir = world.dir(&path);
    let main = world.fresh(&path).await;
    write(&dir, "cache/big", "built");
    write(&dir, "loose/file", "loose");
    commit(&dir, "readme.md", "changed");
    assert_eq!(
        world.ensure(&path, WorktreeMode::Reset).await,
        main,
        "to the base"
    );
    assert!(dir.join("cache/big").exists());

    commit(&dir, "mine", "mine");
    world.git().push(&path, TASK, None).await.unwrap();
    let pushed = head(&dir);
    stop_in_rebase(&world, &dir);
    git_in(&dir, &["init", "-q", "nested"]);
    assert_eq!(
        world.ensure(&path, WorktreeMode::Reset).await,
        pushed,
        "to the branch"
    );
    assert_eq!(
        (status(&dir).as_str(), branch_of(&dir).as_str()),
        ("", TASK)
    );
    assert!(dir.join("cache/big").exists());
    assert!(!dir.join("nested").exists());
    let facts = world.git().facts(&path, &pushed, "main").await.unwrap();
    assert_eq!(facts.operation, None);
}

#[tokio::test]
async fn a_review_sees_exactly_one_commit() {
    let world = World::new().await;
    let seen = world.other_commits(TASK, "a", "a");
    world.other_commits(TASK, "b", "b");
    let (path, dir) = (task("review"), world.dir(&task("review")));
    assert_eq!(
        world
            .ensure(&path, WorktreeMode::Detached(seen.clone()))
            .await,
        seen
    );
    assert_eq!((head(&dir), branch_of(&dir).as_str()), (seen.clone(), ""));
    write(&dir, "a", "scribbled on");
    assert_eq!(
        world
            .ensure(&path, WorktreeMode::Detached(seen.clone()))
            .await,
        seen
    );
    assert_eq!(status(&dir), "");
}

#[tokio::test]
async fn a_commit_that_no_known_branch_holds_is_fetched_for_a_review() {
    let world = World::new().await;
    git_in(
        Path::new(&world.url),
        &["config", "uploadpack.allowAnySHA1InWant", "true"],
    );
    let seen = world.other_commits("pull", "a", "a");
    git_in(
        &world.folder.path().join("other"),
        &["push", "-q", "--delete", "origin", "pull"],
    );
    let path = task("review");
    assert_eq!(
        world
            .ensure(&path, WorktreeMode::Detached(seen.clone()))
            .await,
        seen
    );
}

#[tokio::test]
async fn a_branch_that_another_worktree_took_is_no_obstacle() {
    let world = World::new().await;
    let main = world.fresh(&task("t")).await;
    git_in(
        &world.dir(&task("t")),
        &["checkout", "-q", "-b", "elsewhere"],
    );
    world
        .ensure(&task("u"), WorktreeMode::Detached(main.clone()))
        .await;
    git_in(&world.dir(&task("u")), &["checkout", "-q", TASK]);
    for mode in [
        WorktreeMode::Resume,
        WorktreeMode::Reset,
        WorktreeMode::Fresh,
    ] {
        assert_eq!(world.ensure(&task("t"), mode).await, main);
        assert_eq!(branch_of(&world.dir(&task("t"))), TASK);
    }
}

#[tokio::test]
async fn a_worktree_is_made_anew_when_an_agent_destroyed_it() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    let main = world.fresh(&path).await;
    // the folder
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(world.ensure(&path, WorktreeMode::Reset).await, main);
    // its link to the clone, with a repository of its own in its place
    fs::remove_file(dir.join(".git")).unwrap();
    git_in(&dir, &["init", "-q"]);
    commit(&dir, "own", "own");
    assert_eq!(world.ensure(&path, WorktreeMode::Resume).await, main);
    assert_eq!(kept(&world), 1, "the files that it held are set aside");
    // what the clone knows of it
    fs::remove_dir_all(world.root().join("repo/worktrees/t")).unwrap();
    assert_eq!(world.ensure(&path, WorktreeMode::Resume).await, main);
    // its index
    fs::write(world.root().join("repo/worktrees/t/index"), "no index").unwrap();
    assert_eq!(world.ensure(&path, WorktreeMode::Reset).await, main);
    assert_eq!((head(&dir), status(&dir).as_str()), (main, ""));
}

#[tokio::test]
async fn a_lock_that_a_killed_git_left_behind_is_removed() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    let main = world.fresh(&path).await;
    let lock = world.root().join("repo/worktrees/t/index.lock");
    fs::write(&lock, "").unwrap();
    write(&dir, "readme.md", "changed");
    assert_eq!(world.ensure(&path, WorktreeMode::Reset).await, main);
    assert!(!lock.exists());
    assert_eq!(status(&dir), "");
}

#[tokio::test]
async fn a_worktree_that_a_killed_git_left_half_made_is_no_hindrance() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    commit(&dir, "done", "done");
    write(&dir, "loose", "loose");
    // what git writes when it adds a worktree, and every git reads that looks at any
    let file = world.root().join("repo/worktrees/t/commondir");
    assert_eq!(fs::read_to_string(&file).unwrap(), "../..\n");
    fs::write(&file, "").unwrap();
    let other = WorkspacePath::root().child("worktrees").child("other");
    let git = world.git();
    let site = git.survey(&other, "optio/other", "main").await.unwrap();
    git.ensure_worktree(&site, WorktreeMode::Fresh)
        .await
        .unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "../..\n");
    // and what the agent has done there is as it was
    assert_eq!(status(&dir), "?? loose");
    assert_eq!(git_in(&dir, &["log", "-1", "--format=%s"]), "write done");
}

#[tokio::test]
async fn a_lock_stays_while_a_git_is_at_work() {
    let world = World::new().await;
    let path = task("t");
    world.fresh(&path).await;
    let lock = world.root().join("repo/worktrees/t/index.lock");
    fs::write(&lock, "").unwrap();
    // a git that waits for its input, in the worktree
    let mut alive = tokio::process::Command::new("git")
        .args(["hash-object", "--stdin"])
        .current_dir(world.dir(&path))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    write(&world.dir(&path), "loose", "loose");
    let impatient = GitTimeouts {
        lock: Duration::from_millis(500),
        ..GitTimeouts::default()
    };
    let error = world
        .git()
        .with_timeouts(impatient)
        .commit_all(&path, "work", &crate::engine::git::Identity::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("index.lock"), "{error}");
    assert!(lock.exists());
    alive.kill().await.unwrap();
    world
        .git()
        .commit_all(&path, "work", &crate::engine::git::Identity::default())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn removing_is_thorough_and_can_be_repeated() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    write(&dir, "cache/file", "read-only");
    let mut mode = fs::metadata(dir.join("cache")).unwrap().permissions();
    mode.set_readonly(true);
    fs::set_permissions(dir.join("cache"), mode).unwrap();
    assert_eq!(
        world.git().list_worktrees().await.unwrap(),
        std::slice::from_ref(&path)
    );
    for _ in 0..2 {
        world
            .git()
            .remove_worktree(&path, Some(TASK))
            .await
            .unwrap();
        assert!(!dir.exists());
        assert!(world.git().list_worktrees().await.unwrap().is_empty());
    }
    let branches = git_in(&world.root().join("repo"), &["for-each-ref", "refs/heads"]);
    assert_eq!(branches, "");
    // a folder that the clone does not know is listed as well
    fs::create_dir_all(world.dir(&task("stray one"))).unwrap();
    assert_eq!(
        world.git().list_worktrees().await.unwrap(),
        [task("stray one")]
    );
}

#[tokio::test]
async fn facts_tell_what_the_agent_did() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    let from = world.fresh(&path).await;
    let facts = async || world.git().facts(&path, &from, "main").await.unwrap();
    let nothing = WorktreeFacts {
        head: from.clone(),
        branch: Some(TASK.to_owned()),
        commits: 0,
        ahead: 0,
        dirty: false,
        operation: None,
    };
    assert_eq!(facts().await, nothing);
    write(&dir, "ünd so.txt", "x");
    assert_eq!(
        facts().await,
        WorktreeFacts {
            dirty: true,
            ..nothing.clone()
        }
    );
    let own = commit(&dir, "a", "a");
    let one = WorktreeFacts {
        head: own,
        commits: 1,
        ahead: 1,
        ..nothing.clone()
    };
    assert_eq!(facts().await, one);
    git_in(&dir, &["checkout", "-q", "--detach"]);
    assert_eq!(
        facts().await,
        WorktreeFacts {
            branch: None,
            ..one.clone()
        }
    );
    git_in(&dir, &["checkout", "-q", "-b", "other"]);
    assert_eq!(
        facts().await,
        WorktreeFacts {
            branch: Some("other".to_owned()),
            ..one
        }
    );
    // what others did on the base branch is not the agent's work
    world.other_commits("main", "b", "b");
    world.git().fetch(&["main"]).await.unwrap();
    git_in(&dir, &["merge", "-q", "origin/main"]);
    let merged = facts().await;
    assert_eq!((merged.commits, merged.ahead), (2, 2));
    git_in(&dir, &["reset", "-q", "--hard", "origin/main"]);
    assert_eq!(facts().await.commits, 0);
}

#[tokio::test]
async fn git_in_the_middle_of_a_merge_is_seen() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    let from = world.fresh(&path).await;
    commit(&dir, "clash.txt", "ours\n");
    world.other_commits("main", "clash.txt", "theirs\n");
    world.git().fetch(&["main"]).await.unwrap();
    assert!(!try_git_in(&dir, &["merge", "origin/main"]).0);
    let facts = world.git().facts(&path, &from, "main").await.unwrap();
    assert_eq!(
        (facts.operation, facts.dirty),
        (Some(Operation::Merge), true)
    );
}

#[tokio::test]
async fn a_repository_with_submodules_gives_a_worktree() {
    let world = World::new().await;
    git_in(world.folder.path(), &["init", "-q", "-b", "main", "lib"]);
    let lib = world.folder.path().join("lib");
    commit(&lib, "lib.txt", "lib");
    let other = world.folder.path().join("other");
    git_in(
        &other,
        &[
            "submodule",
            "add",
            "-q",
            lib.to_str().unwrap(),
            "vendor/lib",
        ],
    );
    let main = world.other_commits("main", "uses", "lib");
    let path = task("t");
    assert_eq!(world.fresh(&path).await, main);
    assert_eq!(status(&world.dir(&path)), "");
    for mode in [
        WorktreeMode::Reset,
        WorktreeMode::Resume,
        WorktreeMode::Fresh,
    ] {
        assert_eq!(world.ensure(&path, mode).await, main);
    }
    world
        .git()
        .remove_worktree(&path, Some(TASK))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_agents_settings_and_hooks_do_not_reach_our_git() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    write(&dir, ".hooks/pre-commit", "#!/bin/sh\nexit 1\n");
    for (key, value) in [
        ("core.hooksPath", ".hooks"),
        ("commit.gpgSign", "true"),
        ("remote.origin.url", "/nowhere"),
        ("remote.origin.mirror", "true"),
        ("push.default", "nothing"),
        ("fetch.prune", "true"),
    ] {
        git_in(&dir, &["config", key, value]);
    }
    let git = world.git();
    git.fetch(&["main"]).await.unwrap();
    git.commit_all(&path, "work", &crate::engine::git::Identity::default())
        .await
        .unwrap()
        .unwrap();
    git.push(&path, TASK, None).await.unwrap();
    assert_eq!(world.on_remote(TASK), Some(head(&dir)));
}
