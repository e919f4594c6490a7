//! The contract of a forge, with real git and real checks.

use std::{fs, path::PathBuf, process::Command, sync::Arc};

use async_trait::async_trait;
use optio_core::{
    Clock, SystemClock,
    conformance::forge::{Ci, ForgeUnderTest},
    forge::Forge,
    id::RepoId,
    pull_request::CommitId,
    repo::{Repo, RepoSettings, RepoUrl},
};
use optio_local::{LocalForge, LocalForgeOptions};
use tempfile::TempDir;

optio_core::forge_conformance!(Shop::new().await);

/// A bare repository, and the clone of somebody who works on it as well.
struct Shop {
    folder: TempDir,
    forge: Arc<LocalForge>,
    repo: Repo,
}

impl Shop {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bare = folder.path().join("it's a shop.git");
        git(&[
            "init",
            "--quiet",
            "--bare",
            "-b",
            "trunk",
            bare.to_str().unwrap(),
        ]);
        let forge = LocalForge::open(LocalForgeOptions::new(folder.path().join("forge")));
        let repo = Repo {
            id: RepoId::generate(&SystemClock),
            url: bare.to_str().unwrap().parse().unwrap(),
            default_branch: "trunk".to_owned(),
            settings: RepoSettings {
                check_command: Some("test ! -e red".to_owned()),
                ..RepoSettings::default()
            },
            created_at: SystemClock.now(),
            version: 1,
        };
        let shop = Self {
            forge: Arc::new(forge.await.unwrap()),
            folder,
            repo,
        };
        git(&[
            "clone",
            "--quiet",
            bare.to_str().unwrap(),
            shop.clone_dir().to_str().unwrap(),
        ]);
        shop.in_clone(&["checkout", "--quiet", "-b", "trunk"]);
        shop.commit(&[("README.md", "shop\n")], "trunk");
        shop
    }

    fn clone_dir(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    fn in_clone(&self, args: &[&str]) -> String {
        let clone = self.clone_dir();
        git(&[&["-C", clone.to_str().unwrap()], args].concat())
    }

    fn commit(&self, files: &[(&str, &str)], branch: &str) -> CommitId {
        for (path, content) in files {
            fs::write(self.clone_dir().join(path), content).unwrap();
        }
        self.in_clone(&["add", "--all"]);
        self.in_clone(&["commit", "--quiet", "-m", "somebody's"]);
        self.in_clone(&[
            "push",
            "--quiet",
            "origin",
            &format!("HEAD:refs/heads/{branch}"),
        ]);
        CommitId::new(self.in_clone(&["rev-parse", "HEAD"]))
    }
}

/// Runs git as nobody in particular.
fn git(args: &[&str]) -> String {
    let identity = [
        "-c",
        "user.name=Somebody",
        "-c",
        "user.email=somebody@example.test",
    ];
    let output = Command::new("git")
        .args(identity)
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[async_trait]
impl ForgeUnderTest for Shop {
    fn forge(&self) -> Arc<dyn Forge> {
        Arc::clone(&self.forge) as Arc<dyn Forge>
    }

    fn repo(&self) -> Repo {
        self.repo.clone()
    }

    fn missing(&self) -> RepoUrl {
        let missing = self.folder.path().join("missing.git");
        missing.to_str().unwrap().parse().unwrap()
    }

    async fn push(&self, branch: &str, files: &[(&str, &str)], ci: Ci) -> CommitId {
        self.in_clone(&["fetch", "--quiet", "origin"]);
        let known = self.in_clone(&["branch", "--remotes", "--list", &format!("origin/{branch}")]);
        let start = if known.is_empty() { "trunk" } else { branch };
        self.in_clone(&[
            "checkout",
            "--quiet",
            "--detach",
            &format!("origin/{start}"),
        ]);
        let red = self.clone_dir().join("red");
        match ci {
            Ci::Red => fs::write(red, "red").unwrap(),
            Ci::Green => drop(fs::remove_file(red)),
        }
        self.commit(files, branch)
    }

    async fn base_file(&self, path: &str) -> Option<String> {
        self.in_clone(&["fetch", "--quiet", "origin"]);
        let listed = self.in_clone(&["ls-tree", "--name-only", "origin/trunk", path]);
        (!listed.is_empty()).then(|| self.in_clone(&["show", &format!("origin/trunk:{path}")]))
    }
}
