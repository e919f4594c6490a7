//! What a commit comes to: steps, each one row for one statement. Steps of one kind from many commits go into one
//! statement together.

mod logs;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use uuid::Uuid;

use optio_core::{
    Error, ErrorKind, Result,
    account::{AccountName, Pause, PauseEnd},
    id::OutboxId,
    repo::Repo,
    run::Run,
    schedule::Schedule,
    store::{Commit, OutboxEntry, RunsOf, Write},
    task::Task,
    webhook::Webhook,
    workspace::Workspace,
};

use crate::{
    BACKEND,
    cell::Cell,
    record::{Record, encode, json},
};

/// What a step does. Steps that go together are carried out in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Guard,
    TicketIsNew,
    NewTask,
    Task,
    NewRun,
    Run,
    TakeOver,
    LiveRuns,
    NewRepo,
    Repo,
    NewWorkspace,
    Workspace,
    UseWorkspace,
    ForgetWorkspace,
    NewSchedule,
    Schedule,
    ForgetSchedule,
    NewWebhook,
    Webhook,
    ForgetWebhook,
    Pause,
    Lift,
    LogFollows,
    LogBatch,
    HasEnded,
    TrimLog,
    LogNotice,
    LogRemoved,
    Audit,
    NewOutbox,
    Delivered,
    Postponed,
}

impl Kind {
    pub(crate) const ALL: [Self; 32] = [
        Self::Guard,
        Self::TicketIsNew,
        Self::NewTask,
        Self::Task,
        Self::NewRun,
        Self::Run,
        Self::TakeOver,
        Self::LiveRuns,
        Self::NewRepo,
        Self::Repo,
        Self::NewWorkspace,
        Self::Workspace,
        Self::UseWorkspace,
        Self::ForgetWorkspace,
        Self::NewSchedule,
        Self::Schedule,
        Self::ForgetSchedule,
        Self::NewWebhook,
        Self::Webhook,
        Self::ForgetWebhook,
        Self::Pause,
        Self::Lift,
        Self::LogFollows,
        Self::LogBatch,
        Self::HasEnded,
        Self::TrimLog,
        Self::LogNotice,
        Self::LogRemoved,
        Self::Audit,
        Self::NewOutbox,
        Self::Delivered,
        Self::Postponed,
    ];
}

/// What a step touches: the table, the id, and for a log the run's number.
pub(crate) type Key = (&'static str, Uuid, u32);

/// One row for one statement.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) kind: Kind,
    /// None if it can get in no other step's way.
    pub(crate) key: Option<Key>,
    pub(crate) cells: Vec<Cell>,
}

/// The steps of a commit, in order.
///
/// # Errors
/// `Invalid` or `Conflict` for a commit that could never be carried out.
pub(crate) fn plan(commit: Commit) -> Result<Vec<Op>> {
    commit.check(BACKEND)?;
    let mut ops = Vec::with_capacity(commit.writes.len() + 1);
    for guard in commit.open_guards() {
        let mut op = by_id(Kind::Guard, Run::TABLE, guard.run.as_uuid());
        op.cells.push(Cell::count(guard.epoch));
        ops.push(op);
    }
    for write in commit.writes {
        plan_write(write, &mut ops)?;
    }
    Ok(ops)
}

