//! Accounts that are paused: who waits for them, and who ends that.
//!
//! The pause is a fact in the store and nothing that a task carries: a worker that takes a task looks, and puts the task
//! back into the queue until then. So whoever lifts a pause only has to push those tasks once more.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::Optio;
use crate::{
    account::{AccountName, Pause, PauseEnd},
    clock::Timestamp,
    error::{Error, ErrorKind, Result},
    queue::Waiting,
    repo::Repo,
    run::Run,
    scheduling::{Admission, Answered, WaitReason, admit, is_over},
    store::{OnlyLive, OutboxMessage, RunQuery, TaskQuery, Write},
    task::{StateName, Task},
};

use super::task_worker::job;

/// An account at a model provider.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Its name.
    pub name: AccountName,
    /// The agents that work with it now; none if it is only remembered for its pause.
    pub agents: Vec<String>,
    /// Its pause, if it is paused.
    pub pause: Option<Pause>,
}

/// A pause that holds a task back.
#[derive(Debug)]
pub(crate) struct Held {
    pause: Pause,
    now: Timestamp,
}

impl Held {
    pub(crate) fn reason(&self) -> WaitReason {
        WaitReason::AccountPaused {
            account: self.pause.account.clone(),
            until: self.pause.until.at(),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pause {
            account, reason, ..
        } = &self.pause;
        match self.pause.until {
            PauseEnd::At(at) if at <= self.now => write!(
                f,
                "another run finds out whether the account {account} works again, which was paused until {at}: {reason}"
            ),
            _ => self.pause.fmt(f),
        }
    }
}

impl Optio {
    /// Every account that an agent works with, and every one that is paused, by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        let mut accounts: BTreeMap<AccountName, Account> = BTreeMap::new();
        let mut of = |name: AccountName, edit: &dyn Fn(&mut Account)| {
            let account = accounts.entry(name.clone()).or_insert_with(|| Account {
                name,
                agents: Vec::new(),
                pause: None,
            });
            edit(account);
        };
        for (name, agent) in &self.ports().agents {
            if let Some(account) = agent.account() {
                of(account, &|account| account.agents.push(name.clone()));
            }
        }
        for pause in self.store().pauses().await? {
            of(pause.account.clone(), &|account| {
                account.pause = Some(pause.clone());
            });
        }
        Ok(accounts.into_values().collect())
    }

    /// Lifts the pause of an account: its tasks go on at once. Nothing happens to one that is not paused.
    ///
    /// # Errors
    /// There is no such account, or the store failed.
    pub async fn resume_account(&self, name: &AccountName) -> Result<Account> {
        let accounts = self.accounts().await?;
        let Some(account) = accounts.iter().find(|account| account.name == *name) else {
            let known: Vec<&str> = accounts.iter().map(|it| it.name.as_str()).collect();
            let known = if known.is_empty() {
                "there is none at all".to_owned()
            } else {
                format!("there is {}", known.join(", "))
            };
            return Err(Error::new(
                ErrorKind::NotFound,
                "optio",
                format!("no account is called {name}: {known}"),
            ));
        };
        if let Some(pause) = &account.pause {
            self.lift(pause).await?;
            tracing::info!(account = %name, "account resumed");
        }
        Ok(Account {
            pause: None,
            ..account.clone()
        })
    }

    async fn lift(&self, pause: &Pause) -> Result<()> {
        let account = pause.account.clone();
        let mut change = self.change("accounts");
        change.write(Write::Lift(account.clone(), pause.until));
        change.follow_up(OutboxMessage::WakeAccount { account });
        change.commit().await
    }

    /// Everything that waits in the queue, in its order, each with the reason why: also those that only their account
    /// holds back.
    ///
    /// # Errors
    /// A backend failed.
    pub async fn waiting(&self) -> Result<Vec<Waiting>> {
        let mut waiting = self.queue().waiting().await?;
        let pauses = self.store().pauses().await?;
        if pauses.is_empty() {
            return Ok(waiting);
        }
        let held = self.waiting_for(|name| pauses.iter().any(|pause| pause.account == *name));
        let held: BTreeMap<_, _> = held
            .await?
            .into_iter()
            .map(|(task, account)| (task.id, account))
            .collect();
        for entry in &mut waiting {
            let account = held.get(&entry.job.task);
            if let Some(pause) = pauses.iter().find(|it| Some(&it.account) == account) {
                let now = self.now();
                let pause = pause.clone();
                entry.why = Held { pause, now }.reason();
            }
        }
        Ok(waiting)
    }

