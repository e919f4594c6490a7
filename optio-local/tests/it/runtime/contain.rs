//! Ending runs: nothing of them is left, wherever it went.

use optio_core::runtime::Input;

use super::*;

async fn first_line(world: &World, run: RunId) -> Box<dyn Output> {
    let mut output = world.attach(run).await;
    assert_eq!(next(&mut output).await, Piece::Stdout("ready\n".into()));
    output
}

#[tokio::test]
async fn a_polite_agent_ends_by_itself_within_the_grace() {
    for mode in MODES {
        let world = World::new(mode).await;
        let run = world
            .spawn(sh(
                "trap 'echo cleaned up; exit 5' TERM; echo ready; while :; do sleep 0.01; done",
            ))
            .await;
        let output = first_line(&world, run).await;
        world.kill(run, PATIENCE).await;
        let read = read_all(output).await;
        assert_eq!(read.stdout, b"cleaned up\n");
        assert_eq!(read.status, Some(ExitStatus::Code(5)));
    }
}

#[tokio::test]
async fn an_agent_that_knows_no_better_dies_of_being_asked() {
    for mode in MODES {
        let world = World::new(mode).await;
        let run = world.spawn(sh("echo ready; exec sleep 300")).await;
        let output = first_line(&world, run).await;
        world.kill(run, PATIENCE).await;
        assert_eq!(read_all(output).await.status, Some(ExitStatus::Signal(15)));
        // again is fine, and changes nothing
        world.kill(run, Duration::ZERO).await;
        assert_eq!(
            world.status(run).await,
            RunStatus::Ended(Some(ExitStatus::Signal(15)))
        );
    }
}

#[tokio::test]
async fn one_that_does_not_listen_is_killed_after_the_grace() {
    for mode in MODES {
        let world = World::new(mode).await;
        let run = world
            .spawn(sh(
                "trap '' TERM INT HUP; echo ready; while :; do sleep 0.01; done",
            ))
            .await;
        let output = first_line(&world, run).await;
        world.kill(run, Duration::from_millis(50)).await;
        assert_eq!(processes_with(&format!("OPTIO_RUN={run}")), NONE);
        assert_eq!(read_all(output).await.status, Some(ExitStatus::Signal(9)));
    }
}

#[tokio::test]
async fn a_stopped_run_is_ended_too() {
    for mode in MODES {
        let world = World::new(mode).await;
        let run = world.spawn(sh("echo ready; kill -STOP $$")).await;
        first_line(&world, run).await;
        world.kill(run, PATIENCE).await;
        assert_eq!(processes_with(&format!("OPTIO_RUN={run}")), NONE);
    }
}

#[tokio::test]
async fn processes_that_left_the_group_and_session_die_with_the_run() {
    for mode in MODES {
        let world = World::new(mode).await;
        let seconds = unique_seconds();
        let run = world
            .spawn(sh(&format!(
                "setsid sh -c 'setsid sleep {seconds} & setsid sleep {seconds} &' &
                 (setsid -f sleep {seconds} >/dev/null 2>&1)
                 env -i setsid sleep {seconds} &
                 echo ready; exec sleep {seconds}"
            )))
            .await;
        first_line(&world, run).await;
        until("all have started", || processes_called(&seconds).len() >= 5).await;
        world.kill(run, Duration::ZERO).await;
        assert_eq!(processes_called(&seconds), NONE);
        assert_eq!(
            world.status(run).await,
            RunStatus::Ended(Some(ExitStatus::Signal(9)))
        );
    }
}

#[tokio::test]
async fn one_that_breeds_faster_than_it_is_looked_for_is_ended() {
    for mode in MODES {
        let world = World::new(mode).await;
        // each generation starts the next in a session of its own and ends at once
        let script = world.path("breed.sh");
        fs::write(&script, "sleep 0.002; setsid sh \"$0\" & exit 0\n").unwrap();
        let run = world
            .spawn(sh("sh breed.sh; echo ready; exec sleep 300"))
            .await;
        first_line(&world, run).await;
        world.kill(run, Duration::ZERO).await;
        assert_eq!(processes_with(&format!("OPTIO_RUN={run}")), NONE);
    }
}

