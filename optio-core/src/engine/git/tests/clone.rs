//! Making the clone, and fetching.

use std::fs;

use futures_util::future::{join_all, try_join_all};
use insta::assert_snapshot;

use super::*;
use crate::engine::git::command::{On, Reach};
use crate::{clock::Timestamp, failure::FailureClass, forge::GitCredentials, secret::Secret};

#[tokio::test]
async fn cloning_again_and_at_once_gives_one_clone() {
    let world = World::empty();
    git_in(world.folder.path(), &["clone", "-q", &world.url, "other"]);
    let main = world.other_commits("main", "a", "a");
    let gits: Vec<_> = (0..6).map(|_| world.git()).collect();
    try_join_all(gits.iter().map(Git::ensure_clone))
        .await
        .unwrap();
    world.git().ensure_clone().await.unwrap();
    assert_eq!(world.git().remembered("main").await.unwrap(), Some(main));
    let mut left: Vec<_> = fs::read_dir(world.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["repo", "worktrees"], "nothing half made is left");
}

#[tokio::test]
async fn a_clone_that_was_interrupted_is_finished() {
    let world = World::new().await;
    // the clone is in place, but nothing has been fetched yet
    for name in ["refs", "packed-refs"] {
        let path = world.root().join("repo").join(name);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
    }
    fs::create_dir_all(world.root().join("repo/refs/heads")).unwrap();
    world.git().ensure_clone().await.unwrap();
    assert!(world.git().remembered("main").await.unwrap().is_some());
}

#[tokio::test]
async fn an_empty_repository_is_named_as_such_and_works_once_it_is_not() {
    let world = World::empty();
    let git = world.git();
    git.ensure_clone().await.unwrap();
    let path = task("t");
    let site = git.survey(&path, TASK, "main").await.unwrap();
    let error = git
        .ensure_worktree(&site, WorktreeMode::Fresh)
        .await
        .unwrap_err();
    assert_snapshot!(error, @"git worktree failed: remote branch main not found: the repository is empty; push a first commit to main");
    assert_eq!(
        error.failure(Timestamp::UNIX_EPOCH).class,
        FailureClass::BranchNotFound
    );
    git_in(world.folder.path(), &["clone", "-q", &world.url, "other"]);
    let main = world.other_commits("main", "a", "a");
    assert_eq!(world.fresh(&task("t")).await, main);
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_classified() {
    let world = World::empty();
    let url = world.folder.path().join("gone.git");
    let git = Git::new(&world.runtime, workspace(), url.to_str().unwrap(), None);
    let error = git.ensure_clone().await.unwrap_err();
    assert_eq!(
        error.failure(Timestamp::UNIX_EPOCH).class,
        FailureClass::RepositoryNotFound,
        "{error}"
    );
}

#[tokio::test]
async fn fetching_follows_the_remote_also_where_a_branch_is_rewritten_or_gone() {
    let world = World::new().await;
    let git = world.git();
    let first = world.other_commits(TASK, "a", "a");
    git.fetch(&["main", TASK, "no-such-branch"]).await.unwrap();
    assert_eq!(git.remembered(TASK).await.unwrap(), Some(first.clone()));
    let other = world.folder.path().join("other");
    git_in(&other, &["commit", "-q", "--amend", "-m", "rewritten"]);
    git_in(&other, &["push", "-q", "--force", "origin", TASK]);
    git.fetch(&[TASK]).await.unwrap();
    assert_eq!(git.remembered(TASK).await.unwrap(), Some(head(&other)));
    assert_eq!(git.remote_head(TASK).await.unwrap(), Some(head(&other)));
    git_in(&other, &["push", "-q", "--delete", "origin", TASK]);
    git.fetch(&[TASK]).await.unwrap();
    assert_eq!(git.remembered(TASK).await.unwrap(), None);
    assert_eq!(git.remote_head(TASK).await.unwrap(), None);
}

#[tokio::test]
async fn a_longer_name_that_ends_alike_is_another_branch() {
    let world = World::new().await;
    world.other_commits("a/refs/heads/x", "a", "a");
    assert_eq!(world.git().remote_head("x").await.unwrap(), None);
}

#[tokio::test]
async fn eight_at_once_never_fail() {
    let world = World::new().await;
    let work = (0..8).map(|number| {
        let world = &world;
        async move {
            let git = world.git();
            let path = task(&format!("task-{number}"));
            let branch = format!("optio/task-{number}");
            for mode in [
                WorktreeMode::Fresh,
                WorktreeMode::Reset,
                WorktreeMode::Resume,
            ] {
                world.other_commits("main", &format!("{number}"), &format!("{mode:?}"));
                let site = git.survey(&path, &branch, "main").await?;
                git.ensure_worktree(&site, mode.clone()).await?;
                commit(&world.dir(&path), "work", &format!("{mode:?}"));
                let expected = git.remote_head(&branch).await?;
                git.push(&path, &branch, expected.as_ref()).await?;
            }
            git.remove_worktree(&path, Some(&branch)).await
        }
    });
    for result in join_all(work).await {
        result.unwrap();
    }
    assert!(world.git().list_worktrees().await.unwrap().is_empty());
}

#[test]
fn credentials_are_in_the_environment_only_and_for_their_host_only() {
    let runtime = ProcessRuntime { root: "/w".into() };
    let credentials = GitCredentials {
        username: "x-access-token".to_owned(),
        password: Secret::new("s3cret-t0ken"),
    };
    let show = |url: &str, credentials: Option<&GitCredentials>| {
        let git = Git::new(&runtime, workspace(), url, credentials);
        let command = git.git(On::Repo, Reach::Remote);
        assert!(!format!("{:?}", command.args).contains("s3cret"));
        let configured: Vec<_> = command
            .args
            .iter()
            .filter_map(|arg| arg.split_once("=!f()").map(|(key, _)| key))
            .collect();
        let secrets: Vec<_> = command
            .secret_env
            .iter()
            .map(|(name, secret)| format!("{name}={}", secret.expose()))
            .collect();
        assert!(git.git(On::Repo, Reach::Local).secret_env.is_empty());
        format!("{}: {configured:?} {secrets:?}", git.url)
    };
    let shown = [
        show("https://github.com/acme/shop.git", Some(&credentials)),
        show("https://me:s3cret@git.example.org:8443/acme/shop", None),
        show("git@github.com:acme/shop.git", Some(&credentials)),
        show("/srv/git/shop", None),
    ];
    assert_snapshot!(shown.join("\n"), @r#"
    https://github.com/acme/shop.git: ["credential.https://github.com.helper"] ["OPTIO_GIT_PASSWORD=s3cret-t0ken", "OPTIO_GIT_USERNAME=x-access-token"]
    https://git.example.org:8443/acme/shop: ["credential.https://git.example.org:8443.helper"] ["OPTIO_GIT_PASSWORD=s3cret", "OPTIO_GIT_USERNAME=me"]
    git@github.com:acme/shop.git: [] []
    /srv/git/shop: [] []
    "#);
}