    /// The pause that holds a queued task back.
    pub(crate) async fn held_by_account(&self, task: &Task) -> Result<Option<Held>> {
        let pauses = self.store().pauses().await?;
        if pauses.is_empty() {
            return Ok(None);
        }
        let repo = self.store().repo(task.repo).await?;
        let account = self.account_of(task, &repo);
        let now = self.now();
        Ok(pauses
            .into_iter()
            .find(|pause| Some(&pause.account) == account.as_ref())
            .map(|pause| Held { pause, now }))
    }

    fn account_of(&self, task: &Task, repo: &Repo) -> Option<AccountName> {
        self.agent_for(task, repo).ok()?.account()
    }

    /// Whether a run may be placed now that works with this account.
    pub(crate) async fn admission(&self, account: &AccountName) -> Result<Admission> {
        let pause = self.pause_of(account).await?;
        let until = pause.as_ref().and_then(|pause| pause.until.at());
        let now = self.now();
        let probing = match until {
            Some(until) if until <= now => {
                let live = RunQuery {
                    only_live: OnlyLive::Yes,
                    ..RunQuery::default()
                };
                let live = self.store().runs(&live).await?;
                let probes = live
                    .iter()
                    .filter(|run| run.account.as_ref() == Some(account) && run.started_at >= until);
                probes.count()
            }
            _ => 0,
        };
        Ok(admit(pause.as_ref(), probing, now))
    }

    async fn pause_of(&self, account: &AccountName) -> Result<Option<Pause>> {
        let pauses = self.store().pauses().await?;
        Ok(pauses.into_iter().find(|pause| pause.account == *account))
    }

    /// A model has answered a run: a pause of its account that this proves wrong is lifted.
    pub(crate) async fn account_works(&self, run: &Run, at: Timestamp) -> Result<()> {
        let Some(account) = &run.account else {
            return Ok(());
        };
        let answered = Answered {
            at,
            placed_at: run.started_at,
        };
        match self.pause_of(account).await? {
            Some(pause) if is_over(&pause, answered) => {
                tracing::info!(%account, run = %run.id, "account works again");
                self.lift(&pause).await
            }
            _ => Ok(()),
        }
    }

    /// Says that an account was paused, if it is this pause that is stored: of many runs that find out together, one says
    /// so.
    pub(crate) async fn say_paused(&self, pause: &Pause) -> Result<()> {
        let stored = self.pause_of(&pause.account).await?;
        if stored.is_some_and(|stored| stored.run == pause.run) {
            let Pause { account, run, .. } = pause;
            match pause.until {
                PauseEnd::At(_) => tracing::info!(%account, %run, "{pause}"),
                PauseEnd::Resumed => tracing::warn!(%account, %run, "{pause}"),
            }
        }
        Ok(())
    }

    /// The tasks of an account that was paused are handed out again.
    pub(crate) async fn wake_account(&self, account: &AccountName) -> Result<()> {
        for (task, _) in self.waiting_for(|name| name == account).await? {
            self.queue().push(job(&task)).await?;
        }
        Ok(())
    }

    /// At the start: whoever waits for an account looks again, which may be another one by now.
    pub(crate) async fn wake_all_accounts(&self) -> Result<()> {
        if !self.store().pauses().await?.is_empty() {
            for (task, _) in self.waiting_for(|_| true).await? {
                self.queue().push(job(&task)).await?;
            }
        }
        Ok(())
    }

    /// The queued tasks whose account is one of these.
    async fn waiting_for(
        &self,
        wanted: impl Fn(&AccountName) -> bool,
    ) -> Result<Vec<(Task, AccountName)>> {
        let repos: BTreeMap<_, _> = self
            .store()
            .repos()
            .await?
            .into_iter()
            .map(|repo| (repo.id, repo))
            .collect();
        let queued = TaskQuery::in_states([StateName::Queued]);
        let queued = self.store().tasks(&queued).await?;
        Ok(queued
            .into_iter()
            .filter_map(|task| {
                let account = self.account_of(&task, repos.get(&task.repo)?)?;
                wanted(&account).then_some((task, account))
            })
            .collect())
    }
}
