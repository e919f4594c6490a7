//! Workspaces as folders, and files in them.

use super::*;

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn workspaces_are_listed_from_disk_and_made_once() {
    let world = World::new(Containment::Auto).await;
    let second = WorkspaceId::generate(&SystemClock);
    let spec = spec(second);
    world.runtime.create(&spec).await.unwrap();
    fs::write(world.path("kept"), "").unwrap();
    world.runtime.create(&spec).await.unwrap();
    fs::remove_dir_all(Path::new(&world.runtime.root(second)).join("home")).unwrap();
    fs::create_dir(world.folder.path().join("work spaces é/unrelated")).unwrap();

    let list = world.another().await.list().await.unwrap();
    let ids: Vec<WorkspaceId> = list.iter().map(|workspace| workspace.id).collect();
    let mut both = [world.workspace, second];
    both.sort();
    assert_eq!(ids, both);
    for observed in list {
        let broken = matches!(observed.health, WorkspaceHealth::Broken { .. });
        assert_eq!(broken, observed.id == second);
        assert_eq!(observed.repo == spec.repo, observed.id == second);
    }
    assert!(world.path("kept").exists());

    world.runtime.create(&spec).await.unwrap(); // repairs it
    for observed in world.runtime.list().await.unwrap() {
        assert_eq!(observed.health, WorkspaceHealth::Ready);
    }
}

#[tokio::test]
async fn a_workspace_is_removed_with_its_processes_and_protected_files() {
    for containment in MODES {
        let world = World::new(containment).await;
        let seconds = unique_seconds();
        let run = world
            .spawn(sh(&format!(
                "setsid sleep {seconds} & exec sleep {seconds}"
            )))
            .await;
        world
            .exec(sh(&format!(
                "setsid -f sh -c 'touch detached; exec sleep {seconds}' >/dev/null 2>&1
                 while ! [ -e detached ]; do sleep 0.01; done"
            )))
            .await;
        until("all have started", || processes_called(&seconds).len() == 3).await;
        fs::create_dir_all(world.path("a b/ü")).unwrap();
        fs::write(world.path("a b/ü/file"), "").unwrap();
        fs::set_permissions(world.path("a b/ü"), fs::Permissions::from_mode(0o500)).unwrap();
        world.runtime.remove(world.workspace).await.unwrap();
        assert_eq!(processes_called(&seconds), NONE);
        assert!(!world.path("").exists());
        assert_eq!(world.runtime.list().await.unwrap(), []);
        let gone = world
            .runtime
            .status(world.workspace, run)
            .await
            .unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        world.runtime.remove(world.workspace).await.unwrap();
    }
}

#[tokio::test]
async fn files_of_a_command_are_private_and_forgotten_with_it() {
    let world = World::new(Containment::Auto).await;
    let command = sh("cat 'my prompts/é.md'; touch made-by-the-agent")
        .file(path("my prompts/é.md"), "do it\n")
        .stdin("read me");
    let run = world.spawn(command).await;
    assert_eq!(world.read_all(run).await.stdout, b"do it\n");
    for name in ["stdout", "stderr", "stdin", "run.json"] {
        assert_eq!(mode(world.run_path(run, name)), 0o600, "{name}");
    }
    assert_eq!(mode(world.run_path(run, "")), 0o700);
    assert_eq!(mode(world.path("my prompts/é.md")), 0o600);

    world.runtime.forget(world.workspace, run).await.unwrap();
    assert!(!world.run_path(run, "").exists());
    assert!(!world.path("my prompts/é.md").exists());
    assert!(world.path("made-by-the-agent").exists());
    let forgotten = world
        .runtime
        .status(world.workspace, run)
        .await
        .unwrap_err();
    assert_eq!(forgotten.kind(), ErrorKind::NotFound);
    world.runtime.forget(world.workspace, run).await.unwrap();
}

#[tokio::test]
async fn a_run_at_work_is_not_forgotten() {
    let world = World::new(Containment::Auto).await;
    let run = world.spawn(sh("exec sleep 300")).await;
    let refused = world
        .runtime
        .forget(world.workspace, run)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    world.kill(run, Duration::ZERO).await;
    world.runtime.forget(world.workspace, run).await.unwrap();
}

#[tokio::test]
async fn files_are_read_up_to_a_limit_and_never_outside() {
    let world = World::new(Containment::Auto).await;
    fs::write(world.path("five"), "12345").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", world.path("leads out")).unwrap();
    std::os::unix::fs::symlink("five", world.path("leads in")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), world.path("elsewhere")).unwrap();
    world.exec(Command::new("mkfifo").arg("pipe")).await;

    let mut lines = Vec::new();
    for (name, limit) in [
        ("five", 5),
        ("five", 4),
        ("leads in", 5),
        ("leads out", 1 << 20),
        ("missing", 5),
        ("home", 5),
        ("pipe", 5),
    ] {
        let read = world
            .runtime
            .read_file(world.workspace, &path(name), limit)
            .await;
        lines.push(match read {
            Ok(bytes) => format!("{name}, {limit}: {bytes:?}"),
            Err(error) => format!("{name}, {limit}: {:?}", error.kind()),
        });
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    five, 5: b"12345"
    five, 4: Invalid
    leads in, 5: b"12345"
    leads out, 1048576: Denied
    missing, 5: NotFound
    home, 5: Invalid
    pipe, 5: Invalid
    "#);

    let command = Command::new("true").file(path("elsewhere/file"), "x");
    let refused = world
        .runtime
        .exec(world.workspace, command, ExecOptions::default())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);

    // a link in the place of the file itself is replaced, not followed
    let command = Command::new("true").file(path("leads out"), "mine");
    world.exec(command).await;
    assert_eq!(fs::read_to_string(world.path("leads out")).unwrap(), "mine");
}
