//! Commands in, answers out. Each is matched with all of its options: one that this world was not made for is refused.

use super::{
    Push, World,
    clone::{GitDir, join},
    disk::{Disk, path_in},
    object::Objects,
    transport::{self, Order},
};
use crate::{
    failure::ExitStatus,
    id::WorkspaceId,
    pull_request::CommitId,
    runtime::{Command, ExecOutput},
    workspace::WorkspacePath,
};

/// What a command printed, or how and with what words it failed.
pub(super) type Answer = Result<String, Refusal>;

/// A command that failed.
#[derive(Debug)]
pub(super) struct Refusal {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Refusal {
    /// Without a word.
    pub(super) fn silent(code: i32) -> Self {
        Self {
            code,
            stdout: String::new(),
            stderr: String::new(),
        }
    }

    /// As git dies of something.
    pub(super) fn fatal(message: impl std::fmt::Display) -> Self {
        Self {
            stderr: format!("fatal: {message}\n"),
            ..Self::silent(128)
        }
    }

    /// With code 1 and the report of what was refused.
    pub(super) fn reported(stdout: String, stderr: String) -> Self {
        Self {
            code: 1,
            stdout,
            stderr,
        }
    }
}

/// A git command, taken apart.
pub(super) struct Call<'w> {
    pub(super) objects: &'w mut Objects,
    pub(super) disk: &'w mut Disk,
    workspace: WorkspaceId,
    dir: WorkspacePath,
    git_dir: Option<GitDir>,
    work_tree: Option<String>,
    index: Option<String>,
    input: String,
}

/// Answers a command; none if its program is none of this world's.
pub(super) fn exec(
    world: &mut World,
    workspace: WorkspaceId,
    command: &Command,
    pushes: &mut Vec<Push>,
) -> Option<ExecOutput> {
    let answer = if command.program == "git" {
        git(world, workspace, command, pushes)
    } else {
        let disk = world.disks.entry(workspace).or_default();
        super::plain::run(disk, workspace, command)?
    };
    let answer = answer.unwrap_or_else(|| {
        let line = spelt(command);
        world.unknown.push(line.clone());
        Err(Refusal::fatal(format!("fake git does not know: {line}")))
    });
    let (code, stdout, stderr) = match answer {
        Ok(stdout) => (0, stdout, String::new()),
        Err(refusal) => (refusal.code, refusal.stdout, refusal.stderr),
    };
    Some(ExecOutput {
        status: ExitStatus::Code(code),
        stdout: stdout.into(),
        stderr: stderr.into(),
    })
}

/// A command without what is the same in all of them.
fn spelt(command: &Command) -> String {
    let mut words = vec![command.program.as_str()];
    let mut args = command.args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        if arg == "-c" {
            args.next();
        } else if !arg.starts_with("--git-dir=") && !arg.starts_with("--work-tree=") {
            words.push(arg);
        }
    }
    words.join(" ")
}

/// Answers git; none to what it does not know.
fn git(
    world: &mut World,
    workspace: WorkspaceId,
    command: &Command,
    pushes: &mut Vec<Push>,
) -> Option<Answer> {
    let World {
        objects,
        remotes,
        disks,
        ..
    } = world;
    let dir = command.dir.clone().unwrap_or_else(WorkspacePath::root);
    let inside = |path: &str| path_in(workspace, &dir, path).map(|path| path.as_str().to_owned());
    let index = command.env.get("GIT_INDEX_FILE");
    let mut call = Call {
        objects,
        disk: disks.entry(workspace).or_default(),
        workspace,
        git_dir: None,
        work_tree: None,
        index: index.and_then(|path| inside(path)),
        input: String::from_utf8_lossy(&command.stdin).into_owned(),
        dir: dir.clone(),
    };
    let mut args: &[String] = &command.args;
    let args: Vec<&str> = loop {
        match args {
            [option, _, rest @ ..] if option == "-c" => args = rest,
            [first, rest @ ..] => {
                if let Some(path) = first.strip_prefix("--git-dir=") {
                    call.git_dir = inside(path).map(GitDir);
                } else if let Some(path) = first.strip_prefix("--work-tree=") {
                    call.work_tree = inside(path);
                } else {
                    break args.iter().map(String::as_str).collect();
                }
                args = rest;
            }
            [] => return None,
        }
    };
    if call.git_dir.is_none() {
        call.git_dir = GitDir::of_worktree(call.disk, dir.as_str());
        call.work_tree = Some(dir.as_str().to_owned());
    }
    match args.as_slice() {
        ["ls-remote", url, names @ ..] => Some(transport::ls_remote(remotes, url, names)),
        [
            "fetch",
            "--no-tags",
            "--no-write-fetch-head",
            "--force",
            url,
            specs @ ..,
        ]
        | [
            "fetch",
            "--no-tags",
            "--no-write-fetch-head",
            url,
            specs @ ..,
        ] => transport::fetch(remotes, &mut call, url, specs),
        ["push", "--porcelain", "--no-verify", lease, url, spec] => {
            let lease = Some(lease.strip_prefix("--force-with-lease=")?);
            transport::push(remotes, &mut call, &Order { url, spec, lease }, pushes)
        }
        ["push", "--quiet", "--no-verify", url, spec] => {
            let lease = None;
            transport::push(remotes, &mut call, &Order { url, spec, lease }, pushes)
        }
        local => call.local(local),
    }
}

