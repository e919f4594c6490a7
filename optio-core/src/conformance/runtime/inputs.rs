//! Inputs that stay open: what a run is given while it is at work.

use super::{Job, RuntimeUnderTest, read, read_until, run_id};
use crate::{
    conformance::refused,
    error::{
        ErrorKind::{Conflict, NotFound},
        Result,
    },
    failure::ExitStatus,
    id::{RunId, WorkspaceId},
    runtime::{Input, RunStatus, Runtime},
};

/// What [`Job::Echo`] reads first.
const FIRST: u64 = "first\n".len() as u64;

async fn feed(
    runtime: &dyn Runtime,
    (workspace, run): (WorkspaceId, RunId),
    (at, text): (u64, &str),
) -> Result<()> {
    let bytes = text.to_owned().into();
    runtime
        .feed(workspace, run, Input::More { at, bytes })
        .await
}

/// By whichever handle; and comes to its end when it is told to.
pub async fn a_run_reads_what_it_is_given_while_it_works(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let run = subject.spawn(workspace, Job::Echo).await;
    let whom = (workspace, run);
    let mut output = subject.attach(workspace, run).await;
    read_until(&mut output, "first").await;
    feed(&*subject.runtime, whom, (FIRST, "second\n"))
        .await
        .expect("feed");
    read_until(&mut output, "second").await;
    feed(&*subject.again, whom, (FIRST + 7, "it's \"the\" $third\n"))
        .await
        .expect("feed elsewhere");
    subject
        .again
        .feed(workspace, run, Input::End)
        .await
        .expect("end");
    let told = read(output).await;
    assert!(told.stdout.contains("third"), "{}", told.stdout);
    assert_eq!(told.status, Some(ExitStatus::Code(0)));
}

/// Also if only the beginning of it had arrived.
pub async fn what_is_given_twice_is_read_once(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let run = subject.spawn(workspace, Job::Echo).await;
    let whom = (workspace, run);
    let pieces = [
        (FIRST, "sec"),
        (FIRST, "second\n"),
        (FIRST + 7, "third\n"),
        (FIRST, "second\n"),
        (FIRST + 7, "third\n"),
        (FIRST, "second\nthird\nfourth\n"),
        (0, "first\n"),
    ];
    for piece in pieces {
        for runtime in [&subject.runtime, &subject.again] {
            feed(&**runtime, whom, piece).await.expect("feed");
        }
    }
    let end = subject.runtime.feed(workspace, run, Input::End);
    end.await.expect("end");
    let told = subject.read(workspace, run).await.stdout;
    for word in ["first", "second", "third", "fourth"] {
        assert_eq!(told.matches(word).count(), 1, "{word} in {told}");
    }
}

/// A gap, a run that does not read, one that has ended, one that nobody knows.
pub async fn what_cannot_be_read_is_refused(subject: &RuntimeUnderTest) {
    let (runtime, workspace) = (&*subject.runtime, subject.workspace().await);
    let run = subject.spawn(workspace, Job::Echo).await;
    let whom = (workspace, run);
    let gap = feed(runtime, whom, (FIRST + 1, "second\n")).await;
    assert_eq!(refused(gap), Conflict);
    for _ in 0..2 {
        runtime
            .feed(workspace, run, Input::End)
            .await
            .expect("to end it twice is no error");
    }
    let late = feed(runtime, whom, (FIRST, "second\n")).await;
    assert_eq!(refused(late), Conflict);
    let told = subject.read(workspace, run).await;
    assert!(!told.stdout.contains("second"), "{}", told.stdout);
    let late = feed(runtime, whom, (FIRST, "second\n")).await;
    assert_eq!(refused(late), Conflict);
    let deaf = Job::PrintAndStay("up".into());
    let deaf = subject.spawn(workspace, deaf).await;
    let more = feed(runtime, (workspace, deaf), (0, "second\n")).await;
    assert_eq!(refused(more), Conflict);
    let end = runtime.feed(workspace, deaf, Input::End).await;
    end.expect("to end what is not open is no error");
    subject.kill(workspace, deaf).await;
    let nobody = feed(runtime, (workspace, run_id()), (0, "second\n")).await;
    assert_eq!(refused(nobody), NotFound);
}

/// Whether it ends by itself, without having read, or is killed.
pub async fn an_open_input_keeps_no_run_from_ending(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let spawn = async |job| {
        let (run, command) = (run_id(), subject.command(job).open_stdin());
        let spawned = subject.runtime.spawn(workspace, run, command).await;
        spawned.expect("spawn");
        run
    };
    let run = spawn(Job::print("done")).await;
    let told = subject.read(workspace, run).await;
    assert_eq!(
        (told.stdout.as_str(), told.status),
        ("done", Some(ExitStatus::Code(0)))
    );
    let run = spawn(Job::PrintAndStay("up".into())).await;
    let mut output = subject.attach(workspace, run).await;
    read_until(&mut output, "up").await;
    subject.kill(workspace, run).await;
    let status = subject.status(workspace, run).await;
    assert!(matches!(status, RunStatus::Ended(_)), "{status:?}");
    let run = subject.spawn(workspace, Job::Echo).await;
    subject.kill(workspace, run).await;
    let status = subject.status(workspace, run).await;
    assert!(matches!(status, RunStatus::Ended(_)), "{status:?}");
    subject
        .runtime
        .forget(workspace, run)
        .await
        .expect("nothing of it is left");
}
