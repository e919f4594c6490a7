//! Sample records for tests of backends: small, distinct by number, with ids that sort by it.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::{
    account::{AccountName, Pause, PauseEnd},
    clock::{Timestamp, later},
    decision::{DecisionKind, DecisionRecord, Verdict},
    failure::{ExitStatus, Failure, FailureClass},
    id::{OutboxId, RepoId, RunId, ScheduleId, TaskId, WebhookId, WorkspaceId},
    money::{Usage, Usd},
    pull_request::{CommitId, PrNumber, PullRequestRef, ReviewReport, ReviewVerdict},
    queue::Job,
    repo::{Repo, RepoSettings},
    run::{Lease, Progress, Run, RunKind, RunOutcome, RunPhase, StopReason, WorkerId},
    schedule::{CronLine, Schedule},
    store::{Audit, OutboxEntry, OutboxMessage},
    task::{
        Attempts, AttentionReason, Briefing, Cause, CauseKind, Completion, DEFAULT_PRIORITY,
        NextRun, StateName, Task, TaskRole, TaskState,
    },
    transcript::{LogCursor, LogEntry, LogStream, RunReport, TranscriptEvent},
    webhook::Webhook,
    workspace::{Workspace, WorkspaceState},
    worktree::RescueRef,
};

/// Text that trips what pastes, escapes or cuts strings.
pub const HARD_TEXT: &str = "it's \"quoted\" \\ %s $1 ?1 {{x}} ; DROP TABLE tasks; --\r\n\t\u{fffd} žluťoučký 日本語 🦀\u{200d}e\u{301}";

/// A moment this many seconds into the samples' time, with a fraction down to the microsecond.
#[must_use]
pub fn at(seconds: u64) -> Timestamp {
    let start = Timestamp::constant(1_735_689_600, 123_456_000); // 2025, before any test begins
    later(start, Duration::from_secs(seconds))
}

fn uuid(n: u64) -> Uuid {
    // a UUIDv7 whose moment and tail both grow with the number
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(n) << 80 | u128::from(n))
}

macro_rules! ids {
    ($($name:ident -> $id:ident)+) => {
        $(
            /// The id of the sample with this number; ids sort by it.
            #[must_use]
            pub fn $name(n: u64) -> $id {
                $id::from_uuid(uuid(n))
            }
        )+
    };
}

ids! {
    task_id -> TaskId
    run_id -> RunId
    repo_id -> RepoId
    workspace_id -> WorkspaceId
    outbox_id -> OutboxId
    schedule_id -> ScheduleId
    webhook_id -> WebhookId
}

/// A commit.
#[must_use]
pub fn commit_id(n: u64) -> CommitId {
    CommitId::new(format!("{n:040x}"))
}

/// A worker.
#[must_use]
pub fn worker(name: &str) -> WorkerId {
    WorkerId(name.to_owned())
}

/// A new task in the repository with number 1.
#[must_use]
pub fn task(n: u64) -> Task {
    Task {
        id: task_id(n),
        repo: repo_id(1),
        title: format!("task {n}"),
        body: "Fix the flaky login test.".to_owned(),
        priority: DEFAULT_PRIORITY,
        agent: None,
        model: None,
        role: TaskRole::Coding,
        depends_on: Vec::new(),
        ticket: None,
        state: TaskState::Pending,
        branch: format!("optio/task-{n}"),
        pull_request: None,
        worktree: None,
        last_workspace: None,
        session: None,
        runs: 0,
        attempts: Attempts::default(),
        handled: Vec::new(),
        last_green: None,
        messages: Vec::new(),
        last_message: 0,
        usage: Usage::default(),
        created_at: at(n),
        updated_at: at(n),
        version: 0,
    }
}

