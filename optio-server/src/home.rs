//! Replicas that keep workspaces on this machine share one data folder.
//!
//! A run is adopted by whoever comes next, so everybody on one database has to find its workspace. Whoever first opens
//! the database leases it for its data folder; a server with another folder, perhaps on another machine, is refused.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use optio_core::{
    Clock, Error, Result,
    clock::later,
    run::WorkerId,
    store::{Sharing, Store},
};

/// The file that holds the folder's name for itself.
const FILE: &str = "home";
/// The lease.
const LEASE: &str = "home of local workspaces";

/// The right of a data folder to hold the workspaces of a database.
#[derive(Debug)]
pub struct Home {
    folder: WorkerId,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    lease: Duration,
}

impl Home {
    /// Takes the database for this folder. Nothing is taken of a store that nobody else can open.
    ///
    /// # Errors
    /// The database belongs to another folder, or the folder cannot be written.
    pub async fn take(
        data: &Path,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        lease: Duration,
    ) -> Result<Option<Self>> {
        if store.sharing() == Sharing::Exclusive {
            return Ok(None);
        }
        let name = name_of(data, &*clock).map_err(|error| {
            Error::invalid("optio", format!("the data folder {} cannot be written ({error}): mend its permissions, or set OPTIO_DATA to another one", data.display()))
        })?;
        let home = Self {
            folder: WorkerId(name),
            store,
            clock,
            lease: lease * 2,
        };
        if home.renew().await? {
            return Ok(Some(home));
        }
        Err(Error::invalid(
            "optio",
            format!(
                "the database belongs to servers with another data folder than {}: their agents work there, so start all replicas with the same OPTIO_DATA, or stop the others and wait {} s",
                data.display(),
                home.lease.as_secs()
            ),
        ))
    }

    /// Keeps the right for as long as it is polled.
    ///
    /// # Errors
    /// Another folder has it by now.
    pub async fn keep(&self) -> Error {
        loop {
            tokio::time::sleep(self.lease / 4).await;
            match self.renew().await {
                Ok(true) => {}
                Ok(false) => {
                    return Error::invalid(
                        "optio",
                        "the database was taken over by servers with another data folder: stop those, or these",
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "the lease of the data folder was not renewed yet");
                }
            }
        }
    }

    async fn renew(&self) -> Result<bool> {
        let now = self.clock.now();
        let until = later(now, self.lease);
        self.store.lease(LEASE, &self.folder, now, until).await
    }
}

/// The name that the folder gave itself; given now if it has none.
fn name_of(data: &Path, clock: &dyn Clock) -> io::Result<String> {
    let path = data.join(FILE);
    let fresh = format!("{:016x}{:016x}", clock.random(), clock.random());
    let half = data.join(format!("{FILE}.{}", std::process::id()));
    fs::write(&half, &fresh)?;
    // of several that start at once, the first one's name counts
    let linked = fs::hard_link(&half, &path);
    fs::remove_file(&half)?;
    match linked {
        Ok(()) => Ok(fresh),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok(fs::read_to_string(&path)?.trim().to_owned())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use optio_core::memory::{MemoryStore, TokioClock};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_database_belongs_to_one_folder_until_nobody_is_there() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::seeded(1));
        let take = |folder: &tempfile::TempDir| {
            let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
            let path = folder.path().to_owned();
            async move { Home::take(&path, store, clock, Duration::from_secs(30)).await }
        };
        let first = take(&one).await.unwrap().unwrap();
        let second = take(&one).await.unwrap().unwrap();
        assert_eq!(first.folder, second.folder);
        let refused = take(&other).await.unwrap_err().to_string();
        assert!(refused.contains("another data folder"), "{refused}");
        tokio::time::sleep(Duration::from_secs(61)).await;
        let _moved = take(&other).await.unwrap().unwrap();
        let lost = first.keep().await.to_string();
        assert!(lost.contains("taken over"), "{lost}");
    }
}
