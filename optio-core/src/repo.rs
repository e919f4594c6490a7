//! Repositories: their identity, whatever way their address is spelt, and their settings.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{clock::Timestamp, id::RepoId, money::Usd, prompt::PromptOverrides};

/// A repository that Optio works on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repo {
    /// Its key.
    pub id: RepoId,
    /// Where it is cloned from. Two spellings of one address are the same repository.
    pub url: RepoUrl,
    /// The branch that pull requests are merged into.
    pub default_branch: String,
    /// How Optio treats it.
    pub settings: RepoSettings,
    /// When it was added.
    pub created_at: Timestamp,
    /// Counts the changes of this record; the store refuses to overwrite a newer one.
    pub version: u64,
}

impl Repo {
    /// The last part of the address: what people call the repository.
    #[must_use]
    pub fn name(&self) -> &str {
        self.url.name()
    }
}

/// The address of a git repository, with an identity that does not depend on how it was spelt.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoUrl {
    given: String,
    identity: String,
}

/// Text that is not the address of a git repository.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not a repository: expected https://host/owner/name, git@host:owner/name or an absolute path"
)]
pub struct ParseRepoUrlError(String);

impl RepoUrl {
    /// The address as it was given, for `git clone`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// The same for every spelling: `github.com/owner/name`, or `file:/srv/git/name`.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The path of a repository on this machine's disk.
    #[must_use]
    pub fn local_path(&self) -> Option<&str> {
        self.identity
            .starts_with("file:")
            .then(|| self.given.strip_prefix("file://").unwrap_or(&self.given))
    }

    /// The host and the path on it, for a repository behind a server.
    #[must_use]
    pub fn host_and_path(&self) -> Option<(&str, &str)> {
        if self.local_path().is_some() {
            None
        } else {
            self.identity.split_once('/')
        }
    }

    /// The last part of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.identity.rsplit('/').next().unwrap_or(&self.identity)
    }
}

impl FromStr for RepoUrl {
    type Err = ParseRepoUrlError;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseRepoUrlError(given.to_owned());
        let given = given.trim();
        if given.chars().any(char::is_control) || given.starts_with('-') {
            return Err(refuse());
        }
        let strip = |path: &str| {
            let path = path.trim_end_matches('/');
            path.strip_suffix(".git")
                .unwrap_or(path)
                .trim_end_matches('/')
                .to_owned()
        };
        let path = given.strip_prefix("file://").unwrap_or(given);
        if path.starts_with('/') {
            let path = strip(path);
            if path.is_empty() {
                return Err(refuse());
            }
            return Ok(Self {
                given: given.to_owned(),
                identity: format!("file:{path}"),
            });
        }
        let (host, path) = match given.split_once("://") {
            Some(("https" | "http" | "ssh" | "git", rest)) => {
                rest.split_once('/').ok_or_else(refuse)?
            }
            Some(_) => return Err(refuse()),
            None => given
                .split_once(':')
                .filter(|(host, _)| !host.contains('/'))
                .ok_or_else(refuse)?,
        };
        let host = host.rsplit('@').next().unwrap_or(host);
        let host = host.split(':').next().unwrap_or(host);
        let path = strip(path.trim_start_matches('/'));
        if host.is_empty()
            || !path.contains('/')
            || path.split('/').any(|part| part.is_empty() || part == "..")
        {
            return Err(refuse());
        }
        Ok(Self {
            given: given.to_owned(),
            identity: format!("{host}/{path}").to_lowercase(),
        })
    }
}

impl TryFrom<String> for RepoUrl {
    type Error = ParseRepoUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RepoUrl> for String {
    fn from(url: RepoUrl) -> Self {
        url.given
    }
}

impl fmt::Display for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

impl PartialEq for RepoUrl {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Eq for RepoUrl {}

/// How Optio treats a repository. In JSON the names are those of the documentation: `maxConcurrentTasks` and so on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RepoSettings {
    /// The agent that codes, by name; the engine's default if none.
    pub agent: Option<String>,
    /// The model it uses; the agent's own default if none.
    pub model: Option<String>,
    /// How much thought its agents give to a run, in their own words, such as `high`; as they are set if none. Rows do
    /// not have it while it is not set, so that programs that do not know it can read them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// How many tasks of this repository may be at work at once.
    pub max_concurrent_tasks: u32,
    /// How many workspaces (pods) the repository may have: 1 to 20.
    pub max_pod_instances: u32,
    /// How many agents may work in one workspace at once: 1 to 50.
    pub max_agents_per_pod: u32,
    /// Whether a pull request that is green and approved is squash-merged without asking.
    pub auto_merge: bool,
    /// Whether requested changes become the agent's next prompt.
    pub auto_resume_on_review: bool,
    /// Whether a review agent reads each pull request before it may be merged.
    pub review_enabled: bool,
    /// When the review agent starts.
    pub review_trigger: ReviewTrigger,
    /// The model of the review agent; that of the coding agent if none.
    pub review_model: Option<String>,
    /// The command that checks a commit, where Optio itself is the forge; a file `.optio/check` in the repository if none.
    pub check_command: Option<String>,
    /// How long a forge may take to register its checks before a pull request without any counts as having none. Seconds.
    pub ci_grace_seconds: u64,
    /// The longest a run may take. Minutes.
    pub run_timeout_minutes: u64,
    /// How long an agent may be silent and idle before it counts as stalled. Minutes.
    pub silence_minutes: u64,
    /// How often each cause may start another run.
    pub attempts: AttemptLimits,
    /// The most that one task may cost, over all its runs.
    pub max_cost_per_task: Option<Usd>,
    /// The most that the repository may cost in a day (UTC).
    pub max_cost_per_day: Option<Usd>,
    /// Prompt templates that replace the built-in ones.
    pub prompts: PromptOverrides,
}

impl Default for RepoSettings {
    fn default() -> Self {
        Self {
            agent: None,
            model: None,
            effort: None,
            max_concurrent_tasks: 2,
            max_pod_instances: 1,
            max_agents_per_pod: 2,
            auto_merge: false,
            auto_resume_on_review: true,
            review_enabled: false,
            review_trigger: ReviewTrigger::OnCiPass,
            review_model: None,
            check_command: None,
            ci_grace_seconds: 120,
            run_timeout_minutes: 120,
            silence_minutes: 15,
            attempts: AttemptLimits::default(),
            max_cost_per_task: None,
            max_cost_per_day: None,
            prompts: PromptOverrides::default(),
        }
    }
}

/// A setting outside its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSettings {
    /// A number is too small or too large.
    #[error("{name} is {value}: expected {low} to {high}")]
    OutOfRange {
        /// The setting's name, as in JSON.
        name: &'static str,
        /// What it was set to.
        value: u64,
        /// The least it may be.
        low: u64,
        /// The most it may be.
        high: u64,
    },
    /// A prompt template does not parse, or names an unknown variable.
    #[error("prompts: {0}")]
    Prompt(String),
}

