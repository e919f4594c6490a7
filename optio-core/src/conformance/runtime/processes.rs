//! What only real processes can prove. A runtime that plays them is excused.

use std::time::Duration;

use super::{RuntimeUnderTest, read_until, run_id, sh};
use crate::{
    conformance::{refused, soon},
    error::ErrorKind,
    id::WorkspaceId,
    runtime::{Command, ExecOptions},
    secret::Secret,
    workspace::WorkspacePath,
};

/// Text that a shell would take apart.
const HARD: &str = "a b\t$HOME `id` $(id) * ; & | > < \\ \" ' \n\n ž -n --";

/// A process that leaves everything behind which could end it, and shows that it is alive for as long as it is.
const STRAY: &str =
    "setsid sh -c 'while :; do echo >> beats; sleep 0.02; done' > /dev/null 2>&1 < /dev/null &";

fn beats() -> WorkspacePath {
    WorkspacePath::root().child("beats")
}

async fn count_beats(subject: &RuntimeUnderTest, workspace: WorkspaceId) -> usize {
    let read = subject
        .runtime
        .read_file(workspace, &beats(), 1 << 20)
        .await;
    read.map_or(0, |bytes| bytes.len())
}

/// Waits until the stray process is alive.
async fn beating(subject: &RuntimeUnderTest, workspace: WorkspaceId) {
    let alive = async {
        while count_beats(subject, workspace).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("a beat", alive).await;
}

/// Proves that nothing beats any more.
async fn silent(subject: &RuntimeUnderTest, workspace: WorkspaceId) {
    let before = count_beats(subject, workspace).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        count_beats(subject, workspace).await,
        before,
        "something is alive"
    );
}

/// `TimedOut`, with all that it started.
pub async fn a_command_that_takes_too_long_is_killed(subject: &RuntimeUnderTest) {
    if !subject.has_shell() {
        return;
    }
    let workspace = subject.workspace().await;
    let command = sh("while :; do echo >> beats; sleep 0.02; done");
    let options = ExecOptions::timeout(Duration::from_millis(400));
    let done = subject.runtime.exec(workspace, command, options);
    let done = soon("the end of its time", done).await;
    assert_eq!(refused(done), ErrorKind::TimedOut);
    silent(subject, workspace).await;
}

/// Dropping the future of `exec` kills the command.
pub async fn a_command_that_is_given_up_is_killed(subject: &RuntimeUnderTest) {
    if !subject.has_shell() {
        return;
    }
    let workspace = subject.workspace().await;
    let command = sh("while :; do echo >> beats; sleep 0.02; done");
    let options = ExecOptions::default();
    tokio::select! {
        done = subject.runtime.exec(workspace, command, options) => panic!("it ended: {done:?}"),
        () = beating(subject, workspace) => {}
    }
    let killed = async {
        loop {
            let before = count_beats(subject, workspace).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            if count_beats(subject, workspace).await == before {
                break;
            }
        }
    };
    soon("the end of a command that was given up", killed).await;
}

/// Those that left its process group and session included.
pub async fn no_process_of_a_killed_run_is_alive(subject: &RuntimeUnderTest) {
    if !subject.has_shell() {
        return;
    }
    let (workspace, run) = (subject.workspace().await, run_id());
    let script = format!("trap '' TERM; {STRAY} echo up; while :; do sleep 600; done");
    let spawned = subject.runtime.spawn(workspace, run, sh(&script)).await;
    spawned.expect("spawn");
    let mut output = subject.attach(workspace, run).await;
    read_until(&mut output, "up").await;
    beating(subject, workspace).await;
    subject.kill(workspace, run).await;
    silent(subject, workspace).await;
}

/// An open pipe is never left to it; nor is it an error to leave it unread.
pub async fn input_is_given_whole_and_closed(subject: &RuntimeUnderTest) {
    if !subject.has_shell() {
        return;
    }
    let workspace = subject.workspace().await;
    let count = || Command::new("wc").arg("-c");
    for size in [0, 1 << 20] {
        let output = subject
            .exec(workspace, count().stdin(vec![b'x'; size]))
            .await;
        assert_eq!(output.stdout_text().trim(), size.to_string());
        let run = run_id();
        let command = count().stdin(vec![b'x'; size]);
        subject
            .runtime
            .spawn(workspace, run, command)
            .await
            .expect("spawn");
        let told = subject.read(workspace, run).await;
        assert_eq!(told.stdout.trim(), size.to_string());
    }
    let output = subject
        .exec(workspace, Command::new("true").stdin(vec![b'x'; 1 << 20]))
        .await;
    assert!(output.success());
}

/// Nothing is pasted into a shell line.
pub async fn arguments_and_variables_are_data(subject: &RuntimeUnderTest) {
    if !subject.has_shell() {
        return;
    }
    let workspace = subject.workspace().await;
    let mut command = sh(r#"printf '%s|' "$0" "$@" "$PLAIN" "$SECRET""#)
        .args([HARD, "", "$(x)"])
        .env("PLAIN", HARD);
    command
        .secret_env
        .insert("SECRET".to_owned(), Secret::new(HARD));
    let expected = format!("{HARD}||$(x)|{HARD}|{HARD}|");
    let output = subject.exec(workspace, command.clone()).await;
    assert_eq!(output.stdout, expected);
    let run = run_id();
    subject
        .runtime
        .spawn(workspace, run, command)
        .await
        .expect("spawn");
    assert_eq!(subject.read(workspace, run).await.stdout, expected);
}

/// HOME is the workspace's own; what a test's environment is full of is not there.
pub async fn nothing_of_our_environment_leaks_in(subject: &RuntimeUnderTest) {
    if !subject.has_shell() {
        return;
    }
    let workspace = subject.workspace().await;
    let seen = subject
        .exec(workspace, Command::new("env"))
        .await
        .stdout_text();
    assert!(
        !seen.lines().any(|line| line.starts_with("CARGO")),
        "{seen}"
    );
    let home = subject.exec(
        workspace,
        sh("cd && pwd -P && cd \"$ROOT\" && pwd -P").env("ROOT", subject.runtime.root(workspace)),
    );
    let home = home.await.stdout_text();
    let (home, root) = home.split_once('\n').expect("two lines");
    assert!(home.starts_with(root), "{home} is not in {root}");
}

/// A path in the workspace is seen from its root.
pub async fn a_command_runs_in_its_folder(subject: &RuntimeUnderTest) {
    if !subject.has_shell() {
        return;
    }
    let workspace = subject.workspace().await;
    let folder = WorkspacePath::root().child("a folder");
    let made = subject
        .exec(workspace, Command::new("mkdir").arg(folder.as_str()))
        .await;
    assert!(made.success(), "{made:?}");
    let command = sh("echo here > file").in_dir(folder.clone());
    assert!(subject.exec(workspace, command).await.success());
    let absolute = format!("{}/a folder/file", subject.runtime.root(workspace));
    let output = subject
        .exec(workspace, Command::new("cat").arg(absolute))
        .await;
    assert_eq!(output.stdout, "here\n");
}

/// Mode 0600, before the command starts.
pub async fn files_of_a_command_are_private(subject: &RuntimeUnderTest) {
    if !subject.has_shell() {
        return;
    }
    let workspace = subject.workspace().await;
    let file = WorkspacePath::root().child("files").child("secret");
    let command = Command::new("ls").args(["-l", file.as_str()]);
    let output = subject.exec(workspace, command.file(file, "s3cret")).await;
    assert!(output.stdout_text().starts_with("-rw-------"), "{output:?}");
}
