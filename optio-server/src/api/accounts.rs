//! `/api/accounts`: the accounts that agents work with, and which of them are paused. Names only: no credential is shown.

use axum::{Json, extract::State};
use optio_core::{Timestamp, account::AccountName, engine::Account};
use serde::{Deserialize, Serialize};

use super::{Path, task::FailureView};
use crate::{
    app::App,
    doctor::{Check, CheckStatus},
    error::ApiError,
};

/// All accounts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccountList {
    /// Them, by name.
    pub accounts: Vec<AccountView>,
}

/// An account at a model provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccountView {
    /// Its name: the agent, the kind of credentials and their fingerprint.
    pub name: String,
    /// The agents that work with it now.
    pub agents: Vec<String>,
    /// Its pause, if no run may use it.
    pub pause: Option<PauseView>,
}

/// Why no run may use an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PauseView {
    /// Until when; none if until it has other credentials or is resumed.
    pub until: Option<Timestamp>,
    /// Since when.
    pub since: Timestamp,
    /// What the run that found out failed from.
    pub reason: FailureView,
}

impl AccountView {
    /// What a doctor says of it; nothing of one that nobody works with.
    #[must_use]
    pub fn check(&self) -> Option<Check> {
        if self.agents.is_empty() {
            return None;
        }
        let name = format!("account {}", self.name);
        let Some(pause) = &self.pause else {
            return Some(Check::new(name, CheckStatus::Ok, "not paused"));
        };
        let until = pause.until.map_or_else(
            || "until it is resumed".to_owned(),
            |until| format!("until {until}"),
        );
        let message = format!("paused {until}: {}", pause.reason.in_a_line());
        let remedy = match pause.until {
            Some(_) => "nothing to do: its tasks go on then".to_owned(),
            None => format!(
                "give the server other credentials and start it again, or mend them and run `optio account resume {}`",
                self.name
            ),
        };
        Some(Check::new(name, CheckStatus::Warn, message).with_remedy(remedy))
    }
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self {
            name: account.name.to_string(),
            agents: account.agents,
            pause: account.pause.map(|pause| PauseView {
                until: pause.until.at(),
                since: pause.since,
                reason: FailureView::from(&pause.reason),
            }),
        }
    }
}

pub(crate) async fn list(State(app): State<App>) -> Result<Json<AccountList>, ApiError> {
    let accounts = app.optio.accounts().await?;
    Ok(Json(AccountList {
        accounts: accounts.into_iter().map(AccountView::from).collect(),
    }))
}

pub(crate) async fn resume(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<AccountView>, ApiError> {
    let account = app.optio.resume_account(&AccountName::new(name)).await?;
    Ok(Json(account.into()))
}