/// The first run of the task with number `task`, held by the worker `a` in epoch 1, in the workspace with number 1.
#[must_use]
pub fn run(n: u64, task: u64) -> Run {
    Run {
        id: run_id(n),
        task: task_id(task),
        repo: repo_id(1),
        number: 1,
        kind: RunKind::First,
        epoch: 1,
        lease: Lease {
            holder: worker("a"),
            until: at(60),
        },
        phase: RunPhase::Preparing,
        workspace: workspace_id(1),
        agent: "claude-code".to_owned(),
        model: None,
        account: None,
        resumes: None,
        progress: Progress::default(),
        heard: 0,
        input: 0,
        report: RunReport::default(),
        started_at: at(n),
        heard_at: at(n),
    }
}

/// A repository.
///
/// # Panics
/// Never: the address is one.
#[must_use]
pub fn repo(n: u64) -> Repo {
    Repo {
        id: repo_id(n),
        url: format!("https://git.example/acme/shop-{n}")
            .parse()
            .expect("an address"),
        default_branch: "main".to_owned(),
        settings: RepoSettings::default(),
        created_at: at(n),
        version: 0,
    }
}

/// A workspace of the repository with number 1, whose ordinal is its number.
#[must_use]
pub fn workspace(n: u32) -> Workspace {
    Workspace {
        id: workspace_id(n.into()),
        repo: repo_id(1),
        ordinal: n,
        state: WorkspaceState::Ready,
        created_at: at(n.into()),
        used_at: at(n.into()),
        version: 0,
    }
}

/// A schedule.
///
/// # Panics
/// Never: the line is one.
#[must_use]
pub fn schedule(n: u64) -> Schedule {
    Schedule {
        id: schedule_id(n),
        cron: CronLine::new("30 4 * * 1-5", "Europe/Berlin").expect("a cron line"),
        repo: repo_id(1),
        title: format!("nightly {n}"),
        body: "Update the dependencies.".to_owned(),
        priority: DEFAULT_PRIORITY,
        paused: false,
        next_at: Some(at(100)),
        last_at: None,
        version: 0,
    }
}

/// A subscription to two states.
#[must_use]
pub fn webhook(n: u64) -> Webhook {
    Webhook {
        id: webhook_id(n),
        url: format!("https://hooks.example/{n}"),
        secret: "s3cret".to_owned(),
        states: vec![StateName::Completed, StateName::Failed],
        version: 0,
    }
}

/// An outbox entry that is due at once.
#[must_use]
pub fn outbox(n: u64) -> OutboxEntry {
    OutboxEntry {
        id: outbox_id(n),
        message: OutboxMessage::SyncQueue { task: task_id(n) },
        at: at(n),
        not_before: at(n),
        attempts: 0,
    }
}

/// A line of the history of the task with number `task`.
#[must_use]
pub fn audit(task: u64, event: &str) -> Audit {
    let decision = decision();
    Audit {
        task: task_id(task),
        at: at(1),
        from: Some(StateName::Pending),
        to: StateName::Queued,
        event: event.to_owned(),
        actor: "api".to_owned(),
        rule: "submit".to_owned(),
        detail: None,
        digest: Some(decision.digest.clone()),
        decisions: vec![decision],
    }
}

/// What a policy said of something.
#[must_use]
pub fn decision() -> DecisionRecord {
    let verdict = Verdict {
        rule: "ready".to_owned(),
        action: json!({"waiting": ["a \u{0} ' \" b"]}),
    };
    let snapshot = json!({"cost": 0.07, "jitter": u64::MAX, "note": null});
    DecisionRecord::new(DecisionKind::Dependencies, snapshot, verdict)
}

/// A log entry in which the agent says something.
#[must_use]
pub fn log_entry(run: u32, seq: u64, text: &str) -> LogEntry {
    LogEntry {
        cursor: LogCursor { run, seq },
        at: at(seq),
        stream: LogStream::Stdout,
        event: TranscriptEvent::Text {
            text: text.to_owned(),
        },
        original: None,
    }
}

