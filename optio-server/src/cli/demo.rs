//! `optio demo`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{Outcome, configuration::ServerFlags, out::Out};
use crate::{
    config::Environment,
    demo::{self, Afterwards, DemoOptions, Output},
    telemetry,
};

/// See Optio drive tasks to merged pull requests, on this machine and with nothing else
///
/// Makes a sample repository and gives a scripted agent eight tasks. Checks turn red, a reviewer wants changes, siblings
/// conflict, a rate limit is hit, one task fails for good. It takes half a minute and ends with a table; the code is 0
/// if every task ended as it should.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave the server running when all tasks have ended, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Keep the repository and all data in this folder [default: a temporary one, removed at the end]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Listen here [default: a free port of 127.0.0.1]
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0",
        hide_default_value = true
    )]
    listen: String,
    /// Print nothing but one JSON document at the end
    #[arg(long)]
    json: bool,
}

impl DemoArgs {
    pub(crate) async fn run(self, environment: &Environment, out: &mut Out) -> Result<Outcome> {
        let config = ServerFlags::for_demo(self.listen).load(environment)?;
        telemetry::start(&config.log, config.log_format);
        let options = DemoOptions {
            folder: self.dir,
            afterwards: if self.keep {
                Afterwards::Keep
            } else {
                Afterwards::Stop
            },
            output: if self.json {
                Output::Json
            } else {
                Output::Human
            },
        };
        let as_planned = demo::run(config, options, out).await;
        let as_planned = as_planned.map_err(|error| anyhow::anyhow!("{}", error.message()))?;
        Ok(if as_planned {
            Outcome::Done
        } else {
            Outcome::Failed
        })
    }
}
