//! What reviewers decided: a pure function of what each of them said last.

use std::collections::BTreeMap;

use optio_core::pull_request::{CommitId, Review, ReviewDecision, ReviewVerdict};

/// The word of each reviewer that stands, given all reviews in their order: the last one that approves or requests
/// changes. A comment takes nothing back, so it stands only for who has never decided.
pub(super) fn standing(all: Vec<Review>) -> Vec<Review> {
    let mut standing: BTreeMap<String, Review> = BTreeMap::new();
    for review in all {
        let comments_on_decision = review.verdict == ReviewVerdict::Comment
            && standing
                .get(&review.reviewer)
                .is_some_and(|earlier| earlier.verdict != ReviewVerdict::Comment);
        if !comments_on_decision {
            standing.insert(review.reviewer.clone(), review);
        }
    }
    let mut standing: Vec<Review> = standing.into_values().collect();
    standing.sort_by_key(|review| review.at);
    standing
}

/// What follows from the standing reviews for this head. Changes stay requested until who requested them approves; an
/// approval counts for the commit that it was given to. No review is ever required here.
pub(super) fn decision(standing: &[Review], head: &CommitId) -> ReviewDecision {
    let requested = |review: &Review| review.verdict == ReviewVerdict::RequestChanges;
    let approved =
        |review: &Review| review.verdict == ReviewVerdict::Approve && review.commit == *head;
    if standing.iter().any(requested) {
        ReviewDecision::ChangesRequested
    } else if standing.iter().any(approved) {
        ReviewDecision::Approved
    } else {
        ReviewDecision::NotRequired
    }
}

#[cfg(test)]
mod tests {
    use optio_core::Timestamp;

    use super::*;

    /// `ann+2` is an approval of the second commit by Ann, `-` requests changes, `.` is a comment.
    fn decided(story: &str) -> String {
        let reviews = story
            .split_whitespace()
            .enumerate()
            .map(|(nth, word)| {
                let mark = word.find(['+', '-', '.']).unwrap();
                Review {
                    id: nth.to_string(),
                    reviewer: word[..mark].to_owned(),
                    verdict: match &word[mark..=mark] {
                        "+" => ReviewVerdict::Approve,
                        "-" => ReviewVerdict::RequestChanges,
                        _ => ReviewVerdict::Comment,
                    },
                    commit: CommitId::new(&word[mark + 1..]),
                    body: String::new(),
                    comments: Vec::new(),
                    at: Timestamp::from_second(i64::try_from(nth).unwrap()).unwrap(),
                }
            })
            .collect();
        let standing = standing(reviews);
        let ids: Vec<&str> = standing.iter().map(|review| review.id.as_str()).collect();
        let decision = decision(&standing, &CommitId::new("2"));
        format!("[{story}] {decision:?}, stands: [{}]", ids.join(" "))
    }

    #[test]
    fn what_reviewers_said_becomes_a_decision_on_the_second_commit() {
        let table = [
            "",
            "ann+2",
            "ann+1",
            "ann-1",
            "ann-1 ann+2",
            "ann-1 ann+1",
            "ann+2 ann-2",
            "ann-1 ann.2",
            "ann.2",
            "ann.1 ann.2",
            "ann-1 bob+2",
            "ann+1 bob+2",
            "ann-1 bob+2 ann+2",
        ]
        .map(decided)
        .join("\n");
        insta::assert_snapshot!(table, @r"
        [] NotRequired, stands: []
        [ann+2] Approved, stands: [0]
        [ann+1] NotRequired, stands: [0]
        [ann-1] ChangesRequested, stands: [0]
        [ann-1 ann+2] Approved, stands: [1]
        [ann-1 ann+1] NotRequired, stands: [1]
        [ann+2 ann-2] ChangesRequested, stands: [1]
        [ann-1 ann.2] ChangesRequested, stands: [0]
        [ann.2] NotRequired, stands: [0]
        [ann.1 ann.2] NotRequired, stands: [1]
        [ann-1 bob+2] ChangesRequested, stands: [0 1]
        [ann+1 bob+2] Approved, stands: [0 1]
        [ann-1 bob+2 ann+2] Approved, stands: [1 2]
        ");
    }
}
