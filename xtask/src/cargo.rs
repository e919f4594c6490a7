//! Calls of cargo, and the one choice of features that all of them share.
//!
//! Cargo unifies the features of dependencies over what a command selects, development dependencies included as soon as
//! tests or examples are among it. Two commands that select differently therefore build tokio and everything above it
//! twice. So every call here selects the whole workspace, all features, and at least one kind of target that brings the
//! development dependencies in ([`WHOLE`]); clippy, tests, documentation tests, documentation, examples and demo
//! then find each other's work in the cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Selects the same packages and features in every call.
pub(crate) const WHOLE: [&str; 2] = ["--workspace", "--all-features"];

/// The call as a value: shown to the person who wants to repeat it, and run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) env: Vec<(&'static str, &'static str)>,
    pub(crate) args: Vec<String>,
}

impl Call {
    /// Splits `line` at blanks; arguments that may hold blanks are added with [`Call::arg`].
    pub(crate) fn new(line: &str) -> Self {
        Self {
            env: Vec::new(),
            args: line.split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// The call `line` on the whole workspace.
    pub(crate) fn whole(line: &str) -> Self {
        let mut call = Self::new(line);
        call.args.extend(WHOLE.map(str::to_owned));
        call
    }

    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.args.extend(args.into_iter().map(str::to_owned));
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    /// What a person types to run this call.
    pub(crate) fn line(&self) -> String {
        let env = self
            .env
            .iter()
            .map(|(name, value)| format!("{name}={}", quoted(value)));
        let args = self.args.iter().map(|arg| quoted(arg));
        env.chain(["cargo".to_owned()])
            .chain(args)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The process of this call in `root`, without input.
    pub(crate) fn command(&self, root: &Path) -> Command {
        let mut command = clean(Command::new(program()));
        command
            .args(&self.args)
            .envs(self.env.iter().copied())
            .current_dir(root)
            .stdin(Stdio::null());
        command
    }
}

/// Removes from `command` what `cargo run` told this program about itself.
///
/// Build scripts name some of these variables as their input; left in place they would rebuild half of the
/// dependencies each time that `cargo xtask` and plain `cargo` take turns.
pub(crate) fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_about_this_program) {
            command.env_remove(&name);
        }
    }
    command
}

/// The folder in which cargo leaves the programs of the `dev` profile: this program lies there, or beside it.
pub(crate) fn output_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("the path of this program cannot be read")?;
    let target = own
        .ancestors()
        .nth(2)
        .context("this program is not in a target folder: start it with `cargo xtask`")?;
    Ok(target.join("debug"))
}

fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn is_about_this_program(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || matches!(
            name,
            "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR"
        )
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, is_about_this_program};

    #[test]
    fn a_call_reads_as_it_is_typed() {
        let call = Call::whole("doc --no-deps")
            .arg("it's")
            .env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(
            call.line(),
            r"RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --workspace --all-features 'it'\''s'"
        );
    }

    #[test]
    fn settings_of_the_user_reach_cargo() {
        for name in [
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_TERM_COLOR",
            "CARGO_NET_OFFLINE",
            "PATH",
        ] {
            assert!(!is_about_this_program(name), "{name}");
        }
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO_BIN_NAME"] {
            assert!(is_about_this_program(name), "{name}");
        }
    }
}
