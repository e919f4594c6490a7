//! What the machine must have before any check makes sense, and how to get it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::cargo::Call;

/// The first git whose `merge-tree --write-tree` the local forge can ask about conflicts.
const GIT: (u32, u32) = (2, 38);

/// Refuses with one sentence per missing thing, all of them at once.
pub(crate) fn check(root: &Path) -> Result<()> {
    let git = first_line(&mut Command::new("git"));
    let mut missing: Vec<String> = git_complaint(git.as_deref()).into_iter().collect();
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if first_line(&mut Call::new(subcommand).command(root)).is_none() {
            missing.push(format!(
                "{component} is not installed: run `rustup component add {component}`"
            ));
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        bail!("{}", missing.join("\nerror: "))
    }
}

/// Whether `cargo nextest` can be called.
pub(crate) fn has_nextest(root: &Path) -> bool {
    first_line(&mut Call::new("nextest").command(root)).is_some()
}

/// The first line that the program prints for `--version`; nothing if it cannot be run.
fn first_line(program: &mut Command) -> Option<String> {
    let output = program
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    Some(
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    )
}

fn git_complaint(version: Option<&str>) -> Option<String> {
    let (major, minor) = GIT;
    let Some(version) = version else {
        return Some(format!(
            "git was not found: install git {major}.{minor} or newer (`apt-get install git`, `dnf install git`, `brew install git`)"
        ));
    };
    match git_version(version) {
        Some(found) if found < GIT => Some(format!(
            "git is too old ({version}): install git {major}.{minor} or newer, which can merge without a worktree"
        )),
        _ => None,
    }
}

fn git_version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.strip_prefix("git version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::git_complaint;

    #[test]
    fn a_usable_git_is_accepted_in_every_spelling() {
        for version in [
            "git version 2.38.0",
            "git version 2.50.1 (Apple Git-155)",
            "git version 3.0",
            "git of a vendor",
        ] {
            assert_eq!(git_complaint(Some(version)), None, "{version}");
        }
    }

    #[test]
    fn a_missing_or_old_git_comes_with_the_way_out() {
        for version in [None, Some("git version 2.37.9")] {
            let complaint = git_complaint(version).unwrap();
            assert!(
                complaint.contains("install git 2.38 or newer"),
                "{complaint}"
            );
        }
    }
}
