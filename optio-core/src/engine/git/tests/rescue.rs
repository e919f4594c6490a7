//! No way of ending loses work.

use std::fs;

use super::*;

const REF: &str = "refs/optio/rescue/task_1/run_2";

/// What the index and the folder look like to the agent.
fn looks(dir: &Path) -> String {
    git_in(
        dir,
        &[
            "status",
            "--porcelain=v2",
            "--branch",
            "--untracked-files=all",
        ],
    )
}

async fn rescue(world: &World, path: &WorkspacePath) -> Option<CommitId> {
    let before = world.dir(path).exists().then(|| {
        try_git_in(
            &world.dir(path),
            &[
                "status",
                "--porcelain=v2",
                "--branch",
                "--untracked-files=all",
            ],
        )
    });
    let saved = world.git().rescue(path, "main", REF).await.unwrap();
    let after = world.dir(path).exists().then(|| {
        try_git_in(
            &world.dir(path),
            &[
                "status",
                "--porcelain=v2",
                "--branch",
                "--untracked-files=all",
            ],
        )
    });
    assert_eq!(before, after, "the worktree stays as it is");
    let left: Vec<_> = fs::read_dir(world.root().join("repo"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("optio-"))
        .collect();
    assert_eq!(
        left,
        Vec::<String>::new(),
        "nothing of ours is left in the clone"
    );
    let again = world.git().rescue(path, "main", REF).await.unwrap();
    assert_eq!(again, saved, "the same again");
    saved.map(|saved| {
        // beside it, if it holds other work already
        assert!(saved.name.starts_with(REF), "{}", saved.name);
        assert_eq!(world.on_remote(&saved.name), Some(saved.commit.clone()));
        saved.commit
    })
}

/// Whether one of the remote's rescue refs has this commit in its history.
fn holds(world: &World, commit: &CommitId) -> bool {
    let contains = format!("--contains={commit}");
    let args = ["for-each-ref", &contains, "refs/optio/rescue/"];
    !git_in(Path::new(&world.url), &args).is_empty()
}

#[tokio::test]
async fn nothing_to_save() {
    let world = World::new().await;
    let path = task("t");
    assert_eq!(rescue(&world, &path).await, None, "no worktree");
    world.fresh(&path).await;
    assert_eq!(rescue(&world, &path).await, None, "no work");
    commit(&world.dir(&path), "a", "a");
    world.git().push(&path, TASK, None).await.unwrap();
    assert_eq!(
        rescue(&world, &path).await,
        None,
        "all of it is on the remote"
    );
    assert_eq!(world.on_remote(REF), None);
}

#[tokio::test]
async fn commits_and_files_of_every_kind_are_saved() {
    let world = World::new().await;
    world.other_commits("main", ".gitignore", "cache/\n");
    world.other_commits("main", "old.txt", "old");
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    let own = commit(&dir, "a", "committed");
    write(&dir, "readme.md", "changed");
    write(&dir, "staged file", "staged");
    git_in(&dir, &["add", "staged file"]);
    write(&dir, "new folder/größe – 大.txt", "untracked");
    write(&dir, "cache/big", "built");
    fs::remove_file(dir.join("old.txt")).unwrap();
    let saved = rescue(&world, &path).await.unwrap();
    assert!(holds(&world, &own));
    let files = git_in(
        Path::new(&world.url),
        &["ls-tree", "-r", "--name-only", REF],
    );
    assert_eq!(
        files,
        ".gitignore\na\nnew folder/größe – 大.txt\nreadme.md\nstaged file"
    );
    assert_eq!(world.file_on_remote(REF, "readme.md"), "changed");
    assert_eq!(
        world.file_on_remote(REF, "new folder/größe – 大.txt"),
        "untracked"
    );
    // what was rescued need not be set aside as well
    world.ensure(&path, WorktreeMode::Reset).await;
    assert_eq!(
        git_in(
            &world.root().join("repo"),
            &["for-each-ref", "refs/optio/kept"]
        ),
        ""
    );
    assert_eq!(world.on_remote(REF), Some(saved));
}

#[tokio::test]
async fn commits_alone_are_saved_as_they_are() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    let own = commit(&dir, "a", "a");
    assert_eq!(rescue(&world, &path).await, Some(own));
}