impl RepoSettings {
    /// Checks every range and every template.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        let within = |name, value: u64, low, high| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(InvalidSettings::OutOfRange {
                    name,
                    value,
                    low,
                    high,
                })
            }
        };
        within(
            "maxConcurrentTasks",
            self.max_concurrent_tasks.into(),
            1,
            1000,
        )?;
        within("maxPodInstances", self.max_pod_instances.into(), 1, 20)?;
        within("maxAgentsPerPod", self.max_agents_per_pod.into(), 1, 50)?;
        within("ciGraceSeconds", self.ci_grace_seconds, 0, 86_400)?;
        within(
            "runTimeoutMinutes",
            self.run_timeout_minutes,
            1,
            7 * 24 * 60,
        )?;
        within("silenceMinutes", self.silence_minutes, 1, 24 * 60)?;
        self.prompts
            .check()
            .map_err(|error| InvalidSettings::Prompt(error.to_string()))
    }

    /// The longest a run may take.
    #[must_use]
    pub fn run_timeout(&self) -> Duration {
        Duration::from_secs(self.run_timeout_minutes * 60)
    }

    /// How long an agent may be silent and idle.
    #[must_use]
    pub fn silence(&self) -> Duration {
        Duration::from_secs(self.silence_minutes * 60)
    }

    /// How long a forge may take to register its checks.
    #[must_use]
    pub fn ci_grace(&self) -> Duration {
        Duration::from_secs(self.ci_grace_seconds)
    }

    /// How many agents of this repository may work at once: the tasks' limit, and no more than its workspaces hold.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.max_concurrent_tasks.min(
            self.max_pod_instances
                .saturating_mul(self.max_agents_per_pod),
        )
    }
}

/// How often each cause may start another run before a person is asked. A count starts again once its cause is gone:
/// failures after a run that succeeded, CI after a green commit, conflicts after a clean one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AttemptLimits {
    /// Runs that failed by the agent's own doing, the first included.
    pub failures: u32,
    /// Resumes for red checks.
    pub ci: u32,
    /// Resumes for requested changes.
    pub review: u32,
    /// Resumes for merge conflicts.
    pub conflict: u32,
}

impl Default for AttemptLimits {
    fn default() -> Self {
        Self {
            failures: 3,
            ci: 3,
            review: 5,
            conflict: 3,
        }
    }
}

/// When the review agent starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewTrigger {
    /// As soon as the checks of the head commit have passed.
    OnCiPass,
    /// As soon as the pull request is open.
    OnPrOpen,
    /// Only when somebody asks for it.
    Manual,
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_one_repository() {
        let seen = [
            "https://github.com/Acme/Shop",
            "https://github.com/acme/shop.git",
            "git@github.com:acme/shop.git",
            "ssh://git@github.com:22/acme/shop",
            "https://user:token@github.com/acme/shop/",
            "/srv/git/Shop.git",
            "file:///srv/git/Shop",
        ]
        .map(|text| format!("{text} -> {}", text.parse::<RepoUrl>().unwrap().identity()));
        assert_snapshot!(seen.join("\n"), @r"
        https://github.com/Acme/Shop -> github.com/acme/shop
        https://github.com/acme/shop.git -> github.com/acme/shop
        git@github.com:acme/shop.git -> github.com/acme/shop
        ssh://git@github.com:22/acme/shop -> github.com/acme/shop
        https://user:token@github.com/acme/shop/ -> github.com/acme/shop
        /srv/git/Shop.git -> file:/srv/git/Shop
        file:///srv/git/Shop -> file:/srv/git/Shop
        ");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "shop",
            "-upload-pack=x",
            "ftp://host/a/b",
            "https://github.com/",
            "https://github.com/a",
            "host:a/../b",
            "/",
            "a\nb:c/d",
        ] {
            assert!(text.parse::<RepoUrl>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn settings_out_of_range_name_themselves() {
        let settings = RepoSettings {
            max_pod_instances: 21,
            ..RepoSettings::default()
        };
        assert_snapshot!(settings.check().unwrap_err(), @"maxPodInstances is 21: expected 1 to 20");
    }

    #[test]
    fn capacity_is_the_smaller_of_tasks_and_places() {
        let settings = RepoSettings {
            max_concurrent_tasks: 9,
            max_pod_instances: 2,
            max_agents_per_pod: 3,
            ..RepoSettings::default()
        };
        assert_eq!(settings.capacity(), 6);
    }
}
