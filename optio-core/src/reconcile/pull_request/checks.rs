//! Conflicts and checks: red ones resume the agent, and those that have not decided are waited for.

use super::{
    Action, PrSnapshot, Ruling,
    resume::{Answer, Resuming, resume},
    review::own_review,
    wait,
};
use crate::{
    clock::{Timestamp, elapsed},
    pull_request::{Checks, CommitId, FailedCheck, Mergeability, PullRequest},
    repo::ReviewTrigger,
    run::RunKind,
    task::{AttentionReason, Briefing, Cause, CauseKind},
};

pub(super) fn conflict(seen: &PrSnapshot<'_>, pr: &PullRequest, now: Timestamp) -> Option<Ruling> {
    let Mergeability::Conflicting { files } = &pr.mergeability else {
        return None;
    };
    let cause = Cause {
        kind: CauseKind::Conflict,
        head: pr.head.clone(),
        mark: pr.base.to_string(),
    };
    let briefing = Briefing {
        conflict_files: Some(files.join("\n")),
        ..Briefing::default()
    };
    let limit = seen.settings.attempts.conflict;
    Some((
        resume(
            seen,
            now,
            Resuming {
                answer: Answer::to(seen, &cause),
                cause,
                briefing,
                limit,
                kind: RunKind::ResumeConflict,
                reason: AttentionReason::Conflict,
            },
        ),
        "conflict",
    ))
}

pub(super) fn red_checks(
    seen: &PrSnapshot<'_>,
    pr: &PullRequest,
    now: Timestamp,
) -> Option<Ruling> {
    let Checks::Failed { failed } = &pr.checks else {
        return None;
    };
    let cause = Cause {
        kind: CauseKind::Ci,
        head: pr.head.clone(),
        mark: String::new(),
    };
    let briefing = Briefing {
        ci_failures: Some(describe_checks(failed, seen.task.last_green.as_ref())),
        ..Briefing::default()
    };
    let limit = seen.settings.attempts.ci;
    Some((
        resume(
            seen,
            now,
            Resuming {
                answer: Answer::to(seen, &cause),
                cause,
                briefing,
                limit,
                kind: RunKind::ResumeCi,
                reason: AttentionReason::CiFailed,
            },
        ),
        "checks_failed",
    ))
}

pub(super) fn undecided_checks(
    seen: &PrSnapshot<'_>,
    pr: &PullRequest,
    now: Timestamp,
) -> Option<Ruling> {
    let early_review = seen.settings.review_trigger == ReviewTrigger::OnPrOpen;
    let waiting = match &pr.checks {
        Checks::Passed | Checks::NotRequired => return None,
        Checks::None if elapsed(pr.head_at, now) >= seen.settings.ci_grace() => return None,
        Checks::None => ("its checks to register", "checks_none"),
        Checks::Unknown { .. } => (
            "the forge to tell the verdict of its checks",
            "checks_unknown",
        ),
        Checks::Pending | Checks::Failed { .. } => ("its checks to end", "checks_pending"),
    };
    if early_review && let Some(ruling @ (Action::StartReview { .. }, _)) = own_review(seen, pr) {
        return Some(ruling);
    }
    Some((wait(waiting.0), waiting.1))
}

fn describe_checks(failed: &[FailedCheck], last_green: Option<&CommitId>) -> String {
    let mut text = failed
        .iter()
        .map(describe_check)
        .collect::<Vec<_>>()
        .join("\n\n");
    if let Some(green) = last_green {
        text.push_str(&format!("\n\nThe checks last passed on {green}: `git diff {green}` shows what has changed since."));
    }
    text
}

fn describe_check(check: &FailedCheck) -> String {
    let step = check
        .step
        .as_ref()
        .map_or_else(String::new, |step| format!(", step {step}"));
    let link = check
        .url
        .as_ref()
        .map_or_else(String::new, |url| format!("\n{url}"));
    // a fence longer than any in the log, so that the log cannot end it
    let fence = "`".repeat(longest_run_of_backticks(&check.log_tail).max(2) + 1);
    format!(
        "{}{step}: {}{link}\n{fence}\n{}\n{fence}",
        check.name,
        check.conclusion,
        check.log_tail.trim_end()
    )
}

fn longest_run_of_backticks(text: &str) -> usize {
    text.split(|letter| letter != '`')
        .map(str::len)
        .max()
        .unwrap_or(0)
}
