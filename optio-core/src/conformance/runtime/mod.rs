//! The contract of [`Runtime`].
//!
//! A runtime that starts real processes runs every clause, with `/bin/sh` and everyday programs. One that only plays them
//! says [how](RuntimeUnderTest::scripted) it plays a [`Job`], and is excused from what needs a shell.

mod inputs;
mod processes;
mod runs;
mod workspaces;

use std::{any::Any, fmt, sync::Arc, time::Duration};

pub use self::{inputs::*, processes::*, runs::*, workspaces::*};
use super::soon;
use crate::{
    clock::SystemClock,
    failure::ExitStatus,
    id::{RepoId, RunId, WorkspaceId},
    runtime::{
        Command, ExecOptions, ExecOutput, Output, OutputOffset, Piece, RunStatus, Runtime,
        WorkspaceSpec,
    },
};

/// One test per clause of the [`Runtime`] contract; see [`conformance`](crate::conformance). The expression gives a
/// [`RuntimeUnderTest`].
#[macro_export]
macro_rules! runtime_conformance {
    (#[$test:meta] $make:expr) => {
        $crate::runtime_conformance! { @ #[$test] $make, [
            a_workspace_is_made_once_and_listed
            a_removed_workspace_is_gone
            removing_a_workspace_ends_its_runs
            nothing_happens_in_a_workspace_that_is_not_there
            files_of_a_command_can_be_read
            a_file_is_read_up_to_a_limit
            a_command_gives_its_status_and_output
            a_program_that_does_not_exist_is_code_127
            the_last_bytes_of_much_output_are_kept

            the_output_and_the_end_of_a_run_are_told
            output_is_the_same_from_any_offset
            much_output_comes_in_pieces
            a_follower_sees_what_a_run_at_work_has_written
            giving_up_on_a_piece_loses_none
            a_run_is_started_once
            a_run_that_has_ended_is_not_started_again
            another_handle_adopts_a_run
            a_run_that_was_never_started_is_not_found
            a_killed_run_has_ended
            killing_what_has_ended_changes_nothing
            a_forgotten_run_leaves_nothing
            a_forgotten_run_takes_no_shared_file_along
            a_shared_file_keeps_what_it_became

            a_run_reads_what_it_is_given_while_it_works
            what_is_given_twice_is_read_once
            what_cannot_be_read_is_refused
            an_open_input_keeps_no_run_from_ending

            a_command_that_takes_too_long_is_killed
            a_command_that_is_given_up_is_killed
            no_process_of_a_killed_run_is_alive
            input_is_given_whole_and_closed
            arguments_and_variables_are_data
            nothing_of_our_environment_leaks_in
            a_command_runs_in_its_folder
            files_of_a_command_are_private
        ] }
    };
    ($make:expr) => {
        $crate::runtime_conformance! { #[tokio::test] $make }
    };
    (@ #[$test:meta] $make:expr, [$($clause:ident)+]) => {
        $(
            #[$test]
            async fn $clause() {
                let subject: $crate::conformance::runtime::RuntimeUnderTest = $make;
                $crate::conformance::runtime::$clause(&subject).await;
            }
        )+
    };
}

/// Something for a run or a command to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Prints these and ends with this code.
    Print {
        /// To standard output.
        stdout: String,
        /// To error output.
        stderr: String,
        /// The code.
        code: i32,
    },
    /// Prints this as a line of standard output, other lines before it perhaps, and goes on until it is killed.
    PrintAndStay(String),
    /// Prints every line that it reads, the first of which is `first`, other lines between them perhaps, and ends with
    /// code 0 when its input does. That stays open.
    Echo,
}

impl Job {
    fn print(stdout: impl Into<String>) -> Self {
        Self::Print {
            stdout: stdout.into(),
            stderr: String::new(),
            code: 0,
        }
    }