#[tokio::test]
async fn without_the_marker_and_the_family_only_a_namespace_holds() {
    let world = World::new(Containment::Auto).await;
    if !world.runtime.uses_namespaces() {
        return; // not permitted on this machine
    }
    let seconds = unique_seconds();
    let run = world
        .spawn(sh(&format!(
            "(env -i setsid -f sleep {seconds} >/dev/null 2>&1 </dev/null); echo ready; exec sleep 300"
        )))
        .await;
    first_line(&world, run).await;
    until("it has started", || processes_called(&seconds).len() == 1).await;
    world.kill(run, Duration::ZERO).await;
    assert_eq!(processes_called(&seconds), NONE);
}

#[tokio::test]
async fn what_a_run_leaves_behind_is_gone_when_its_output_has_ended() {
    for mode in MODES {
        let world = World::new(mode).await;
        let seconds = unique_seconds();
        let run = world
            .spawn(sh(&format!("setsid sleep {seconds} & echo done; exit 4")))
            .await;
        let read = world.read_all(run).await;
        assert_eq!(
            (read.stdout.as_slice(), read.status),
            (&b"done\n"[..], Some(ExitStatus::Code(4)))
        );
        assert_eq!(processes_called(&seconds), NONE);
    }
}

#[tokio::test]
async fn silent_work_shows_as_activity() {
    for mode in MODES {
        let world = World::new(mode).await;
        let run = world.spawn(sh("echo ready; while :; do :; done")).await;
        first_line(&world, run).await;
        let activity = || async {
            match world.status(run).await {
                RunStatus::Running { activity } => activity.unwrap(),
                ended @ RunStatus::Ended(_) => panic!("{ended:?}"),
            }
        };
        let first = activity().await;
        let grown = async {
            while activity().await <= first {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, grown)
            .await
            .expect("activity grows");
        world.kill(run, Duration::ZERO).await;
    }
}

#[tokio::test]
async fn what_was_never_started_is_not_found_but_may_be_killed() {
    let world = World::new(Containment::Auto).await;
    let run = RunId::generate(&SystemClock);
    let kind = |result: Result<_, optio_core::Error>| result.map(|_: ()| ()).unwrap_err().kind();
    let start = OutputOffset::default();
    let attached = world.runtime.attach(world.workspace, run, start).await;
    assert_eq!(kind(attached.map(drop)), ErrorKind::NotFound);
    let status = world.runtime.status(world.workspace, run).await;
    assert_eq!(kind(status.map(drop)), ErrorKind::NotFound);
    let elsewhere = WorkspaceId::generate(&SystemClock);
    let spawned = world.runtime.spawn(elsewhere, run, sh("true")).await;
    assert_eq!(kind(spawned), ErrorKind::NotFound);
    world.kill(run, Duration::ZERO).await;
    world.runtime.forget(world.workspace, run).await.unwrap();
}

/// Who copied the input goes too, by being told and not by a signal: whether the command reads to the end, reads
/// nothing and ends, or is killed before anything was ended.
#[tokio::test]
async fn nothing_is_left_of_a_run_whose_input_was_open() {
    let large = "x".repeat(1 << 20);
    for mode in MODES {
        let world = World::new(mode).await;
        for script in ["cat >/dev/null", "exit 3", "echo ready; exec sleep 300"] {
            let command = sh(script).stdin(large.clone()).open_stdin();
            let run = world.spawn(command).await;
            match script {
                "cat >/dev/null" => world
                    .runtime
                    .feed(world.workspace, run, Input::End)
                    .await
                    .unwrap(),
                "exit 3" => {}
                _ => {
                    first_line(&world, run).await;
                    world.kill(run, PATIENCE).await;
                }
            }
            let ended = world.read_all(run).await.status;
            assert!(ended.is_some(), "{script}");
            let marker = format!("OPTIO_RUN={run}");
            until(script, || processes_with(&marker) == NONE).await;
        }
    }
}