fn plan_write(write: Write, ops: &mut Vec<Op>) -> Result<()> {
    match write {
        Write::Task(task) => ops.push(versioned(task, (Kind::NewTask, Kind::Task))?),
        Write::NewRun(run) => ops.push(record(&run, Kind::NewRun)?),
        Write::Run(run) => ops.push(record(&run, Kind::Run)?),
        Write::TakeOver(run) => ops.push(record(&run, Kind::TakeOver)?),
        Write::TicketIsNew { source, key } => ops.push(ticket_is_new(&source, &key)),
        Write::LiveRunsAtMost { of, limit } => ops.push(live_runs(of, limit)),
        Write::Repo(repo) => ops.push(versioned(repo, (Kind::NewRepo, Kind::Repo))?),
        Write::Workspace(workspace) => {
            let kinds = (Kind::NewWorkspace, Kind::Workspace);
            ops.push(versioned(workspace, kinds)?);
        }
        Write::UseWorkspace(id, at) => {
            let mut op = by_id(Kind::UseWorkspace, Workspace::TABLE, id.as_uuid());
            op.cells.push(Cell::text(at.to_string()));
            ops.push(op);
        }
        Write::ForgetWorkspace(id, version) => {
            let mut op = by_id(Kind::ForgetWorkspace, Workspace::TABLE, id.as_uuid());
            op.cells.push(Cell::count(version));
            ops.push(op);
        }
        Write::Log(task, entries) => {
            for of_one_run in entries.chunk_by(|a, b| a.cursor.run == b.cursor.run) {
                logs::append(task, of_one_run, ops)?;
            }
        }
        Write::RemoveLog(removed) => logs::remove(removed, ops)?,
        Write::Audit(audit) => ops.push(Op {
            kind: Kind::Audit,
            key: None,
            cells: vec![Cell::Id(audit.task.as_uuid()), json(&audit, "audit")?],
        }),
        Write::Outbox(entry) => ops.push(record(&entry, Kind::NewOutbox)?),
        Write::Delivered(id) => ops.push(outbox(Kind::Delivered, id)),
        Write::Postponed(id, not_before) => {
            let mut op = outbox(Kind::Postponed, id);
            op.cells.push(Cell::time(not_before));
            ops.push(op);
        }
        Write::Schedule(schedule) => {
            ops.push(versioned(schedule, (Kind::NewSchedule, Kind::Schedule))?);
        }
        Write::ForgetSchedule(id) => {
            ops.push(by_id(Kind::ForgetSchedule, Schedule::TABLE, id.as_uuid()));
        }
        Write::Webhook(webhook) => {
            ops.push(versioned(webhook, (Kind::NewWebhook, Kind::Webhook))?);
        }
        Write::ForgetWebhook(id) => {
            ops.push(by_id(Kind::ForgetWebhook, Webhook::TABLE, id.as_uuid()));
        }
        Write::Pause(pause) => ops.push(record(&pause, Kind::Pause)?),
        Write::Lift(account, until) => ops.push(lift(&account, until)),
    }
    Ok(())
}

fn lift(account: &AccountName, until: PauseEnd) -> Op {
    let mut op = by_id(Kind::Lift, Pause::TABLE, account.key());
    op.cells.push(Cell::Int(until.order()));
    op
}

/// A column for each that runs may be counted of.
fn live_runs(of: RunsOf, limit: u32) -> Op {
    let (repo, workspace) = match of {
        RunsOf::Fleet => (Cell::Null, Cell::Null),
        RunsOf::Repo(repo) => (Cell::Id(repo.as_uuid()), Cell::Null),
        RunsOf::Workspace(workspace) => (Cell::Null, Cell::Id(workspace.as_uuid())),
    };
    Op {
        kind: Kind::LiveRuns,
        key: None,
        cells: vec![repo, workspace, Cell::Int(limit.into())],
    }
}

/// Two that ask for one ticket are not done at once: the second one has to see what the first one made.
fn ticket_is_new(source: &str, key: &str) -> Op {
    let mut hasher = DefaultHasher::new();
    (source, key).hash(&mut hasher);
    Op {
        kind: Kind::TicketIsNew,
        key: Some(("tickets", Uuid::from_u64_pair(0, hasher.finish()), 0)),
        cells: vec![Cell::text(source), Cell::text(key)],
    }
}

/// A record whose changes are counted.
trait Versioned: Record {
    fn version(&mut self) -> &mut u64;
}

macro_rules! versioned {
    ($($record:ty),*) => {
        $(impl Versioned for $record {
            fn version(&mut self) -> &mut u64 {
                &mut self.version
            }
        })*
    };
}

versioned!(Task, Repo, Workspace, Schedule, Webhook);

