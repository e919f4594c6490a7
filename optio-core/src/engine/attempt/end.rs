//! The ends that lead nowhere: a run that has failed or that nobody wants. No process of it is left, its work is saved,
//! and policy says whether there is another one.

use crate::{
    account::Pause,
    clock::Timestamp,
    decision::DecisionRecord,
    engine::{
        Optio,
        change::{Because, Change},
        held::Held,
        pr_watcher::ask_a_person,
    },
    error::{ErrorKind, Result},
    failure::{Failure, FailureClass, RetryAdvice},
    replay::{Seen, SeenFailure},
    run::{Run, RunKind, RunOutcome},
    runtime::Runtime,
    scheduling::{AfterFailure, pause_end},
    store::Write,
    task::{Briefing, NextRun, Task, TaskEvent, TaskRole, TaskState},
    worktree::WorktreeState,
};

impl Optio {
    /// Ends a run that has failed: its work is saved, and policy says whether there is another one.
    pub(super) async fn end_failed(&self, held: &Held, failure: Failure) -> Result<()> {
        let run = held.run().await;
        let task = self.store().task(run.task).await?;
        if task.state.run() != Some(run.id) {
            return self.end_cancelled(held).await;
        }
        self.no_process_left(held, &run).await?;
        let rescue = self.rescue(held, &run, &task).await;
        let repo = self.store().repo(run.repo).await?;
        let now = self.now();
        let jitter = self.clock().random();
        tracing::info!(task = %task.id, run = %run.id, class = %failure.class, %failure, "run failed");
        let outcome = RunOutcome::Failed {
            failure: failure.clone(),
            rescue,
        };
        let pause = paused_by(&run, &failure, now);
        held.end(&outcome, |run, task, change| {
            keep_worktree(task, WorktreeState::Preserved, now);
            if failure.class == FailureClass::SessionNotFound {
                task.session = None;
            }
            let seen = SeenFailure {
                failure: failure.clone(),
                attempts: task.attempts,
                limits: repo.settings.attempts,
                now,
                jitter,
                account: run.account.clone(),
            };
            if let Some(pause) = &pause {
                change.write(Write::Pause(pause.clone()));
            }
            let decision = seen.decide();
            let record = Seen::Failure(seen).record();
            match decision {
                AfterFailure::TryAgain {
                    not_before,
                    attempts,
                } => {
                    task.attempts = attempts;
                    try_again(
                        change,
                        task,
                        Again {
                            run,
                            failure: &failure,
                            not_before,
                            record,
                        },
                    )?;
                }
                AfterFailure::GiveUp(failure) => give_up(change, task, failure, record)?,
            }
            change.put(task);
            Ok(())
        })
        .await?;
        if let Some(pause) = &pause
            && let Err(error) = self.say_paused(pause).await
        {
            tracing::debug!(account = %pause.account, %error, "pause not read back");
        }
        self.forget_spool(&run).await;
        Ok(())
    }

    /// Ends a run that nobody wants any more: no process of it is left, its work is saved.
    pub(super) async fn end_cancelled(&self, held: &Held) -> Result<()> {
        let run = held.run().await;
        let task = self.store().task(run.task).await?;
        self.no_process_left(held, &run).await?;
        let rescue = self.rescue(held, &run, &task).await;
        let now = self.now();
        held.end(&RunOutcome::Cancelled { rescue }, |_, task, change| {
            keep_worktree(task, WorktreeState::Dirty, now);
            // its state is somebody else's; but what waited for this run to end is told
            change.put(task);
            Ok(())
        })
        .await?;
        tracing::info!(task = %task.id, run = %run.id, "run cancelled");
        self.forget_spool(&run).await;
        Ok(())
    }

    /// Whatever phase the run is in: after this no process of it is alive.
    async fn no_process_left(&self, held: &Held, run: &Run) -> Result<()> {
        match held
            .runtime()
            .kill(run.workspace, run.id, self.settings().kill_grace)
            .await
        {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            killed => killed,
        }
    }

    /// The spool of a run that has ended is stored as its log; what is left of the files can go.
    pub(super) async fn forget_spool(&self, run: &Run) {
        if let Err(error) = self.runtime().forget(run.workspace, run.id).await {
            tracing::debug!(run = %run.id, %error, "spool not removed; it goes with the workspace");
        }
    }
}

/// The pause that a failure brings over the account of its run.
fn paused_by(run: &Run, failure: &Failure, now: Timestamp) -> Option<Pause> {
    Some(Pause {
        account: run.account.clone()?,
        until: pause_end(failure)?,
        since: now,
        reason: failure.clone(),
        run: run.id,
    })
}

/// What another run is about.
struct Again<'a> {
    run: &'a Run,
    failure: &'a Failure,
    not_before: Timestamp,
    record: DecisionRecord,
}

fn try_again(change: &mut Change<'_>, task: &mut Task, again: Again<'_>) -> Result<()> {
    let Again {
        run,
        failure,
        not_before,
        record,
    } = again;
    let before = match &task.state {
        TaskState::Provisioning { next, .. } | TaskState::Running { next, .. } => next.clone(),
        _ => NextRun {
            kind: run.kind,
            cause: None,
            briefing: Briefing::default(),
        },
    };
    let charged = failure.retry == RetryAdvice::Attempt;
    let kind = match run.kind {
        // a clean start, and a word on what went wrong; anything else goes on where it was
        RunKind::First if charged => RunKind::Retry,
        kind => kind,
    };
    let previous_attempt = if charged {
        Some(failure.to_string())
    } else {
        before.briefing.previous_attempt.clone()
    };
    let next = NextRun {
        kind,
        cause: before.cause,
        briefing: Briefing {
            previous_attempt,
            ..before.briefing
        },
    };
    let requeued = TaskEvent::Requeued {
        next,
        not_before: Some(not_before),
        hold: Some(failure.to_string()),
    };
    change.apply(
        task,
        requeued,
        Because::detailed("run_failed", failure.to_string()).decided([record]),
    )
}

/// The task has failed; or, if its pull request is open, a person has to look: what is there can still be merged.
fn give_up(
    change: &mut Change<'_>,
    task: &mut Task,
    failure: Failure,
    record: DecisionRecord,
) -> Result<()> {
    let because = Because::from("run_failed_for_good").decided([record]);
    let watched = task.pull_request.is_some() && task.role == TaskRole::Coding;
    if watched && matches!(task.state, TaskState::Running { .. }) {
        return change.apply(
            task,
            TaskEvent::AttentionNeeded {
                reason: ask_a_person(&failure),
            },
            because,
        );
    }
    change.apply(task, TaskEvent::Failed { failure }, because)
}

pub(super) fn keep_worktree(task: &mut Task, state: WorktreeState, now: Timestamp) {
    if let Some(worktree) = &mut task.worktree {
        worktree.state = state;
        worktree.since = now;
    }
}
