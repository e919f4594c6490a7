//! `optio account list|resume`.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    Outcome,
    client::{Client, Path, shape},
    configuration::ClientFlags,
    out::{Out, Shape, Tone},
    table::{Cell, Table},
};
use crate::{
    api::accounts::{AccountList, AccountView},
    config::Environment,
};

/// See which accounts are paused, and let them go on
///
/// An account is what an agent shows its model provider. When the provider refuses it (a limit, wrong credentials), it
/// is paused for all tasks at once: until the limit resets, or until it has other credentials or is resumed.
#[derive(Debug, Args)]
pub(crate) struct AccountArgs {
    #[command(flatten)]
    client: ClientFlags,
    #[command(subcommand)]
    command: AccountCommand,
}

#[derive(Debug, Subcommand)]
enum AccountCommand {
    /// List all accounts
    List,
    /// Let the tasks of a paused account go on at once
    Resume {
        /// Its name
        account: String,
    },
}

impl AccountArgs {
    pub(crate) async fn run(self, environment: &Environment, out: &mut Out) -> Result<Outcome> {
        let client = Client::new(self.client.load(environment)?)?;
        let wanted = self.client.shape();
        match self.command {
            AccountCommand::List => {
                let answer = client.get(&Path::of(&["api", "accounts"])).await?;
                match wanted {
                    Shape::Json => out.json(&answer)?,
                    Shape::Human => list(&shape(&answer)?, out)?,
                }
            }
            AccountCommand::Resume { account } => {
                let path = Path::of(&["api", "accounts", &account, "resume"]);
                let answer = client.post(&path, None::<&Value>).await?;
                match wanted {
                    Shape::Json => out.json(&answer)?,
                    Shape::Human => {
                        let view: AccountView = shape(&answer)?;
                        out.line(format!("{} is not paused", view.name))?;
                    }
                }
            }
        }
        Ok(Outcome::Done)
    }
}

fn list(list: &AccountList, out: &mut Out) -> Result<()> {
    if list.accounts.is_empty() {
        return Ok(out.line("no agent of this server works with an account")?);
    }
    let mut table = Table::new(&["ACCOUNT", "AGENTS", "PAUSED"]);
    for account in &list.accounts {
        let agents = if account.agents.is_empty() {
            "-".to_owned()
        } else {
            account.agents.join(", ")
        };
        let paused = match &account.pause {
            None => Cell::toned(Tone::Good, "no"),
            Some(pause) => {
                let until = pause
                    .until
                    .map_or_else(|| "resumed".to_owned(), |until| until.to_string());
                let words = format!("until {until}: {}", pause.reason.in_a_line());
                Cell::toned(Tone::Attention, words)
            }
        };
        table.row([account.name.as_str().into(), agents.into(), paused]);
    }
    for line in table.lines(out.paint()) {
        out.line(line)?;
    }
    Ok(())
}
