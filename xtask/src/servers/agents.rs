//! The coding agents' real programs: each from npm in the version that our adapters are tested with, in a folder of its
//! own below the target folder, where it stays for the next time.
//!
//! What is asked of npm is the package with the program for this system. The ones that people install bring nothing but
//! a launcher that needs a newer Node than many machines have; for an older one, npm takes an older agent unasked.
//!
//! Uses nothing but the standard library: the tests with the real programs include this file to find them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program that is installed from npm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    /// What it is called on a command line.
    pub(crate) name: &'static str,
    /// Its version: this one and no other.
    pub(crate) version: &'static str,
    /// Names one for the tests; then none is installed.
    pub(crate) variable: &'static str,
    /// What npm is asked for, `{system}` being such as `linux-x64`.
    package: &'static str,
    /// Where the program lies then; `*` is any one folder.
    lies_at: &'static str,
}

/// Claude Code.
pub(crate) const CLAUDE: Program = Program {
    name: "claude",
    version: "2.1.329",
    variable: "OPTIO_TEST_CLAUDE",
    package: "@anthropic-ai/claude-code-{system}@{version}",
    lies_at: "node_modules/@anthropic-ai/claude-code-{system}/claude",
};

/// Codex.
pub(crate) const CODEX: Program = Program {
    name: "codex",
    version: "0.169.0",
    variable: "OPTIO_TEST_CODEX",
    package: "@openai/codex@{version}-{system}",
    lies_at: "node_modules/@openai/codex/vendor/*/bin/codex",
};

impl Program {
    /// Where it lies below `target`, if it was installed there.
    pub(crate) fn find(&self, target: &Path) -> Option<PathBuf> {
        self.find_in(&self.folder(target))
    }

    /// Installs it below `target`, unless it is there. Whoever does the same at the same time is waited for.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    #[allow(dead_code, reason = "the tests that include this file install nothing")]
    pub(crate) fn install(&self, target: &Path) -> Result<PathBuf, String> {
        let folder = self.folder(target);
        let agents = agents(target);
        let half = agents.join("half");
        let cannot = |what: &Path, error| format!("{} cannot be made: {error}", what.display());
        fs::create_dir_all(&agents).map_err(|error| cannot(&agents, error))?;
        // ends with this function, and with this process
        let lock = agents.join("lock");
        let held = File::create(&lock).map_err(|error| cannot(&lock, error))?;
        held.lock().map_err(|error| cannot(&lock, error))?;
        if let Some(program) = self.find(target) {
            return Ok(program);
        }
        let package = self.filled(self.package);
        println!(
            "── {package} is installed from npm: some hundred megabytes, once, into the target folder"
        );
        // somebody may have been killed half way
        let _ = fs::remove_dir_all(&half);
        fs::create_dir_all(&half).map_err(|error| cannot(&half, error))?;
        let installed = Command::new("npm")
            .args(["install", "--prefix"])
            .arg(&half)
            .args(["--no-save", "--no-package-lock", "--ignore-scripts"])
            .args(["--no-audit", "--no-fund", "--no-progress", "--force"])
            .args(["--loglevel", "error", &package])
            .current_dir(&half)
            .stdin(Stdio::null())
            .status()
            .map_err(|error| format!("npm could not be started: {error}"))?;
        if !installed.success() {
            return Err(format!(
                "npm could not install {package} ({installed}): see above, or name a {} {} of your own in {}",
                self.name, self.version, self.variable
            ));
        }
        let _ = fs::remove_dir_all(&folder);
        fs::rename(&half, &folder).map_err(|error| cannot(&folder, error))?;
        self.find(target)
            .ok_or_else(|| format!("{package} does not hold {}", self.filled(self.lies_at)))
    }

    fn folder(&self, target: &Path) -> PathBuf {
        agents(target).join(format!("{}-{}", self.name, self.version))
    }

    fn find_in(&self, folder: &Path) -> Option<PathBuf> {
        let mut place = folder.to_owned();
        for part in self.filled(self.lies_at).split('/') {
            place = if part == "*" {
                fs::read_dir(&place).ok()?.next()?.ok()?.path()
            } else {
                place.join(part)
            };
        }
        place.is_file().then_some(place)
    }

    fn filled(&self, text: &str) -> String {
        text.replace("{version}", self.version)
            .replace("{system}", &system(self))
    }
}

fn agents(target: &Path) -> PathBuf {
    target.join("test-servers").join("agents")
}

/// This system as npm's packages call it.
fn system(program: &Program) -> String {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        os => os,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        arch => arch,
    };
    // Codex has one program for both C libraries
    let musl = os == "linux" && cfg!(target_env = "musl") && program.name == CLAUDE.name;
    format!("{os}-{arch}{}", if musl { "-musl" } else { "" })
}
