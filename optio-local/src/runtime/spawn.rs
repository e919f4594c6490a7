//! Starting a run detached, once: whoever comes second, at whatever moment the first one died, starts no second one.

use std::{collections::BTreeMap, fs::File, path::PathBuf, process::Stdio, time::Duration};

use optio_core::{
    Error, Result,
    runtime::{Command, InputEnd},
};
use process_wrap::tokio::{CommandWrap, ProcessSession};
use tokio::time::{Instant, sleep};

use super::{
    NAME,
    containment::{Method, SHELL},
    environment,
    layout::{WorkspaceDir, failed, make_dir},
    offload,
    processes::Marker,
    run_dir::{RunDir, RunRecord},
    shared,
};

/// How long a supervisor may take to say that it has begun.
const BEGIN: Duration = Duration::from_secs(20);

/// How often it is looked for: a shell starts within a few milliseconds.
const LOOK: Duration = Duration::from_millis(2);

/// All that a supervisor is started with.
struct Start {
    /// Held until the supervisor has claimed the run, so that nobody starts another one meanwhile.
    lock: File,
    dir: PathBuf,
    stdin: Stdio,
    stdout: File,
    stderr: File,
}

/// Starts a run; see [`optio_core::runtime::Runtime::spawn`].
pub(super) async fn start(
    workspace: WorkspaceDir,
    run: RunDir,
    command: Command,
    method: Method,
    base: &BTreeMap<String, String>,
) -> Result<()> {
    environment::check(&command)?;
    let markers = [Marker::workspace(workspace.id), Marker::run(run.id)];
    let variables = environment::variables(base, &workspace, &markers, &command);
    let args = method.supervised(&run.path, &command.program, &command.args);
    let place = run.clone();
    let prepared = offload(move || prepare(&workspace, &place, &command, &method)).await?;
    let Some(start) = prepared else {
        return Ok(());
    };
    let Start {
        lock,
        dir,
        stdin,
        stdout,
        stderr,
    } = start;
    let mut wrap = CommandWrap::with_new(SHELL, |shell| {
        shell
            .args(args)
            .env_clear()
            .envs(variables)
            .current_dir(dir)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr);
    });
    // dropping the handle leaves the process alone, and has it reaped when it ends
    drop(
        wrap.wrap(ProcessSession)
            .spawn()
            .map_err(failed(format_args!("start run {}", run.id)))?,
    );
    begun(&run).await?;
    drop(lock);
    Ok(())
}

/// Makes everything ready. None if the run was started before.
fn prepare(
    workspace: &WorkspaceDir,
    run: &RunDir,
    command: &Command,
    method: &Method,
) -> Result<Option<Start>> {
    workspace.check()?;
    let lock = workspace.lock()?;
    workspace.check()?; // it may have been removed while we waited
    if run.is_started() {
        return Ok(None);
    }
    make_dir(&run.path).map_err(failed(format_args!("make the folder of run {}", run.id)))?;
    run.write_record(&RunRecord {
        containment: method.contained(),
        files: command.files.keys().cloned().collect(),
    })?;
    workspace.write_files(&command.files)?;
    shared::write(workspace, &command.shared_files)?;
    let dir = workspace.working_dir(command.dir.as_ref())?;
    let stdin = if command.stdin_end == InputEnd::WhenTold {
        run.open_input(&command.stdin)?;
        Stdio::null()
    } else if command.stdin.is_empty() {
        Stdio::null()
    } else {
        run.write_stdin(&command.stdin)?;
        File::open(run.stdin())
            .map_err(failed("open the run's input"))?
            .into()
    };
    Ok(Some(Start {
        lock,
        dir,
        stdin,
        stdout: RunDir::spool(&run.stdout())?,
        stderr: RunDir::spool(&run.stderr())?,
    }))
}

/// Waits until the supervisor has claimed the run.
async fn begun(run: &RunDir) -> Result<()> {
    let deadline = Instant::now() + BEGIN;
    while run.leader().is_none() {
        if Instant::now() >= deadline {
            return Err(Error::timed_out(
                NAME,
                format!("run {} was started but does not begin", run.id),
            ));
        }
        sleep(LOOK).await;
    }
    Ok(())
}
