//! `cargo xtask tidy`: the rules of this repository that no lint knows.
//!
//! A rule is a pure function from text to [`Violation`]s; only this file reads the disk.

mod text;
mod source;
mod layers;
mod manifest;
mod snapshot;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

pub(crate) const HELP: &str = "\
Checks the rules that no lint knows:

  - a source file opens with `//!` and says what lives there
  - a source file has at most 500 lines
  - in optio-core a module uses only modules that stand above it in lib.rs
  - a backend crate depends on optio-core and on no sibling
  - an example is declared in examples/Cargo.toml
  - no file or folder is called util, common, helpers, misc or types
  - no test is switched off, nothing is left to be done later
  - no snapshot remains without the test that wrote it

usage: cargo xtask tidy
";

/// Something out of order, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    says: String,
}

impl Violation {
    fn new(path: &str, line: usize, says: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            says: says.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.says)
    }
}

/// A file as the rules see it.
#[derive(Debug, Clone)]
struct File {
    /// Relative to the root, with forward slashes.
    path: String,
    text: String,
}

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    if let Some(argument) = arguments.first() {
        bail!(
            "`cargo xtask tidy` takes no arguments, not even `{argument}`: it always reads the whole repository"
        );
    }
    check(root)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints every violation and fails if there is one.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(root, root, &mut files)?;
    let violations = judge(&files);
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => println!("{} files are in order", files.len()),
        1 => bail!("1 thing is out of order, see the line above"),
        several => bail!("{several} things are out of order, see the lines above"),
    }
    Ok(())
}

fn judge(files: &[File]) -> Vec<Violation> {
    let mut violations: Vec<_> = files
        .iter()
        .filter(|file| is(file, "rs"))
        .flat_map(source::check)
        .collect();
    violations.extend(layers::check(files));
    violations.extend(manifest::check(files));
    violations.extend(snapshot::check(files));
    violations.sort();
    violations
}

fn is(file: &File, extension: &str) -> bool {
    Path::new(&file.path)
        .extension()
        .is_some_and(|own| own == extension)
}

/// Reads what the rules look at; build output and hidden folders are no part of the repository.
fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<()> {
    for entry in folder
        .read_dir()
        .with_context(|| format!("the folder {} cannot be read", folder.display()))?
    {
        let path = entry
            .with_context(|| format!("the folder {} cannot be read", folder.display()))?
            .path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                collect(root, &path, files)?;
            }
        } else if [".rs", ".snap", ".snap.new"]
            .iter()
            .any(|end| name.ends_with(end))
            || name == "Cargo.toml"
        {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("{} cannot be read as UTF-8 text", path.display()))?;
            let parts = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .iter()
                .map(|part| part.to_string_lossy());
            files.push(File {
                path: parts.collect::<Vec<_>>().join("/"),
                text,
            });
        }
    }
    Ok(())
}
