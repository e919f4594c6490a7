//! All or nothing.

use super::Store;
use crate::{
    conformance::{refused, sample},
    error::ErrorKind::{Conflict, Invalid},
    id::RunId,
    run::RunPhase,
    store::{Commit, RemovedLog, RunQuery, TaskQuery, Write},
    transcript::{LogCursor, LogEntry},
};

/// Each kind of write is taken back if a later one in the same commit fails.
pub async fn whatever_comes_before_a_bad_write_is_not_stored(store: &Store) {
    seed(store).await;
    let before = picture(store).await;
    for write in good_writes() {
        let what = format!("{write:?}");
        let commit = Commit::new()
            .guarded(sample::run_id(1), 1)
            .with(write)
            .with(Write::Task(sample::task(1)));
        let failed = store.port().commit(commit).await;
        assert_eq!(refused(failed), Conflict, "{what}");
        assert_eq!(picture(store).await, before, "{what}");
    }
    // what is in the outbox shows only when it is claimed
    let due = (store.port()).claim_outbox(sample::at(50), sample::at(90), 10);
    let mut seeded = sample::outbox(1);
    seeded.attempts = 1;
    assert_eq!(due.await.expect("claim_outbox"), [seeded]);
    // and each of them is good by itself
    for write in good_writes() {
        let what = format!("{write:?}");
        let commit = Commit::new().guarded(sample::run_id(1), 1).with(write);
        let done = store.port().commit(commit).await;
        assert!(done.is_ok(), "{what}: {done:?}");
    }
}

/// Each way for a write to fail, behind writes that are good.
pub async fn whatever_makes_a_commit_fail_leaves_all_of_it_out(store: &Store) {
    seed(store).await;
    let before = picture(store).await;
    for (write, kind) in bad_writes() {
        let what = format!("{write:?}");
        let commit = Commit::new()
            .with(Write::Task(sample::task(2)))
            .with(Write::Audit(sample::audit(1, "lost")))
            .with(write);
        let failed = store.port().commit(commit).await;
        assert_eq!(refused(failed), kind, "{what}");
        assert_eq!(picture(store).await, before, "{what}");
    }
    let commit = Commit::new()
        .guarded(sample::run_id(1), 2)
        .with(Write::Task(sample::task(2)));
    assert_eq!(refused(store.port().commit(commit).await), Conflict);
    assert_eq!(picture(store).await, before, "a guard that does not hold");
}

/// Nothing to do is done.
pub async fn an_empty_commit_is_no_error(store: &Store) {
    store.put([]).await;
}

async fn seed(store: &Store) {
    store
        .put([
            Write::Task(sample::task(1)),
            Write::NewRun(sample::run(1, 1)),
            Write::NewRun(sample::run(2, 1)),
            Write::Repo(sample::repo(1)),
            Write::Workspace(sample::workspace(1)),
            Write::Workspace(sample::workspace(2)),
            Write::Schedule(sample::schedule(1)),
            Write::Webhook(sample::webhook(1)),
            Write::Audit(sample::audit(1, "seeded")),
            Write::Log(sample::task_id(1), vec![sample::log_entry(1, 1, "seeded")]),
            Write::Outbox(sample::outbox(1)),
        ])
        .await;
}

