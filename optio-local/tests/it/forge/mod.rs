//! The local forge against real git: a bare repository with an awkward name, somebody who pushes to it, a real database.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use optio_core::{
    Clock as _, Result, SystemClock,
    event_bus::{EventBus as _, Hint, Subscription},
    forge::{Forge, MergeRequest, NewPullRequest},
    id::RepoId,
    memory::MemoryBus,
    pull_request::{CommitId, PrNumber, PullRequest},
    repo::{Repo, RepoSettings, RepoUrl},
};
use optio_local::{LocalForge, LocalForgeOptions};
use tempfile::TempDir;

mod checks;
mod interrupted;
mod merging;
mod opening;
mod reviewing;
mod sharing;

/// The longest that anything here may take: only a test that is going to fail waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bare repository, a clone of it that somebody works in, and a forge.
struct World {
    dir: TempDir,
    bus: Arc<MemoryBus>,
    forge: Arc<LocalForge>,
    repo: Repo,
    site: Site,
}

/// What lies on the disk, forge or no forge.
#[derive(Debug)]
struct Site {
    bare: PathBuf,
    clone: Mutex<PathBuf>,
    commits: AtomicU32,
}

impl Site {
    /// A repository with a README on its branch `main`.
    fn new(dir: &Path) -> Self {
        let bare = dir.join("Läden & Söhne").join("shop.git");
        let clone = dir.join("somebody's clone");
        git(dir, ["init", "-q", "--bare", "-b", "main", text(&bare)]);
        git(dir, ["clone", "-q", text(&bare), text(&clone)]);
        let site = Self {
            bare,
            clone: Mutex::new(clone),
            commits: AtomicU32::new(0),
        };
        site.push("main", &[("README.md", "A shop.\n")]);
        site
    }

    fn url(&self) -> RepoUrl {
        text(&self.bare).parse().unwrap()
    }

