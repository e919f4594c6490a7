//! One run for each cause, and a person once runs do not help.

use super::{Action, PrSnapshot, nothing, wait};
use crate::{
    clock::{Timestamp, elapsed},
    run::RunKind,
    task::{AttentionReason, Briefing, Cause, CauseKind, NextRun, TaskState},
};

/// A run that a cause asks for.
pub(super) struct Resuming {
    pub(super) cause: Cause,
    pub(super) answer: Answer,
    pub(super) briefing: Briefing,
    pub(super) limit: u32,
    pub(super) kind: RunKind,
    pub(super) reason: AttentionReason,
}

/// Whether a run was started for a cause.
pub(super) enum Answer {
    Owed,
    Given,
}

impl Answer {
    pub(super) fn to(seen: &PrSnapshot<'_>, cause: &Cause) -> Self {
        if seen.task.has_handled(cause) {
            Self::Given
        } else {
            Self::Owed
        }
    }
}

/// One resume for one cause, and no more than the limit of its kind; then a person is asked.
pub(super) fn resume(seen: &PrSnapshot<'_>, now: Timestamp, resuming: Resuming) -> Action {
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
pub(super) fn attention(seen: &PrSnapshot<'_>, reason: AttentionReason) -> Action {
    match &seen.task.state {
        TaskState::NeedsAttention { reason: known, .. } if *known == reason => {
            nothing("it waits for a person")
        }
        _ => Action::Attention { reason },
    }
}
