//! `optio migrate`: the schema of the database.

use anyhow::Result;
use clap::Args;

use super::{Outcome, configuration::ServerFlags, out::Out};
use crate::{
    config::Environment,
    state::{self, Schema},
};

/// Bring the database to the schema that this version works with
///
/// `optio serve` does so by itself when it starts, unless OPTIO_MIGRATE is `refuse`. Of several that migrate at once one
/// does the work, and the others wait. There is no way back but a backup: what a newer version has migrated, an older one
/// refuses to open.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    settings: ServerFlags,
    /// Change nothing, and tell by the exit code whether the schema is the present one: 0 if it is, 1 if not
    #[arg(long)]
    check: bool,
}

impl MigrateArgs {
    pub(crate) async fn run(self, environment: &Environment, out: &mut Out) -> Result<Outcome> {
        let config = self.settings.load(environment)?;
        let database = state::shown(&config);
        let refused = |error: optio_core::Error| anyhow::anyhow!("{}", error.message());
        let Schema { found, wanted } = state::schema(&config).await.map_err(refused)?;
        if found == wanted {
            out.line(format!("{database} has schema {wanted}: nothing to do"))?;
            return Ok(Outcome::Done);
        }
        if self.check {
            out.line(format!(
                "{database} has schema {found}, and this version works with {wanted}"
            ))?;
            return Ok(Outcome::Failed);
        }
        state::migrate(&config).await.map_err(refused)?;
        let now = state::schema(&config).await.map_err(refused)?;
        out.line(format!(
            "{database} was brought from schema {found} to {}",
            now.found
        ))?;
        Ok(Outcome::Done)
    }
}
