//! Ends that nobody planned: of the whole process in the middle of a check, or of a merge.

use std::{fs, sync::mpsc, thread};

use insta::assert_snapshot;
use optio_core::{
    forge::Forge as _,
    pull_request::{Checks, Mergeability, PrState, PullRequest},
};
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

use super::{PATIENCE, World, eventually, still_at_work, text};

/// Changes the forge's records behind its back.
async fn tamper(world: &World, sql: &'static str) {
    let mut database = SqliteConnectOptions::new()
        .filename(world.path("forge/forge.db"))
        .connect()
        .await
        .unwrap();
    sqlx::query(sql).execute(&mut database).await.unwrap();
}

/// Lives as long as its own runtime, which ends with everything that runs on it: as close to a crash as a thread gets.
fn crashing_world(check: String) -> (World, PullRequest) {
    let (give, take) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let made = runtime.block_on(async {
            let world = World::new().await;
            let started = world.path("started");
            let check = check.replace("DIR", text(world.dir.path()));
            let world = world.checked_by(check);
            let pull = world.opened("optio/slow", &[("a", "a\n")]).await;
            eventually("the check", || started.exists()).await;
            (world, pull)
        });
        runtime.shutdown_background();
        give.send(made).unwrap();
    });
    take.recv_timeout(PATIENCE).unwrap()
}

#[tokio::test]
async fn a_check_that_a_crash_interrupted_runs_again() {
    let command = "echo run >> 'DIR/runs'; touch 'DIR/started'; test -e 'DIR/go' || sleep 600";
    let (world, pull) = tokio::task::spawn_blocking(|| crashing_world(command.to_owned()))
        .await
        .unwrap();
    fs::write(world.path("go"), "").unwrap();
    let World {
        dir,
        bus,
        forge,
        repo,
        site,
    } = world;
    drop(forge);
    // what the crash left of the pools lets go of the folder a moment later
    let options = super::options(dir.path(), &bus);
    let forge = optio_local::LocalForge::open(options).await.unwrap();
    let world = World {
        dir,
        bus,
        forge: forge.into(),
        repo,
        site,
    };
    let seen = world
        .until(pull.number, |seen| seen.checks != Checks::Pending)
        .await;
    assert_eq!(seen.checks, Checks::Passed);
    assert_eq!(
        fs::read_to_string(world.path("runs")).unwrap(),
        "run\nrun\n"
    );
    let left: Vec<_> = fs::read_dir(world.path("forge/checks")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(still_at_work(&world), Vec::<String>::new());
}

#[tokio::test]
async fn a_merge_that_was_not_recorded_is_found_and_not_made_again() {
    let world = World::new().await;
    let pull = world.opened("optio/tea", &[("tea", "green\n")]).await;
    let commit = world.merge(&pull).await.unwrap();
    // as if the process had died right after git moved the branch, and life had gone on
    tamper(
        &world,
        "UPDATE pull_requests SET state = 'open', merged_commit = NULL",
    )
    .await;
    let world = world.restarted().await;
    let tip = world.site.push("main", &[("tea", "black\n")]);

    assert_eq!(world.merge(&pull).await.unwrap(), commit);
    assert_eq!(
        world.look(pull.number).await.state,
        PrState::Merged { commit }
    );
    assert_eq!(world.site.tip("main"), Some(tip));
}

#[tokio::test]
async fn a_branch_that_was_deleted_after_an_unrecorded_merge_is_merged() {
    let world = World::new().await;
    let pull = world.opened("optio/tea", &[("tea", "green\n")]).await;
    let commit = world.merge(&pull).await.unwrap();
    tamper(
        &world,
        "UPDATE pull_requests SET state = 'open', merged_commit = NULL",
    )
    .await;
    world.site.git(["update-ref", "-d", "refs/heads/optio/tea"]);
    let world = world.restarted().await;
    assert_eq!(
        world.look(pull.number).await.state,
        PrState::Merged { commit }
    );
}

#[tokio::test]
async fn a_merge_that_never_reached_the_branch_is_made() {
    let world = World::new().await;
    let pull = world.opened("optio/tea", &[("tea", "green\n")]).await;
    tamper(
        &world,
        "INSERT INTO merge_attempts SELECT repository, number, '00000000000000000000000000000000deadbeef' FROM pull_requests",
    )
    .await;
    let seen = world.look(pull.number).await;
    assert_eq!(
        (seen.state, seen.mergeability),
        (PrState::Open, Mergeability::Clean)
    );
    let commit = world.merge(&pull).await.unwrap();
    assert_eq!(world.site.tip("main"), Some(commit));
}

#[tokio::test]
async fn a_database_of_something_else_is_refused() {
    let world = World::new().await;
    world.forge.shut_down().await;
    for name in ["forge.db-wal", "forge.db-shm"] {
        let _ = fs::remove_file(world.path("forge").join(name));
    }
    fs::write(
        world.path("forge/forge.db"),
        "no database at all\n".repeat(100),
    )
    .unwrap();
    let options = super::options(world.dir.path(), &world.bus);
    let refused = optio_local::LocalForge::open(options).await.unwrap_err();
    assert_snapshot!(world.redacted(&refused), @"local forge: the forge's database DIR/forge/forge.db cannot be used, it is damaged or no database (error returned from database: (code: 26) file is not a database): mend that, or move the file away to forget its pull requests");
    assert!(
        world
            .forge
            .pull_request(&world.repo, optio_core::pull_request::PrNumber(1))
            .await
            .is_err()
    );
}
