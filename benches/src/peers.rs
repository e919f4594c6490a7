//! Other programs that are measured beside ours in the same run. One that is not on this machine is left out, and the
//! table says so.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{Postgres, Redis};

/// The peers that run on Node.
#[derive(Debug)]
pub struct NodePeer {
    folder: PathBuf,
}

impl NodePeer {
    /// Installs them into the build folder, unless they are there.
    ///
    /// # Errors
    /// npm is missing or fails: the sentence to show in place of their numbers.
    pub fn install() -> Result<Self> {
        let program = std::env::current_exe()?;
        let build = program.ancestors().nth(2);
        let folder = build
            .context("this program lies in no folder")?
            .join("bench-peers");
        fs::create_dir_all(&folder)?;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let manifest = fs::read_to_string(sources.join("package.json"))?;
        let installed = fs::read_to_string(folder.join("package.json")).ok();
        for entry in fs::read_dir(&sources)? {
            let entry = entry?;
            if entry.file_name() != "package.json" {
                fs::copy(entry.path(), folder.join(entry.file_name()))?;
            }
        }
        if installed.as_deref() != Some(&*manifest) {
            fs::write(folder.join("package.json"), &manifest)?;
            let output = Command::new("npm")
                .args(["install", "--no-audit", "--no-fund", "--no-package-lock"])
                .current_dir(&folder)
                .output();
            let done = output.as_ref().is_ok_and(|output| output.status.success());
            if !done {
                fs::remove_file(folder.join("package.json"))?;
                let reason = match output {
                    Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                    Err(error) => error.to_string(),
                };
                bail!("npm cannot install them: {reason}");
            }
        }
        Ok(Self { folder })
    }

    /// Runs one of `peers/` and reads the numbers that it prints, a line `NAME NUMBER` each.
    ///
    /// # Errors
    /// It fails, or prints something else.
    pub fn measure(
        &self,
        script: &str,
        arguments: &[impl AsRef<OsStr>],
    ) -> Result<BTreeMap<String, f64>> {
        let output = Command::new("node")
            .arg(self.folder.join(script))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("node cannot be started")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{script} failed: {errors}");
        let text = String::from_utf8(output.stdout)?;
        text.lines()
            .map(|line| {
                let (name, number) = line.split_once(' ').context("a line without a number")?;
                Ok((name.to_owned(), number.trim().parse()?))
            })
            .collect()
    }
}

/// Simple updates per second of `pgbench -N` with so many clients; none if it is not installed.
///
/// # Errors
/// It fails.
pub fn pgbench(server: &Postgres, clients: usize) -> Result<Option<f64>> {
    let program = Postgres::programs()?.join("pgbench");
    if !program.is_file() {
        return Ok(None);
    }
    let pgbench = |arguments: &[&str]| -> Result<String> {
        let output = Command::new(&program)
            .args(arguments)
            .args(["--host", "127.0.0.1", "--port", &server.port().to_string()])
            .args(["--username", "optio", "postgres"])
            .stdin(Stdio::null())
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "pgbench failed: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    };
    pgbench(&["--initialize", "--quiet", "--scale", "10"])?;
    let clients = clients.to_string();
    let text = pgbench(&[
        "--skip-some-updates",
        "--client",
        &clients,
        "--jobs",
        "2",
        "--time",
        "4",
        "--protocol",
        "prepared",
    ])?;
    let line = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(Some(number.context("pgbench says no tps")?.parse()?))
}

/// Requests per second of `redis-benchmark` with so many clients, each waiting for its answer; none if it is not
/// installed.
///
/// # Errors
/// It fails.
pub fn redis_benchmark(server: &Redis, clients: usize, command: &[&str]) -> Result<Option<f64>> {
    let clients = clients.to_string();
    let output = Command::new("redis-benchmark")
        .args(["-p", &server.port().to_string()])
        .args(["-c", &clients, "-n", "100000", "-r", "100000", "--csv"])
        .args(command)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        return Ok(None);
    };
    ensure!(output.status.success(), "redis-benchmark failed");
    // the last line: "name","requests per second",...
    let text = String::from_utf8(output.stdout)?;
    let number = text
        .lines()
        .last()
        .and_then(|line| line.split("\",\"").nth(1));
    let number = number.context("redis-benchmark says no rate")?;
    Ok(Some(number.trim_matches('"').parse()?))
}
