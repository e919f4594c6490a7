//! The sample repository: a price list and a check that holds it to its form.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use optio_core::{Error, Result};
use tokio::process::Command;

/// The name of the bare repository.
pub(super) const NAME: &str = "corner-shop.git";

const FILES: &[(&str, &str)] = &[
    (
        "README.md",
        "# The corner shop\n\nWhat it sells stands in prices/.\n",
    ),
    ("prices/bakery.txt", "bread 250\nroll 40\n"),
    ("prices/fruit.txt", "apple 120\n"),
    (
        ".optio/check",
        "#!/bin/sh\n# Every line of prices/ is a name and a price in whole cents.\nexec awk 'NF != 2 || $2 !~ /^[0-9]+$/ { print FILENAME \":\" FNR \": expected NAME CENTS: \" $0; bad = 1 } END { exit bad }' prices/*.txt\n",
    ),
];

/// Makes the bare repository in `folder`, with one commit on its branch `main`.
pub(super) async fn create(folder: &Path, env: &BTreeMap<String, String>) -> Result<PathBuf> {
    let (bare, work) = (folder.join(NAME), folder.join("first-commit"));
    for (name, content) in FILES {
        let path = work.join(name);
        let made = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&path, content));
        made.map_err(|error| {
            Error::unavailable(
                "optio",
                format!("{} cannot be written: {error}", path.display()),
            )
        })?;
    }
    let git = async |args: &[&str], dir: &Path| {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=Optio Demo",
                "-c",
                "user.email=demo@optio.invalid",
                "-c",
                "init.defaultBranch=main",
                "-c",
                "commit.gpgSign=false",
            ])
            .args(args)
            .current_dir(dir)
            .env_clear()
            .envs(env)
            .env("HOME", folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .await
            .map_err(|error| {
                Error::unavailable(
                    "git",
                    format!("git cannot be started ({error}): install git"),
                )
            })?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::unavailable(
            "git",
            format!(
                "git {}: {}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            ),
        ))
    };
    git(&["init", "--quiet"], &work).await?;
    git(&["add", "--all"], &work).await?;
    git(
        &["commit", "--quiet", "--message", "Open the corner shop"],
        &work,
    )
    .await?;
    let target = bare
        .to_str()
        .ok_or_else(|| Error::invalid("optio", "the demo's folder needs a name in UTF-8"))?;
    git(&["clone", "--quiet", "--bare", ".", target], &work).await?;
    std::fs::remove_dir_all(&work).map_err(|error| {
        Error::unavailable(
            "optio",
            format!("{} cannot be removed: {error}", work.display()),
        )
    })?;
    Ok(bare)
}
