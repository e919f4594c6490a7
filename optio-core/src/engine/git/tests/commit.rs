//! Committing what agents leave behind.

use super::*;
use crate::{
    clock::Timestamp,
    engine::git::{EXCLUDES, Identity},
    failure::FailureClass,
};

#[tokio::test]
async fn what_is_left_is_committed_in_the_given_name() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    let git = world.git();
    let me = Identity {
        name: "Ada Ö".to_owned(),
        email: "ada@example.org".to_owned(),
    };
    assert_eq!(git.commit_all(&path, "nothing", &me).await.unwrap(), None);
    write(&dir, "new folder/größe.txt", "x");
    write(&dir, "readme.md", "changed");
    let made = git
        .commit_all(&path, "Fix it\n\n# not a comment\n", &me)
        .await
        .unwrap();
    assert_eq!(made, Some(head(&dir)));
    assert_eq!(git_in(&dir, &["status", "--porcelain"]), "");
    let log = git_in(&dir, &["log", "-1", "--format=%an <%ae>%n%B"]);
    assert_eq!(log, "Ada Ö <ada@example.org>\nFix it\n\n# not a comment");
}

#[tokio::test]
async fn a_merge_without_conflicts_is_concluded_and_one_with_conflicts_is_not() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    commit(&dir, "clash.txt", "ours\n");
    world.other_commits("main", "b", "b");
    git_in(&dir, &["fetch", "-q", "origin"]);
    git_in(&dir, &["merge", "-q", "--no-commit", "origin/main"]);
    let git = world.git();
    git.commit_all(&path, "merge", &Identity::default())
        .await
        .unwrap()
        .unwrap();
    let parents = git_in(&dir, &["log", "-1", "--format=%p"]);
    assert_eq!(parents.split(' ').count(), 2);

    world.other_commits("main", "clash.txt", "theirs\n");
    git_in(&dir, &["fetch", "-q", "origin"]);
    assert!(!try_git_in(&dir, &["merge", "origin/main"]).0);
    let error = git
        .commit_all(&path, "merge", &Identity::default())
        .await
        .unwrap_err();
    assert_eq!(
        error.failure(Timestamp::UNIX_EPOCH).class,
        FailureClass::MergeConflict
    );
    assert!(error.to_string().contains("clash.txt"), "{error}");
}

#[tokio::test]
async fn a_repository_inside_the_worktree_is_left_out() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    git_in(&dir, &["clone", "-q", &world.url, "vendored copy"]);
    write(&dir, "work", "work");
    world
        .git()
        .commit_all(&path, "work", &Identity::default())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        git_in(&dir, &["ls-tree", "--name-only", "HEAD"]),
        "readme.md\nwork"
    );
}

/// Agents' programs leave caches in worktrees, which are no work.
#[tokio::test]
async fn what_the_clone_excludes_is_not_committed_and_makes_nothing_dirty() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    let excludes = EXCLUDES.map(|name| WorkspacePath::root().child(name));
    let [repo, info, exclude] = excludes.each_ref().map(WorkspacePath::as_str);
    write(
        &world.dir(&WorkspacePath::root()),
        &format!("{repo}/{info}/{exclude}"),
        ".aider*\n",
    );
    write(&dir, ".aider.tags.cache/db", "x");
    let git = world.git();
    let me = Identity::default();
    assert_eq!(git.commit_all(&path, "nothing", &me).await.unwrap(), None);
    let facts = git.facts(&path, &head(&dir), "main").await.unwrap();
    assert!(!facts.dirty);
    write(&dir, "work.txt", "x");
    git.commit_all(&path, "work", &me).await.unwrap().unwrap();
    assert_eq!(
        git_in(&dir, &["show", "--format=", "--name-only"]),
        "work.txt"
    );
}
