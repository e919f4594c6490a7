//! Merges: what lands, what is refused, and what others did to the branches meanwhile.

use std::{fs, os::unix::fs::PermissionsExt as _};

use insta::assert_snapshot;
use optio_core::{
    ErrorKind,
    forge::Forge as _,
    pull_request::{Mergeability, PrNumber, PrState},
};
use optio_local::forge::Readiness;

use super::{World, git};

#[tokio::test]
async fn a_squash_is_one_commit_by_the_author_of_the_branch() {
    let world = World::new().await;
    world.site.push("optio/tea", &[("tea/grün.txt", "1\n")]);
    world.site.push("optio/tea", &[("tea/black.txt", "2\n")]);
    let pull = world
        .opened("optio/tea", &[("README.md", "A tea shop.\n")])
        .await;
    let base = world.site.push("main", &[("coffee.txt", "3\n")]);
    let pull = world.look(pull.number).await;
    assert_eq!(
        (&pull.base, &pull.mergeability),
        (&base, &Mergeability::Clean)
    );

    let commit = world.merge(&pull).await.unwrap();
    let format = "--format=%an <%ae>, %cn <%ce>%n%B";
    let shown = world.site.git(["show", "--stat=60", format, "main"]);
    assert_snapshot!(shown, @r"
    Ann Ö <ann@example.org>, Optio <optio@localhost>
    Sell über-tea (#1)

    With sugar.


     README.md     | 2 +-
     tea/black.txt | 1 +
     tea/grün.txt  | 1 +
     3 files changed, 3 insertions(+), 1 deletion(-)
    ");
    let line = world.site.git(["rev-list", "--parents", "-1", "main"]);
    assert_eq!(line, format!("{commit} {base}"));
    assert_eq!(world.site.main_file("coffee.txt").as_deref(), Some("3"));

    let merged = world.look(pull.number).await;
    assert_eq!(
        merged.state,
        PrState::Merged {
            commit: commit.clone()
        }
    );
    assert_eq!(merged.base, commit);
    assert_eq!(
        world.site.tip("optio/tea"),
        Some(pull.head),
        "the branch stays"
    );
}

#[tokio::test]
async fn a_conflict_names_its_files() {
    let world = World::new().await;
    let files = [
        ("grün & blau.txt", "ours\n"),
        ("same", "ours\n"),
        ("free", "x\n"),
    ];
    let pull = world.opened("optio/tea", &files).await;
    world.site.push(
        "main",
        &[("grün & blau.txt", "theirs\n"), ("same", "theirs\n")],
    );
    let seen = world.look(pull.number).await;
    let Mergeability::Conflicting { files } = &seen.mergeability else {
        panic!("{seen:?}");
    };
    assert_eq!(*files, ["grün & blau.txt", "same"]);
    let refused = world.merge(&seen).await.unwrap_err();
    assert_snapshot!(refused, @"local forge: pull request #1 conflicts with main in grün & blau.txt, same");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn merges_at_the_same_time_all_land() {
    let world = World::new().await;
    let mut pulls = Vec::new();
    for name in ["a", "b", "c"] {
        pulls.push(
            world
                .opened(&format!("optio/{name}"), &[(name, "x\n")])
                .await,
        );
    }
    let (a, b, c, again) = tokio::join!(
        world.merge(&pulls[0]),
        world.merge(&pulls[1]),
        world.merge(&pulls[2]),
        world.merge(&pulls[0]),
    );
    assert_eq!(a.unwrap(), again.unwrap());
    b.unwrap();
    c.unwrap();
    let log = world.site.git(["log", "--format=%h", "main"]);
    assert_eq!(log.lines().count(), 4, "{log}");
    for name in ["a", "b", "c"] {
        assert!(world.site.main_file(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn of_two_that_conflict_one_lands_and_the_other_is_told() {
    let world = World::new().await;
    let one = world.opened("optio/one", &[("tea", "green\n")]).await;
    let two = world.opened("optio/two", &[("tea", "black\n")]).await;
    let mut hints = world.listen().await;
    let (first, second) = tokio::join!(world.merge(&one), world.merge(&two));
    let (loser, refused) = match (first, second) {
        (Ok(_), Err(error)) => (two, error),
        (Err(error), Ok(_)) => (one, error),
        both => panic!("{both:?}"),
    };
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let told = async {
        loop {
            if format!("{:?}", hints.next().await.unwrap()).contains(&loser.number.0.to_string()) {
                return;
            }
        }
    };
    tokio::time::timeout(super::PATIENCE, told).await.unwrap();
    let seen = world.look(loser.number).await;
    assert!(matches!(
        seen.mergeability,
        Mergeability::Conflicting { .. }
    ));
}

#[tokio::test]
async fn what_may_not_be_merged_says_why() {
    let world = World::new().await;
    let mut told = Vec::new();
    let mut tell = |error: optio_core::Error| told.push(format!("{:?}: {error}", error.kind()));

    let pull = world.opened("optio/tea", &[("tea", "green\n")]).await;
    world
        .forge
        .mark(&world.repo, pull.number, Readiness::Draft)
        .await
        .unwrap();
    assert!(world.look(pull.number).await.draft);
    tell(world.merge(&pull).await.unwrap_err());
    world
        .forge
        .mark(&world.repo, pull.number, Readiness::Ready)
        .await
        .unwrap();

    let moved = world.site.push("optio/tea", &[("tea", "white\n")]);
    let refused = world.merge(&pull).await.unwrap_err();
    let short = (pull.head.short().to_owned(), moved.short().to_owned());
    tell(optio_core::Error::new(
        refused.kind(),
        "local forge",
        refused
            .message()
            .replace(&short.0, "OLD")
            .replace(&short.1, "NEW"),
    ));

    world.forge.close(&world.repo, pull.number).await.unwrap();
    tell(world.merge(&pull).await.unwrap_err());
    let open = world.forge.reopen(&world.repo, pull.number).await.unwrap();
    assert_eq!(open.state, PrState::Open);

    world
        .site
        .git(["update-ref", "refs/heads/optio/tea", "main"]);
    let reset = world.look(pull.number).await;
    assert_eq!(reset.state, PrState::Open, "set back, not merged");
    tell(world.merge(&reset).await.unwrap_err());

    let gone = PrNumber(77);
    tell(world.forge.close(&world.repo, gone).await.unwrap_err());
    assert_snapshot!(world.redacted(&told.join("\n")), @r"
    Conflict: local forge: pull request #1 is a draft: mark it as ready to merge it
    Conflict: local forge: the head of pull request #1 has moved from OLD to NEW: look at it again
    Conflict: local forge: pull request #1 is closed: reopen it to merge it
    Conflict: local forge: pull request #1 cannot be merged: it has no commits that main does not have
    NotFound: local forge: pull request #77 of DIR/Läden & Söhne/shop.git does not exist
    ");
}

#[tokio::test]
async fn what_somebody_merged_by_hand_is_merged() {
    let world = World::new().await;
    let clone = world.site.clone.lock().unwrap().clone();
    let by_hand = |how: &str, branch: &str| {
        git(&clone, ["fetch", "-q"]);
        git(&clone, ["checkout", "-q", "--detach", "origin/main"]);
        git(
            &clone,
            [
                "merge",
                "-q",
                how,
                "-m",
                "By hand",
                &format!("origin/{branch}"),
            ],
        );
        git(&clone, ["push", "-q", "origin", "HEAD:main"]);
        git(&clone, ["rev-parse", "HEAD"])
    };
    for (how, branch) in [("--ff", "optio/forward"), ("--no-ff", "optio/merge")] {
        let pull = world.opened(branch, &[(branch, "x\n")]).await;
        let commit = by_hand(how, branch);
        world.site.push("main", &[("later", branch)]);
        let seen = world.look(pull.number).await;
        let PrState::Merged { commit: seen } = seen.state else {
            panic!("{seen:?}");
        };
        assert_eq!(seen.as_str(), commit, "{how}");
    }
}

#[tokio::test]
async fn a_pull_request_without_its_branch_is_closed_and_stays_so() {
    let world = World::new().await;
    let pull = world.opened("optio/tea", &[("tea", "green\n")]).await;
    world.site.git(["update-ref", "-d", "refs/heads/optio/tea"]);
    let closed = world.look(pull.number).await;
    assert_eq!((closed.state, closed.head), (PrState::Closed, pull.head));
    let refused = world.forge.reopen(&world.repo, pull.number).await;
    assert_snapshot!(refused.unwrap_err(), @"local forge: pull request #1 stays closed: push its branch optio/tea first");

    world.site.push("optio/tea", &[("tea", "white\n")]);
    assert_eq!(world.look(pull.number).await.state, PrState::Closed);
    let second = world.try_open("optio/tea").await.unwrap();
    assert_eq!(second.number, PrNumber(2));
}

#[tokio::test]
async fn a_base_that_moves_in_the_last_moment_only_costs_another_try() {
    let world = World::new().await;
    let pull = world.opened("optio/tea", &[("tea", "green\n")]).await;
    let other = world.site.push("optio/other", &[("other", "x\n")]);
    // refuses the first try, and puts another commit on the branch as soon as its lock is released
    hook(
        &world,
        &format!(
            "test \"$1\" = prepared && test ! -e once && touch once && exit 1\n\
             test \"$1\" = aborted && test -e once && test ! -e twice && touch twice && git update-ref refs/heads/main {other}\n\
             exit 0\n"
        ),
    );
    let commit = world.merge(&pull).await.unwrap();
    let line = world.site.git(["rev-list", "--parents", "-1", "main"]);
    assert_eq!(line, format!("{commit} {other}"));
}

#[tokio::test]
async fn a_hook_that_refuses_is_quoted_and_nothing_is_merged() {
    let world = World::new().await;
    let pull = world.opened("optio/tea", &[("tea", "green\n")]).await;
    hook(
        &world,
        "test \"$1\" != prepared || { echo not on a Friday >&2; exit 1; }\n",
    );
    let refused = world.merge(&pull).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_snapshot!(refused, @"local forge: git did not move the branch main: not on a Friday");
    assert_eq!(world.look(pull.number).await.state, PrState::Open);
    assert_eq!(world.site.main_file("tea"), None);
}

fn hook(world: &World, script: &str) {
    let path = world.site.bare.join("hooks/reference-transaction");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}
