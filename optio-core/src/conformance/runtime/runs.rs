//! Runs: detached, followed from any offset, adopted, killed, forgotten.

use std::task::Poll;

use super::{GRACE, Job, RuntimeUnderTest, read, read_until, run_id};
use crate::{
    conformance::refused,
    error::ErrorKind,
    failure::ExitStatus,
    runtime::{OutputOffset, RunStatus},
    workspace::WorkspacePath,
};

/// Whole, also to who comes after the end, and as often as they like.
pub async fn the_output_and_the_end_of_a_run_are_told(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let job = Job::Print {
        stdout: "one\ntwo\nž $x `y`".to_owned(),
        stderr: "three\n".to_owned(),
        code: 7,
    };
    let run = subject.spawn(workspace, job).await;
    for _ in 0..2 {
        let told = subject.read(workspace, run).await;
        assert_eq!(told.stdout, "one\ntwo\nž $x `y`");
        assert_eq!(told.stderr, "three\n");
        assert_eq!(told.status, Some(ExitStatus::Code(7)));
    }
    let ended = RunStatus::Ended(Some(ExitStatus::Code(7)));
    assert_eq!(subject.status(workspace, run).await, ended);
}

/// Bytes at an offset never change.
pub async fn output_is_the_same_from_any_offset(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let job = Job::Print {
        stdout: "0123456789".to_owned(),
        stderr: "abcdef".to_owned(),
        code: 0,
    };
    let run = subject.spawn(workspace, job).await;
    for (stdout, stderr) in [(0, 0), (3, 1), (10, 6), (9, 0)] {
        let from = OutputOffset { stdout, stderr };
        let output = subject.runtime.attach(workspace, run, from).await;
        let told = read(output.expect("attach")).await;
        assert_eq!(told.stdout, "0123456789"[stdout as usize..]);
        assert_eq!(told.stderr, "abcdef"[stderr as usize..]);
    }
}

/// Of at most 64 KiB each, with nothing lost between them.
pub async fn much_output_comes_in_pieces(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    // short enough for one variable of an environment
    let much: String = (0..20_000).map(|n| format!("{n:05}")).collect();
    let run = subject.spawn(workspace, Job::print(much.clone())).await;
    let told = subject.read(workspace, run).await;
    assert!(told.stdout == much, "{} bytes came", told.stdout.len());
}

/// While it works on.
pub async fn a_follower_sees_what_a_run_at_work_has_written(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let run = subject
        .spawn(workspace, Job::PrintAndStay("up".into()))
        .await;
    let mut output = subject.attach(workspace, run).await;
    read_until(&mut output, "up").await;
    let status = subject.status(workspace, run).await;
    assert!(matches!(status, RunStatus::Running { .. }), "{status:?}");
    subject.kill(workspace, run).await;
    let told = read(output).await;
    assert_eq!(told.stdout, "");
}

