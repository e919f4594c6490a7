//! One forge in several processes, here played by several forges in one.

use std::{fs, sync::Arc};

use optio_core::pull_request::{Checks, PrState};
use optio_local::LocalForge;
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

use super::{World, options, text};

/// A command that notes that it ran.
const NOTES: &str = "echo run >> 'DIR/runs'";

async fn shared() -> World {
    let world = World::with(|options| *options = options.clone().shared()).await;
    let check = NOTES.replace("DIR", text(world.dir.path()));
    world.checked_by(check)
}

/// Another process on the same folder, with the same bus and repository.
async fn beside(world: &World) -> Arc<LocalForge> {
    let options = options(world.dir.path(), &world.bus).shared();
    Arc::new(LocalForge::open(options).await.unwrap())
}

#[tokio::test]
async fn a_commit_is_checked_by_one_of_several_processes_and_merged_once() {
    let world = shared().await;
    let others = [beside(&world).await, beside(&world).await];
    let pull = world.opened("optio/tea", &[("tea", "green\n")]).await;
    for other in &others {
        let seen = optio_core::forge::Forge::pull_request(&**other, &world.repo, pull.number);
        seen.await.unwrap();
    }
    let green = world
        .until(pull.number, |seen| seen.checks == Checks::Passed)
        .await;
    assert_eq!(fs::read_to_string(world.path("runs")).unwrap(), "run\n");
    let request = optio_core::forge::MergeRequest {
        expected_head: green.head.clone(),
        title: "Sell tea".to_owned(),
        body: String::new(),
    };
    let merge = |forge: &Arc<LocalForge>| {
        let (forge, repo, request) = (Arc::clone(forge), world.repo.clone(), request.clone());
        tokio::spawn(async move {
            optio_core::forge::Forge::merge(&*forge, &repo, pull.number, &request).await
        })
    };
    let merging = [&world.forge, &others[0], &others[1]].map(merge);
    let mut commits = Vec::new();
    for merged in merging {
        commits.push(merged.await.unwrap().unwrap());
    }
    commits.dedup();
    assert_eq!(commits.len(), 1, "{commits:?}");
    assert_eq!(world.site.git(["rev-list", "--count", "main"]), "2");
    let seen = world.look(pull.number).await;
    assert!(matches!(seen.state, PrState::Merged { .. }), "{seen:?}");
}

#[tokio::test]
async fn a_check_of_a_process_that_is_gone_is_run_by_another_once_its_claim_has_ended() {
    let world = shared().await;
    let mut database = SqliteConnectOptions::new()
        .filename(world.path("forge/forge.db"))
        .connect()
        .await
        .unwrap();
    let head = world.site.push("optio/tea", &[("tea", "green\n")]);
    let command = world.repo.settings.check_command.clone().unwrap();
    sqlx::query("INSERT INTO check_claims VALUES (?, ?, ?, 'gone', ?)")
        .bind(text(&world.site.bare))
        .bind(head.as_str())
        .bind(command)
        .bind(i64::MAX)
        .execute(&mut database)
        .await
        .unwrap();
    let pull = world.try_open("optio/tea").await.unwrap();
    assert_eq!(world.look(pull.number).await.checks, Checks::Pending);
    assert!(!world.path("runs").exists());
    sqlx::query("UPDATE check_claims SET until = 0")
        .execute(&mut database)
        .await
        .unwrap();
    let green = world.until(pull.number, |seen| seen.checks == Checks::Passed);
    green.await;
    assert_eq!(fs::read_to_string(world.path("runs")).unwrap(), "run\n");
}

#[tokio::test]
async fn a_forge_is_shared_by_all_or_by_nobody() {
    let world = shared().await;
    let alone = LocalForge::open(options(world.dir.path(), &world.bus)).await;
    let refused = world.redacted(&alone.unwrap_err());
    insta::assert_snapshot!(refused, @"local forge: another optio is using the folder DIR/forge: stop it first, or choose another folder");
    world.forge.shut_down().await;
    let alone = LocalForge::open(options(world.dir.path(), &world.bus)).await;
    let alone = alone.unwrap();
    let more = LocalForge::open(options(world.dir.path(), &world.bus).shared()).await;
    assert_eq!(world.redacted(&more.unwrap_err()), refused);
    alone.shut_down().await;
}
