//! Commands of adapters, to be read.

use optio_core::{
    agent::{Agent, Places, RunSpec},
    id::{RunId, TaskId},
    run::RunKind,
    workspace::WorkspacePath,
};
use uuid::Uuid;

/// A run in the workspace at `/ws`.
pub(crate) fn spec(kind: RunKind) -> RunSpec {
    let place = |path| WorkspacePath::new(path).unwrap();
    let places = Places {
        root: "/ws".to_owned(),
        worktree: place("trees/a"),
        files: place("files/a"),
    };
    let (task, run) = (
        TaskId::from_uuid(Uuid::nil()),
        RunId::from_uuid(Uuid::from_u128(7)),
    );
    RunSpec::new(task, run, kind, "fix it".to_owned(), places)
}

/// The command of a run: environment, folder and arguments, input, files.
pub(crate) fn shown(agent: &dyn Agent, spec: &RunSpec) -> String {
    let command = agent.command(spec).unwrap();
    let mut lines: Vec<_> = command
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    lines.extend(command.secret_env.keys().map(|name| format!("{name}=***")));
    let dir = command.dir.map(|dir| dir.to_string()).unwrap_or_default();
    lines.push(format!(
        "{dir}$ {} {} < {:?}",
        command.program,
        command.args.join(" "),
        command.stdin
    ));
    lines.extend(
        command
            .files
            .iter()
            .map(|(path, content)| format!("{path}: {}", String::from_utf8_lossy(content))),
    );
    lines.join("\n")
}
