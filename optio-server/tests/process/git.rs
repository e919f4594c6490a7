//! Repositories for the tests, as plain git sees them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::room::Room;

/// A bare repository.
#[derive(Debug)]
pub(crate) struct Bare {
    pub(crate) path: PathBuf,
    home: PathBuf,
    search: String,
}

impl Bare {
    /// Makes a repository in this room, with one commit on `main` and a check that everything passes.
    pub(crate) fn new(room: &Room, name: &str) -> Self {
        let bare = Self {
            path: room.at(&format!("{name}.git")),
            home: room.at(""),
            search: room.path.clone(),
        };
        let work = room.at(&format!("{name}.first"));
        fs::create_dir_all(work.join(".optio")).unwrap();
        fs::write(work.join("README.md"), "# A shop\n").unwrap();
        fs::write(work.join(".optio/check"), "#!/bin/sh\nexit 0\n").unwrap();
        bare.git_in(&work, &["init", "--quiet", "--initial-branch=main"]);
        bare.git_in(&work, &["add", "--all"]);
        bare.git_in(&work, &["commit", "--quiet", "--message", "Open the shop"]);
        let target = bare.path.to_str().unwrap();
        bare.git_in(&work, &["clone", "--quiet", "--bare", ".", target]);
        fs::remove_dir_all(&work).unwrap();
        bare
    }

    /// What git prints.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.path, arguments)
    }

    fn git_in(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@shop.test"])
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", &self.search)
            .env("HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The subjects of what was committed to `main`, newest first.
    pub(crate) fn subjects(&self) -> Vec<String> {
        let subjects = self.git(&["log", "--format=%s", "main"]);
        subjects.lines().map(str::to_owned).collect()
    }

    /// A file of `main`.
    pub(crate) fn file(&self, path: &str) -> String {
        self.git(&["show", &format!("main:{path}")])
    }

    /// The refs below a prefix.
    pub(crate) fn refs(&self, prefix: &str) -> Vec<String> {
        let refs = self.git(&["for-each-ref", "--format=%(refname)", prefix]);
        refs.lines().map(str::to_owned).collect()
    }
}
