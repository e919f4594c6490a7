//! What a batch of entries has in common: what they are about is read once for all of them, and the queue gets what it is
//! owed in one call.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    engine::{Optio, task_worker::job},
    error::{Error, ErrorKind, Result},
    id::TaskId,
    queue::Job,
    store::{OutboxEntry, OutboxMessage, TaskQuery},
    task::{StateName, Task},
    webhook::Webhook,
};

/// What came of an entry. Several may share an error.
pub(super) type Outcome<T = ()> = Result<T, Arc<Error>>;

/// What the entries of a batch have in common.
#[derive(Debug)]
pub(super) struct Batch {
    /// The tasks that they are about, as they were stored when the batch was begun.
    tasks: BTreeMap<TaskId, Outcome<Task>>,
    webhooks: Outcome<Vec<Webhook>>,
    /// What came of the tasks whose entries in the queue had to be made to agree with them.
    synced: BTreeMap<TaskId, Outcome>,
}

impl Batch {
    pub(super) fn task(&self, id: TaskId) -> Outcome<&Task> {
        match self.tasks.get(&id) {
            Some(Ok(task)) => Ok(task),
            Some(Err(error)) => Err(Arc::clone(error)),
            None => Err(Arc::new(Error::not_found("optio", id))),
        }
    }

    pub(super) fn webhooks(&self) -> Outcome<&[Webhook]> {
        self.webhooks.as_deref().map_err(Arc::clone)
    }

    pub(super) fn synced(&self, task: TaskId) -> Outcome {
        self.synced.get(&task).cloned().unwrap_or(Ok(()))
    }
}

impl Optio {
    /// Reads what some entries are about, and brings the queue up to it before that grows old while others are slow.
    pub(super) async fn begin_batch(&self, entries: &[OutboxEntry]) -> Batch {
        let (mut ids, mut any_change) = (BTreeSet::new(), false);
        for entry in entries {
            match &entry.message {
                OutboxMessage::SyncQueue { task } => {
                    ids.insert(*task);
                }
                OutboxMessage::TaskChanged { task, .. } => {
                    ids.insert(*task);
                    any_change = true;
                }
                _ => {}
            }
        }
        let tasks = self.read_tasks(ids).await;
        let webhooks = match any_change {
            true => self.store().webhooks().await.map_err(Arc::new),
            false => Ok(Vec::new()),
        };
        let mut batch = Batch {
            tasks,
            webhooks,
            synced: BTreeMap::new(),
        };
        batch.synced = self.sync_tasks(entries, &batch).await;
        batch
    }

    async fn read_tasks(&self, ids: BTreeSet<TaskId>) -> BTreeMap<TaskId, Outcome<Task>> {
        if ids.is_empty() {
            return BTreeMap::new();
        }
        let these = TaskQuery {
            ids: Some(ids.iter().copied().collect()),
            ..TaskQuery::default()
        };
        match self.store().tasks(&these).await {
            Ok(found) => found.into_iter().map(|task| (task.id, Ok(task))).collect(),
            // one that cannot be read must not keep the others
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let mut tasks = BTreeMap::new();
                for id in ids {
                    tasks.insert(id, self.store().task(id).await.map_err(Arc::new));
                }
                tasks
            }
            Err(error) => {
                let error = Arc::new(error);
                let failed = |id| (id, Err(Arc::clone(&error)));
                ids.into_iter().map(failed).collect()
            }
        }
    }

    /// Makes the queue's entries of tasks agree with their states, as they are and not as they were when this was asked
    /// for. Says what came of each task.
    async fn sync_tasks(
        &self,
        entries: &[OutboxEntry],
        batch: &Batch,
    ) -> BTreeMap<TaskId, Outcome> {
        let (mut outcomes, mut queued) = (BTreeMap::new(), BTreeMap::new());
        for entry in entries {
            let OutboxMessage::SyncQueue { task: id } = entry.message else {
                continue;
            };
            let outcome = match batch.task(id) {
                Ok(task) => match task.state.name() {
                    StateName::Queued => {
                        queued.insert(id, job(task));
                        continue;
                    }
                    // a run that lost its worker may be waiting there to be adopted
                    StateName::Provisioning | StateName::Running => Ok(()),
                    _ if outcomes.contains_key(&id) => continue,
                    _ => self.queue().remove(id).await.map_err(Arc::new),
                },
                Err(error) => Err(error),
            };
            outcomes.insert(id, outcome);
        }
        self.push_each(queued, &mut outcomes).await;
        outcomes
    }

    async fn push_each(
        &self,
        jobs: BTreeMap<TaskId, Job>,
        outcomes: &mut BTreeMap<TaskId, Outcome>,
    ) {
        if jobs.is_empty() {
            return;
        }
        let together = self.queue().push_all(jobs.values().cloned().collect());
        match together.await.map_err(Arc::new) {
            Ok(()) => outcomes.extend(jobs.into_keys().map(|id| (id, Ok(())))),
            Err(error) if is_of_all(&error) => {
                outcomes.extend(jobs.into_keys().map(|id| (id, Err(Arc::clone(&error)))));
            }
            // one that cannot be pushed must not keep the others
            Err(_) => {
                for (id, job) in jobs {
                    outcomes.insert(id, self.queue().push(job).await.map_err(Arc::new));
                }
            }
        }
    }
}

/// Whether an error says that the queue is out of reach, for whatever is asked of it.
fn is_of_all(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut)
}
