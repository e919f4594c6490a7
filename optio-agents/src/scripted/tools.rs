//! The agent's tools: what it does to files, to git and to processes. Each gives its output, or why it failed.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use optio_core::pull_request::ReviewReport;

use super::session;

type Done = Result<String, String>;

/// Who commits, unless the environment names someone.
const IDENTITY: [&str; 4] = [
    "-c",
    "user.name=Optio Scripted Agent",
    "-c",
    "user.email=scripted-agent@optio.invalid",
];

pub(super) fn edit(folder: &Path, path: &str, content: &str) -> Done {
    let target = target(folder, path)?;
    make_parent(&target)
        .and_then(|()| fs::write(&target, content))
        .map_err(|error| format!("{path}: {error}"))?;
    Ok(format!("wrote {} bytes to {path}", content.len()))
}

pub(super) fn append(folder: &Path, path: &str, content: &str) -> Done {
    let target = target(folder, path)?;
    let write = || {
        make_parent(&target)?;
        fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&target)?
            .write_all(content.as_bytes())
    };
    write().map_err(|error| format!("{path}: {error}"))?;
    Ok(format!("appended {} bytes to {path}", content.len()))
}

pub(super) fn delete(folder: &Path, path: &str) -> Done {
    fs::remove_file(target(folder, path)?).map_err(|error| format!("{path}: {error}"))?;
    Ok(format!("removed {path}"))
}

/// Runs a line of shell to its end; stdout and stderr together are the output.
pub(super) fn shell(folder: &Path, line: &str) -> Done {
    output(Command::new("sh").arg("-c").arg(line).current_dir(folder))
}

/// Commits all changes. Git has the last word: that there is nothing to commit is a failure.
pub(super) fn commit(folder: &Path, message: &str) -> Done {
    let git = |args: &[&str]| {
        output(
            Command::new("git")
                .args(IDENTITY)
                .args(args)
                .current_dir(folder),
        )
    };
    git(&["add", "--all"])?;
    git(&["-c", "commit.gpgSign=false", "commit", "--message", message])
}

pub(super) fn verdict(file: Option<&Path>, report: &ReviewReport) -> Done {
    let file = file.ok_or("there is no file for the verdict; give one with --verdict-file")?;
    let json = serde_json::to_vec(report).map_err(|error| error.to_string())?;
    session::replace(file, &json).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok("the verdict is written".to_owned())
}

/// Starts a line of shell in a session of its own, where signals to the agent's process group do not reach it, and
/// comes back once it is there.
pub(super) fn spawn_stray(folder: &Path, line: &str) -> Done {
    // the shell tells its process id from inside the new session, so nobody can find the stray on its way there
    let inside = r#"echo $$; exec sh -c "$1" > /dev/null"#;
    let mut stray = Command::new("setsid")
        .args(["sh", "-c", inside, "sh", line])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("setsid: {error}"))?;
    let mut id = String::new();
    if let Some(stdout) = stray.stdout.take() {
        BufReader::new(stdout)
            .read_line(&mut id)
            .map_err(|error| error.to_string())?;
    }
    if id.trim().is_empty() {
        Err("the stray did not start".to_owned())
    } else {
        Ok(format!("started {}", id.trim()))
    }
}

/// Dies by SIGKILL, as for want of memory.
pub(super) fn crash() -> ! {
    let kill = [
        "-c",
        r#"kill -KILL "$1""#,
        "sh",
        &std::process::id().to_string(),
    ];
    // the first process of a namespace does not die of its own SIGKILL, and nothing is left to do if there is no shell
    let _unkilled = Command::new("sh").args(kill).status();
    std::process::abort()
}

/// Writes to stderr. If nobody reads it, there is nobody to tell.
pub(super) fn complain(message: &str) {
    let _unread = writeln!(io::stderr().lock(), "{message}");
}

/// Where `path` truly leads, which must be below `folder`.
fn target(folder: &Path, path: &str) -> Result<PathBuf, String> {
    let target = folder.join(path);
    let there = target
        .ancestors()
        .find(|path| path.symlink_metadata().is_ok())
        .unwrap_or(folder);
    let real = there
        .canonicalize()
        .map_err(|error| format!("{path}: {error}"))?;
    let root = folder
        .canonicalize()
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    if real.starts_with(root) {
        Ok(target)
    } else {
        Err(format!("{path}: leads out of the working directory"))
    }
}

fn make_parent(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), fs::create_dir_all)
}

fn output(command: &mut Command) -> Done {
    let mut run = || -> io::Result<(ExitStatus, String)> {
        let (mut both, stdout) = io::pipe()?;
        command
            .stdin(Stdio::null())
            .stderr(stdout.try_clone()?)
            .stdout(stdout);
        let mut child = command.spawn()?;
        command.stdout(Stdio::null()).stderr(Stdio::null()); // closes our ends, or the reading would never end
        let mut bytes = Vec::new();
        both.read_to_end(&mut bytes)?;
        Ok((child.wait()?, String::from_utf8_lossy(&bytes).into_owned()))
    };
    match run() {
        Ok((status, output)) if status.success() => Ok(output),
        Ok((status, output)) => Err(format!("{output}{status}")),
        Err(error) => Err(format!("{}: {error}", command.get_program().display())),
    }
}