/// `next` is cancel safe: a piece that was not returned is returned by the next call.
pub async fn giving_up_on_a_piece_loses_none(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let run = subject.spawn(workspace, Job::print("0123456789")).await;
    let mut output = subject.attach(workspace, run).await;
    let mut seen = String::new();
    for _ in 0..20 {
        let mut next = output.next();
        let polled = std::future::poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await;
        drop(next);
        if let Poll::Ready(piece) = polled
            && let crate::runtime::Piece::Stdout(bytes) = piece.expect("next")
        {
            seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        tokio::task::yield_now().await;
    }
    seen.push_str(&read(output).await.stdout);
    assert_eq!(seen, "0123456789");
}

/// A second call finds what the first made.
pub async fn a_run_is_started_once(subject: &RuntimeUnderTest) {
    let (workspace, run) = (subject.workspace().await, run_id());
    subject
        .spawn_as(workspace, run, Job::PrintAndStay("first".into()))
        .await;
    subject
        .spawn_as(workspace, run, Job::PrintAndStay("second".into()))
        .await;
    let second = subject.command(Job::PrintAndStay("third".into()));
    let spawned = subject.again.spawn(workspace, run, second).await;
    spawned.expect("spawn elsewhere");
    let mut output = subject.attach(workspace, run).await;
    let mut seen = read_until(&mut output, "first").await;
    subject.kill(workspace, run).await;
    seen.push_str(&read(output).await.stdout);
    assert!(
        !seen.contains("second") && !seen.contains("third"),
        "{seen}"
    );
}

/// Not by another call under its id.
pub async fn a_run_that_has_ended_is_not_started_again(subject: &RuntimeUnderTest) {
    let (workspace, run) = (subject.workspace().await, run_id());
    subject.spawn_as(workspace, run, Job::print("first")).await;
    let told = subject.read(workspace, run).await;
    subject.spawn_as(workspace, run, Job::print("second")).await;
    assert_eq!(subject.read(workspace, run).await, told);
}

/// It follows, asks and kills as the first one did.
pub async fn another_handle_adopts_a_run(subject: &RuntimeUnderTest) {
    let (workspace, again) = (subject.workspace().await, &subject.again);
    let run = subject
        .spawn(workspace, Job::PrintAndStay("up".into()))
        .await;
    let mut output = again
        .attach(workspace, run, OutputOffset::default())
        .await
        .expect("attach elsewhere");
    read_until(&mut output, "up").await;
    let status = again
        .status(workspace, run)
        .await
        .expect("status elsewhere");
    assert!(matches!(status, RunStatus::Running { .. }), "{status:?}");
    again
        .kill(workspace, run, GRACE)
        .await
        .expect("kill elsewhere");
    read(output).await;
    let status = subject.status(workspace, run).await;
    assert!(matches!(status, RunStatus::Ended(_)), "{status:?}");
}

/// Its followers hear of it.
pub async fn a_killed_run_has_ended(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let run = subject
        .spawn(workspace, Job::PrintAndStay("up".into()))
        .await;
    let mut output = subject.attach(workspace, run).await;
    read_until(&mut output, "up").await;
    subject.kill(workspace, run).await;
    let RunStatus::Ended(status) = subject.status(workspace, run).await else {
        panic!("it is still at work");
    };
    assert_ne!(status, Some(ExitStatus::Code(0)));
    assert_eq!(read(output).await.status, status);
}

/// It ended as it ended.
pub async fn killing_what_has_ended_changes_nothing(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let run = subject.spawn(workspace, Job::print("done")).await;
    let told = subject.read(workspace, run).await;
    subject.kill(workspace, run).await;
    assert_eq!(subject.read(workspace, run).await, told);
}

/// Neither output nor files; forgetting it again is no error.
pub async fn a_forgotten_run_leaves_nothing(subject: &RuntimeUnderTest) {
    let (runtime, workspace) = (&subject.runtime, subject.workspace().await);
    let (run, file) = (run_id(), WorkspacePath::root().child("secret.txt"));
    let command = subject
        .command(Job::print("done"))
        .file(file.clone(), "s3cret");
    runtime.spawn(workspace, run, command).await.expect("spawn");
    subject.read(workspace, run).await;
    let content = runtime.read_file(workspace, &file, 100).await;
    assert_eq!(content.expect("read"), "s3cret");
    runtime.forget(workspace, run).await.expect("forget");
    runtime.forget(workspace, run).await.expect("forget again");
    let content = runtime.read_file(workspace, &file, 100).await;
    assert_eq!(refused(content), ErrorKind::NotFound);
    let status = runtime.status(workspace, run).await;
    assert_eq!(refused(status), ErrorKind::NotFound);
}

/// A neighbour that is about to read it finds it.
pub async fn a_forgotten_run_takes_no_shared_file_along(subject: &RuntimeUnderTest) {
    let (runtime, workspace) = (&subject.runtime, subject.workspace().await);
    let file = WorkspacePath::root().child("agents").child("settings.json");
    let command = |job| subject.command(job).shared_file(file.clone(), "settings");
    let (ended, neighbour) = (run_id(), run_id());
    let job = command(Job::print("done"));
    runtime.spawn(workspace, ended, job).await.expect("spawn");
    subject.read(workspace, ended).await;
    let job = command(Job::PrintAndStay("here".to_owned()));
    let spawned = runtime.spawn(workspace, neighbour, job).await;
    spawned.expect("spawn a neighbour");
    runtime.forget(workspace, ended).await.expect("forget");
    let content = runtime.read_file(workspace, &file, 100).await;
    assert_eq!(content.expect("read"), "settings");
    subject.kill(workspace, neighbour).await;
    let forgotten = runtime.forget(workspace, neighbour).await;
    forgotten.expect("forget the neighbour");
    let content = runtime.read_file(workspace, &file, 100).await;
    assert_eq!(content.expect("read again"), "settings");
}

/// A login that a program has renewed stays, until another one is given.
pub async fn a_shared_file_keeps_what_it_became(subject: &RuntimeUnderTest) {
    let (runtime, workspace) = (&subject.runtime, subject.workspace().await);
    let file = WorkspacePath::root().child("agents").child("login.json");
    let run_with = async |login: &'static str| {
        let job = subject.command(Job::print("done"));
        let run = run_id();
        let spawned = runtime.spawn(workspace, run, job.shared_file(file.clone(), login));
        spawned.await.expect("spawn");
        subject.read(workspace, run).await;
    };
    let content = async || {
        let content = runtime.read_file(workspace, &file, 100).await;
        content.expect("read")
    };
    run_with("the first").await;
    assert_eq!(content().await, "the first");
    // any write will do for the program's own: a file of a command replaces what is there
    let renewal = subject.command(Job::print("done"));
    let run = run_id();
    let spawned = runtime.spawn(workspace, run, renewal.file(file.clone(), "renewed"));
    spawned.await.expect("spawn");
    subject.read(workspace, run).await;
    run_with("the first").await;
    assert_eq!(content().await, "renewed");
    run_with("the second").await;
    assert_eq!(content().await, "the second");
}