    /// The job as a command of a shell. What is printed comes in through the environment.
    fn shell(self) -> Command {
        match self {
            Self::Print {
                stdout,
                stderr,
                code,
            } => sh(r#"printf %s "$OUT"; printf %s "$ERR" >&2; exit "$CODE""#)
                .env("OUT", stdout)
                .env("ERR", stderr)
                .env("CODE", code.to_string()),
            Self::Echo => sh(r#"while IFS= read -r line; do printf '%s\n' "$line"; done"#)
                .stdin("first\n")
                .open_stdin(),
            Self::PrintAndStay(line) => {
                sh(r#"printf '%s\n' "$OUT"; exec sleep 600"#).env("OUT", line)
            }
        }
    }
}

type Script = Arc<dyn Fn(Job) -> Command + Send + Sync>;

/// A runtime under test: fresh, without workspaces.
pub struct RuntimeUnderTest {
    runtime: Arc<dyn Runtime>,
    again: Arc<dyn Runtime>,
    script: Option<Script>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for RuntimeUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeUnderTest")
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}

impl RuntimeUnderTest {
    /// A runtime that starts real processes, and a second handle on the same workspaces, made as after a restart.
    #[must_use]
    pub fn new(runtime: impl Runtime, again: impl Runtime) -> Self {
        Self {
            runtime: Arc::new(runtime),
            again: Arc::new(again),
            script: None,
            kept: Vec::new(),
        }
    }

    /// The same for a runtime that only plays processes, and does these jobs by these commands.
    #[must_use]
    pub fn scripted(mut self, script: impl Fn(Job) -> Command + Send + Sync + 'static) -> Self {
        self.script = Some(Arc::new(script));
        self
    }

    /// The same, with something that is dropped after it: a temporary folder, say.
    #[must_use]
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(kept));
        self
    }

    fn command(&self, job: Job) -> Command {
        match &self.script {
            Some(script) => script(job),
            None => job.shell(),
        }
    }

    fn has_shell(&self) -> bool {
        self.script.is_none()
    }

    async fn workspace(&self) -> WorkspaceId {
        let spec = spec();
        self.runtime.create(&spec).await.expect("create");
        spec.id
    }

    async fn exec(&self, workspace: WorkspaceId, command: Command) -> ExecOutput {
        let options = ExecOptions::default();
        let done = self.runtime.exec(workspace, command, options);
        soon("the end of a command", done).await.expect("exec")
    }

    async fn spawn(&self, workspace: WorkspaceId, job: Job) -> RunId {
        let run = run_id();
        self.spawn_as(workspace, run, job).await;
        run
    }

    async fn spawn_as(&self, workspace: WorkspaceId, run: RunId, job: Job) {
        let spawned = self.runtime.spawn(workspace, run, self.command(job));
        spawned.await.expect("spawn");
    }

    async fn attach(&self, workspace: WorkspaceId, run: RunId) -> Box<dyn Output> {
        let start = OutputOffset::default();
        let output = self.runtime.attach(workspace, run, start).await;
        output.expect("attach")
    }

    /// Reads a run to its end.
    async fn read(&self, workspace: WorkspaceId, run: RunId) -> Told {
        read(self.attach(workspace, run).await).await
    }

    async fn status(&self, workspace: WorkspaceId, run: RunId) -> RunStatus {
        let status = self.runtime.status(workspace, run).await;
        status.expect("status")
    }

    async fn kill(&self, workspace: WorkspaceId, run: RunId) {
        let killed = self.runtime.kill(workspace, run, GRACE);
        soon("the end of a killed run", killed).await.expect("kill");
    }
}

/// How long a run that is killed has to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// All that a run's output told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Told {
    stdout: String,
    stderr: String,
    status: Option<ExitStatus>,
}

/// Reads to the end, which is told again when asked again.
async fn read(mut output: Box<dyn Output>) -> Told {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let status = loop {
        match next(&mut output).await {
            Piece::Stdout(bytes) => stdout.extend(bytes),
            Piece::Stderr(bytes) => stderr.extend(bytes),
            Piece::Ended(status) => break status,
        }
    };
    assert_eq!(next(&mut output).await, Piece::Ended(status));
    Told {
        stdout: String::from_utf8(stdout).expect("text"),
        stderr: String::from_utf8(stderr).expect("text"),
        status,
    }
}

async fn next(output: &mut Box<dyn Output>) -> Piece {
    let piece = soon("a piece of output", output.next()).await;
    let piece = piece.expect("next");
    if let Piece::Stdout(bytes) | Piece::Stderr(bytes) = &piece {
        assert!(
            !bytes.is_empty() && bytes.len() <= 64 * 1024,
            "{}",
            bytes.len()
        );
    }
    piece
}

/// Reads until this text was written.
async fn read_until(output: &mut Box<dyn Output>, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        match next(output).await {
            Piece::Stdout(bytes) => seen.push_str(&String::from_utf8_lossy(&bytes)),
            Piece::Stderr(_) => {}
            Piece::Ended(status) => panic!("it ended with {status:?} after {seen:?}"),
        }
    }
    seen
}

fn spec() -> WorkspaceSpec {
    WorkspaceSpec {
        id: WorkspaceId::generate(&SystemClock),
        repo: RepoId::generate(&SystemClock),
        name: "it's a/name".to_owned(),
    }
}

fn run_id() -> RunId {
    RunId::generate(&SystemClock)
}

fn sh(script: &str) -> Command {
    Command::new("/bin/sh").args(["-c", script])
}
