//! The feedback loop: what follows from the state of a pull request.
//!
//! Decisions come from facts and from what was already done about them (head commit and cause), never from a change
//! that somebody has to have seen happen. So a missed event, a restart or a second watcher changes nothing.

use crate::{
    clock::{Timestamp, elapsed},
    failure::{Failure, FailureClass},
    pull_request::{
        Checks, CommitId, FailedCheck, Mergeability, PrState, PullRequest, Review, ReviewDecision,
        ReviewReport, ReviewVerdict,
    },
    repo::{RepoSettings, ReviewTrigger},
    run::RunKind,
    task::{
        AttentionReason, Blocking, Briefing, Cause, CauseKind, NextRun, StateName, Task, TaskState,
    },
};

/// All that the decision is made from.
#[derive(Debug, Clone, Copy)]
pub struct PrSnapshot<'a> {
    /// The task of the pull request.
    pub task: &'a Task,
    /// Its repository's settings.
    pub settings: &'a RepoSettings,
    /// The pull request as the forge showed it; what went wrong if it could not be read.
    pub pull_request: Result<&'a PullRequest, &'a str>,
    /// The review subtasks of the task, oldest first.
    pub reviews: &'a [SeenReview],
}

/// A review subtask of the task.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenReview {
    /// The commit it is about.
    pub head: CommitId,
    /// Whether the task waits for it.
    pub blocking: Blocking,
    /// How far it is.
    pub state: StateName,
    /// What it says, once it is completed.
    pub report: Option<ReviewReport>,
}

/// What follows, and which rule said so.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Facts to be kept, whatever else follows.
    pub notes: Vec<Note>,
    /// What is to be done.
    pub action: Action,
    /// The rule that decided, for the task's history.
    pub rule: &'static str,
}

/// A fact to be kept with the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The checks of this commit passed: the count of resumes for red checks starts again.
    Green(CommitId),
    /// The branch can be merged: the count of resumes for conflicts starts again.
    Mergeable,
    /// Nobody asks for changes any more: the count of resumes for reviews starts again.
    Approved,
}

/// What is to be done about a pull request.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Nothing, and the state stays as it is.
    Nothing {
        /// Why, for people.
        why: String,
    },
    /// The pull request is well and waits for something: a task that needed attention is watched again.
    Wait {
        /// What for, for people.
        what_for: String,
    },
    /// It is merged: the task is done.
    Complete {
        /// The commit that brought it into the base branch.
        commit: CommitId,
    },
    /// The task has failed.
    Fail {
        /// Why.
        failure: Failure,
    },
    /// Resume the agent.
    Resume {
        /// What is wrong.
        reason: AttentionReason,
        /// What the run is to do about it.
        next: NextRun,
    },
    /// Something is wrong that Optio does not act on by itself.
    Attention {
        /// What.
        reason: AttentionReason,
    },
    /// Start a review agent on this commit.
    StartReview {
        /// The commit.
        head: CommitId,
    },
    /// Merge it, if this is still its head.
    Merge {
        /// The commit that the decision is about.
        head: CommitId,
    },
}

/// What follows from what was seen.
#[must_use]
pub fn reconcile_pull_request(seen: &PrSnapshot<'_>, now: Timestamp) -> Decision {
    let mut notes = Vec::new();
    let (action, rule) = match seen.pull_request {
        Err(reason) => (
            wait(format!("the forge could not be read: {reason}")),
            "forge_unknown",
        ),
        Ok(pr) => decide(seen, pr, now, &mut notes),
    };
    Decision {
        notes,
        action,
        rule,
    }
}

