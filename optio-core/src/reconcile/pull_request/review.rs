//! Reviews: what people request, and the word of the review agent.

use super::{
    Action, NOT_A_DRAFT, PrSnapshot, Ruling, SeenReview,
    resume::{Answer, Resuming, attention, resume},
    wait,
};
use crate::{
    clock::Timestamp,
    pull_request::{PullRequest, Review, ReviewComment, ReviewDecision, ReviewVerdict},
    repo::ReviewTrigger,
    run::RunKind,
    task::{AttentionReason, Blocking, Briefing, Cause, CauseKind, StateName},
};

/// Changes that people asked for on the forge, and those that our own review agent asked for: both in one run.
pub(super) fn requested_changes(
    seen: &PrSnapshot<'_>,
    pr: &PullRequest,
    now: Timestamp,
) -> Option<Ruling> {
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

/// The review agent: start it, wait for it, or go on because it approves this very commit.
pub(super) fn own_review(seen: &PrSnapshot<'_>, pr: &PullRequest) -> Option<Ruling> {
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

/// The latest review subtask for the present head.
pub(super) fn current_review<'a>(
    seen: &PrSnapshot<'a>,
    pr: &PullRequest,
) -> Option<&'a SeenReview> {
    seen.reviews
        .iter()
        .rev()
        .find(|review| review.head == pr.head)
}

pub(super) fn verdict_of(review: &SeenReview) -> Option<ReviewVerdict> {
    let report = review.report.as_ref()?;
    (review.state == StateName::Completed).then_some(report.verdict)
}

fn describe_review(reviewer: &str, body: &str, comments: &[ReviewComment]) -> String {
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
