//! Commits: each write is carried out at once and remembers how to take itself back, should a later one fail.

use std::collections::BTreeMap;

use super::{BACKEND, Outgoing, State};
use crate::{
    error::{Error, Result},
    repo::Repo,
    run::Run,
    schedule::Schedule,
    store::{Commit, OutboxEntry, RemovedLog, RunGuard, Write},
    task::Task,
    transcript::{LogCursor, LogEntry},
    webhook::Webhook,
    workspace::Workspace,
};

/// Takes one write back.
type Undo = Box<dyn FnOnce(&mut State)>;

/// Where the records of one kind are.
type Records<K, V> = fn(&mut State) -> &mut BTreeMap<K, V>;

impl State {
    /// All of it or nothing.
    pub(super) fn commit(&mut self, commit: Commit) -> Result<()> {
        commit.check(BACKEND)?;
        for guard in &commit.guards {
            self.held(*guard)?;
        }
        let mut undo = Vec::with_capacity(commit.writes.len());
        for write in commit.writes {
            match self.write(write) {
                Ok(back) => undo.push(back),
                Err(error) => {
                    for back in undo.into_iter().rev() {
                        back(self);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, write: Write) -> Result<Undo> {
        match write {
            Write::Task(task) => self.put(|state| &mut state.tasks, task),
            Write::Repo(repo) => {
                self.address_is_free(&repo)?;
                self.put(|state| &mut state.repos, repo)
            }
            Write::Workspace(workspace) => {
                self.place_is_free(&workspace)?;
                self.put(|state| &mut state.workspaces, workspace)
            }
            Write::UseWorkspace(id, at) => match self.workspaces.get(&id) {
                Some(stored) if stored.state.takes_runs() => {
                    let used = Workspace {
                        used_at: at,
                        version: stored.version + 1,
                        ..stored.clone()
                    };
                    Ok(self.set(|state| &mut state.workspaces, id, Some(used)))
                }
                _ => Err(conflict(format!("{id} takes no runs"))),
            },
            Write::Schedule(schedule) => self.put(|state| &mut state.schedules, schedule),
            Write::Webhook(webhook) => self.put(|state| &mut state.webhooks, webhook),
            Write::NewRun(run) => {
                if self.runs.contains_key(&run.id) {
                    return Err(conflict(format!("{} exists already", run.id)));
                }
                Ok(self.set(|state| &mut state.runs, run.id, Some(run)))
            }
            Write::Run(run) => {
                self.held(RunGuard::of(&run))?;
                Ok(self.set(|state| &mut state.runs, run.id, Some(run)))
            }
            Write::TakeOver(run) => self.take_over(run),
            Write::TicketIsNew { source, key } => {
                let of_ticket = |task: &Task| {
                    let ticket = task.ticket.as_ref();
                    ticket.is_some_and(|ticket| ticket.source == source && ticket.key == key)
                };
                match self.tasks.values().find(|task| of_ticket(task)) {
                    Some(task) => Err(conflict(format!(
                        "{} comes from the ticket {source} {key} already",
                        task.id
                    ))),
                    None => Ok(Box::new(|_| {})),
                }
            }
            Write::LiveRunsAtMost { of, limit } => {
                let counted = (self.runs.values()).filter(|run| run.is_live() && of.has(run));
                let live = counted.count();
                if live > usize::try_from(limit).unwrap_or(usize::MAX) {
                    return Err(conflict(format!(
                        "{live} runs would be live, and {limit} may be"
                    )));
                }
                Ok(Box::new(|_| {}))
            }
            Write::ForgetWorkspace(id, version) => {
                let stored = self.workspaces.get(&id).map_or(0, Record::version);
                if version == 0 || stored != version {
                    return Err(stale(id, version, stored));
                }
                Ok(self.set(|state| &mut state.workspaces, id, None))
            }
            Write::ForgetSchedule(id) => Ok(self.set(|state| &mut state.schedules, id, None)),
            Write::ForgetWebhook(id) => Ok(self.set(|state| &mut state.webhooks, id, None)),
            Write::Pause(pause) => {
                let stored = self.pauses.get(&pause.account);
                if stored.is_some_and(|stored| stored.until >= pause.until) {
                    return Ok(Box::new(|_| {}));
                }
                let account = pause.account.clone();
                Ok(self.set(|state| &mut state.pauses, account, Some(pause)))
            }
            Write::Lift(account, until) => {
                let stored = self.pauses.get(&account);
                if stored.is_none_or(|stored| stored.until != until) {
                    return Ok(Box::new(|_| {}));
                }
                Ok(self.set(|state| &mut state.pauses, account, None))
            }
            Write::Log(task, entries) => self.append(task, entries),
            Write::RemoveLog(removed) => self.remove_log(removed),
            Write::Audit(audit) => {
                let task = audit.task;
                self.history.entry(task).or_default().push(audit);
                Ok(Box::new(move |state| {
                    if let Some(lines) = state.history.get_mut(&task) {
                        lines.pop();
                    }
                }))
            }
            Write::Outbox(entry) => self.send(entry),
            Write::Delivered(id) => Ok(self.set(|state| &mut state.outbox, id, None)),
            Write::Postponed(id, not_before) => {
                let Some(outgoing) = self.outbox.get(&id) else {
                    return Ok(Box::new(|_| {})); // delivered by somebody else in the meantime
                };
                let entry = OutboxEntry {
                    not_before,
                    ..outgoing.entry.clone()
                };
                let postponed = Outgoing {
                    entry,
                    due: not_before,
                };
                Ok(self.set(|state| &mut state.outbox, id, Some(postponed)))
            }
        }
    }

    /// Stores a record if it was changed from the stored version.
    fn put<R: Record>(&mut self, records: Records<R::Id, R>, mut record: R) -> Result<Undo> {
        let (id, version) = (record.id(), record.version());
        let stored = records(self).get(&id).map_or(0, Record::version);
        if stored != version {
            return Err(stale(id, version, stored));
        }
        record.set_version(version + 1);
        Ok(self.set(records, id, Some(record)))
    }

    /// Stores or forgets a record, whatever is there.
    fn set<K: Key, V: 'static>(
        &mut self,
        records: Records<K, V>,
        id: K,
        record: Option<V>,
    ) -> Undo {
        let replace = move |state: &mut Self, record| match record {
            Some(record) => records(state).insert(id.clone(), record),
            None => records(state).remove(&id),
        };
        let before = replace(self, record);
        Box::new(move |state| {
            replace(state, before);
        })
    }

    fn held(&self, guard: RunGuard) -> Result<()> {
        match self.runs.get(&guard.run) {
            Some(run) if run.epoch == guard.epoch && run.is_live() => Ok(()),
            Some(run) if run.is_live() => Err(conflict(format!(
                "{} is in epoch {}, not {}",
                guard.run, run.epoch, guard.epoch
            ))),
            Some(_) => Err(conflict(format!("{} has ended", guard.run))),
            None => Err(conflict(format!("{} is not stored", guard.run))),
        }
    }

    fn take_over(&mut self, run: Run) -> Result<Undo> {
        self.held(RunGuard {
            run: run.id,
            epoch: run.epoch.saturating_sub(1), // none is zero: that was checked
        })?;
        let taken = self.runs.get(&run.id).map(|stored| Run {
            epoch: run.epoch,
            lease: run.lease,
            ..stored.clone()
        });
        Ok(self.set(|state| &mut state.runs, run.id, taken))
    }

    fn address_is_free(&self, repo: &Repo) -> Result<()> {
        match (self.repos.values()).find(|other| other.id != repo.id && other.url == repo.url) {
            Some(other) => Err(conflict(format!("{} is {} already", repo.url, other.id))),
            None => Ok(()),
        }
    }

    fn place_is_free(&self, workspace: &Workspace) -> Result<()> {
        let in_the_way = |other: &&Workspace| {
            other.id != workspace.id
                && (other.repo, other.ordinal) == (workspace.repo, workspace.ordinal)
                && other.state.takes_runs()
        };
        match self.workspaces.values().find(in_the_way) {
            Some(other) if workspace.state.takes_runs() => Err(conflict(format!(
                "{} has the place of {} already",
                other.id, workspace.id
            ))),
            _ => Ok(()),
        }
    }

    fn remove_log(&mut self, removed: RemovedLog) -> Result<Undo> {
        let (run, task) = (removed.run, removed.task);
        if self.runs.get(&run).is_some_and(Run::is_live) {
            return Err(conflict(format!(
                "{run} has not ended, and its log is kept until it has"
            )));
        }
        let log = self.logs.entry(task).or_default();
        let before = log.clone();
        let last = removed.through.unwrap_or(u64::MAX);
        log.retain(|at, _| at.run != removed.number || at.seq > last);
        log.extend(removed.notice.map(|notice| (notice.cursor, notice)));
        let whole = removed.through.is_none() && self.removed_logs.insert(run);
        Ok(Box::new(move |state| {
            state.logs.insert(task, before);
            if whole {
                state.removed_logs.remove(&run);
            }
        }))
    }

    fn append(&mut self, task: crate::id::TaskId, entries: Vec<LogEntry>) -> Result<Undo> {
        let log = self.logs.entry(task).or_default();
        let mut added: Vec<LogCursor> = Vec::with_capacity(entries.len());
        let mut gap = None;
        for entry in entries {
            let at = entry.cursor;
            let whole_run = LogCursor { seq: 0, ..at }..=LogCursor {
                seq: u64::MAX,
                ..at
            };
            let last = log.range(whole_run).next_back().map_or(0, |(at, _)| at.seq);
            if Some(at.seq) != last.checked_add(1) {
                gap = Some((at, last));
                break;
            }
            log.insert(at, entry);
            added.push(at);
        }
        let undo = move |state: &mut Self| {
            if let Some(log) = state.logs.get_mut(&task) {
                added.iter().for_each(|at| drop(log.remove(at)));
            }
        };
        match gap {
            None => Ok(Box::new(undo)),
            Some((at, last)) => {
                undo(self);
                Err(conflict(format!(
                    "log entry {at} of {task} does not follow on {last}"
                )))
            }
        }
    }

    fn send(&mut self, entry: OutboxEntry) -> Result<Undo> {
        let (id, due) = (entry.id, entry.not_before);
        if self.outbox.contains_key(&id) {
            return Err(conflict(format!("{id} exists already")));
        }
        Ok(self.set(|state| &mut state.outbox, id, Some(Outgoing { entry, due })))
    }
}

fn conflict(message: String) -> Error {
    Error::conflict(BACKEND, message)
}

fn stale(id: impl std::fmt::Display, version: u64, stored: u64) -> Error {
    conflict(format!("{id} is at version {stored}, not {version}"))
}

/// What keys records.
trait Key: Ord + Clone + std::fmt::Display + 'static {}

impl<K: Ord + Clone + std::fmt::Display + 'static> Key for K {}

/// A record that counts its changes.
trait Record: 'static {
    type Id: Key;

    fn id(&self) -> Self::Id;
    fn version(&self) -> u64;
    fn set_version(&mut self, version: u64);
}

macro_rules! records {
    ($($record:ident by $id:ident)+) => {
        $(impl Record for $record {
            type Id = crate::id::$id;

            fn id(&self) -> Self::Id {
                self.id
            }

            fn version(&self) -> u64 {
                self.version
            }

            fn set_version(&mut self, version: u64) {
                self.version = version;
            }
        })+
    };
}

records! { Task by TaskId  Repo by RepoId  Workspace by WorkspaceId  Schedule by ScheduleId  Webhook by WebhookId }
