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
    lines.extend(
        command
            .shared_files
            .iter()
            .map(|(path, content)| format!("shared {path}: {}", String::from_utf8_lossy(content))),
    );
    lines.join("\n")
}

/// The same, with these secret variables shown: for tests in which they hold no secret.
pub(crate) fn shown_with(agent: &dyn Agent, spec: &RunSpec, variables: &[&str]) -> String {
    let command = agent.command(spec).unwrap();
    let mut text = shown(agent, spec);
    for name in variables {
        if let Some(value) = command.secret_env.get(*name) {
            text = text.replace(
                &format!("{name}=***"),
                &format!("{name}={}", value.expose()),
            );
        }
    }
    text
}

/// Why a run is refused.
pub(crate) fn refused(agent: &dyn Agent, spec: &RunSpec) -> String {
    match agent.command(spec) {
        Ok(command) => panic!("it is not: {command:?}"),
        Err(error) => error.message().to_owned(),
    }
}
