//! The environment of commands: made from nothing, so that nothing of our own leaks into it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use optio_core::{Error, Result, runtime::Command};

use super::{NAME, layout::WorkspaceDir, processes::Marker};

/// All variables of a command in this workspace. Those of the command win over ours, the markers over all.
pub(super) fn variables(
    base: &BTreeMap<String, String>,
    workspace: &WorkspaceDir,
    markers: &[Marker],
    command: &Command,
) -> BTreeMap<String, OsString> {
    let mut variables: BTreeMap<String, OsString> = base
        .iter()
        .map(|(name, value)| (name.clone(), value.into()))
        .collect();
    variables.insert("HOME".into(), workspace.home().into());
    variables.insert("TMPDIR".into(), workspace.tmp().into());
    for (name, value) in &command.env {
        variables.insert(name.clone(), value.into());
    }
    for (name, value) in &command.secret_env {
        variables.insert(name.clone(), value.expose().into());
    }
    for marker in markers {
        variables.insert(marker.name().into(), marker.value().into());
    }
    variables
}

/// The program that this name stands for among these variables; none if it is a path already, or is not to be found.
///
/// The system would find it too. But a process that searches in a PATH of its own is started by copying all of ours,
/// which takes several times as long as starting a program whose place is known.
pub(super) fn find(program: &str, variables: &BTreeMap<String, OsString>) -> Option<PathBuf> {
    if program.contains('/') {
        return None;
    }
    std::env::split_paths(variables.get("PATH")?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// Refuses what no process could be given. No value is repeated in the error: it may be a secret.
///
/// # Errors
/// `Invalid`, if there is no program, a NUL somewhere, or a variable's name is not made of letters, digits and
/// underscores: a supervisor that is a shell does not pass such a variable on.
pub(super) fn check(command: &Command) -> Result<()> {
    if command.program.is_empty() {
        return Err(Error::invalid(NAME, "a command needs a program"));
    }
    if command.program.contains('\0') || command.args.iter().any(|arg| arg.contains('\0')) {
        return Err(Error::invalid(
            NAME,
            "a program or argument holds a NUL character",
        ));
    }
    let plain = command
        .env
        .iter()
        .map(|(name, value)| (name, value.as_str()));
    let secret = command
        .secret_env
        .iter()
        .map(|(name, value)| (name, value.expose()));
    for (name, value) in plain.chain(secret) {
        let mut chars = name.chars();
        let good = chars
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && chars.all(|char| char.is_ascii_alphanumeric() || char == '_');
        if !good {
            return Err(Error::invalid(
                NAME,
                format!("{name:?} cannot be the name of an environment variable"),
            ));
        }
        if value.contains('\0') {
            return Err(Error::invalid(
                NAME,
                format!("the variable {name} holds a NUL character"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_its_own_path_says() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, mode| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        make("first/tool", 0o644);
        std::fs::create_dir(folder.path().join("first/other")).unwrap();
        let tool = make("second/tool", 0o755);
        let path = std::env::join_paths([
            Path::new("relative"),
            &folder.path().join("first"),
            &folder.path().join("second"),
        ]);
        let variables = BTreeMap::from([("PATH".to_owned(), path.unwrap())]);
        assert_eq!(find("tool", &variables), Some(tool));
        assert_eq!(find("other", &variables), None, "a folder is no program");
        assert_eq!(find("./tool", &variables), None, "a path is one already");
        assert_eq!(find("tool", &BTreeMap::new()), None);
    }

    #[test]
    fn what_no_process_can_be_given_is_refused_without_repeating_it() {
        let refused = |command: Command| check(&command).map_err(|error| error.to_string());
        let lines = [
            refused(Command::new("")),
            refused(Command::new("a").arg("b\0c")),
            refused(Command::new("a").env("A=B", "secret")),
            refused(Command::new("a").env("1A", "secret")),
            refused(Command::new("a").env("A", "sec\0ret")),
            refused(Command::new("a b").arg("$(x)").env("_A1", "ü\n'")),
        ]
        .map(|result| result.err().unwrap_or_else(|| "fine".into()))
        .join("\n");
        insta::assert_snapshot!(lines, @r#"
        local: a command needs a program
        local: a program or argument holds a NUL character
        local: "A=B" cannot be the name of an environment variable
        local: "1A" cannot be the name of an environment variable
        local: the variable A holds a NUL character
        fine
        "#);
    }
}