/// Writes that a seeded store takes, under a guard of its first run.
fn good_writes() -> Vec<Write> {
    let mut task = sample::task(1);
    task.title = "changed".to_owned();
    task.version = 1;
    let mut run = sample::run(1, 1);
    run.progress.stdout = 100;
    let mut taken = sample::run(2, 1);
    taken.epoch = 2;
    taken.lease.holder = sample::worker("b");
    let mut repo = sample::repo(1);
    repo.default_branch = "changed".to_owned();
    repo.version = 1;
    let mut workspace = sample::workspace(1);
    workspace.used_at = sample::at(99);
    workspace.version = 1;
    let mut schedule = sample::schedule(1);
    schedule.title = "changed".to_owned();
    schedule.version = 1;
    let mut webhook = sample::webhook(1);
    webhook.url = "https://hooks.example/changed".to_owned();
    webhook.version = 1;
    vec![
        Write::Task(task),
        Write::Task(sample::task(3)),
        Write::NewRun(sample::run(3, 1)),
        Write::Run(run),
        Write::TakeOver(taken),
        Write::Repo(repo),
        Write::Repo(sample::repo(3)),
        Write::Workspace(workspace),
        Write::Workspace(sample::workspace(3)),
        Write::ForgetWorkspace(sample::workspace_id(2), 1),
        Write::Log(sample::task_id(1), vec![sample::log_entry(1, 2, "more")]),
        remove_log_of(sample::run_id(9)),
        Write::Audit(sample::audit(1, "more")),
        Write::Outbox(sample::outbox(2)),
        Write::Postponed(sample::outbox_id(1), sample::at(1_000)),
        Write::Delivered(sample::outbox_id(1)),
        Write::Schedule(schedule),
        Write::ForgetSchedule(sample::schedule_id(1)),
        Write::Webhook(webhook),
        Write::ForgetWebhook(sample::webhook_id(1)),
    ]
}

/// Writes that a seeded store refuses.
fn bad_writes() -> Vec<(Write, crate::error::ErrorKind)> {
    let mut same_address = sample::repo(2);
    same_address.url = sample::repo(1).url;
    let mut skipped_epoch = sample::run(1, 1);
    skipped_epoch.epoch = 3;
    let mut no_epoch = sample::run(1, 1);
    no_epoch.epoch = 0;
    vec![
        (Write::Task(sample::task(1)), Conflict),
        (Write::NewRun(sample::run(1, 1)), Conflict),
        (Write::Run(sample::run(1, 1)), Invalid),
        (Write::TakeOver(sample::run(1, 1)), Conflict),
        (Write::TakeOver(skipped_epoch), Conflict),
        (Write::TakeOver(no_epoch), Invalid),
        (Write::Repo(same_address), Conflict),
        (Write::Workspace(sample::workspace(1)), Conflict),
        (Write::ForgetWorkspace(sample::workspace_id(1), 7), Conflict),
        (Write::Schedule(sample::schedule(1)), Conflict),
        (Write::Webhook(sample::webhook(1)), Conflict),
        (
            Write::Log(
                sample::task_id(1),
                vec![
                    sample::log_entry(1, 2, "fits"),
                    sample::log_entry(1, 4, "leaves a gap"),
                ],
            ),
            Conflict,
        ),
        (remove_log_of(sample::run_id(1)), Conflict),
        (Write::Outbox(sample::outbox(1)), Conflict),
    ]
}

/// Removes the log of the first task, and says that it was that of this run.
fn remove_log_of(run: RunId) -> Write {
    Write::RemoveLog(RemovedLog {
        run,
        task: sample::task_id(1),
        number: 1,
        through: Some(1),
        notice: Some(LogEntry::removed(1, sample::at(100))),
    })
}

/// All that can be read of a store without changing it.
async fn picture(store: &Store) -> String {
    let port = store.port();
    let mut seen = vec![
        format!("{:#?}", port.tasks(&TaskQuery::default()).await),
        format!("{:#?}", port.runs(&RunQuery::default()).await),
        format!("{:#?}", port.repos().await),
        format!("{:#?}", port.workspaces().await),
        format!("{:#?}", port.schedules().await),
        format!("{:#?}", port.webhooks().await),
    ];
    for n in 1..4 {
        let task = sample::task_id(n);
        seen.push(format!("{:#?}", port.history(task).await));
        let log = port.log(task, LogCursor::default(), 100).await;
        seen.push(format!("{log:#?}"));
    }
    let live = port.runs(&RunQuery::default()).await.expect("runs");
    assert!(
        !live
            .iter()
            .any(|run| matches!(run.phase, RunPhase::Ended { .. })),
        "nothing here ends a run"
    );
    seen.join("\n")
}