/// Stored with the next version: as `kinds.0` if it is new, else as `kinds.1`.
fn versioned<R: Versioned>(mut value: R, kinds: (Kind, Kind)) -> Result<Op> {
    let version = value.version();
    let kind = if *version == 0 { kinds.0 } else { kinds.1 };
    *version = version.saturating_add(1);
    record(&value, kind)
}

fn record<R: Record>(value: &R, kind: Kind) -> Result<Op> {
    let cells = encode(value)?;
    let key = match cells.first() {
        Some(Cell::Id(id)) => Some((R::TABLE, *id, 0)),
        _ => None,
    };
    Ok(Op { kind, key, cells })
}

fn by_id(kind: Kind, table: &'static str, id: Uuid) -> Op {
    Op {
        kind,
        key: Some((table, id, 0)),
        cells: vec![Cell::Id(id)],
    }
}

fn outbox(kind: Kind, id: OutboxId) -> Op {
    by_id(kind, OutboxEntry::TABLE, id.as_uuid())
}

impl Op {
    /// Why this step found nothing to do: somebody else was faster.
    pub(crate) fn conflict(&self) -> Error {
        let what = match self.kind {
            Kind::Guard | Kind::Run => {
                "is not held in this epoch any more, has ended, or does not exist"
            }
            Kind::TakeOver => "cannot change hands: somebody else has it, or it has ended",
            Kind::NewTask | Kind::NewRun | Kind::NewSchedule | Kind::NewWebhook => "exists already",
            Kind::NewOutbox => "exists already",
            Kind::NewWorkspace => "exists already, or another workspace has its place",
            Kind::Workspace => {
                "has changed since it was read, does not exist, or another workspace has its place"
            }
            Kind::UseWorkspace => "takes no runs",
            Kind::NewRepo => "exists already, or another repository has its address",
            Kind::Repo => {
                "has changed since it was read, does not exist, or another repository has its address"
            }
            Kind::TicketIsNew => "has a task already",
            Kind::LiveRuns => "would have more live runs than there may be",
            Kind::HasEnded => "has not ended, and its log is kept until it has",
            Kind::LogFollows | Kind::LogBatch => {
                "has a log that does not end right before these entries"
            }
            _ => "has changed since it was read, or does not exist",
        };
        Error::new(
            ErrorKind::Conflict,
            BACKEND,
            format!("{} {what}", self.subject()),
        )
    }

    fn subject(&self) -> String {
        if let (Kind::LiveRuns, [_, Cell::Id(workspace), _]) = (self.kind, &self.cells[..]) {
            return Workspace::id_text(*workspace);
        }
        let Some(Cell::Id(id)) = self.cells.first() else {
            return match self.kind {
                Kind::LiveRuns => "the fleet".to_owned(),
                Kind::TicketIsNew => "the ticket".to_owned(),
                _ => "the record".to_owned(),
            };
        };
        let text = match self.kind {
            Kind::Guard
            | Kind::NewRun
            | Kind::Run
            | Kind::TakeOver
            | Kind::HasEnded
            | Kind::LogRemoved => Run::id_text,
            Kind::NewRepo | Kind::Repo | Kind::LiveRuns => Repo::id_text,
            Kind::NewWorkspace | Kind::Workspace | Kind::UseWorkspace | Kind::ForgetWorkspace => {
                Workspace::id_text
            }
            Kind::NewSchedule | Kind::Schedule | Kind::ForgetSchedule => Schedule::id_text,
            Kind::NewWebhook | Kind::Webhook | Kind::ForgetWebhook => Webhook::id_text,
            Kind::Pause | Kind::Lift => Pause::id_text,
            Kind::NewOutbox | Kind::Delivered | Kind::Postponed => OutboxEntry::id_text,
            Kind::TicketIsNew
            | Kind::NewTask
            | Kind::Task
            | Kind::LogFollows
            | Kind::LogBatch
            | Kind::TrimLog
            | Kind::LogNotice
            | Kind::Audit => Task::id_text,
        };
        text(*id)
    }
}
