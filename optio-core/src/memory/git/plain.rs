//! The other programs that git work needs: what moves, copies, finds and removes files.

use super::{
    clone::join,
    command::{Answer, Refusal},
    disk::{Disk, path_in},
    root_of,
};
use crate::{id::WorkspaceId, runtime::Command, workspace::WorkspacePath};

/// Answers one of these programs: no answer to options that it does not know, and none at all if it is another program.
#[expect(
    clippy::option_option,
    reason = "no such program and no such option are two things"
)]
pub(super) fn run(
    disk: &mut Disk,
    workspace: WorkspaceId,
    command: &Command,
) -> Option<Option<Answer>> {
    let programs = ["test", "mkdir", "mv", "cp", "rm", "chmod", "find"];
    if !programs.contains(&command.program.as_str()) {
        return None;
    }
    let dir = command.dir.clone().unwrap_or_else(WorkspacePath::root);
    let args: Vec<&str> = command.args.iter().map(String::as_str).collect();
    let path = |path: &str| {
        let inside = path_in(workspace, &dir, path);
        inside
            .map(|path| path.as_str().to_owned())
            .ok_or_else(|| Refusal::silent(1))
    };
    let files = Files { disk, workspace };
    Some(match (command.program.as_str(), args.as_slice()) {
        ("test", [what @ ("-d" | "-e"), name]) => {
            Some(path(name).and_then(|path| files.test(what, &path)))
        }
        ("mkdir", ["-p", "--", name]) => Some(path(name).map(|path| {
            files.disk.make_folder(&path);
            String::new()
        })),
        ("mv", ["--", from, to]) => {
            Some(path(from).and_then(|from| files.rename(&from, &path(to)?)))
        }
        ("cp", ["--", from, to]) => Some(path(from).and_then(|from| files.copy(&from, &path(to)?))),
        ("rm", ["-rf" | "-f", "--", names @ ..]) => {
            for path in names.iter().filter_map(|name| path(name).ok()) {
                files.disk.remove(&path);
            }
            Some(Ok(String::new()))
        }
        ("chmod", _) => Some(Ok(String::new())),
        ("find", [folder, options @ ..]) => match path(folder) {
            Ok(path) => files.find(&path, options),
            Err(refusal) => Some(Err(refusal)),
        },
        _ => None,
    })
}

struct Files<'d> {
    disk: &'d mut Disk,
    workspace: WorkspaceId,
}

impl Files<'_> {
    fn test(&self, what: &str, path: &str) -> Answer {
        let found = match what {
            "-d" => self.disk.is_folder(path),
            _ => self.disk.exists(path),
        };
        if found {
            Ok(String::new())
        } else {
            Err(Refusal::silent(1))
        }
    }

    fn rename(self, from: &str, to: &str) -> Answer {
        let name = from.rsplit('/').next().unwrap_or_default();
        let to = if self.disk.is_folder(to) {
            join(to, name)
        } else {
            to.to_owned()
        };
        if !self.disk.exists(from) || self.disk.exists(&to) {
            let stderr = format!("mv: cannot move '{from}' to '{to}'\n");
            return Err(Refusal::reported(String::new(), stderr));
        }
        self.disk.rename(from, &to);
        Ok(String::new())
    }

    fn copy(self, from: &str, to: &str) -> Answer {
        let Some(content) = self.disk.read(from).cloned() else {
            let stderr = format!("cp: cannot stat '{from}': No such file or directory\n");
            return Err(Refusal::reported(String::new(), stderr));
        };
        self.disk.write(to, content);
        Ok(String::new())
    }

    fn find(&self, folder: &str, options: &[&str]) -> Option<Answer> {
        let absolute = |name: &str| format!("{}/{}", root_of(self.workspace), join(folder, name));
        if !self.disk.exists(folder) {
            let stderr = format!("find: '{folder}': No such file or directory\n");
            return Some(Err(Refusal::reported(String::new(), stderr)));
        }
        let names = self.disk.names_in(folder).into_iter();
        Some(Ok(match options {
            ["-maxdepth", "1"] => names.map(|name| absolute(name) + "\n").collect(),
            ["-mindepth", "1", "-maxdepth", "1", "-type", "d", "-print0"] => names
                .filter(|name| self.disk.is_folder(&join(folder, name)))
                .map(|name| absolute(name) + "\0")
                .collect(),
            [
                "-mindepth",
                "1",
                "-name",
                ".git",
                "-prune",
                "-o",
                "-type",
                "f",
                "-print",
            ] => {
                let files = self.disk.tree(folder);
                files.keys().map(|name| absolute(name) + "\n").collect()
            }
            _ => return None,
        }))
    }
}
