//! Replicas of `optio serve` in one room, on shared servers.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    room::{Room, until},
    server::Server,
    shared::Shared,
};

/// How long a run belongs to a replica that gives no sign of life, here.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// How long a replica may take to answer while its database comes back.
const ANSWER: Duration = Duration::from_secs(10);

/// The replicas.
#[derive(Debug)]
pub(crate) struct Fleet<'r> {
    room: &'r Room,
    arguments: Vec<String>,
    replicas: Vec<Replica>,
}

#[derive(Debug)]
struct Replica {
    server: Server,
    frozen_until: Option<Instant>,
}

impl<'r> Fleet<'r> {
    /// Starts so many replicas with these further arguments.
    pub(crate) async fn start(
        room: &'r Room,
        shared: &Shared,
        replicas: usize,
        more: &[&str],
    ) -> Self {
        let (database, redis) = (shared.database_url(), shared.redis_url());
        let lease = LEASE.as_secs().to_string();
        let arguments = [
            ["--database-url", &database],
            ["--redis-url", &redis],
            ["--lease-seconds", &lease],
        ];
        let arguments = arguments.as_flattened().iter().chain(more);
        let mut fleet = Self {
            room,
            arguments: arguments.map(|argument| (*argument).to_owned()).collect(),
            replicas: Vec::new(),
        };
        for _ in 0..replicas {
            let server = fleet.serve().await;
            fleet.replicas.push(Replica {
                server,
                frozen_until: None,
            });
        }
        fleet
    }

    async fn serve(&self) -> Server {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.room.serve_with(&arguments).await
    }

    /// What each of them is started with.
    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }

    pub(crate) fn len(&self) -> usize {
        self.replicas.len()
    }

    /// One of them.
    pub(crate) fn server(&self, number: usize) -> &Server {
        &self.replicas[number].server
    }

    /// The one whose process this is.
    pub(crate) fn with_pid(&self, pid: i32) -> Option<usize> {
        self.replicas
            .iter()
            .position(|replica| replica.server.pid() == pid)
    }

    /// How many of them are frozen.
    pub(crate) fn frozen(&self) -> usize {
        let frozen = |replica: &&Replica| replica.frozen_until.is_some();
        self.replicas.iter().filter(frozen).count()
    }

    /// Ends one as `kill -9` does; another is started in its place afterwards.
    pub(crate) async fn kill_and_start(&mut self, number: usize) {
        let replica = self.replicas.remove(number);
        replica.server.kill().await;
        let server = self.serve().await;
        let fresh = Replica {
            server,
            frozen_until: None,
        };
        self.replicas.insert(number, fresh);
    }

    /// Freezes one for so long.
    pub(crate) fn freeze(&mut self, number: usize, time: Duration) {
        let replica = &mut self.replicas[number];
        if replica.frozen_until.is_none() {
            replica.server.signal(Signal::SIGSTOP);
            replica.frozen_until = Some(Instant::now() + time);
        }
    }

    /// Thaws one.
    pub(crate) fn thaw(&mut self, number: usize) {
        let replica = &mut self.replicas[number];
        replica.server.signal(Signal::SIGCONT);
        replica.frozen_until = None;
    }

    /// Thaws those whose time has come.
    pub(crate) fn thaw_due(&mut self) {
        for replica in &mut self.replicas {
            if replica.frozen_until.is_some_and(|at| at <= Instant::now()) {
                replica.server.signal(Signal::SIGCONT);
                replica.frozen_until = None;
            }
        }
    }

    /// Waits until all are thawed, each in its time.
    pub(crate) async fn all_thawed(&mut self) {
        while let Some(next) = self
            .replicas
            .iter()
            .filter_map(|replica| replica.frozen_until)
            .min()
        {
            tokio::time::sleep_until(next).await;
            self.thaw_due();
        }
    }

    /// Cancels a task, by whichever replica answers.
    pub(crate) async fn cancel(&self, task: &str) {
        until("somebody who cancels", || async {
            for replica in self
                .replicas
                .iter()
                .filter(|one| one.frozen_until.is_none())
            {
                let path = ["api", "tasks", task, "cancel"];
                let request = json!({});
                let asked = replica.server.post(&path, &request);
                match tokio::time::timeout(ANSWER, asked).await {
                    Ok(Ok(_)) => return Ok(()),
                    // cancelling twice is a conflict
                    Ok(Err(error)) if error.to_string().contains("cancelled") => return Ok(()),
                    Ok(Err(error)) => println!("not cancelled yet: {error}"),
                    Err(_) => println!("not cancelled yet: no answer"),
                }
            }
            Err("nobody answers".to_owned())
        })
        .await;
    }

    /// Tells all to stop, as Ctrl-C does.
    pub(crate) async fn stop(self) {
        for replica in self.replicas {
            assert!(replica.server.stop().await.success());
        }
    }
}
