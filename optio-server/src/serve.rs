//! `optio serve`: the server from start to drain.

use std::{io, net::SocketAddr, time::Duration};

use optio_core::{Error, Result};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    backends::Backends,
    config::ServerConfig,
    doctor::{CheckStatus, Containment, Doctor},
    router::router,
};

/// A server that listens and has everything it needs, but does not work yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    backends: Backends,
    app: App,
    drain: Duration,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Makes everything ready, and refuses in one sentence if it cannot be.
    ///
    /// # Errors
    /// There is no git, the port is taken, the data folder cannot be had. Nothing was changed then.
    pub async fn open(config: &ServerConfig) -> Result<Self> {
        let examiner = Doctor {
            env: config.passed_on.clone(),
            data: config.data.clone(),
            agents: Vec::new(),
            containment: Containment::Unknown,
            servers: None,
        };
        let git = examiner.git().await;
        if git.status == CheckStatus::Fail {
            return Err(Error::invalid(
                "optio",
                format!("{}: {}", git.message, git.remedy.unwrap_or_default()),
            ));
        }
        // the port first: with it taken, the data folder is not touched
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|error| cannot_listen(config.listen, &error))?;
        let address = listener
            .local_addr()
            .map_err(|error| cannot_listen(config.listen, &error))?;
        let backends = Backends::open(config).await?;
        let app = App::new(backends.optio.clone(), backends.doctor.clone())
            .with_token(config.token.clone());
        Ok(Self {
            listener,
            backends,
            app,
            drain: config.drain,
            address,
        })
    }

    /// The engine.
    #[must_use]
    pub fn optio(&self) -> &optio_core::engine::Optio {
        &self.backends.optio
    }

    /// The forge of repositories on this machine.
    #[must_use]
    pub fn forge(&self) -> &std::sync::Arc<optio_local::LocalForge> {
        &self.backends.forge
    }

    /// Serves and works until `shutdown` is cancelled, then drains: no new connection, no new task; what is being
    /// written is written; agents at work are left to work on. That takes no longer than the time for draining.
    ///
    /// # Errors
    /// The engine or the listener failed.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let Self {
            listener,
            mut backends,
            app,
            drain,
            ..
        } = self;
        let stopping = app.stopping.clone();
        let streams = app.streams.clone();
        let engine = backends.optio.clone();
        let home = backends.home.take();
        let serve = async {
            let served = axum::serve(listener, router(app))
                .with_graceful_shutdown(stopping.clone().cancelled_owned())
                .await;
            streams.close();
            streams.wait().await;
            served.map_err(|error| {
                Error::unavailable("optio", "the server cannot go on").caused_by(error)
            })
        };
        let work = async {
            let result = engine.run(stopping.clone()).await;
            // an engine that gives up takes the server along
            stopping.cancel();
            result
        };
        let both = async {
            let (served, worked) = tokio::join!(serve, work);
            served.and(worked)
        };
        let in_time = async {
            tokio::select! {
                () = shutdown.cancelled() => tracing::info!("stopping: agents at work go on, and are adopted at the next start"),
                () = stopping.cancelled() => {}
            }
            stopping.cancel();
            tokio::time::sleep(drain).await;
        };
        let at_home = async {
            match &home {
                Some(home) => home.keep().await,
                None => std::future::pending().await,
            }
        };
        let result = tokio::select! {
            result = both => result,
            error = at_home => Err(error),
            () = in_time => {
                tracing::warn!(seconds = drain.as_secs(), "not drained in time; nothing is lost, the next start goes on from here");
                Ok(())
            }
        };
        backends.close().await;
        result
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Error {
    let message = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "{address} is taken, perhaps by another optio: stop that, or choose another port with --listen or OPTIO_LISTEN"
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "you may not listen on {address}: choose a port above 1023 with --listen or OPTIO_LISTEN"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "{address} is no address of this machine: choose another with --listen or OPTIO_LISTEN"
        ),
        _ => format!(
            "{address} cannot be listened on ({error}): choose another address with --listen or OPTIO_LISTEN"
        ),
    };
    Error::invalid("optio", message)
}

/// A token that Ctrl-C or SIGTERM cancels. The second one ends the process at once, with code 130.
///
/// # Errors
/// Signals cannot be listened for.
pub fn until_interrupted() -> io::Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        for second in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if second {
                std::process::exit(130);
            }
            cancelled.cancel();
        }
    });
    Ok(token)
}