#[tokio::test]
async fn a_detached_head_and_another_branch_are_saved_with_the_tasks_own() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    let on_branch = commit(&dir, "a", "a");
    git_in(&dir, &["checkout", "-q", "--detach", "origin/main"]);
    let detached = commit(&dir, "b", "b");
    write(&dir, "c", "c");
    rescue(&world, &path).await.unwrap();
    assert!(holds(&world, &on_branch) && holds(&world, &detached));
    git_in(&dir, &["checkout", "-q", "-b", "its-own", "origin/main"]);
    let own = commit(&dir, "d", "d");
    rescue(&world, &path).await.unwrap();
    assert!(holds(&world, &on_branch) && holds(&world, &own));
}

#[tokio::test]
async fn the_middle_of_a_rebase_is_saved() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    stop_in_rebase(&world, &dir);
    let branch = CommitId::new(git_in(&dir, &["rev-parse", TASK]));
    let at = head(&dir);
    rescue(&world, &path).await.unwrap();
    assert!(holds(&world, &branch) && holds(&world, &at));
    assert!(world.file_on_remote(REF, "clash.txt").contains("<<<<<<<"));
    assert!(looks(&dir).contains("u AA "), "the conflict is still there");
}

#[tokio::test]
async fn the_middle_of_a_merge_is_saved_with_the_other_side() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    git_in(&dir, &["checkout", "-q", "-b", "side"]);
    let side = commit(&dir, "clash.txt", "side\n");
    git_in(&dir, &["checkout", "-q", TASK]);
    let own = commit(&dir, "clash.txt", "own\n");
    assert!(!try_git_in(&dir, &["merge", "side"]).0);
    rescue(&world, &path).await.unwrap();
    assert!(holds(&world, &side) && holds(&world, &own));
}

#[tokio::test]
async fn commits_outlive_their_folder_and_files_their_registration() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    let own = commit(&dir, "a", "a");
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(rescue(&world, &path).await, Some(own));

    world.fresh(&path).await;
    write(&dir, "loose", "loose");
    fs::remove_dir_all(world.root().join("repo/worktrees/t")).unwrap();
    let saved = rescue(&world, &path).await.unwrap();
    assert_eq!(world.file_on_remote(saved.as_str(), "loose"), "loose");
    assert!(holds(&world, &world.on_remote("main").unwrap()));
}

#[tokio::test]
async fn work_that_was_pushed_and_then_taken_off_the_remote_is_saved() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    let own = commit(&dir, "a", "a");
    world.git().push(&path, TASK, None).await.unwrap();
    git_in(
        Path::new(&world.url),
        &["update-ref", "-d", &format!("refs/heads/{TASK}")],
    );
    assert_eq!(rescue(&world, &path).await, Some(own));
}

#[tokio::test]
async fn a_file_that_git_cannot_add_does_not_keep_the_rest_from_being_saved() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    git_in(&dir, &["init", "-q", "empty repository"]);
    write(&dir, "work", "work");
    world
        .git()
        .rescue(&path, "main", REF)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(world.file_on_remote(REF, "work"), "work");
}

#[tokio::test]
async fn before_a_workspace_goes_its_branches_and_what_was_set_aside_are_saved() {
    let world = World::new().await;
    let (path, dir) = (task("t"), world.dir(&task("t")));
    world.fresh(&path).await;
    write(&dir, "loose", "loose");
    world.fresh(&path).await;
    git_in(&dir, &["checkout", "-q", "-b", "its-own"]);
    let own = commit(&dir, "a", "a");
    git_in(&dir, &["checkout", "-q", TASK]);
    let git = world.git();
    let saved = git.rescue_kept("refs/optio/rescue/ws_1").await.unwrap();
    assert_eq!(saved.len(), 2);
    assert_eq!(saved[0].name, "refs/optio/rescue/ws_1/heads/its-own");
    assert_eq!(world.on_remote(&saved[0].name), Some(own));
    assert!(saved[1].name.starts_with("refs/optio/rescue/ws_1/kept/t/"));
    assert_eq!(world.file_on_remote(&saved[1].name, "loose"), "loose");
}
