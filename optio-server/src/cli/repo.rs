//! `optio repo add|list|show|set`.

use std::path::Path as FilePath;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use optio_core::repo::RepoSettings;
use serde_json::{Map, Value};

use super::{
    Outcome,
    client::{Client, Path, shape},
    configuration::ClientFlags,
    out::{Out, Shape},
    table::Table,
};
use crate::{
    api::repos::{RepoList, RepoPatchRequest, RepoRequest, RepoView},
    config::Environment,
};

/// Add repositories and change how they are treated
#[derive(Debug, Args)]
pub(crate) struct RepoArgs {
    #[command(flatten)]
    client: ClientFlags,
    #[command(subcommand)]
    command: RepoCommand,
}

#[derive(Debug, Subcommand)]
enum RepoCommand {
    /// Add a repository: https://host/owner/name, git@host:owner/name, or a path of a bare one on this machine
    Add {
        /// Its address
        url: String,
        /// Settings that differ from the defaults
        #[arg(value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// List all repositories
    List,
    /// Show a repository with all its settings
    Show {
        /// Its id, address or name
        repo: String,
    },
    /// Change settings
    ///
    /// KEY is a setting as `optio repo show` writes it, such as autoMerge or attempts.ci, or defaultBranch. VALUE is
    /// JSON or plain text; null brings back the default.
    Set {
        /// Its id, address or name
        repo: String,
        /// What to change
        #[arg(value_name = "KEY=VALUE", required = true)]
        settings: Vec<String>,
    },
}

impl RepoArgs {
    pub(crate) async fn run(self, environment: &Environment, out: &mut Out) -> Result<Outcome> {
        let client = Client::new(self.client.load(environment)?)?;
        let answer = match self.command {
            RepoCommand::List => {
                let answer = client.get(&Path::of(&["api", "repos"])).await?;
                return list(&answer, self.client.shape(), out).map(|()| Outcome::Done);
            }
            RepoCommand::Add { url, settings } => {
                let wish = RepoRequest {
                    url: absolute(&url)?,
                    settings: assignments(&settings)?,
                };
                client
                    .post(&Path::of(&["api", "repos"]), Some(&wish))
                    .await?
            }
            RepoCommand::Show { repo } => {
                client
                    .get(&Path::of(&["api", "repos", &meant(&repo)?]))
                    .await?
            }
            RepoCommand::Set { repo, settings } => {
                let mut settings = assignments(&settings)?;
                let default_branch = settings.remove("defaultBranch").map(|branch| {
                    branch
                        .as_str()
                        .map_or_else(|| branch.to_string(), str::to_owned)
                });
                client
                    .patch(
                        &Path::of(&["api", "repos", &meant(&repo)?]),
                        &RepoPatchRequest {
                            default_branch,
                            settings,
                        },
                    )
                    .await?
            }
        };
        match self.client.shape() {
            Shape::Json => out.json(&answer)?,
            Shape::Human => show(&shape(&answer)?, out)?,
        }
        Ok(Outcome::Done)
    }
}

/// An address, or the absolute path of what lies on this machine.
fn absolute(url: &str) -> Result<String> {
    let path = FilePath::new(url);
    if url.contains("://") || path.is_absolute() || !path.exists() {
        return Ok(url.to_owned());
    }
    let path = path.canonicalize()?;
    path.into_os_string()
        .into_string()
        .map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))
}

/// What a caller calls a repository: a path that means one here is made absolute, anything else is the server's to find.
fn meant(repo: &str) -> Result<String> {
    if repo.starts_with('.') {
        absolute(repo)
    } else {
        Ok(repo.to_owned())
    }
}

