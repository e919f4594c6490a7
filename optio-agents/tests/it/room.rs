//! A temporary git repository with a scripted agent in it, and what came of its runs.

use std::{
    fmt, fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
};

use optio_core::failure::ExitStatus as Exit;
use serde_json::Value;
use tempfile::TempDir;

const AGENT: &str = env!("CARGO_BIN_EXE_optio-scripted-agent");

/// The repository, and beside it the agent's home.
pub(crate) struct Room {
    repo: TempDir,
    home: TempDir,
}

/// A run that has ended. Shown as its exit code, stderr and stream, without what differs from run to run.
pub(crate) struct Run {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    status: ExitStatus,
}

/// A run that still goes on.
pub(crate) struct Started {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Room {
    pub(crate) fn new() -> Self {
        let room = Self {
            repo: tempfile::tempdir().unwrap(),
            home: tempfile::tempdir().unwrap(),
        };
        room.git("init --quiet --initial-branch main");
        room.write("README.md", "a repository\n");
        room.play("commit Begin");
        room
    }

    pub(crate) fn path(&self) -> &Path {
        self.repo.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap()
    }

    pub(crate) fn git(&self, args: &str) -> String {
        let mut git = self.command("git");
        git.args(["-c", "core.quotePath=false"])
            .args(args.split(' '));
        String::from_utf8(git.output().unwrap().stdout).unwrap()
    }

    /// The names of all that there is, in the repository and in the agent's home.
    pub(crate) fn everything(&self) -> Vec<String> {
        let mut find = self.command("find");
        let found = find
            .arg(self.path())
            .arg(self.home.path())
            .output()
            .unwrap()
            .stdout;
        String::from_utf8(found)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Runs the agent with a script in its prompt.
    pub(crate) fn play(&self, script: &str) -> Run {
        self.agent(script, &[])
    }

    pub(crate) fn agent(&self, script: &str, args: &[&str]) -> Run {
        self.prompt(&format!("Do this:\n```optio-script\n{script}\n```\n"), args)
    }

    pub(crate) fn prompt(&self, prompt: &str, args: &[&str]) -> Run {
        let mut child = self.spawn(args);
        let _unread = child.stdin.take().unwrap().write_all(prompt.as_bytes()); // it may read another prompt
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().unwrap();
        Run {
            stdout,
            stderr: String::from_utf8(stderr).unwrap(),
            status,
        }
    }

    /// Starts the agent and does not wait for its end.
    pub(crate) fn start(&self, script: &str) -> Started {
        let mut child = self.spawn(&[]);
        let prompt = format!("```optio-script\n{script}\n```");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(prompt.as_bytes())
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Started { child, stdout }
    }

    pub(crate) fn is_alive(&self, process: &str) -> bool {
        self.command("kill")
            .args(["-0", process])
            .status()
            .unwrap()
            .success()
    }

    pub(crate) fn kill(&self, process: &str) {
        assert!(
            self.command("kill")
                .arg(process)
                .status()
                .unwrap()
                .success()
        );
    }

    fn spawn(&self, args: &[&str]) -> Child {
        let mut agent = self.command(AGENT);
        agent
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// A command in the repository that sees nothing of the machine's own git settings and language.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env("HOME", self.home.path())
            .env_remove("OPTIO_SCRIPTED_HOME");
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("XDG_CONFIG_HOME");
        for name in [
            "GIT_AUTHOR_NAME",
            "GIT_AUTHOR_EMAIL",
            "GIT_COMMITTER_NAME",
            "GIT_COMMITTER_EMAIL",
        ] {
            command.env_remove(name);
        }
        command
    }
}

impl Run {
    /// Its exit status, as the port knows it.
    pub(crate) fn exit(&self) -> Exit {
        let signal = || Exit::Signal(self.status.signal().unwrap());
        self.status.code().map_or_else(signal, Exit::Code)
    }

    pub(crate) fn code(&self) -> String {
        self.status.code().map_or_else(
            || self.status.to_string(),
            |code| format!("exit code {code}"),
        )
    }

    /// The lines of the stream, with what differs from run to run made equal.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.stdout.clone()).unwrap();
        let mut lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for line in &mut lines {
            let generated = line
                .get("session_id")
                .and_then(Value::as_str)
                .is_some_and(|id| id.len() == 36);
            if generated {
                line["session_id"] = "generated".into();
            }
        }
        lines
    }

    /// Just what the agent said.
    pub(crate) fn said(&self) -> String {
        let texts = self
            .lines()
            .into_iter()
            .filter_map(|line| Some(line.get("text")?.as_str()?.to_owned()));
        texts.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.code())?;
        for line in self.stderr.lines() {
            writeln!(f, "stderr: {line}")?;
        }
        for line in self.lines() {
            writeln!(f, "{}", commit_hashes_gone(&line.to_string()))?;
        }
        Ok(())
    }
}

/// `[main 1a2b3c4]` of git's output, without the commit.
fn commit_hashes_gone(line: &str) -> String {
    let Some((before, rest)) = line.split_once("[main ") else {
        return line.to_owned();
    };
    let Some((_, after)) = rest.split_once(']') else {
        return line.to_owned();
    };
    format!("{before}[main …]{after}")
}

impl Started {
    /// Reads on to the next line of this type.
    pub(crate) fn next_line(&mut self, kind: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(
                self.stdout.read_line(&mut line).unwrap() > 0,
                "the stream ended before a line of type {kind}"
            );
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["type"] == kind {
                return line;
            }
        }
    }

    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// All that is left of the stream.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest
    }
}