type Ruling = (Action, &'static str);

fn nothing(why: impl Into<String>) -> Action {
    Action::Nothing { why: why.into() }
}

fn wait(what_for: impl Into<String>) -> Action {
    Action::Wait {
        what_for: what_for.into(),
    }
}

fn decide(
    seen: &PrSnapshot<'_>,
    pr: &PullRequest,
    now: Timestamp,
    notes: &mut Vec<Note>,
) -> Ruling {
    match &pr.state {
        PrState::Merged { commit } => {
            return (
                Action::Complete {
                    commit: commit.clone(),
                },
                "merged",
            );
        }
        // a task that has failed already stays as it is; only a merge can still change it
        _ if seen.task.state.is_final() => return (nothing("the task has ended"), "ended"),
        PrState::Closed => {
            let failure = Failure::new(FailureClass::PrClosed).with_detail(format!(
                "pull request {} was closed without a merge",
                pr.number
            ));
            return (Action::Fail { failure }, "closed");
        }
        PrState::Open => {}
    }
    if !matches!(
        seen.task.state,
        TaskState::PrOpened { .. } | TaskState::NeedsAttention { .. }
    ) {
        return (nothing("a run of it is at work or queued"), "run_at_work");
    }
    let unknown =
        pr.mergeability == Mergeability::Unknown || matches!(pr.checks, Checks::Unknown { .. });
    if unknown && matches!(seen.task.state, TaskState::NeedsAttention { .. }) {
        // what it needed attention for may only be out of sight
        return (nothing("the forge does not tell all"), "unknown");
    }
    facts(seen, pr, notes);
    conflict(seen, pr)
        .or_else(|| red_checks(seen, pr))
        .or_else(|| requested_changes(seen, pr))
        .or_else(|| undecided_checks(seen, pr, now))
        .or_else(|| own_review(seen, pr))
        .unwrap_or_else(|| merge(seen, pr))
}

fn facts(seen: &PrSnapshot<'_>, pr: &PullRequest, notes: &mut Vec<Note>) {
    let task = seen.task;
    if pr.checks == Checks::Passed && task.last_green.as_ref() != Some(&pr.head) {
        notes.push(Note::Green(pr.head.clone()));
    }
    if pr.mergeability == Mergeability::Clean && task.attempts.conflict > 0 {
        notes.push(Note::Mergeable);
    }
    let approved = current_review(seen, pr)
        .is_some_and(|review| verdict_of(review) == Some(ReviewVerdict::Approve))
        || pr.decision == ReviewDecision::Approved;
    if approved && pr.decision != ReviewDecision::ChangesRequested && task.attempts.review > 0 {
        notes.push(Note::Approved);
    }
}

fn conflict(seen: &PrSnapshot<'_>, pr: &PullRequest) -> Option<Ruling> {
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
            Resuming {
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

fn red_checks(seen: &PrSnapshot<'_>, pr: &PullRequest) -> Option<Ruling> {
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
            Resuming {
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

/// Changes that people asked for on the forge, and those that our own review agent asked for.
fn requested_changes(seen: &PrSnapshot<'_>, pr: &PullRequest) -> Option<Ruling> {
    let own = current_review(seen, pr)
        .and_then(|review| review.report.as_ref())
        .filter(|report| report.verdict == ReviewVerdict::RequestChanges);
    let wanted: Vec<&Review> = pr
        .reviews
        .iter()
        .filter(|review| review.verdict == ReviewVerdict::RequestChanges)
        .collect();
    let (cause, comments) = if let Some(report) = own {
        let cause = Cause {
            kind: CauseKind::Review,
            head: pr.head.clone(),
            mark: "optio".to_owned(),
        };
        (
            cause,
            describe_review("the review agent", &report.summary, &report.comments),
        )
    } else if pr.decision == ReviewDecision::ChangesRequested && !wanted.is_empty() {
        // bound to the reviews, not to the head: after a fix the reviewer has to speak again
        let mut ids: Vec<&str> = wanted.iter().map(|review| review.id.as_str()).collect();
        ids.sort_unstable();
        let head = wanted
            .iter()
            .max_by_key(|review| review.at)
            .map_or_else(|| pr.head.clone(), |review| review.commit.clone());
        let comments = wanted
            .iter()
            .map(|review| describe_review(&review.reviewer, &review.body, &review.comments))
            .collect::<Vec<_>>();
        (
            Cause {
                kind: CauseKind::Review,
                head,
                mark: ids.join(","),
            },
            comments.join("\n\n"),
        )
    } else {
        return None;
    };
    if seen.task.has_handled(&cause) && cause.head != pr.head {
        return None; // answered by a newer head; whether that is enough, the reviewer says: see `merge`
    }
    if !seen.settings.auto_resume_on_review {
        return Some((
            attention(seen, AttentionReason::ChangesRequested),
            "changes_requested_no_auto_resume",
        ));
    }
    let briefing = Briefing {
        review_comments: Some(comments),
        ..Briefing::default()
    };
    let limit = seen.settings.attempts.review;
    let resuming = Resuming {
        cause,
        briefing,
        limit,
        kind: RunKind::ResumeReview,
        reason: AttentionReason::ChangesRequested,
    };
    Some((resume(seen, resuming), "changes_requested"))
}

fn undecided_checks(seen: &PrSnapshot<'_>, pr: &PullRequest, now: Timestamp) -> Option<Ruling> {
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

/// The review agent: start it, wait for it, or go on because it approves this very commit.
fn own_review(seen: &PrSnapshot<'_>, pr: &PullRequest) -> Option<Ruling> {
    let review = current_review(seen, pr);
    let blocking = review.is_some_and(|review| review.blocking == Blocking::BlocksParent);
    if !seen.settings.review_enabled && !blocking {
        return None;
    }
    let Some(review) = review else {
        return Some(match seen.settings.review_trigger {
            ReviewTrigger::OnCiPass | ReviewTrigger::OnPrOpen if pr.draft => {
                (wait("it is a draft"), "draft")
            }
            ReviewTrigger::OnCiPass | ReviewTrigger::OnPrOpen => (
                Action::StartReview {
                    head: pr.head.clone(),
                },
                "review_wanted",
            ),
            ReviewTrigger::Manual => (
                wait("somebody to start the review agent (reviewTrigger is manual)"),
                "review_manual",
            ),
        });
    };
    match (review.state, verdict_of(review)) {
        (_, Some(ReviewVerdict::Approve)) => None,
        (_, Some(ReviewVerdict::Comment | ReviewVerdict::RequestChanges)) => {
            let summary =
                "the review agent did not approve this commit; approve or change it by hand"
                    .to_owned();
            Some((
                attention(seen, AttentionReason::Person { summary }),
                "review_not_positive",
            ))
        }
        (state, None) if state.is_final() => {
            let summary = format!(
                "the review agent's task has {state}: review by hand, or start the review agent again"
            );
            Some((
                attention(seen, AttentionReason::Person { summary }),
                "review_failed",
            ))
        }
        _ => Some((wait("the review agent"), "review_at_work")),
    }
}

fn merge(seen: &PrSnapshot<'_>, pr: &PullRequest) -> Ruling {
    if pr.draft {
        return (wait("it is a draft"), "draft");
    }
    match pr.decision {
        ReviewDecision::Approved | ReviewDecision::NotRequired => {}
        ReviewDecision::Required => return (wait("a reviewer to approve it"), "review_required"),
        ReviewDecision::ChangesRequested => {
            return (wait("the reviewer to look at it again"), "review_stands");
        }
        ReviewDecision::Unknown => {
            return (
                wait("the forge to tell what reviewers decided"),
                "review_unknown",
            );
        }
    }
    match &pr.mergeability {
        Mergeability::Clean => {}
        Mergeability::Blocked { reason } => {
            return (
                wait(format!("the forge to allow the merge: {reason}")),
                "merge_blocked",
            );
        }
        Mergeability::Unknown | Mergeability::Conflicting { .. } => {
            return (
                wait("the forge to tell whether it can be merged"),
                "mergeability_unknown",
            );
        }
    }
    if seen.settings.auto_merge {
        (
            Action::Merge {
                head: pr.head.clone(),
            },
            "ready",
        )
    } else {
        (
            wait("somebody to merge it (autoMerge is off)"),
            "ready_no_auto_merge",
        )
    }
}

struct Resuming {
    cause: Cause,
    briefing: Briefing,
    limit: u32,
    kind: RunKind,
    reason: AttentionReason,
}

/// One resume for one cause, and no more than the limit of its kind; then a person is asked.
fn resume(seen: &PrSnapshot<'_>, resuming: Resuming) -> Action {
    let Resuming {
        cause,
        briefing,
        limit,
        kind,
        reason,
    } = resuming;
    let what = match cause.kind {
        CauseKind::Ci => "red checks",
        CauseKind::Review => "requested changes",
        CauseKind::Conflict => "a merge conflict",
    };
    if seen.task.has_handled(&cause) {
        let summary = format!(
            "the agent was resumed for {what} on {} and pushed nothing new; look at its log, then push to the branch or retry the task",
            cause.head.short()
        );
        return attention(seen, AttentionReason::Person { summary });
    }
    let used = seen.task.attempts.of(cause.kind);
    if used >= limit {
        let summary = format!(
            "the agent was resumed {used} times for {what} and did not get over it; push to the branch, retry the task or raise the limit in attempts"
        );
        return attention(seen, AttentionReason::Person { summary });
    }
    Action::Resume {
        reason,
        next: NextRun {
            kind,
            cause: Some(cause),
            briefing,
        },
    }
}

/// Asks for attention once: the same reason again is nothing new.
fn attention(seen: &PrSnapshot<'_>, reason: AttentionReason) -> Action {
    match &seen.task.state {
        TaskState::NeedsAttention { reason: known, .. } if *known == reason => {
            nothing("it waits for a person")
        }
        _ => Action::Attention { reason },
    }
}

/// The latest review subtask for the present head.
fn current_review<'a>(seen: &PrSnapshot<'a>, pr: &PullRequest) -> Option<&'a SeenReview> {
    seen.reviews
        .iter()
        .rev()
        .find(|review| review.head == pr.head)
}

fn verdict_of(review: &SeenReview) -> Option<ReviewVerdict> {
    let report = review.report.as_ref()?;
    (review.state == StateName::Completed).then_some(report.verdict)
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

fn describe_review(
    reviewer: &str,
    body: &str,
    comments: &[crate::pull_request::ReviewComment],
) -> String {
    let mut text = format!("From {reviewer}: {}", body.trim());
    for comment in comments {
        let line = comment
            .line
            .map_or_else(String::new, |line| format!(":{line}"));
        text.push_str(&format!(
            "\n- {}{line}: {}",
            comment.path,
            comment.body.trim()
        ));
    }
    text
}
