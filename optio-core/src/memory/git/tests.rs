//! The engine's git work on the world in memory: if the two drift apart, this fails.

use insta::assert_snapshot;
use uuid::Uuid;

use super::FakeGit;
use crate::{
    engine::git::{Git, Identity, PushOutcome, WORKTREES, WorktreeMode},
    id::{RepoId, WorkspaceId},
    memory::MemoryRuntime,
    pull_request::CommitId,
    repo::RepoUrl,
    runtime::{Runtime, WorkspaceSpec},
    workspace::WorkspacePath,
};

struct World {
    git: FakeGit,
    runtime: MemoryRuntime,
    url: RepoUrl,
    base: CommitId,
}

const WORKSPACE: WorkspaceId = WorkspaceId::from_uuid(Uuid::from_u128(1));

impl World {
    async fn new() -> Self {
        let git = FakeGit::new();
        let url: RepoUrl = "https://memory.test/acme/shop".parse().unwrap();
        let base = git.add_remote(&url, "main", &[("README.md", "shop\n")]);
        let runtime = MemoryRuntime::new(git.clone());
        let spec = WorkspaceSpec {
            id: WORKSPACE,
            repo: RepoId::from_uuid(Uuid::nil()),
            name: "shop-0".to_owned(),
        };
        runtime.create(&spec).await.unwrap();
        let world = Self {
            git,
            runtime,
            url,
            base,
        };
        world.git().ensure_clone().await.unwrap();
        world
    }

    fn git(&self) -> Git<'_> {
        Git::new(&self.runtime, WORKSPACE, self.url.as_str(), None)
    }

    async fn worktree(&self, mode: WorktreeMode) -> CommitId {
        let git = self.git();
        let path = path();
        let site = git.survey(&path, "work", "main").await.unwrap();
        git.ensure_worktree(&site, mode).await.unwrap()
    }

    fn edit(&self, file: &str, content: &'static str) {
        let path = path().child(file);
        self.git.write(WORKSPACE, &path, content.into());
    }

    async fn facts(&self) -> String {
        let facts = self.git().facts(&path(), &self.base, "main").await.unwrap();
        let branch = facts.branch.unwrap_or_default();
        let dirty = if facts.dirty { "dirty" } else { "clean" };
        let (commits, ahead) = (facts.commits, facts.ahead);
        format!("{branch}: {commits} new, {ahead} ahead, {dirty}")
    }

    async fn commit(&self, message: &str) -> Option<CommitId> {
        let (git, identity) = (self.git(), Identity::default());
        git.commit_all(&path(), message, &identity).await.unwrap()
    }

    fn is_understood(&self) {
        assert_eq!(self.git.unknown_commands(), [""; 0]);
    }
}

fn path() -> WorkspacePath {
    WorkspacePath::root().child(WORKTREES).child("shop-1")
}

#[tokio::test]
async fn work_is_committed_pushed_and_found_again() {
    let world = World::new().await;
    assert_eq!(world.worktree(WorktreeMode::Fresh).await, world.base);
    assert_snapshot!(world.facts().await, @"work: 0 new, 0 ahead, clean");
    world.edit("a.txt", "a");
    assert_snapshot!(world.facts().await, @"work: 0 new, 0 ahead, dirty");
    let head = world.commit("add a").await.unwrap();
    assert_snapshot!(world.facts().await, @"work: 1 new, 1 ahead, clean");

    let git = world.git();
    assert_eq!(world.commit("again").await, None);
    let pushed = git.push(&path(), "work", None).await.unwrap();
    assert_eq!(pushed, PushOutcome::Pushed(head.clone()));
    let pushed = git.push(&path(), "work", Some(&head)).await.unwrap();
    assert_eq!(pushed, PushOutcome::UpToDate(head.clone()));
    assert_eq!(world.git.branch(&world.url, "work"), Some(head.clone()));

    let theirs = world
        .git
        .push(&world.url, "work", &[("b.txt", "b")], "somebody else's");
    world.edit("c.txt", "c");
    world.commit("add c").await.unwrap();
    let pushed = git.push(&path(), "work", Some(&head)).await.unwrap();
    assert!(matches!(pushed, PushOutcome::Rejected { .. }), "{pushed:?}");
    assert_eq!(world.worktree(WorktreeMode::Reset).await, theirs);
    world.is_understood();
}

#[tokio::test]
async fn what_was_not_pushed_is_rescued_before_it_goes() {
    let world = World::new().await;
    world.worktree(WorktreeMode::Fresh).await;
    let git = world.git();
    let path = path();
    let rescue = || git.rescue(&path, "main", "refs/optio/rescue/1");
    assert_eq!(rescue().await.unwrap(), None);
    world.edit("a.txt", "half done");
    let rescued = rescue().await.unwrap().unwrap();
    assert_eq!(rescue().await.unwrap().unwrap(), rescued);
    assert_eq!(
        world.git.refs(&world.url)["refs/optio/rescue/1"],
        rescued.commit
    );
    assert_eq!(world.git.files(&rescued.commit)["a.txt"], "half done");
    assert_snapshot!(world.facts().await, @"work: 0 new, 0 ahead, dirty");

    assert_eq!(
        git.list_worktrees().await.unwrap(),
        std::slice::from_ref(&path)
    );
    git.remove_worktree(&path, Some("work")).await.unwrap();
    assert_eq!(git.list_worktrees().await.unwrap(), []);
    world.is_understood();
}

#[tokio::test]
async fn a_worktree_is_resumed_reset_or_put_on_a_commit() {
    let world = World::new().await;
    world.worktree(WorktreeMode::Fresh).await;
    world.edit("a.txt", "a");
    assert_eq!(world.worktree(WorktreeMode::Resume).await, world.base);
    assert_snapshot!(world.facts().await, @"work: 0 new, 0 ahead, dirty");
    assert_eq!(world.worktree(WorktreeMode::Reset).await, world.base);
    assert_snapshot!(world.facts().await, @"work: 0 new, 0 ahead, clean");
    let other = world.git.push(&world.url, "other", &[("b.txt", "b")], "b");
    let detached = WorktreeMode::Detached(other.clone());
    assert_eq!(world.worktree(detached).await, other);
    assert_snapshot!(world.facts().await, @": 1 new, 1 ahead, clean");
    world.is_understood();
}

#[tokio::test]
async fn a_remote_that_is_gone_is_an_error_in_git_s_words() {
    let world = World::new().await;
    let down =
        "unable to access 'https://memory.test/acme/shop/': Could not resolve host: memory.test";
    world.git.set_unreachable(&world.url, Some(down));
    let error = world.git().fetch(&["main"]).await.unwrap_err();
    assert_snapshot!(error, @"git fetch failed: fatal: unable to access 'https://memory.test/acme/shop/': Could not resolve host: memory.test (exit code 128)");
    let gone = Git::new(
        &world.runtime,
        WORKSPACE,
        "https://memory.test/no/such",
        None,
    );
    let error = gone.fetch(&["main"]).await.unwrap_err();
    assert_snapshot!(error, @"git fetch failed: fatal: repository 'https://memory.test/no/such' not found (exit code 128)");
}

#[tokio::test]
async fn an_unknown_command_is_refused_and_remembered() {
    let world = World::new().await;
    let command = crate::runtime::Command::new("git").args(["bisect", "start"]);
    let output = world
        .runtime
        .exec(WORKSPACE, command, crate::runtime::ExecOptions::default());
    assert_snapshot!(output.await.unwrap().stderr_text(), @"fatal: fake git does not know: git bisect start");
    assert_eq!(world.git.unknown_commands(), ["git bisect start"]);
}
