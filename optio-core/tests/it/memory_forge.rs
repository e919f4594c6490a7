//! The forge in memory keeps the contract.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use optio_core::{
    Clock, SystemClock,
    conformance::forge::{Ci, ForgeUnderTest},
    forge::Forge,
    id::RepoId,
    memory::{FakeGit, MemoryForge},
    pull_request::{Checks, CommitId, FailedCheck},
    repo::{Repo, RepoSettings, RepoUrl},
};

optio_core::forge_conformance!(Shop::new());

struct Shop {
    git: FakeGit,
    forge: MemoryForge,
    repo: Repo,
    red: Arc<Mutex<BTreeSet<CommitId>>>,
}

impl Shop {
    fn new() -> Self {
        let (git, clock) = (FakeGit::new(), SystemClock);
        let url: RepoUrl = "https://memory.test/acme/shop".parse().unwrap();
        git.add_remote(&url, "trunk", &[("README.md", "shop\n")]);
        let forge = MemoryForge::new(git.clone(), Arc::new(clock));
        let red: Arc<Mutex<BTreeSet<CommitId>>> = Arc::default();
        let fails = Arc::clone(&red);
        forge.plan_checks(
            move |checked| match fails.lock().unwrap().contains(checked.head) {
                true => Checks::Failed {
                    failed: vec![failure()],
                },
                false => Checks::Passed,
            },
        );
        let repo = Repo {
            id: RepoId::generate(&clock),
            url,
            default_branch: "trunk".to_owned(),
            settings: RepoSettings::default(),
            created_at: clock.now(),
            version: 1,
        };
        Self {
            git,
            forge,
            repo,
            red,
        }
    }
}

fn failure() -> FailedCheck {
    FailedCheck {
        name: "test".to_owned(),
        conclusion: "failure".to_owned(),
        step: None,
        log_tail: "1 test failed".to_owned(),
        url: None,
    }
}

#[async_trait]
impl ForgeUnderTest for Shop {
    fn forge(&self) -> Arc<dyn Forge> {
        Arc::new(self.forge.clone())
    }

    fn repo(&self) -> Repo {
        self.repo.clone()
    }

    fn missing(&self) -> RepoUrl {
        "https://memory.test/acme/missing".parse().unwrap()
    }

    async fn push(&self, branch: &str, files: &[(&str, &str)], ci: Ci) -> CommitId {
        let commit = self.git.push(&self.repo.url, branch, files, "somebody's");
        if ci == Ci::Red {
            self.red.lock().unwrap().insert(commit.clone());
        }
        commit
    }

    async fn base_file(&self, path: &str) -> Option<String> {
        let base = self.git.branch(&self.repo.url, &self.repo.default_branch)?;
        self.git.files(&base).remove(path)
    }
}