impl Call<'_> {
    /// The git folder; git dies without one.
    pub(super) fn git_dir(&self) -> Result<GitDir, Refusal> {
        let found = self
            .git_dir
            .clone()
            .filter(|dir| self.disk.is_folder(&dir.0));
        found.ok_or_else(|| Refusal::fatal(format_args!("not a git repository: {}", self.dir)))
    }

    /// The commit of a name, as `git rev-parse` understands it.
    pub(super) fn resolve(&self, name: &str) -> Result<CommitId, Refusal> {
        let name = name.strip_suffix("^{commit}").unwrap_or(name);
        let found = self.git_dir()?.resolve(self.disk, self.objects, name);
        found.ok_or_else(|| Refusal::fatal(format_args!("bad revision '{name}'")))
    }

    fn local(&mut self, args: &[&str]) -> Option<Answer> {
        Some(match args {
            ["init", "--quiet", "--bare", "--template=", "--", path] => self.init(path),
            ["config", key, value] => self.config(key, value),
            ["for-each-ref", "--count=1", prefix] => self.first_ref(prefix),
            [
                "for-each-ref",
                "--format=%(objectname) %(refname)",
                prefixes @ ..,
            ] => self.refs_below(prefixes),
            ["rev-parse", "--verify", "--quiet", name] => {
                let found = self.resolve(name).map(|commit| commit.to_string());
                found.map_err(|_| Refusal::silent(1))
            }
            ["rev-parse", "--verify", name] => self.rev_parse(name),
            ["rev-parse", "--absolute-git-dir"] => {
                let root = super::root_of(self.workspace);
                self.git_dir().map(|dir| format!("{root}/{}", dir.0))
            }
            ["rev-list", "--count", selection @ .., "--"] => self.count(selection)?,
            ["update-ref", "-d", name] => self.unset(name),
            ["update-ref", name, commit] => self.set(name, commit),
            ["symbolic-ref", "--quiet", name] => self.symbolic(name),
            ["symbolic-ref", name, target] => self.set_symbolic(name, target),
            // a merge with conflicts is never left in a worktree here, nor a repository in another
            ["ls-files", "--unmerged"]
            | ["diff", "--name-only", "--diff-filter=U", "-z"]
            | ["diff-index", "--cached", "--raw", "-z", "HEAD", "--"] => Ok(String::new()),
            ["diff-index", "--cached", "--quiet", "HEAD", "--"] => self.is_staged(),
            [
                "status",
                "--porcelain",
                "-z",
                "--untracked-files=normal",
                "--ignore-submodules=dirty",
            ] => self.status(),
            ["add", "--all", "--", ":/"] | ["add", "--all", "--ignore-errors", "--", ":/"] => {
                self.add()
            }
            ["read-tree", commit] => self.read_tree(commit),
            ["write-tree"] => self.write_tree(),
            ["commit", "--quiet", "--no-verify", "-F", "-"] => self.commit(),
            ["commit-tree", tree, parents @ .., "-F", "-"] => self.commit_tree(tree, parents)?,
            // every commit is as old as the world
            ["log", "-1", "--no-show-signature", "--format=%ct", _, "--"] => Ok("0\n".to_owned()),
            [
                "checkout",
                "--quiet",
                "--force",
                "--ignore-other-worktrees",
                "--no-track",
                "-B",
                branch,
                commit,
                "--",
            ] => self.check_out(Some(branch), commit),
            ["checkout", "--quiet", "--force", "--detach", commit, "--"] => {
                self.check_out(None, commit)
            }
            ["clean", "--quiet", "-d", "--force", "--force", "--", ":/"] => self.clean(),
            [
                "worktree",
                "add",
                "--quiet",
                "--force",
                "--force",
                "--no-track",
                "-B",
                branch,
                "--",
                path,
                commit,
            ] => self.add_worktree(path, Some(branch), commit),
            [
                "worktree",
                "add",
                "--quiet",
                "--force",
                "--force",
                "--detach",
                "--",
                path,
                commit,
            ] => self.add_worktree(path, None, commit),
            ["worktree", "list", "--porcelain", "-z"] => self.list_worktrees(),
            _ => return None,
        })
    }

    /// A path as the command spells it.
    pub(super) fn path(&self, path: &str) -> Result<String, Refusal> {
        let found = path_in(self.workspace, &self.dir, path);
        let found = found.map(|path| path.as_str().to_owned());
        found.ok_or_else(|| Refusal::fatal(format_args!("cannot access {path}")))
    }

    pub(super) fn folder(&self) -> Result<String, Refusal> {
        let found = self.work_tree.clone();
        found.ok_or_else(|| Refusal::fatal("this operation must be run in a work tree"))
    }

    pub(super) fn index(&self) -> Result<String, Refusal> {
        match &self.index {
            Some(path) => Ok(path.clone()),
            None => Ok(self.git_dir()?.index()),
        }
    }

    pub(super) fn input(&self) -> &str {
        &self.input
    }

    pub(super) fn absolute(&self, path: &str) -> String {
        join(&super::root_of(self.workspace), path)
    }
}
