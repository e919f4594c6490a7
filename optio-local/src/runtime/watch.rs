//! One watcher of folders for a whole runtime: who waits for a run's output is woken when its files change.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;

type Folders = Arc<Mutex<HashMap<PathBuf, watch::Sender<()>>>>;

/// The watcher. It is started by the first who needs it.
#[derive(Default)]
pub(super) struct Watch {
    /// Held while the watcher is told what to watch. Never taken by its callback, which would then wait for itself.
    watcher: Mutex<Option<RecommendedWatcher>>,
    folders: Folders,
}

/// One folder, being watched until this is dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    watch: Arc<Watch>,
    folder: PathBuf,
    changes: Option<watch::Receiver<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// Begins to watch a folder. If the system refuses (there is a limit on watches), only the sweep wakes.
    pub(super) fn subscribe(self: &Arc<Self>, folder: &Path) -> Subscription {
        let mut watcher = lock(&self.watcher);
        let known = lock(&self.folders)
            .get(folder)
            .map(watch::Sender::subscribe);
        let changes = known.or_else(|| match self.begin(&mut watcher, folder) {
            Ok(changes) => Some(changes),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "cannot watch a folder, will look now and then");
                None
            }
        });
        Subscription {
            watch: Arc::clone(self),
            folder: folder.to_owned(),
            changes,
        }
    }

    fn begin(
        &self,
        watcher: &mut Option<RecommendedWatcher>,
        folder: &Path,
    ) -> notify::Result<watch::Receiver<()>> {
        let watcher = match watcher {
            Some(watcher) => watcher,
            None => watcher.insert(start(Arc::clone(&self.folders))?),
        };
        let (changed, changes) = watch::channel(());
        lock(&self.folders).insert(folder.to_owned(), changed);
        watcher
            .watch(folder, RecursiveMode::NonRecursive)
            .inspect_err(|_| {
                lock(&self.folders).remove(folder);
            })?;
        Ok(changes)
    }
}

fn start(folders: Folders) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        let folders = lock(&folders);
        match event {
            // opening a file is an event too: our own reading must not wake us
            Ok(event) if !event.kind.is_access() && !event.need_rescan() => {
                for path in &event.paths {
                    let folder = folders
                        .get(path)
                        .or_else(|| folders.get(path.parent().unwrap_or(path)));
                    if let Some(folder) = folder {
                        folder.send_replace(());
                    }
                }
            }
            Ok(event) if !event.need_rescan() => {}
            // events were lost: let everybody look
            Ok(_) | Err(_) => {
                for folder in folders.values() {
                    folder.send_replace(());
                }
            }
        }
    })
}

impl Subscription {
    /// Forgets changes so far. To be called before looking, so that one which happens while looking is not missed.
    pub(super) fn clear(&mut self) {
        if let Some(changes) = &mut self.changes {
            changes.mark_unchanged();
        }
    }

    /// Waits until something changed since [`clear`](Self::clear), or for as long as `sweep`.
    pub(super) async fn changed(&mut self, sweep: Duration) {
        match &mut self.changes {
            Some(changes) => {
                let waited = tokio::time::timeout(sweep, changes.changed()).await;
                if let Ok(Err(_)) = waited {
                    self.changes = None; // cannot be: the sender lives as long as there are receivers
                }
            }
            None => tokio::time::sleep(sweep).await,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut watcher = lock(&self.watch.watcher);
        self.changes = None;
        let mut folders = lock(&self.watch.folders);
        let unused = folders
            .get(&self.folder)
            .is_some_and(|changed| changed.receiver_count() == 0);
        if unused {
            folders.remove(&self.folder);
            drop(folders);
            if let Some(watcher) = watcher.as_mut() {
                // the folder may be gone, and its watch with it
                let _ = watcher.unwatch(&self.folder);
            }
        }
    }
}
