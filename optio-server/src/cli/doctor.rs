//! `optio doctor`: looks at what the server needs on this machine, and at the server.

use anyhow::Result;
use clap::Args;
use optio_local::runtime::{LocalRuntime, LocalRuntimeOptions};

use super::{
    Outcome,
    client::{Client, Path, shape},
    configuration::ServerFlags,
    out::{Out, Tone},
    table::{Cell, Table},
};
use crate::{
    agents,
    api::{accounts::AccountList, health::HealthView},
    backends,
    config::{ClientConfig, Environment, Given, ServerConfig, Setting},
    doctor::{Check, CheckStatus, Containment, Doctor, Servers},
};

/// Find out whether everything that Optio needs is there
///
/// Looks at git, the data folder, the agents and the way runs are held together on this machine, and at the database and
/// the queue, with the settings that `optio serve` would use; and asks the server whether it runs. Exit code 1 if
/// something has to be mended.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    settings: ServerFlags,
    /// The server's address [env: OPTIO_SERVER] [default: http://127.0.0.1:8420]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Print JSON, in the shape of /api/doctor
    #[arg(long)]
    json: bool,
}

impl DoctorArgs {
    pub(crate) async fn run(self, environment: &Environment, out: &mut Out) -> Result<Outcome> {
        let given = self.settings.given();
        let mut for_client = Given {
            file: given.file.clone(),
            ..given.clone()
        };
        for_client
            .flags
            .extend(self.server.map(|server| (Setting::Server, server)));
        let config = ServerConfig::load(given, environment)?;
        let client = Client::new(ClientConfig::load(for_client, environment)?)?;
        let mut options = LocalRuntimeOptions::new(config.data.join("workspaces"));
        options.env.extend(config.passed_on.clone());
        let doctor = Doctor {
            env: options.env.clone(),
            data: config.data.clone(),
            agents: agents::agents(&config.access)?.into_values().collect(),
            containment: containment(options).await,
            servers: Some(Servers::from(&config)),
        };
        let mut report = doctor.examine().await;
        report.checks.push(server(&client).await);
        report.checks.extend(accounts(&client).await);
        if self.json {
            out.json(&report)?;
        } else {
            show(&report.checks, out)?;
        }
        Ok(if report.worst() == CheckStatus::Fail {
            Outcome::Failed
        } else {
            Outcome::Done
        })
    }
}

/// How runs would be held together, found out in a folder of its own that is removed again.
async fn containment(mut options: LocalRuntimeOptions) -> Containment {
    options.root = std::env::temp_dir().join(format!("optio-doctor-{}", std::process::id()));
    let found = LocalRuntime::open(options.clone())
        .await
        .map(|runtime| backends::containment(&runtime));
    // what cannot be removed is an empty folder among temporary ones
    let _ = std::fs::remove_dir(&options.root);
    found.unwrap_or(Containment::Unknown)
}

async fn server(client: &Client) -> Check {
    let answer = client
        .get(&Path::of(&["healthz"]))
        .await
        .and_then(|value| shape::<HealthView>(&value));
    match answer {
        Ok(health) if health.version == crate::VERSION => Check::new(
            "server",
            CheckStatus::Ok,
            format!("version {} runs at {}", health.version, client.server()),
        ),
        Ok(health) => {
            let message = format!(
                "version {} runs at {}, and this program is {}",
                health.version,
                client.server(),
                crate::VERSION
            );
            Check::new("server", CheckStatus::Warn, message)
                .with_remedy("use the same version of both")
        }
        Err(_) => Check::new(
            "server",
            CheckStatus::Warn,
            format!("none answers at {}", client.server()),
        )
        .with_remedy(
            "start one with `optio serve`, or say where it is with --server or OPTIO_SERVER",
        ),
    }
}

/// The accounts of the server, if one answers.
async fn accounts(client: &Client) -> Vec<Check> {
    let answer = client.get(&Path::of(&["api", "accounts"])).await;
    let list = answer.and_then(|value| shape::<AccountList>(&value));
    list.map_or_else(
        |_| Vec::new(),
        |list| list.accounts.iter().filter_map(|it| it.check()).collect(),
    )
}

fn show(checks: &[Check], out: &mut Out) -> Result<()> {
    let mut table = Table::plain();
    for check in checks {
        let status = match check.status {
            CheckStatus::Ok => Cell::toned(Tone::Good, "ok"),
            CheckStatus::Warn => Cell::toned(Tone::Attention, "warn"),
            CheckStatus::Fail => Cell::toned(Tone::Bad, "fail"),
        };
        let remedy = check
            .remedy
            .as_ref()
            .map(|remedy| format!("; {remedy}"))
            .unwrap_or_default();
        table.row([
            status,
            check.name.clone().into(),
            format!("{}{remedy}", check.message).into(),
        ]);
    }
    for line in table.lines(out.paint()) {
        out.line(line)?;
    }
    Ok(())
}