    /// Pushes a commit that changes these files, on top of the branch, or of main if there is no such branch. A file
    /// without content is removed.
    fn push(&self, branch: &str, files: &[(&str, &str)]) -> CommitId {
        let clone = self.clone.lock().unwrap();
        git(&clone, ["fetch", "-q", "--prune"]);
        let known = self.tip(branch).is_some();
        let start = format!("origin/{}", if known { branch } else { "main" });
        if self.tip("main").is_some() {
            git(&clone, ["checkout", "-q", "-f", "--detach", &start]);
        }
        for (path, content) in files {
            let path = clone.join(path);
            if content.is_empty() {
                let _ = fs::remove_file(path); // it may not be there
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
        }
        let nth = self.commits.fetch_add(1, Ordering::Relaxed);
        git(&clone, ["add", "-A"]);
        let message = format!("Commit {nth}");
        git(&clone, ["commit", "-q", "--allow-empty", "-m", &message]);
        let target = format!("HEAD:refs/heads/{branch}");
        git(&clone, ["push", "-q", "origin", &target]);
        CommitId::new(git(&clone, ["rev-parse", "HEAD"]))
    }

    fn tip(&self, branch: &str) -> Option<CommitId> {
        let name = format!("refs/heads/{branch}");
        let tips = self.git(["for-each-ref", "--format=%(objectname)", &name]);
        (!tips.is_empty()).then(|| CommitId::new(tips))
    }

    /// What a file of the main branch holds.
    fn main_file(&self, path: &str) -> Option<String> {
        let object = format!("main:{path}");
        let listed = self.git(["ls-tree", "--name-only", "main", "--", path]);
        (!listed.is_empty()).then(|| self.git(["cat-file", "blob", &object]))
    }

    /// Asks the bare repository.
    fn git<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        git(&self.bare, args)
    }
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(adjust: impl FnOnce(&mut LocalForgeOptions)) -> Self {
        let dir = tempfile::tempdir_in(std::env::temp_dir().canonicalize().unwrap()).unwrap();
        let site = Site::new(dir.path());
        let bus = Arc::new(MemoryBus::new());
        let mut options = options(dir.path(), &bus);
        adjust(&mut options);
        Self {
            forge: Arc::new(LocalForge::open(options).await.unwrap()),
            repo: repo(site.url()),
            bus,
            dir,
            site,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same world after a restart of the forge.
    async fn restarted(self) -> Self {
        self.forge.shut_down().await;
        let options = options(self.dir.path(), &self.bus);
        Self {
            forge: Arc::new(LocalForge::open(options).await.unwrap()),
            ..self
        }
    }

    fn checked_by(mut self, command: impl Into<String>) -> Self {
        self.repo.settings.check_command = Some(command.into());
        self
    }

    async fn try_open(&self, branch: &str) -> Result<PullRequest> {
        let new = NewPullRequest {
            head_branch: branch.to_owned(),
            base_branch: "main".to_owned(),
            title: "Sell über-tea".to_owned(),
            body: "It is *good*.".to_owned(),
        };
        self.forge.open(&self.repo, &new).await
    }

    /// Pushes a branch with these files and opens a pull request for it.
    async fn opened(&self, branch: &str, files: &[(&str, &str)]) -> PullRequest {
        self.site.push(branch, files);
        self.try_open(branch).await.unwrap()
    }

    async fn look(&self, number: PrNumber) -> PullRequest {
        let seen = self.forge.pull_request(&self.repo, number).await;
        seen.unwrap()
    }

    async fn merge(&self, pull: &PullRequest) -> Result<CommitId> {
        let request = MergeRequest {
            expected_head: pull.head.clone(),
            title: format!("{} ({})", pull.title, pull.number),
            body: "With sugar.".to_owned(),
        };
        self.forge.merge(&self.repo, pull.number, &request).await
    }

    async fn listen(&self) -> Box<dyn Subscription> {
        self.bus.subscribe().await.unwrap()
    }

    /// Looks, and looks again at each hint, until it is so.
    async fn until(
        &self,
        number: PrNumber,
        so: impl Fn(&PullRequest) -> bool + Send,
    ) -> PullRequest {
        let mut hints = self.listen().await;
        loop {
            let seen = self.look(number).await;
            if so(&seen) {
                return seen;
            }
            let hint = tokio::time::timeout(PATIENCE, hints.next()).await;
            let hint = hint.unwrap_or_else(|_| panic!("nothing happens to {seen:#?}"));
            let repo = self.repo.id;
            assert!(matches!(hint.unwrap(), Hint::PullRequest { repo: of, .. } if of == repo));
        }
    }

    /// Hides what differs from one test run to the next.
    fn redacted(&self, said: &impl ToString) -> String {
        said.to_string().replace(text(self.dir.path()), "DIR")
    }
}

fn options(dir: &Path, bus: &Arc<MemoryBus>) -> LocalForgeOptions {
    let bus = Arc::<MemoryBus>::clone(bus);
    LocalForgeOptions::new(dir.join("forge")).with_bus(bus)
}

fn repo(url: RepoUrl) -> Repo {
    Repo {
        id: RepoId::generate(&SystemClock),
        url,
        default_branch: "main".to_owned(),
        settings: RepoSettings::default(),
        created_at: SystemClock.now(),
        version: 1,
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs git as somebody called Ann, and expects that it works.
fn git<'a>(dir: &Path, args: impl IntoIterator<Item = &'a str>) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ann Ö", "-c", "user.email=ann@example.org"])
        .args(["-c", "core.quotePath=false", "-c", "commit.gpgSign=false"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// Waits for something that only another process brings about.
async fn eventually(what: &str, so: impl Fn() -> bool + Send + Sync) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "{what} does not come about");
}

/// The processes that have the folder of checks in their environment.
fn still_at_work(world: &World) -> Vec<String> {
    let dir = world.path("forge/checks");
    let mark = text(&dir);
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|process| {
            fs::read(process.path().join("environ")).is_ok_and(|environ| {
                environ
                    .windows(mark.len())
                    .any(|window| window == mark.as_bytes())
            })
        })
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .collect()
}
