//! Reviews by Optio and by people, and comments.

use optio_core::{
    forge::Forge as _,
    pull_request::{
        PullRequest, ReviewComment, ReviewDecision, ReviewReport,
        ReviewVerdict::{self, Approve, RequestChanges},
    },
};
use optio_local::forge::GivenReview;

use super::World;

fn report(verdict: ReviewVerdict, summary: &str) -> ReviewReport {
    ReviewReport {
        verdict,
        summary: summary.to_owned(),
        comments: vec![ReviewComment {
            path: "tea".to_owned(),
            line: Some(1),
            body: "why?".to_owned(),
        }],
    }
}

async fn ann_says(world: &World, pull: &PullRequest, verdict: ReviewVerdict) -> PullRequest {
    let review = GivenReview {
        reviewer: "ann".to_owned(),
        report: report(verdict, "hm"),
    };
    let given = world.forge.add_review(&world.repo, pull.number, &review);
    given.await.unwrap();
    world.look(pull.number).await
}

#[tokio::test]
async fn people_and_optio_review_beside_each_other() {
    let world = World::new().await;
    let pull = world.opened("optio/tea", &[("tea", "green\n")]).await;
    let optio = report(Approve, "good");
    for _ in 0..2 {
        let given = world
            .forge
            .review(&world.repo, pull.number, &pull.head, &optio);
        given.await.unwrap();
    }
    let seen = world.look(pull.number).await;
    assert_eq!(seen.decision, ReviewDecision::Approved);
    assert_eq!(seen.reviews.len(), 1);

    let seen = ann_says(&world, &pull, RequestChanges).await;
    assert_eq!(seen.decision, ReviewDecision::ChangesRequested);
    let ann = seen.reviews.iter().find(|review| review.reviewer == "ann");
    assert_eq!(ann.unwrap().comments, optio.comments);

    let world = world.restarted().await;
    world.site.push("optio/tea", &[("tea", "white\n")]);
    let seen = world.look(pull.number).await;
    assert_eq!(
        seen.decision,
        ReviewDecision::ChangesRequested,
        "a push takes nothing back"
    );
    let seen = ann_says(&world, &pull, Approve).await;
    assert_eq!(seen.decision, ReviewDecision::Approved);
    world.site.push("optio/tea", &[("tea", "yellow\n")]);
    let seen = world.look(pull.number).await;
    assert_eq!(
        seen.decision,
        ReviewDecision::NotRequired,
        "approvals are of one commit"
    );
}

#[tokio::test]
async fn a_comment_takes_the_place_of_the_one_with_its_marker() {
    let world = World::new().await;
    let pull = world.opened("optio/tea", &[("tea", "green\n")]).await;
    for (marker, body) in [("a", "1 of 2"), ("b", "hello"), ("a", "2 of 2")] {
        let written = world.forge.comment(&world.repo, pull.number, marker, body);
        written.await.unwrap();
    }
    let comments = world
        .forge
        .comments(&world.repo, pull.number)
        .await
        .unwrap();
    assert_eq!(comments, ["hello", "2 of 2"]);
}
