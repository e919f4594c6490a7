//! The feedback loop: what follows from the state of a pull request.
//!
//! Decisions come from facts and from what was already done about them (head commit and cause), never from a change
//! that somebody has to have seen happen. So a missed event, a restart or a second watcher changes nothing.

mod checks;
mod resume;
mod review;

use serde::{Deserialize, Serialize};

use self::{
    checks::{conflict, red_checks, undecided_checks},
    review::{current_review, own_review, requested_changes, verdict_of},
};

use crate::{
    clock::Timestamp,
    failure::{Failure, FailureClass},
    pull_request::{
        Checks, CommitId, Mergeability, PrState, PullRequest, ReviewDecision, ReviewReport,
        ReviewVerdict,
    },
    repo::RepoSettings,
    task::{AttentionReason, Blocking, NextRun, StateName, Task},
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

const NOT_A_DRAFT: &str = "somebody to mark it as ready for review (it is a draft)";

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
