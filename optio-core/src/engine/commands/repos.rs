//! Repositories: adding one, changing how Optio treats it.

use super::may_wait;
use crate::{
    engine::Optio,
    error::{Error, Result, Retry},
    id::RepoId,
    repo::{Repo, RepoSettings, RepoUrl},
    store::Write,
};

/// What of a repository can be changed.
#[derive(Debug, Clone, PartialEq)]
pub struct RepoDraft {
    /// Its settings.
    pub settings: RepoSettings,
    /// The branch that pull requests are merged into.
    pub default_branch: String,
}

impl Optio {
    /// Adds a repository. The forge is asked whether it is there.
    ///
    /// # Errors
    /// No forge handles it, it does not exist or cannot be reached, it was added before, a setting is out of range.
    pub async fn add_repo(&self, url: RepoUrl, settings: RepoSettings) -> Result<Repo> {
        settings
            .check()
            .map_err(|error| Error::invalid("optio", error.to_string()))?;
        self.check_agent(&settings)?;
        if let Some(known) = self.store().repo_by_url(&url).await? {
            return Err(Error::conflict(
                "optio",
                format!("{url} was added before, as {}", known.id),
            )
            .with_retry(Retry::Never));
        }
        let facts = self.forge(&url)?.repository(&url).await?;
        let mut repo = Repo {
            id: RepoId::generate(self.clock()),
            url,
            default_branch: facts.default_branch,
            settings,
            created_at: self.now(),
            version: 0,
        };
        let mut change = self.change("api");
        change.write(Write::Repo(repo.clone()));
        change.commit().await?;
        repo.version = 1;
        may_wait(self.push_limits().await);
        Ok(repo)
    }

    /// Changes a repository: `edit` gets it as it is stored and makes of it what it should be. If somebody else changes
    /// it in the same moment, here or in another process, `edit` is called again with what they made of it; so no change
    /// takes another one back.
    ///
    /// # Errors
    /// It does not exist, `edit` refuses, or a setting is out of range; nothing is changed then.
    pub async fn update_repo(
        &self,
        id: RepoId,
        edit: impl Fn(&mut RepoDraft) -> Result<()> + Send + Sync,
    ) -> Result<Repo> {
        let repo = self
            .retry_conflicts(|| async {
                let mut repo = self.store().repo(id).await?;
                let mut draft = RepoDraft {
                    settings: repo.settings.clone(),
                    default_branch: repo.default_branch.clone(),
                };
                edit(&mut draft)?;
                draft
                    .settings
                    .check()
                    .map_err(|error| Error::invalid("optio", error.to_string()))?;
                self.check_agent(&draft.settings)?;
                repo.settings = draft.settings;
                repo.default_branch = draft.default_branch;
                let mut change = self.change("api");
                change.write(Write::Repo(repo.clone()));
                change.commit().await?;
                repo.version += 1;
                Ok(repo)
            })
            .await?;
        may_wait(self.push_limits().await);
        Ok(repo)
    }

    fn check_agent(&self, settings: &RepoSettings) -> Result<()> {
        let agents = &self.ports().agents;
        match &settings.agent {
            Some(name) if !agents.contains_key(name) => {
                let known = agents
                    .keys()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ");
                Err(Error::invalid(
                    "optio",
                    format!("there is no agent called {name:?}: choose one of {known}"),
                ))
            }
            _ => Ok(()),
        }
    }
}
