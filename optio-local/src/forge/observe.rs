//! A pull request as it is now: what git says, laid over what is recorded.

use std::sync::{Arc, PoisonError};

use optio_core::{
    Result,
    pull_request::{Checks, CommitId, Mergeability, PrNumber, PrState, PullRequest},
    repo::Repo,
};

use super::{
    LocalForge,
    check::Plan,
    ci::{self, Key},
    records::{Pull, Readiness},
    repository::{Bare, CheckFile, MergeTree},
    review, unknown,
};

/// What follows from two commits alone, so it need not be asked of git again.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    base: CommitId,
    head: CommitId,
    mergeability: Mergeability,
    /// What the merge gives, if it can be made.
    tree: Option<String>,
    check_file: Option<CheckFile>,
}

/// A pull request that was looked at.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) bare: Arc<Bare>,
    pub(super) pull_request: PullRequest,
    /// The tree that its merge gives, if it can be made.
    pub(super) tree: Option<String>,
}

impl LocalForge {
    /// Looks at a pull request, records what has happened to it, and sees to it that its head is checked.
    pub(super) async fn observe(&self, repo: &Repo, number: PrNumber) -> Result<Seen> {
        let bare = self.bare(&repo.url).await?;
        let pull = self.records.pull(&bare.key, number).await?;
        let mut pull = pull.ok_or_else(|| unknown(repo, number))?;
        let [head, base] = bare.tips([&pull.head_branch, &pull.base_branch]).await?;
        let open = match (&pull.state, head) {
            (PrState::Open, head) => self.settle(&bare, &mut pull, head, base.as_ref()).await?,
            _ => None,
        };
        if pull.state != PrState::Open
            && let Some(base) = base
        {
            pull.base = base;
        }
        let checks = self.checks(&bare, repo, &pull, open.as_ref()).await?;
        let all = self.records.reviews(&bare.key, number).await?;
        let reviews = review::standing(all);
        let decision = review::decision(&reviews, &pull.head);
        let (mergeability, tree) = open.map_or((Mergeability::Unknown, None), |at| {
            (at.mergeability, at.tree)
        });
        let url = format!("file://{}#{}", bare.key, number.0);
        let pull_request = PullRequest {
            number,
            url,
            title: pull.title,
            head_branch: pull.head_branch,
            head: pull.head,
            base_branch: pull.base_branch,
            base: pull.base,
            state: pull.state,
            draft: pull.readiness == Readiness::Draft,
            mergeability,
            checks,
            decision,
            reviews,
            opened_at: pull.opened_at,
            head_at: pull.head_at,
        };
        Ok(Seen {
            bare,
            pull_request,
            tree,
        })
    }

    /// Compares an open pull request with its branches. Nothing if it turns out to be open no longer.
    async fn settle(
        &self,
        bare: &Bare,
        pull: &mut Pull,
        head: Option<CommitId>,
        base: Option<&CommitId>,
    ) -> Result<Option<Settled>> {
        if let (Some(head), Some(base)) = (&head, base)
            && let Some(settled) = self.recall(bare, pull.number, head, base)
            && pull.head == *head
            && pull.base == *base
        {
            return Ok(Some(settled));
        }
        if let Some(base) = base
            && let Some(commit) = self.merged_by(bare, pull, head.as_ref(), base).await?
        {
            let records = &self.records;
            records
                .merged(&bare.key, pull.number, &commit, base)
                .await?;
            pull.state = PrState::Merged { commit };
            return Ok(None);
        }
        let Some(head) = head else {
            self.records.closed(&bare.key, pull.number).await?;
            pull.state = PrState::Closed;
            return Ok(None);
        };
        let Some(base) = base else {
            let reason = format!(
                "its base branch {} does not exist any more",
                pull.base_branch
            );
            return Ok(Some(Settled {
                base: pull.base.clone(),
                check_file: bare.check_file(&head).await?,
                head,
                mergeability: Mergeability::Blocked { reason },
                tree: None,
            }));
        };
        let before = pull.clone();
        let is_ahead = !bare.contains(base, &head).await?;
        if pull.head != head {
            pull.head_at = self.clock.now();
        }
        pull.base = base.clone();
        pull.head = head.clone();
        if is_ahead {
            pull.ahead = head;
        }
        if *pull != before {
            self.records.saw(&bare.key, &before, pull).await?;
        }
        let settled = self.merge_of(bare, pull, is_ahead).await?;
        if settled.mergeability != Mergeability::Unknown {
            self.remember(bare, pull.number, settled.clone());
        }
        Ok(Some(settled))
    }

