//! The disk that is measured, and the memory of a process.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A folder that goes when it is dropped, on the disk of the build: a system's own temporary folder is often in memory,
/// where a sync costs nothing.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    /// A new one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> Result<Self> {
        let program = std::env::current_exe().context("this program cannot find itself")?;
        let build = program.parent().context("this program lies in no folder")?;
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(build)?;
        Ok(Self(folder))
    }

    /// A file or folder in it.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }
}

/// The resident memory of a process in MiB: this one, or another one by its number.
///
/// # Errors
/// The system does not tell.
pub fn resident_mib(process: Option<u32>) -> Result<f64> {
    let name = process.map_or_else(|| "self".to_owned(), |id| id.to_string());
    let status = std::fs::read_to_string(format!("/proc/{name}/status"))
        .context("resident memory is read from /proc, which this system does not have")?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("no VmRSS in the status of the process")?
        .parse()?;
    Ok(kib / 1024.0)
}
