//! Workspaces, files and short commands.

use super::{Job, RuntimeUnderTest, run_id, spec};
use crate::{
    conformance::refused,
    error::ErrorKind,
    failure::ExitStatus,
    runtime::{Command, ExecOptions, OutputOffset, WorkspaceHealth},
    workspace::WorkspacePath,
};

fn path(text: &str) -> WorkspacePath {
    WorkspacePath::new(text).expect("a path")
}

/// A second call finds what the first made, with what is in it.
pub async fn a_workspace_is_made_once_and_listed(subject: &RuntimeUnderTest) {
    let (runtime, spec) = (&subject.runtime, spec());
    runtime.create(&spec).await.expect("create");
    let file = path("kept.txt");
    let command = subject.command(Job::print("")).file(file.clone(), "here");
    subject.exec(spec.id, command).await;
    runtime.create(&spec).await.expect("create again");
    subject.again.create(&spec).await.expect("create elsewhere");
    let content = runtime.read_file(spec.id, &file, 100).await.expect("read");
    assert_eq!(content, "here");

    let listed = runtime.list().await.expect("list");
    let ours: Vec<_> = listed.iter().filter(|it| it.id == spec.id).collect();
    assert_eq!(ours.len(), 1);
    assert_eq!(ours[0].repo, spec.repo);
    assert_eq!(ours[0].health, WorkspaceHealth::Ready);
    assert_eq!(subject.again.list().await.expect("list"), listed);
}

/// With everything in it; removing it again is no error.
pub async fn a_removed_workspace_is_gone(subject: &RuntimeUnderTest) {
    let (runtime, spec) = (&subject.runtime, spec());
    runtime.create(&spec).await.expect("create");
    let file = path("a.txt");
    let command = subject.command(Job::print("")).file(file.clone(), "a");
    subject.exec(spec.id, command).await;
    runtime.remove(spec.id).await.expect("remove");
    assert_eq!(runtime.list().await.expect("list"), []);
    runtime.remove(spec.id).await.expect("remove again");
    runtime.create(&spec).await.expect("create anew");
    let read = runtime.read_file(spec.id, &file, 100).await;
    assert_eq!(refused(read), ErrorKind::NotFound);
}

/// They are killed first.
pub async fn removing_a_workspace_ends_its_runs(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let run = subject
        .spawn(workspace, Job::PrintAndStay("up".into()))
        .await;
    let mut output = subject.attach(workspace, run).await;
    super::read_until(&mut output, "up").await;
    subject.runtime.remove(workspace).await.expect("remove");
    let status = subject.runtime.status(workspace, run).await;
    assert_eq!(refused(status), ErrorKind::NotFound);
}

/// No command, no run, no file.
pub async fn nothing_happens_in_a_workspace_that_is_not_there(subject: &RuntimeUnderTest) {
    let (runtime, workspace) = (&subject.runtime, spec().id);
    let command = || subject.command(Job::print("a"));
    let exec = runtime.exec(workspace, command(), ExecOptions::default());
    assert_eq!(refused(exec.await), ErrorKind::NotFound);
    let spawn = runtime.spawn(workspace, run_id(), command());
    assert_eq!(refused(spawn.await), ErrorKind::NotFound);
    let read = runtime.read_file(workspace, &path("a.txt"), 100).await;
    assert_eq!(refused(read), ErrorKind::NotFound);
}

/// Byte for byte, in folders that are made for them.
pub async fn files_of_a_command_can_be_read(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let file = path("a folder/ž 'quoted'.bin");
    let content: Vec<u8> = (0..=255).collect();
    let command = subject.command(Job::print(""));
    subject
        .exec(workspace, command.file(file.clone(), content.clone()))
        .await;
    let read = subject.runtime.read_file(workspace, &file, 256).await;
    assert_eq!(read.expect("read"), content);
}

/// `Invalid` if it is larger, `NotFound` if there is none.
pub async fn a_file_is_read_up_to_a_limit(subject: &RuntimeUnderTest) {
    let (runtime, workspace) = (&subject.runtime, subject.workspace().await);
    let file = path("a.txt");
    let command = subject.command(Job::print(""));
    subject
        .exec(workspace, command.file(file.clone(), "12345"))
        .await;
    let read = runtime.read_file(workspace, &file, 5).await;
    assert_eq!(read.expect("read"), "12345");
    let read = runtime.read_file(workspace, &file, 4).await;
    assert_eq!(refused(read), ErrorKind::Invalid);
    let read = runtime.read_file(workspace, &path("b.txt"), 5).await;
    assert_eq!(refused(read), ErrorKind::NotFound);
}

/// A command that ran and failed is no error.
pub async fn a_command_gives_its_status_and_output(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let job = Job::Print {
        stdout: "out $HOME *\n".to_owned(),
        stderr: "err 'ž'\n".to_owned(),
        code: 3,
    };
    let output = subject.exec(workspace, subject.command(job)).await;
    assert_eq!(output.status, ExitStatus::Code(3));
    assert_eq!(output.stdout, "out $HOME *\n");
    assert_eq!(output.stderr, "err 'ž'\n");
}

/// As a shell has it; for a run as well.
pub async fn a_program_that_does_not_exist_is_code_127(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let command = || Command::new("optio-no-such-program");
    let output = subject.exec(workspace, command()).await;
    assert_eq!(output.status, ExitStatus::Code(127));
    let run = run_id();
    let spawned = subject.runtime.spawn(workspace, run, command()).await;
    spawned.expect("spawn");
    let told = subject.read(workspace, run).await;
    assert_eq!(told.status, Some(ExitStatus::Code(127)));
}

/// Of each stream.
pub async fn the_last_bytes_of_much_output_are_kept(subject: &RuntimeUnderTest) {
    let workspace = subject.workspace().await;
    let job = Job::Print {
        stdout: "0123456789".to_owned(),
        stderr: "abcdefghij".to_owned(),
        code: 0,
    };
    let options = ExecOptions {
        output_limit: 4,
        ..ExecOptions::default()
    };
    let output = subject
        .runtime
        .exec(workspace, subject.command(job), options)
        .await;
    let output = output.expect("exec");
    assert_eq!(output.stdout, "6789");
    assert_eq!(output.stderr, "ghij");
}

/// What is read from a run that is not there is not found either.
pub async fn a_run_that_was_never_started_is_not_found(subject: &RuntimeUnderTest) {
    let (runtime, workspace) = (&subject.runtime, subject.workspace().await);
    let (run, start) = (run_id(), OutputOffset::default());
    let attached = runtime.attach(workspace, run, start).await;
    assert_eq!(refused(attached), ErrorKind::NotFound);
    let status = runtime.status(workspace, run).await;
    assert_eq!(refused(status), ErrorKind::NotFound);
    runtime.forget(workspace, run).await.expect("forget");
}
