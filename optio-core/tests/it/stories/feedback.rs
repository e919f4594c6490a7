//! The feedback loop: checks, reviews, conflicts, merges here and elsewhere.

use std::time::Duration;

use insta::assert_snapshot;
use optio_core::{
    memory::{ReviewRule, Step, diligent},
    pull_request::{Checks, PrNumber, ReviewVerdict},
    repo::{AttemptLimits, RepoSettings, ReviewTrigger},
    run::RunKind,
    task::{AttentionReason, StateName, TaskState},
};

use super::world::{World, auto_merge, red};

#[tokio::test(start_paused = true)]
async fn red_checks_resume_the_agent_with_the_log_in_the_same_session() {
    let world = World::new(auto_merge()).await;
    world
        .forge
        .plan_checks(|head| if head.nth == 1 { red() } else { Checks::Passed });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::Completed).await;
    assert_snapshot!(world.history(task).await, @"pending, queued, provisioning, running, pr_opened, needs_attention, queued, provisioning, running, pr_opened, completed");
    let spawned = world.runtime.spawned();
    assert_eq!(spawned[1].kind, RunKind::ResumeCi);
    assert_eq!(spawned[0].session, spawned[1].session);
    assert!(
        spawned[1]
            .prompt
            .contains("assertion failed: the cart is empty"),
        "{}",
        spawned[1].prompt
    );
    assert_eq!(world.merges(), 1);
}

#[tokio::test(start_paused = true)]
async fn checks_that_stay_red_end_with_a_person_and_a_push_of_theirs_is_watched() {
    let world = World::new(RepoSettings {
        attempts: AttemptLimits {
            ci: 2,
            ..AttemptLimits::default()
        },
        ..auto_merge()
    })
    .await;
    world
        .forge
        .plan_checks(|head| if head.nth <= 3 { red() } else { Checks::Passed });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    let stuck = world.until(task, StateName::NeedsAttention).await;
    // it is there in passing too, each time the agent is resumed
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let TaskState::NeedsAttention {
        reason: AttentionReason::Person { summary },
        ..
    } = world.task(task).await.state
    else {
        panic!()
    };
    assert_snapshot!(summary, @"the agent was resumed 2 times for red checks and did not get over it; push to the branch, retry the task or raise the limit in attempts");
    assert_eq!(world.runs(task).await.len(), 3);
    world.git.push(
        &world.url,
        &stuck.branch,
        &[("by-hand.txt", "mended")],
        "Mend it",
    );
    world.until(task, StateName::Completed).await;
}