    /// The commit that this pull request was merged by, if it is in the base branch: by us before we could record it,
    /// or by somebody else.
    async fn merged_by(
        &self,
        bare: &Bare,
        pull: &Pull,
        head: Option<&CommitId>,
        base: &CommitId,
    ) -> Result<Option<CommitId>> {
        for attempt in self.records.attempts(&bare.key, pull.number).await? {
            if bare.contains(base, &attempt).await? {
                return Ok(Some(attempt));
            }
        }
        // a branch that was set back to where its base is was not merged: what counts are commits once seen ahead of it
        let landed = bare.contains(base, &pull.ahead).await?
            && match head {
                Some(head) => bare.contains(base, head).await?,
                None => true,
            };
        Ok(if landed {
            Some(bare.brought_by(base, &pull.ahead).await?)
        } else {
            None
        })
    }

    /// What merging an open pull request would give.
    async fn merge_of(&self, bare: &Bare, pull: &Pull, is_ahead: bool) -> Result<Settled> {
        let blocked = |reason| (Mergeability::Blocked { reason }, None);
        let base_branch = &pull.base_branch;
        let (mergeability, tree) = if is_ahead {
            match bare.merge_tree(&pull.base, &pull.head).await {
                Ok(MergeTree::Conflicting { files }) => (Mergeability::Conflicting { files }, None),
                Ok(MergeTree::Clean { tree }) if tree == bare.tree(&pull.base).await? => blocked(
                    format!("it changes nothing that {base_branch} does not have"),
                ),
                Ok(MergeTree::Clean { tree }) => (Mergeability::Clean, Some(tree)),
                Err(error) => {
                    tracing::warn!(pull_request = %pull.number, %error, "mergeability is unknown");
                    (Mergeability::Unknown, None)
                }
            }
        } else {
            blocked(format!(
                "it has no commits that {base_branch} does not have"
            ))
        };
        Ok(Settled {
            base: pull.base.clone(),
            head: pull.head.clone(),
            mergeability,
            tree,
            check_file: bare.check_file(&pull.head).await?,
        })
    }

    /// What CI says about the head. An open pull request's is checked if it has not been.
    async fn checks(
        &self,
        bare: &Arc<Bare>,
        repo: &Repo,
        pull: &Pull,
        open: Option<&Settled>,
    ) -> Result<Checks> {
        let watcher = (repo.id, pull.number);
        let Some(open) = open else {
            self.forget(bare, pull.number);
            self.ci.abandon(&bare.key, watcher, None);
            let last = self.records.last_check(&bare.key, &pull.head).await?;
            return Ok(last.map_or(Checks::None, ci::verdict));
        };
        let command = repo.settings.check_command.as_deref().map(str::trim);
        let plan = match command.filter(|command| !command.is_empty()) {
            Some(command) => Some(Plan::Command(command.to_owned())),
            None => open.check_file.map(Plan::File),
        };
        let key = plan.as_ref().map(|plan| Key::new(bare, &pull.head, plan));
        self.ci.abandon(&bare.key, watcher, key.as_ref());
        match plan {
            Some(plan) => self.ci.verdict(bare, &pull.head, plan, watcher).await,
            None => Ok(Checks::NotRequired),
        }
    }

    fn recall(
        &self,
        bare: &Bare,
        number: PrNumber,
        head: &CommitId,
        base: &CommitId,
    ) -> Option<Settled> {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let known = settled.get(&(bare.key.clone(), number))?;
        (known.head == *head && known.base == *base).then(|| known.clone())
    }

    fn remember(&self, bare: &Bare, number: PrNumber, now: Settled) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.insert((bare.key.clone(), number), now);
    }
    fn forget(&self, bare: &Bare, number: PrNumber) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.remove(&(bare.key.clone(), number));
    }
}
