//! `optio serve`.

use anyhow::{Context, Result};
use clap::Args;

use super::{Outcome, configuration::ServerFlags, out::Out};
use crate::{
    config::Environment,
    serve::{Server, until_interrupted},
    telemetry,
};

/// Run the server on this machine
///
/// Ctrl-C or SIGTERM stops it: it takes no more work, finishes what it is writing, and leaves agents at work to be
/// adopted by the next start. A second Ctrl-C ends it at once. A token that callers have to show is set with
/// OPTIO_TOKEN, or `token` in the file; it is needed to listen for other machines. Servers of the database and the queue
/// that are not up yet are waited for, with a line in the log that says so.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    settings: ServerFlags,
}

impl ServeArgs {
    pub(crate) async fn run(self, environment: &Environment, out: &mut Out) -> Result<Outcome> {
        let config = self.settings.load(environment)?;
        telemetry::start(&config.log, config.log_format);
        let shutdown = until_interrupted().context("signals cannot be listened for")?;
        let opened = tokio::select! {
            biased;
            opened = Server::open(&config) => opened,
            // it may wait for its database
            () = shutdown.cancelled() => return Ok(Outcome::Done),
        };
        let server = opened.map_err(|error| anyhow::anyhow!("{}", error.message()))?;
        out.line(format!(
            "optio listens on http://{} and keeps its data in {}",
            server.address,
            config.data.display()
        ))?;
        out.flush()?;
        match server.run(shutdown).await {
            Ok(()) => Ok(Outcome::Done),
            Err(error) => {
                out.remark(error.message());
                Ok(Outcome::Failed)
            }
        }
    }
}
