//! The feedback loop: what follows from the state of a pull request.
//!
//! Decisions come from facts and from what was already done about them (head commit and cause), never from a change
//! that somebody has to have seen happen. So a missed event, a restart or a second watcher changes nothing.

use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The checks of this commit passed: the count of resumes for red checks starts again.
    Green(CommitId),
    /// The branch can be merged: the count of resumes for conflicts starts again.
    Mergeable,
    /// Nobody asks for changes any more: the count of resumes for reviews starts again.
    Approved,
}

/// What is to be done about a pull request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "action",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
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
        // nothing is known, so nothing changes: a person who was asked stays asked
        Err(reason) => (
            nothing(format!("the forge could not be read: {reason}")),
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
    let state = seen.task.state.name();
    match &pr.state {
        // a task that has failed already stays as it is; only a merge can still change it
        PrState::Merged { commit } if !state.is_final() || state == StateName::Failed => {
            return (
                Action::Complete {
                    commit: commit.clone(),
                },
                "merged",
            );
        }
        _ if state.is_final() => return (nothing("the task has ended"), "ended"),
        PrState::Closed => {
            let failure = Failure::new(FailureClass::PrClosed).with_detail(format!(
                "pull request {} was closed without a merge",
                pr.number
            ));
            return (Action::Fail { failure }, "closed");
        }
        PrState::Open | PrState::Merged { .. } => {}
    }
    if !matches!(state, StateName::PrOpened | StateName::NeedsAttention) {
        return (nothing("a run of it is at work or queued"), "run_at_work");
    }
    let unknown = pr.mergeability == Mergeability::Unknown
        || matches!(pr.checks, Checks::Unknown { .. })
        || pr.decision == ReviewDecision::Unknown;
    if unknown && state == StateName::NeedsAttention {
        // what it needed attention for may only be out of sight
        return (nothing("the forge does not tell all"), "unknown");
    }
    facts(seen, pr, notes);
    conflict(seen, pr, now)
        .or_else(|| red_checks(seen, pr, now))
        .or_else(|| requested_changes(seen, pr, now))
        .or_else(|| undecided_checks(seen, pr, now))
        .or_else(|| own_review(seen, pr))
        .unwrap_or_else(|| merge(seen, pr))
}

fn facts(seen: &PrSnapshot<'_>, pr: &PullRequest, notes: &mut Vec<Note>) {
    let task = seen.task;
    let counted = task.attempts.ci > 0;
    if pr.checks == Checks::Passed && (counted || task.last_green.as_ref() != Some(&pr.head)) {
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

fn conflict(seen: &PrSnapshot<'_>, pr: &PullRequest, now: Timestamp) -> Option<Ruling> {
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

fn red_checks(seen: &PrSnapshot<'_>, pr: &PullRequest, now: Timestamp) -> Option<Ruling> {
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

/// Changes that people asked for on the forge, and those that our own review agent asked for: both in one run.
fn requested_changes(seen: &PrSnapshot<'_>, pr: &PullRequest, now: Timestamp) -> Option<Ruling> {
    let own = current_review(seen, pr);
    let asked: Vec<Asked> = own
        .filter(|review| verdict_of(review) == Some(ReviewVerdict::RequestChanges))
        .and_then(|review| review.report.as_ref())
        .map(|report| Asked {
            mark: OWN_REVIEW,
            text: describe_review("the review agent", &report.summary, &report.comments),
        })
        .into_iter()
        .chain(standing_reviews(seen, pr).map(|review| Asked {
            mark: &review.id,
            text: describe_review(&review.reviewer, &review.body, &review.comments),
        }))
        .collect();
    if asked.is_empty() {
        return None;
    }
    if own
        .is_some_and(|review| review.blocking == Blocking::BlocksParent && !review.state.is_final())
    {
        // what it has to say goes into the same run; and it may be about to say what is on the forge already
        return Some((wait("the review agent"), "review_at_work"));
    }
    let fresh: Vec<&Asked> = asked
        .iter()
        .filter(|asked| !asked.is_answered(seen, pr))
        .collect();
    let resumed_on_this_head = seen
        .task
        .handled
        .iter()
        .any(|cause| cause.kind == CauseKind::Review && cause.head == pr.head);
    if fresh.is_empty() && !resumed_on_this_head {
        return None; // answered by a newer head; whether that is enough, the reviewer says: see `merge`
    }
    if !seen.settings.auto_resume_on_review {
        return Some((
            attention(seen, AttentionReason::ChangesRequested),
            "changes_requested_no_auto_resume",
        ));
    }
    // a reviewer who takes a request back leaves the others' answered: bound to each review, not to the set of them
    let mut marks: Vec<&str> = fresh.iter().map(|asked| asked.mark).collect();
    marks.sort_unstable();
    let cause = Cause {
        kind: CauseKind::Review,
        head: pr.head.clone(),
        mark: marks.join(","),
    };
    let texts: Vec<&str> = fresh.iter().map(|asked| asked.text.as_str()).collect();
    let briefing = Briefing {
        review_comments: Some(texts.join("\n\n")),
        ..Briefing::default()
    };
    let resuming = Resuming {
        answer: if fresh.is_empty() {
            Answer::Given
        } else {
            Answer::Owed
        },
        cause,
        briefing,
        limit: seen.settings.attempts.review,
        kind: RunKind::ResumeReview,
        reason: AttentionReason::ChangesRequested,
    };
    Some((resume(seen, now, resuming), "changes_requested"))
}

/// The mark of what our own review agent asks for on a head.
const OWN_REVIEW: &str = "optio";

/// A request for changes.
struct Asked<'a> {
    mark: &'a str,
    text: String,
}

impl Asked<'_> {
    /// Whether a run was started for it. A review on the forge is one request whatever the head; our own review agent's
    /// word is about one head.
    fn is_answered(&self, seen: &PrSnapshot<'_>, pr: &PullRequest) -> bool {
        seen.task.handled.iter().any(|cause| {
            cause.kind == CauseKind::Review
                && (self.mark != OWN_REVIEW || cause.head == pr.head)
                && (cause.mark == self.mark || cause.mark.split(',').any(|mark| mark == self.mark))
        })
    }
}

/// The reviews on the forge that request changes, by its own rules; without those that our review agent put there.
fn standing_reviews<'a>(
    seen: &PrSnapshot<'a>,
    pr: &'a PullRequest,
) -> impl Iterator<Item = &'a Review> {
    let own = seen.reviews;
    pr.reviews.iter().filter(move |review| {
        pr.decision == ReviewDecision::ChangesRequested
            && review.verdict == ReviewVerdict::RequestChanges
            && !own.iter().any(|own| is_same_review(own, review))
    })
}

