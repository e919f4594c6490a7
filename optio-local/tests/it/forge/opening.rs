//! Opening: the forge, a repository, a pull request; and the sentence for each thing that can be wrong with them.

use std::fs;

use insta::assert_snapshot;
use optio_core::{
    forge::Forge as _,
    pull_request::{PrNumber, PrState},
    repo::RepoUrl,
};
use optio_local::{LocalForge, LocalForgeOptions};

use super::{World, git, repo, text};

#[tokio::test]
async fn opening_at_the_same_time_gives_one_pull_request() {
    let world = World::new().await;
    world.site.push("optio/tea", &[("tea", "green\n")]);
    let open = || world.try_open("optio/tea");
    let (a, b, c, d) = tokio::join!(open(), open(), open(), open());
    for opened in [a, b, c, d] {
        assert_eq!(opened.unwrap().number, PrNumber(1));
    }
    assert_eq!(world.forge.list(&world.repo).await.unwrap().len(), 1);
}

#[tokio::test]
async fn numbers_are_never_used_again_and_everything_survives_a_restart() {
    let world = World::new().await;
    let first = world.opened("optio/tea", &[("tea", "green\n")]).await;
    world.forge.close(&world.repo, first.number).await.unwrap();
    let second = world.opened("optio/tea", &[("tea", "black\n")]).await;
    assert_eq!(second.number, PrNumber(2));
    let before = world.forge.list(&world.repo).await.unwrap();
    let world = world.restarted().await;
    assert_eq!(world.forge.list(&world.repo).await.unwrap(), before);
    let third = world.opened("optio/coffee", &[("coffee", "x\n")]).await;
    assert_eq!(third.number, PrNumber(3));
    assert_eq!(third.state, PrState::Open);
}

#[tokio::test]
async fn every_spelling_of_a_path_is_one_repository() {
    let world = World::new().await;
    let pull = world.opened("optio/tea", &[("tea", "green\n")]).await;
    let path = text(&world.site.bare);
    let link = world.path("link");
    std::os::unix::fs::symlink(&world.site.bare, &link).unwrap();
    for spelling in [
        path.trim_end_matches(".git").to_owned(),
        format!("file://{path}"),
        format!("file://{}", path.replace(' ', "%20").replace('ä', "%C3%A4")),
        text(&link).to_owned(),
    ] {
        let repo = repo(spelling.parse().unwrap());
        let found = world.forge.find(&repo, "optio/tea").await.unwrap().unwrap();
        assert_eq!(found.to_ref(), pull.to_ref(), "{spelling}");
    }
}

#[tokio::test]
async fn what_cannot_be_used_says_how_to_mend_it() {
    let world = World::new().await;
    let dir = world.dir.path();
    git(dir, ["init", "-q", "--bare", "-b", "main", "empty.git"]);
    git(
        dir,
        ["clone", "-q", "--bare", text(&world.site.bare), "other.git"],
    );
    git(
        &world.path("other.git"),
        ["symbolic-ref", "HEAD", "refs/heads/gone"],
    );
    git(dir, ["clone", "-q", text(&world.site.bare), "work"]);
    fs::create_dir(world.path("folder")).unwrap();
    let mut told = Vec::new();
    for path in [
        "missing.git",
        "folder",
        "work",
        "work/.git",
        "empty.git",
        "other.git",
    ] {
        let url: RepoUrl = text(&world.path(path)).parse().unwrap();
        let error = world.forge.repository(&url).await.unwrap_err();
        told.push(format!("{:?}: {error}", error.kind()));
    }
    world.site.git(["branch", "optio/nothing", "main"]);
    for branch in ["optio/not-pushed", "optio/nothing"] {
        let error = world.try_open(branch).await.unwrap_err();
        told.push(format!("{:?}: {error}", error.kind()));
    }
    assert_snapshot!(world.redacted(&told.join("\n")), @r"
    NotFound: local forge: there is nothing at DIR/missing.git: check the path, or make a repository there with `git clone --bare <source> 'DIR/missing.git'`
    Invalid: local forge: DIR/folder is not a git repository: give the path of a bare one, as `git init --bare` makes it
    Invalid: local forge: DIR/work is a work tree, whose branches cannot all be pushed to: make a bare repository with `git clone --bare 'DIR/work' 'DIR/work.git'` and add that
    Invalid: local forge: DIR/work/.git belongs to a work tree, whose branches cannot all be pushed to: make a bare repository with `git clone --bare` and add that
    Invalid: local forge: DIR/empty.git is empty: push a first commit to its branch main
    Invalid: local forge: HEAD of DIR/other.git names the branch gone, which does not exist: push it, or choose another with `git -C 'DIR/other.git' symbolic-ref HEAD refs/heads/main`
    Invalid: local forge: there is no branch optio/not-pushed in DIR/Läden & Söhne/shop.git: push it first
    Invalid: local forge: the branch optio/nothing has no commits that main does not have: commit and push first
    ");
    assert_eq!(world.forge.list(&world.repo).await.unwrap(), []);
}

#[tokio::test]
async fn what_the_forge_itself_cannot_use_says_how_to_mend_it() {
    let world = World::new().await;
    fs::write(world.path("file"), "").unwrap();
    let mut without_git = LocalForgeOptions::new(world.path("never"));
    without_git.env.insert("PATH".into(), "/nowhere".into());
    let mut told = Vec::new();
    for options in [
        without_git,
        LocalForgeOptions::new(world.path("forge")),
        LocalForgeOptions::new(world.path("file/forge")),
    ] {
        let error = LocalForge::open(options).await.unwrap_err();
        told.push(format!("{:?}: {error}", error.kind()));
    }
    assert_snapshot!(world.redacted(&told.join("\n")), @r"
    Unsupported: local forge: git was not found on the PATH: install git 2.38 or newer
    Unavailable: local forge: another optio is using the folder DIR/forge: stop it first, or choose another folder
    Invalid: local forge: the folder DIR/file/forge cannot be written (Not a directory (os error 20)): give this user the right to, or choose another folder
    ");
    assert!(!world.path("never").exists(), "nothing was changed");
}
