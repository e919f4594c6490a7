//! The agents' real programs, as the test command has installed them.

#[path = "../../../xtask/src/servers/agents.rs"]
mod agents;

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use optio_agents::{claude_code, codex};

/// An agent whose real program the stories are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cli {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
}

impl Cli {
    pub(crate) const ALL: [Self; 2] = [Self::Claude, Self::Codex];

    /// What it is called on a command line.
    pub(crate) fn name(self) -> &'static str {
        self.program().name
    }

    /// What tasks call it.
    pub(crate) fn agent(self) -> &'static str {
        match self {
            Self::Claude => "claude-code",
            Self::Codex => "codex",
        }
    }

    /// Where it is.
    ///
    /// # Errors
    /// How to get it.
    pub(crate) fn find(self) -> Result<PathBuf, String> {
        let program = self.program();
        let named =
            env::vars_os().find(|(name, path)| name == program.variable && !path.is_empty());
        if let Some((_, path)) = named {
            return Ok(path.into());
        }
        // the folder for files of tests lies in the target folder
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..");
        program.find(&target).ok_or_else(|| {
            format!(
                "{} {} is not installed for the tests: `cargo xtask test` does it, or name one in {}",
                program.name, program.version, program.variable
            )
        })
    }

    /// Puts it into a folder for a search path, under its name.
    pub(crate) fn link_into(self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        symlink(self.find().unwrap(), folder.join(self.name())).unwrap();
    }

    /// It is the version that is pinned, which is the one that our adapter knows.
    pub(crate) fn check_version(self, program: &Path) {
        let output = Command::new(program)
            .arg("--version")
            .env_clear()
            .env("HOME", env!("CARGO_TARGET_TMPDIR"))
            .output()
            .unwrap();
        let version = String::from_utf8(output.stdout).unwrap();
        let pinned = self.program().version;
        assert!(
            version.split_whitespace().any(|word| word == pinned),
            "{version}"
        );
        let tested = match self {
            Self::Claude => claude_code::TESTED_VERSIONS[1],
            Self::Codex => codex::TESTED_VERSION,
        };
        assert_eq!(pinned, tested);
    }

    pub(crate) fn program(self) -> agents::Program {
        match self {
            Self::Claude => agents::CLAUDE,
            Self::Codex => agents::CODEX,
        }
    }
}