/// Whether a review on the forge is the one that our review agent gave. An adapter may put words around its summary.
fn is_same_review(own: &SeenReview, review: &Review) -> bool {
    own.head == review.commit
        && own.report.as_ref().is_some_and(|report| {
            let summary = report.summary.trim();
            let same_words = if summary.is_empty() {
                review.body.trim().is_empty() && review.comments == report.comments
            } else {
                review.body.contains(summary)
            };
            report.verdict == review.verdict && same_words
        })
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

const NOT_A_DRAFT: &str = "somebody to mark it as ready for review (it is a draft)";

/// The review agent: start it, wait for it, or go on because it approves this very commit.
fn own_review(seen: &PrSnapshot<'_>, pr: &PullRequest) -> Option<Ruling> {
    let review = current_review(seen, pr);
    // a review that somebody asked for is asked for again on each new head; unless they took it back
    let asked_for = seen.reviews.iter().any(|review| {
        review.blocking == Blocking::BlocksParent && review.state != StateName::Cancelled
    });
    if !seen.settings.review_enabled && !asked_for {
        return None;
    }
    let Some(review) = review else {
        return Some(match seen.settings.review_trigger {
            ReviewTrigger::OnCiPass | ReviewTrigger::OnPrOpen if pr.draft => {
                (wait(NOT_A_DRAFT), "draft")
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
        // a person has looked at this head and decided what the review agent did not
        (state, verdict)
            if pr.decision == ReviewDecision::Approved
                && state.is_final()
                && verdict != Some(ReviewVerdict::RequestChanges) =>
        {
            None
        }
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
            let ended = match state {
                StateName::Cancelled => "was cancelled",
                StateName::Failed => "has failed",
                _ => "gave no verdict",
            };
            let summary = format!(
                "the review agent's task {ended}: review by hand, or start the review agent again"
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
        return (wait(NOT_A_DRAFT), "draft");
    }
    match pr.decision {
        ReviewDecision::Approved => {}
        // no review is needed; but who gave one all the same is heard
        ReviewDecision::NotRequired if !requests_changes(pr) => {}
        ReviewDecision::Required => return (wait("a reviewer to approve it"), "review_required"),
        ReviewDecision::NotRequired | ReviewDecision::ChangesRequested => {
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

fn requests_changes(pr: &PullRequest) -> bool {
    let mut reviews = pr.reviews.iter();
    reviews.any(|review| review.verdict == ReviewVerdict::RequestChanges)
}

struct Resuming {
    cause: Cause,
    answer: Answer,
    briefing: Briefing,
    limit: u32,
    kind: RunKind,
    reason: AttentionReason,
}

/// Whether a run was started for a cause.
enum Answer {
    Owed,
    Given,
}

impl Answer {
    fn to(seen: &PrSnapshot<'_>, cause: &Cause) -> Self {
        if seen.task.has_handled(cause) {
            Self::Given
        } else {
            Self::Owed
        }
    }
}

/// One resume for one cause, and no more than the limit of its kind; then a person is asked.
fn resume(seen: &PrSnapshot<'_>, now: Timestamp, resuming: Resuming) -> Action {
    let Resuming {
        cause,
        answer,
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
    if matches!(answer, Answer::Given) {
        match &seen.task.state {
            // the run has only just ended, and a forge may show the head before its push for a while
            TaskState::PrOpened { since } if elapsed(*since, now) < seen.settings.ci_grace() => {
                return wait("the forge to show what the agent has pushed");
            }
            // they were told how that run ended, which says more than the words below
            TaskState::NeedsAttention {
                reason: AttentionReason::Person { .. },
                ..
            } => return nothing("it waits for a person"),
            _ => {}
        }
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