/// Reads `KEY=VALUE`s. A value is JSON if that fits the setting, else text.
fn assignments(texts: &[String]) -> Result<Map<String, Value>> {
    let mut settings = Map::new();
    for text in texts {
        let Some((key, value)) = text.split_once('=') else {
            bail!("{text:?} is not KEY=VALUE: write autoMerge=true, say");
        };
        let (name, inner) = key
            .split_once('.')
            .map_or((key, None), |(name, inner)| (name, Some(inner)));
        let wrap = |value: Value| match inner {
            Some(inner) => Value::Object(Map::from_iter([(inner.to_owned(), value)])),
            None => value,
        };
        let plain = || wrap(Value::String(value.to_owned()));
        let typed = serde_json::from_str(value).map_or_else(|_| plain(), wrap);
        let fits = |value: &Value| {
            serde_json::from_value::<RepoSettings>(Value::Object(Map::from_iter([(
                name.to_owned(),
                value.clone(),
            )])))
            .is_ok()
        };
        let value = if !typed_is_null(&typed, inner) && !fits(&typed) && fits(&plain()) {
            plain()
        } else {
            typed
        };
        match (settings.get_mut(name), value) {
            (Some(Value::Object(known)), Value::Object(more)) if inner.is_some() => {
                known.extend(more)
            }
            (Some(_), _) => bail!("{key} is given twice: give it once"),
            (None, value) => {
                settings.insert(name.to_owned(), value);
            }
        }
    }
    Ok(settings)
}

fn typed_is_null(value: &Value, inner: Option<&str>) -> bool {
    match inner {
        Some(inner) => value.get(inner).is_some_and(Value::is_null),
        None => value.is_null(),
    }
}

fn list(answer: &Value, wanted: Shape, out: &mut Out) -> Result<()> {
    if wanted == Shape::Json {
        return Ok(out.json(answer)?);
    }
    let list: RepoList = shape(answer)?;
    if list.repos.is_empty() {
        return Ok(out.line("there is no repository yet: add one with `optio repo add URL`")?);
    }
    let mut table = Table::new(&["NAME", "BRANCH", "AT ONCE", "MERGE", "REVIEW", "URL"]);
    for repo in list.repos {
        let merge = if repo.settings.auto_merge {
            "auto"
        } else {
            "by hand"
        };
        let review = if repo.settings.review_enabled {
            "agent"
        } else {
            "-"
        };
        table.row([
            repo.name.into(),
            repo.default_branch.into(),
            repo.capacity.to_string().into(),
            merge.into(),
            review.into(),
            repo.url.into(),
        ]);
    }
    for line in table.lines(out.paint()) {
        out.line(line)?;
    }
    Ok(())
}

fn show(repo: &RepoView, out: &mut Out) -> Result<()> {
    let mut table = Table::plain();
    for (name, value) in [
        ("id", repo.id.to_string()),
        ("name", repo.name.clone()),
        ("url", repo.url.clone()),
        ("defaultBranch", repo.default_branch.clone()),
    ] {
        table.row([name.into(), value.into()]);
    }
    let settings = serde_json::to_value(&repo.settings)?;
    for (name, value) in settings.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) => {
                for (part, value) in inner {
                    table.row([format!("{name}.{part}").into(), plain(value).into()]);
                }
            }
            value => table.row([name.as_str().into(), plain(value).into()]),
        }
    }
    for line in table.lines(out.paint()) {
        out.line(line)?;
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.lines().next().unwrap_or_default().to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_where_that_fits_and_text_elsewhere() {
        let rows: &[&[&str]] = &[
            &["autoMerge=true", "model=4", "checkCommand=true"],
            &["attempts.ci=5", "attempts.review=1"],
            &["model=null", "maxCostPerTask=2.50"],
            &["reviewTrigger=manual", "autoMerge=yes", "colour=red"],
            &["autoMerge"],
            &["autoMerge=true", "autoMerge=false"],
        ];
        let read = |row: &&[&str]| {
            let texts: Vec<String> = row.iter().map(|text| (*text).to_owned()).collect();
            assignments(&texts).map_or_else(
                |error| error.to_string(),
                |settings| Value::Object(settings).to_string(),
            )
        };
        let table: Vec<String> = rows
            .iter()
            .map(|row| format!("{} -> {}", row.join(" "), read(row)))
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