/// A job for the task with number `task` in the repository with number `repo`, which waits since the moment of its number.
#[must_use]
pub fn job(task: u64, repo: u64) -> Job {
    Job {
        task: task_id(task),
        repo: repo_id(repo),
        priority: DEFAULT_PRIORITY,
        since: at(task),
        not_before: None,
    }
}

/// What a run that resumes for red checks is to do.
#[must_use]
pub fn resume() -> NextRun {
    NextRun {
        kind: RunKind::ResumeCi,
        cause: Some(Cause {
            kind: CauseKind::Ci,
            head: commit_id(7),
            mark: String::new(),
        }),
        briefing: Briefing {
            ci_failures: Some(HARD_TEXT.to_owned()),
            ..Briefing::default()
        },
    }
}

/// A failure with evidence.
#[must_use]
pub fn failure() -> Failure {
    Failure::new(FailureClass::RateLimited)
        .until(at(500))
        .with_detail(HARD_TEXT)
}

/// A pause of an account that the run with number `run` has found out.
#[must_use]
pub fn pause(account: &str, until: PauseEnd, run: u64) -> Pause {
    Pause {
        account: AccountName::new(account),
        until,
        since: at(run),
        reason: failure(),
        run: run_id(run),
    }
}

/// Every state that a task can be in, with data in each field; in the order of [`StateName::ALL`].
#[must_use]
pub fn task_states() -> Vec<TaskState> {
    vec![
        TaskState::Pending,
        TaskState::WaitingOnDeps,
        TaskState::Queued {
            next: resume(),
            since: at(1),
            not_before: Some(at(2)),
            hold: Some("the rate limit resets then".to_owned()),
        },
        TaskState::Provisioning {
            run: run_id(1),
            next: NextRun::first(),
        },
        TaskState::Running {
            run: run_id(1),
            next: resume(),
        },
        TaskState::NeedsAttention {
            reason: AttentionReason::Person {
                summary: HARD_TEXT.to_owned(),
            },
            since: at(3),
        },
        TaskState::PrOpened { since: at(4) },
        TaskState::Completed {
            how: Completion::Merged {
                commit: commit_id(9),
            },
            at: at(5),
        },
        TaskState::Failed {
            failure: failure(),
            at: at(6),
        },
        TaskState::Cancelled { at: at(7) },
    ]
}

/// Every phase and outcome that a run can have, with data in each field.
#[must_use]
pub fn run_phases() -> Vec<RunPhase> {
    let rescue = Some(RescueRef {
        name: "refs/optio/rescue/1".to_owned(),
        commit: commit_id(8),
    });
    let outcomes = [
        RunOutcome::Pushed {
            head: commit_id(1),
            pull_request: PullRequestRef {
                number: PrNumber(42),
                url: "https://git.example/acme/shop/pull/42".to_owned(),
            },
        },
        RunOutcome::Reviewed {
            head: commit_id(2),
            report: ReviewReport {
                verdict: ReviewVerdict::RequestChanges,
                summary: HARD_TEXT.to_owned(),
                comments: Vec::new(),
            },
        },
        RunOutcome::Failed {
            failure: failure(),
            rescue: rescue.clone(),
        },
        RunOutcome::Cancelled { rescue },
    ];
    let live = [
        RunPhase::Preparing,
        RunPhase::Spawned {
            from: commit_id(3),
            at: at(2),
            stopping: Some(StopReason::Stalled),
        },
        RunPhase::Exited {
            from: commit_id(3),
            status: Some(ExitStatus::Signal(9)),
            stopped: None,
        },
    ];
    let ended = outcomes.map(|outcome| RunPhase::Ended { outcome, at: at(9) });
    live.into_iter().chain(ended).collect()
}

/// A run that started at `started_at` and has cost this much.
#[must_use]
pub fn run_that_cost(n: u64, dollars: f64, started_at: Timestamp) -> Run {
    let mut run = run(n, 1);
    run.started_at = started_at;
    run.report.usage.cost = Usd::from_dollars(dollars);
    run
}