#[tokio::test(start_paused = true)]
async fn the_review_agent_reads_each_head_and_its_word_counts() {
    let settings = RepoSettings {
        review_enabled: true,
        review_trigger: ReviewTrigger::OnCiPass,
        review_model: Some("small".to_owned()),
        effort: Some("high".to_owned()),
        ..auto_merge()
    };
    let world = World::new(settings).await;
    world.agents_do(|run| match run.kind {
        RunKind::Review
            if run.prompt.contains("Add a cart") && !run.prompt.contains("see the tests") =>
        {
            // the first head lacks a test
            let verdict = if run.worktree.as_str().is_empty() {
                Step::approve("fine")
            } else {
                Step::request_changes("where is the test?")
            };
            vec![
                verdict,
                Step::Cost(optio_core::money::Usd::from_dollars(0.5)),
            ]
        }
        _ => diligent(run),
    });
    let task = world.submit("Add a cart").await;
    let running = world.run();
    // the review agent never approves here: the cap ends it
    tokio::time::sleep(Duration::from_secs(4 * 3600)).await;
    let task = world.task(task).await;
    let TaskState::NeedsAttention {
        reason: AttentionReason::Person { summary },
        ..
    } = &task.state
    else {
        panic!("{}", task.state.name())
    };
    assert!(
        summary.contains("5 times for requested changes"),
        "{summary}"
    );
    let kinds: Vec<RunKind> = world
        .runtime
        .spawned()
        .into_iter()
        .map(|run| run.kind)
        .collect();
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == RunKind::Review)
            .count(),
        6,
        "one review for each head"
    );
    // what the repository asks for, each run is asked for
    let efforts = world.runtime.spawned();
    assert!(
        efforts
            .iter()
            .all(|run| run.effort.as_deref() == Some("high"))
    );
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == RunKind::ResumeReview)
            .count(),
        5
    );
    assert_eq!(
        world
            .runtime
            .spawned()
            .iter()
            .find(|run| run.kind == RunKind::Review)
            .unwrap()
            .model
            .as_deref(),
        Some("small")
    );
    assert_eq!(
        task.usage.cost.to_string(),
        "$3.06",
        "its reviews are part of what a task costs"
    );
    assert_eq!(world.merges(), 0);
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_review_without_a_verdict_is_no_approval() {
    let settings = RepoSettings {
        review_enabled: true,
        attempts: AttemptLimits {
            failures: 1,
            ..AttemptLimits::default()
        },
        ..auto_merge()
    };
    let world = World::new(settings).await;
    world.agents_do(|run| {
        if run.kind == RunKind::Review {
            vec![Step::say("looks great, merge it!")]
        } else {
            diligent(run)
        }
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        world.task(task).await.state.name(),
        StateName::NeedsAttention
    );
    assert_eq!(world.merges(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_persons_review_resumes_the_agent_once_and_then_waits_for_the_person() {
    let world = World::new(auto_merge()).await;
    world.forge.set_review_rule(ReviewRule::Required);
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::PrOpened).await;
    world.review(ReviewVerdict::RequestChanges, "Rename it");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let kinds: Vec<RunKind> = world
        .runtime
        .spawned()
        .into_iter()
        .map(|run| run.kind)
        .collect();
    assert_eq!(kinds, [RunKind::First, RunKind::ResumeReview]);
    assert!(world.runtime.spawned()[1].prompt.contains("Rename it"));
    assert_eq!(world.task(task).await.state.name(), StateName::PrOpened);
    world.review(ReviewVerdict::Approve, "Thanks");
    world.until(task, StateName::Completed).await;
}

#[tokio::test(start_paused = true)]
async fn without_auto_resume_requested_changes_wait_for_a_person() {
    let world = World::new(RepoSettings {
        auto_resume_on_review: false,
        ..auto_merge()
    })
    .await;
    world.forge.plan_checks(|_| Checks::Pending);
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::PrOpened).await;
    world.review(ReviewVerdict::RequestChanges, "Rename it");
    world.until(task, StateName::NeedsAttention).await;
    assert_eq!(world.runs(task).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn unknown_is_never_merged() {
    let world = World::new(auto_merge()).await;
    world.forge.plan_checks(|_| Checks::Unknown {
        reason: "the API answered 502".to_owned(),
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(world.task(task).await.state.name(), StateName::PrOpened);
    assert_eq!(world.merges(), 0);
    assert!(
        world
            .engine
            .why(task)
            .await
            .unwrap()
            .explanation
            .contains("verdict of its checks")
    );
}

#[tokio::test(start_paused = true)]
async fn a_merge_whose_answer_is_lost_is_one_merge() {
    let world = World::new(auto_merge()).await;
    world.forge.lose_next_answer("merge");
    world.forge.lose_next_answer("open");
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::Completed).await;
    assert_eq!(world.merges(), 1);
    assert_eq!(world.forge.pull_requests(&world.url).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_auto_merge_it_waits_and_a_merge_elsewhere_completes_it() {
    let world = World::new(RepoSettings::default()).await;
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::PrOpened).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(
        world
            .engine
            .why(task)
            .await
            .unwrap()
            .explanation
            .contains("autoMerge is off")
    );
    world
        .forge
        .merge_elsewhere(&world.url, PrNumber(1))
        .unwrap();
    world.until(task, StateName::Completed).await;
}

#[tokio::test(start_paused = true)]
async fn a_pull_request_that_is_closed_fails_its_task() {
    let world = World::new(RepoSettings::default()).await;
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::PrOpened).await;
    world.forge.close_elsewhere(&world.url, PrNumber(1));
    let task = world.until(task, StateName::Failed).await;
    let TaskState::Failed { failure, .. } = task.state else {
        panic!()
    };
    assert_snapshot!(failure.class.name(), @"pr_closed");
    let calls = world.forge.calls("pull_request");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        world.forge.calls("pull_request"),
        calls,
        "nobody asks for it any more"
    );
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_is_away_fails_nothing() {
    let world = World::new(auto_merge()).await;
    world.forge.set_unreachable(Some("connection refused"));
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert!(!world.task(task).await.state.is_final());
    world.forge.set_unreachable(None);
    world.until(task, StateName::Completed).await;
}
