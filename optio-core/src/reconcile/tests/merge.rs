//! All is well: what still stands between a pull request and its merge.

use super::*;

#[test]
fn the_last_gates() {
    check(vec![
        ("ready", ready(), "ready: merge head"),
        (
            "ready, and approved",
            ready().decision(ReviewDecision::Approved),
            "ready: merge head",
        ),
        (
            "autoMerge is off",
            ready().set(|settings| settings.auto_merge = false),
            "ready_no_auto_merge: wait for somebody to merge it (autoMerge is off)",
        ),
        (
            "a draft",
            ready().pr(|pr| pr.draft = true),
            "draft: wait for somebody to mark it as ready for review (it is a draft)",
        ),
        (
            "a review is missing",
            ready().decision(ReviewDecision::Required),
            "review_required: wait for a reviewer to approve it",
        ),
        (
            "the decision is not known",
            ready().decision(ReviewDecision::Unknown),
            "review_unknown: wait for the forge to tell what reviewers decided",
        ),
        (
            "changes are requested, but the forge does not show by whom",
            ready().decision(ReviewDecision::ChangesRequested),
            "review_stands: wait for the reviewer to look at it again",
        ),
        (
            "no review is needed, yet somebody requests changes",
            ready().says("r1", ReviewVerdict::RequestChanges, HEAD),
            "review_stands: wait for the reviewer to look at it again",
        ),
        (
            "enough others approve, by the forge's rules",
            ready()
                .says("r1", ReviewVerdict::RequestChanges, HEAD)
                .decision(ReviewDecision::Approved),
            "ready: merge head",
        ),
        (
            "a comment stands in nobody's way",
            ready().says("r1", ReviewVerdict::Comment, HEAD),
            "ready: merge head",
        ),
        (
            "mergeability is not known",
            ready().pr(|pr| pr.mergeability = Mergeability::Unknown),
            "mergeability_unknown: wait for the forge to tell whether it can be merged",
        ),
        (
            "a rule of the forge forbids it",
            ready().pr(|pr| {
                pr.mergeability = Mergeability::Blocked {
                    reason: "the merge queue is paused".to_owned(),
                };
            }),
            "merge_blocked: wait for the forge to allow the merge: the merge queue is paused",
        ),
    ]);
}
