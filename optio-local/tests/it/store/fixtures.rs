//! Records to store, with every field that has a column filled in.

use std::sync::atomic::{AtomicU64, Ordering};

use optio_core::{
    Clock, Timestamp,
    id::{OutboxId, RepoId, RunId, TaskId, WorkspaceId},
    money::{Usage, Usd},
    repo::{Repo, RepoSettings},
    run::{Lease, Progress, Run, RunKind, RunOutcome, RunPhase, WorkerId},
    store::{Audit, OutboxEntry, OutboxMessage},
    task::{Attempts, DEFAULT_PRIORITY, NextRun, StateName, Task, TaskRole, TaskState, TicketRef},
    transcript::{LogCursor, LogEntry, LogStream, RunReport, TranscriptEvent},
};

/// A clock that moves on by a millisecond at each look, so that ids are in the order of their making.
#[derive(Debug, Default)]
pub(super) struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        at(self.0.fetch_add(1_000, Ordering::Relaxed))
    }

    fn random(&self) -> u64 {
        self.0.fetch_add(1_000, Ordering::Relaxed)
    }
}

/// A moment so many microseconds into the tests' day.
pub(super) fn at(micros: u64) -> Timestamp {
    let start: Timestamp = "2026-11-20T08:00:00Z".parse().unwrap();
    Timestamp::from_microsecond(start.as_microsecond() + i64::try_from(micros).unwrap()).unwrap()
}

pub(super) fn task(clock: &Ticking) -> Task {
    let id = TaskId::generate(clock);
    Task {
        id,
        repo: RepoId::generate(clock),
        title: "fix the flaky test".into(),
        body: "it fails on Mondays \u{0} and with ünïcode".into(),
        priority: DEFAULT_PRIORITY,
        agent: None,
        model: None,
        role: TaskRole::Coding,
        depends_on: vec![],
        ticket: Some(TicketRef {
            source: "github".into(),
            key: "acme/shop#1\u{0}2".into(),
            url: None,
        }),
        state: TaskState::Pending,
        branch: format!("optio/{}", id.short()),
        pull_request: None,
        worktree: None,
        last_workspace: None,
        session: None,
        runs: 0,
        attempts: Attempts::default(),
        handled: vec![],
        last_green: None,
        messages: Vec::new(),
        last_message: 0,
        usage: Usage::default(),
        created_at: at(0),
        updated_at: at(0),
        version: 0,
    }
}

pub(super) fn queued(mut task: Task) -> Task {
    task.state = TaskState::Queued {
        next: NextRun::first(),
        since: at(1),
        not_before: None,
        hold: None,
    };
    task
}

pub(super) fn run(clock: &Ticking, task: &Task) -> Run {
    Run {
        id: RunId::generate(clock),
        task: task.id,
        repo: task.repo,
        number: 1,
        kind: RunKind::First,
        epoch: 1,
        lease: Lease {
            holder: WorkerId("a".into()),
            until: at(60_000_000),
        },
        phase: RunPhase::Preparing,
        workspace: WorkspaceId::generate(clock),
        agent: "scripted".into(),
        model: None,
        account: None,
        resumes: None,
        progress: Progress::default(),
        heard: 0,
        input: 0,
        report: RunReport::default(),
        started_at: at(5),
        heard_at: at(5),
    }
}

pub(super) fn ended(mut run: Run, cost: Usd) -> Run {
    run.report.usage.cost = cost;
    run.phase = RunPhase::Ended {
        outcome: RunOutcome::Cancelled { rescue: None },
        at: at(9),
    };
    run
}

pub(super) fn repo(clock: &Ticking, url: &str) -> Repo {
    Repo {
        id: RepoId::generate(clock),
        url: url.parse().unwrap(),
        default_branch: "main".into(),
        settings: RepoSettings::default(),
        created_at: at(0),
        version: 0,
    }
}

pub(super) fn entries(run: u32, numbers: std::ops::RangeInclusive<u64>) -> Vec<LogEntry> {
    numbers
        .map(|seq| LogEntry {
            cursor: LogCursor { run, seq },
            at: at(seq),
            stream: LogStream::Stdout,
            event: TranscriptEvent::Text {
                text: format!("line {seq} \u{0}"),
            },
            original: None,
        })
        .collect()
}

pub(super) fn audit(task: &Task, event: &str) -> Audit {
    Audit {
        task: task.id,
        at: at(3),
        from: None,
        to: StateName::Pending,
        event: event.into(),
        actor: "api".into(),
        rule: "submitted".into(),
        detail: None,
        digest: None,
        decisions: Vec::new(),
    }
}

pub(super) fn outbox(clock: &Ticking, task: &Task) -> OutboxEntry {
    OutboxEntry {
        id: OutboxId::generate(clock),
        message: OutboxMessage::SyncQueue { task: task.id },
        at: at(7),
        not_before: at(7),
        attempts: 0,
    }
}
