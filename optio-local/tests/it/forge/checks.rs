//! Checks: what runs, where, how often, and that nothing of it stays.

use std::{fs, time::Duration};

use insta::assert_snapshot;
use optio_core::{
    forge::Forge as _,
    pull_request::{Checks, FailedCheck},
};

use super::{World, eventually, still_at_work, text};

fn passed(checks: &Checks) -> bool {
    *checks == Checks::Passed
}

fn failure(checks: Checks) -> FailedCheck {
    let Checks::Failed { failed } = checks else {
        panic!("{checks:?}");
    };
    let [failed] = <[_; 1]>::try_from(failed).unwrap();
    failed
}

fn ended(checks: &Checks) -> bool {
    !matches!(checks, Checks::Pending)
}

#[tokio::test]
async fn a_red_commit_is_told_with_its_log_and_the_next_one_is_green() {
    let world = World::new()
        .await
        .checked_by("echo looking for tea; echo 'is there tea?' >&2; grep -q tea menu.txt");
    let pull = world.opened("optio/tea", &[("menu.txt", "coffee\n")]).await;
    assert_eq!(pull.checks, Checks::Pending);
    let red = world.until(pull.number, |seen| ended(&seen.checks)).await;
    let failed = failure(red.checks);
    assert_snapshot!(format!("{}: {}\n{}", failed.name, failed.conclusion, failed.log_tail), @r"
    echo looking for tea; echo 'is there tea?' >&2; grep -q tea menu.txt: failure
    looking for tea
    is there tea?
    exit code 1
    ");

    let head = world.site.push("optio/tea", &[("menu.txt", "tea\n")]);
    let green = world.until(pull.number, |seen| ended(&seen.checks)).await;
    assert_eq!((green.checks, green.head), (Checks::Passed, head));
}

#[tokio::test]
async fn without_settings_the_commits_own_file_checks_it_and_without_both_nothing_does() {
    let world = World::new().await;
    let none = world.opened("optio/none", &[("a", "a\n")]).await;
    assert_eq!(none.checks, Checks::NotRequired);

    let by_shell = world
        .opened("optio/shell", &[(".optio/check", "echo by sh; exit 3\n")])
        .await;
    let red = world.until(by_shell.number, |seen| ended(&seen.checks));
    assert_snapshot!(failure(red.await.checks).log_tail, @r"
    by sh
    exit code 3
    ");

    let pull = world
        .opened(
            "optio/program",
            &[(".optio/check", "#!/usr/bin/env cat\nby cat\n")],
        )
        .await;
    let clone = world.site.clone.lock().unwrap().clone();
    super::git(&clone, ["update-index", "--chmod=+x", ".optio/check"]);
    super::git(&clone, ["commit", "-q", "-m", "Make it a program"]);
    super::git(&clone, ["push", "-q", "origin", "HEAD:optio/program"]);
    let executable = world.until(pull.number, |seen| passed(&seen.checks)).await;
    assert_ne!(executable.head, pull.head);
}

#[tokio::test]
async fn a_checkout_is_clean_and_its_environment_made_from_nothing() {
    let world = World::new().await.checked_by(
        "git status --porcelain --ignored; git log --format=%s -1; ls -A; touch junk; echo junk > README.md; env | cut -d= -f1 | grep -vE '^(_|SHLVL|OLDPWD)$' | sort | xargs; echo $HOME; false",
    );
    let dir = world.path("forge/checks");
    let mut logs = Vec::new();
    for branch in ["optio/a", "optio/b"] {
        let pull = world
            .opened(branch, &[("täe cup.txt", "x\n"), (".gitignore", "junk\n")])
            .await;
        let red = world.until(pull.number, |seen| ended(&seen.checks)).await;
        let log = failure(red.checks).log_tail;
        let home = log.lines().rev().nth(1).unwrap();
        assert!(home.starts_with(text(&dir)), "{home}");
        logs.push(log.replace(home, "HOME"));
    }
    assert_snapshot!(logs.join("\n\n"), @r"
    Commit 1
    .git
    .gitignore
    README.md
    täe cup.txt
    CI HOME LANG OPTIO_RUN OPTIO_WORKSPACE PATH PWD TMPDIR
    HOME
    exit code 1

    Commit 2
    .git
    .gitignore
    README.md
    täe cup.txt
    CI HOME LANG OPTIO_RUN OPTIO_WORKSPACE PATH PWD TMPDIR
    HOME
    exit code 1
    ");
    let left: Vec<_> = fs::read_dir(dir).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_check_out_of_time_is_killed_with_all_that_it_started() {
    let world = World::with(|options| options.check_timeout = Duration::from_secs(2)).await;
    // one that stays in the group, and one that flees into a session of its own
    let world = world.checked_by("echo begun; sleep 600 & setsid sleep 600 & wait");
    let pull = world.opened("optio/slow", &[("a", "a\n")]).await;
    let red = world.until(pull.number, |seen| ended(&seen.checks)).await;
    let failed = failure(red.checks);
    assert_snapshot!(format!("{}\n{}", failed.conclusion, failed.log_tail), @r"
    timed_out
    begun
    it was killed after 2 s
    ");
    assert_eq!(still_at_work(&world), Vec::<String>::new());
}

#[tokio::test]
async fn a_commit_is_judged_once_by_each_command() {
    let world = World::new().await;
    let runs = world.path("runs");
    let world = world.checked_by(format!("echo first >> '{}'", runs.display()));
    let one = world.opened("optio/one", &[("a", "a\n")]).await;
    super::git(&world.site.bare, ["branch", "optio/two", "optio/one"]);
    let two = world.try_open("optio/two").await.unwrap();
    let reads = (0..8).map(|_| world.look(one.number));
    futures_all(reads).await;
    for number in [one.number, two.number] {
        world.until(number, |seen| passed(&seen.checks)).await;
    }
    let world = world.restarted().await;
    assert_eq!(world.look(one.number).await.checks, Checks::Passed);
    assert_eq!(fs::read_to_string(&runs).unwrap(), "first\n");

    let world = world.checked_by(format!("echo second >> '{}'", runs.display()));
    world.until(one.number, |seen| passed(&seen.checks)).await;
    assert_eq!(fs::read_to_string(&runs).unwrap(), "first\nsecond\n");
}

/// Waits for all of them at once.
async fn futures_all<F: Future>(all: impl Iterator<Item = F>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if all.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

#[tokio::test]
async fn a_check_that_nobody_wants_any_more_makes_room() {
    let world = World::with(|options| options.max_checks = 1)
        .await
        .checked_by("test ! -e hang || sleep 600");
    let pull = world.opened("optio/hang", &[("hang", "yes\n")]).await;
    let closed = world.opened("optio/other", &[("hang", "yes\n")]).await;
    world.forge.close(&world.repo, closed.number).await.unwrap();
    world.site.push("optio/hang", &[("hang", "")]);
    let green = world.until(pull.number, |seen| ended(&seen.checks)).await;
    assert_eq!(green.checks, Checks::Passed);
    assert_eq!(world.look(closed.number).await.checks, Checks::None);
}

#[tokio::test]
async fn checks_beyond_the_limit_wait_for_their_turn() {
    let world = World::with(|options| options.max_checks = 1).await;
    let (at_work, most) = (world.path("at-work"), world.path("overlap"));
    let command = format!(
        "mkdir '{0}' || touch '{1}'; sleep 0.05; rmdir '{0}'",
        at_work.display(),
        most.display()
    );
    let world = world.checked_by(command);
    let mut pulls = Vec::new();
    for nth in ["1", "2", "3"] {
        pulls.push(world.opened(&format!("optio/{nth}"), &[("a", nth)]).await);
    }
    for pull in pulls {
        world.until(pull.number, |seen| passed(&seen.checks)).await;
    }
    assert!(!most.exists());
}

#[tokio::test]
async fn shutting_down_kills_checks() {
    let world = World::new().await;
    let pid = world.path("pid");
    let world = world.checked_by(format!("echo up > '{}'; sleep 600", pid.display()));
    let pull = world.opened("optio/slow", &[("a", "a\n")]).await;
    eventually("the check", || pid.exists()).await;
    world.forge.shut_down().await;
    assert_eq!(still_at_work(&world), Vec::<String>::new());
    let refused = world.forge.pull_request(&world.repo, pull.number).await;
    assert_snapshot!(refused.unwrap_err(), @"local forge: the forge is shut down");
}

#[tokio::test]
async fn a_repository_of_another_user_is_used_all_the_same() {
    let world = World::new().await.checked_by("test -e tea");
    for entry in walk(&world.site.bare) {
        // only root may give files away; everybody else uses their own here
        let _ = std::os::unix::fs::chown(entry, Some(12_345), None);
    }
    let bare = text(&world.site.bare).to_owned();
    let trusting = format!("safe.directory={bare}");
    super::git(
        &world.site.bare,
        ["-c", &trusting, "branch", "optio/tea", "main"],
    );
    let clone = world.site.clone.lock().unwrap().clone();
    std::fs::write(clone.join("tea"), "green\n").unwrap();
    super::git(&clone, ["add", "tea"]);
    super::git(&clone, ["commit", "-q", "-m", "Add tea"]);
    super::git(
        &world.site.bare,
        [
            "-c",
            &trusting,
            "fetch",
            "-q",
            text(&clone),
            "HEAD:optio/tea",
        ],
    );
    let pull = world.try_open("optio/tea").await.unwrap();
    let seen = world.until(pull.number, |seen| ended(&seen.checks)).await;
    assert_eq!(seen.checks, Checks::Passed);
    world.merge(&pull).await.unwrap();
}

/// A folder and everything in it.
fn walk(path: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![path.to_owned()];
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            found.extend(walk(&entry.unwrap().path()));
        }
    }
    found
}
