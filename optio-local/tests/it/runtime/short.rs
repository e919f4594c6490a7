//! Short commands.

use super::*;

#[tokio::test]
async fn a_command_gives_its_status_and_output() {
    let world = World::new(Containment::Auto).await;
    let output = world.exec(sh("echo out; echo err >&2; exit 3")).await;
    assert_eq!(output.status, ExitStatus::Code(3));
    assert_eq!(
        (output.stdout_text(), output.stderr_text()),
        ("out".into(), "err".into())
    );
    assert_eq!(
        world.exec(sh("kill -9 $$")).await.status,
        ExitStatus::Signal(9)
    );
    let missing = world.exec(Command::new("no-such-program")).await;
    assert_eq!(missing.status, ExitStatus::Code(127));
    assert_eq!(missing.stderr_text(), "no-such-program: not found");
    let pwd = world.exec(Command::new("pwd").in_dir(path("home"))).await;
    assert_eq!(pwd.stdout_text(), world.path("home").display().to_string());
    let names = world
        .exec(sh("env | cut -d= -f1 | sort").env("MINE", "1"))
        .await;
    let names = names.stdout_text();
    let names: Vec<&str> = names
        .lines()
        .filter(|name| !matches!(*name, "PWD" | "SHLVL" | "_"))
        .collect();
    insta::assert_snapshot!(names.join(" "), @"HOME LANG MINE OPTIO_EXEC OPTIO_WORKSPACE PATH TMPDIR");
}

#[tokio::test]
async fn input_is_given_whole_and_may_be_left_unread() {
    let world = World::new(Containment::Auto).await;
    assert_eq!(world.exec(Command::new("cat")).await.stdout, "");
    let big = vec![b'x'; 300_000];
    let cat = world.exec(Command::new("cat").stdin(big.clone())).await;
    assert!(cat.stdout == big);
    let unread = world.exec(Command::new("true").stdin(big)).await;
    assert!(unread.success());
}

#[tokio::test]
async fn the_last_bytes_of_much_output_are_kept() {
    let world = World::new(Containment::Auto).await;
    let mut options = ExecOptions::timeout(PATIENCE);
    options.output_limit = 14;
    let output = world
        .runtime
        .exec(world.workspace, sh("seq 1 1000000; echo kurz >&2"), options)
        .await
        .unwrap();
    assert_eq!(output.stdout, "999999\n1000000\n".as_bytes()[1..]);
    assert_eq!(output.stderr, "kurz\n");
}

#[tokio::test]
async fn a_command_that_takes_too_long_dies_with_all_it_started() {
    let world = World::new(Containment::Auto).await;
    let seconds = unique_seconds();
    let script = format!(
        "sleep {seconds} & setsid sleep {seconds} & setsid -f sleep {seconds}; touch begun; wait"
    );
    let options = ExecOptions::timeout(Duration::from_millis(500));
    let error = world
        .runtime
        .exec(world.workspace, sh(&script), options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    insta::assert_snapshot!(error, @"local: sh took longer than 0.5 s");
    assert_eq!(processes_called(&seconds), NONE);
}

#[tokio::test]
async fn a_command_that_is_given_up_dies_with_all_it_started() {
    let world = World::new(Containment::Auto).await;
    let seconds = unique_seconds();
    let script = format!("sleep {seconds} & setsid sleep {seconds} & wait");
    {
        let exec = world.exec(sh(&script));
        let begun = until("both have begun", || processes_called(&seconds).len() == 2);
        tokio::select! {
            output = exec => panic!("it ended: {output:?}"),
            () = begun => {}
        }
    }
    until("both are gone", || processes_called(&seconds).is_empty()).await;
}

#[tokio::test]
async fn a_background_process_that_holds_the_output_open_does_not_hold_up_the_end() {
    let world = World::new(Containment::Auto).await;
    let seconds = unique_seconds();
    let output = world
        .exec(sh(&format!(
            "sleep {seconds} & setsid -f sleep {seconds}; echo done"
        )))
        .await;
    assert!(output.success());
    assert_eq!(output.stdout_text(), "done");
    assert_eq!(processes_called(&seconds), NONE);
}

#[tokio::test]
async fn a_folder_or_workspace_that_is_not_there_is_not_found() {
    let world = World::new(Containment::Auto).await;
    let missing = Command::new("true").in_dir(path("no/such folder"));
    for (workspace, command) in [
        (world.workspace, missing),
        (WorkspaceId::generate(&SystemClock), Command::new("true")),
    ] {
        let error = world
            .runtime
            .exec(workspace, command, ExecOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}
