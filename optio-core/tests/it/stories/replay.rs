//! Histories are replayed: what the engine decided, today's policy decides again from the same snapshots; and a record
//! that somebody touched is told from one that nobody did.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use insta::assert_snapshot;
use optio_core::{
    NewTask,
    decision::SnapshotDigest,
    engine::Settings,
    id::TaskId,
    memory::{ReviewRule, SpawnedRun, Step, diligent},
    money::Usd,
    pull_request::{Checks, PrNumber, ReviewVerdict},
    replay::{Outcome, Subject, replay},
    repo::{AttemptLimits, RepoSettings},
    run::RunKind,
    store::{Audit, TaskQuery},
    task::StateName,
};
use serde_json::{Value, json};

use super::world::{World, auto_merge, red};

const HOUR: Duration = Duration::from_secs(3600);

/// Everything that happened in a world, written to text and read again as a file is.
async fn exported(world: &World) -> Vec<Audit> {
    let mut lines = Vec::new();
    for task in world
        .engine
        .store()
        .tasks(&TaskQuery::default())
        .await
        .unwrap()
    {
        for line in world.engine.store().history(task.id).await.unwrap() {
            lines.push(serde_json::from_str(&serde_json::to_string(&line).unwrap()).unwrap());
        }
    }
    lines
}

/// How often each kind of step was replayed, all of them with the same outcome as then.
fn replayed(lines: &[Audit]) -> String {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for line in lines {
        assert!(
            line.digest.is_some(),
            "every transition says what it was decided from: {line:?}"
        );
        for step in replay(line) {
            assert_eq!(step.outcome, Outcome::Same, "{} of {line:?}", step.subject);
            *counts.entry(step.subject.to_string()).or_default() += 1;
        }
    }
    counts
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The rules of the decisions of a kind, in the order in which they fired.
fn rules(lines: &[Audit], task: TaskId, kind: &str) -> String {
    let of_task = lines
        .iter()
        .filter(|line| line.task == task)
        .flat_map(|line| &line.decisions);
    of_task
        .filter(|decision| decision.kind.as_str() == kind)
        .map(|decision| decision.rule.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Fails in the middle of its first run.
fn fails_once(run: &SpawnedRun) -> Vec<Step> {
    match run.attempt {
        1 => vec![
            Step::edit("half.txt", "half"),
            Step::Fail("I am lost".to_owned()),
        ],
        _ => diligent(run),
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_feedback_loop_is_decided_the_same_again() {
    let settings = RepoSettings {
        review_enabled: true,
        max_cost_per_task: Some(Usd::from_dollars(50.0)),
        ..auto_merge()
    };
    let world = World::new(settings).await;
    world
        .forge
        .plan_checks(|head| if head.nth == 1 { red() } else { Checks::Passed });
    let (git, url) = (world.git.clone(), world.url.clone());
    let reviews = AtomicU32::new(0);
    world.agents_do(move |run| match run.kind {
        RunKind::Review if reviews.fetch_add(1, Ordering::Relaxed) == 0 => {
            vec![Step::request_changes("where is the test?")]
        }
        RunKind::First if run.prompt.contains("wish list") => {
            git.push(
                &url,
                "main",
                &[("README.md", "theirs\n")],
                "Somebody else's",
            );
            vec![Step::edit("README.md", "ours\n"), Step::commit("ours")]
        }
        RunKind::First => fails_once(run),
        _ => diligent(run),
    });
    let cart = world.submit("Add a cart").await;
    let wish = world
        .engine
        .submit(NewTask::new(world.repo.id, "Add a wish list").after(cart))
        .await
        .unwrap()
        .id;
    let running = world.run();
    world.until(wish, StateName::Completed).await;
    running.drain().await;
    let lines = exported(&world).await;
    assert_snapshot!(replayed(&lines), @"1 after_failure, 9 budget, 2 dependencies, 9 placement, 8 pull_request, 46 transition");
    assert_snapshot!(rules(&lines, cart, "pull_request"), @"checks_failed, changes_requested, ready");
    assert_snapshot!(rules(&lines, cart, "after_failure"), @"try_again");
    assert_snapshot!(rules(&lines, wish, "dependencies"), @"waiting, ready");
    assert_snapshot!(rules(&lines, wish, "pull_request"), @"conflict, ready");
}

#[tokio::test(start_paused = true)]
async fn people_closures_and_budgets_are_decided_the_same_again() {
    let settings = RepoSettings {
        attempts: AttemptLimits {
            failures: 1,
            ..AttemptLimits::default()
        },
        max_cost_per_task: Some(Usd::from_dollars(1.0)),
        ..auto_merge()
    };
    let limits = |settings: &mut Settings| {
        settings.limits.cost_per_day = Some(Usd::from_dollars(1.15));
    };
    let world = World::with(settings, limits).await;
    world.forge.set_review_rule(ReviewRule::Required);
    world.agents_do(|run| {
        let dear = run.prompt.contains("dear") || run.kind == RunKind::ResumeReview;
        let mut steps = vec![Step::Cost(Usd::from_dollars(if dear { 0.55 } else { 0.1 }))];
        steps.extend(diligent(run));
        steps
    });
    let one = world.submit("A dear one").await;
    let _running = world.run();
    world.until(one, StateName::PrOpened).await;
    world.review(ReviewVerdict::RequestChanges, "Rename it");
    tokio::time::sleep(HOUR).await;
    // the second run has used up the budget of the task
    world.review(ReviewVerdict::RequestChanges, "Rename it back");
    world.until(one, StateName::Failed).await;
    world
        .forge
        .merge_elsewhere(&world.url, PrNumber(1))
        .unwrap();
    world.until(one, StateName::Completed).await;
    let two = world.submit("A cheap one").await;
    world.until(two, StateName::PrOpened).await;
    world.forge.close_elsewhere(&world.url, PrNumber(2));
    world.until(two, StateName::Failed).await;
    // that of the day is used up too: it goes on tomorrow
    let three = world.submit("Another one").await;
    world.until(three, StateName::PrOpened).await;
    let lines = exported(&world).await;
    assert_snapshot!(replayed(&lines), @"6 budget, 4 placement, 4 pull_request, 26 transition");
    assert_snapshot!(rules(&lines, one, "pull_request"), @"changes_requested, changes_requested, merged");
    assert_snapshot!(rules(&lines, one, "budget"), @"within, within, used_up");
    assert_snapshot!(rules(&lines, two, "pull_request"), @"closed");
    assert_snapshot!(rules(&lines, three, "budget"), @"used_up, within");
}

#[tokio::test(start_paused = true)]
async fn two_lines_of_one_decision_say_so() {
    let world = World::new(auto_merge()).await;
    world
        .forge
        .plan_checks(|head| if head.nth == 1 { red() } else { Checks::Passed });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::Completed).await;
    let lines = exported(&world).await;
    let at = lines
        .iter()
        .position(|line| line.event == "attention_needed")
        .unwrap();
    let (attention, enqueued) = (&lines[at], &lines[at + 1]);
    assert_eq!(
        (attention.decisions.len(), enqueued.decisions.len()),
        (1, 0)
    );
    assert_eq!(attention.digest, enqueued.digest);
    assert_eq!(enqueued.rule, "checks_failed");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_touched_is_told_from_one_that_was_not() {
    let world = World::new(auto_merge()).await;
    world
        .forge
        .plan_checks(|head| if head.nth == 1 { red() } else { Checks::Passed });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::Completed).await;
    let lines = exported(&world).await;
    let red = lines
        .iter()
        .find(|line| line.event == "attention_needed")
        .unwrap();
    let outcome = |line: &Audit| {
        let steps = replay(line);
        steps
            .into_iter()
            .find(|step| step.subject != Subject::Transition)
            .unwrap()
            .outcome
    };
    let differences = |line: &Audit| match outcome(line) {
        Outcome::Differs { differences } => differences
            .iter()
            .map(|one| format!("{}: {} -> {}", one.what, one.then, one.now))
            .collect::<Vec<_>>()
            .join("\n"),
        other => panic!("{other:?}"),
    };

    // another rule than today's
    let mut other_rule = red.clone();
    other_rule.decisions[0].rule = "conflict".to_owned();
    assert_snapshot!(differences(&other_rule), @r#"rule: "conflict" -> "checks_failed""#);

    // another snapshot than was recorded
    let green = |line: &mut Audit| {
        let snapshot = line.decisions[0].snapshot.as_mut().unwrap();
        let checks: &mut Value = snapshot.pointer_mut("/pullRequest/Ok/checks").unwrap();
        *checks = json!({"verdict": "passed"});
    };
    let mut touched = red.clone();
    green(&mut touched);
    assert!(matches!(outcome(&touched), Outcome::Altered { .. }));

    // whoever mends the digest too is found out by what follows from the snapshot
    let digest = SnapshotDigest::of(touched.decisions[0].snapshot.as_ref().unwrap());
    touched.decisions[0].digest = digest.clone();
    touched.digest = Some(digest);
    assert!(
        differences(&touched).starts_with("rule: \"checks_failed\" -> \"ready\""),
        "{}",
        differences(&touched)
    );
}

#[tokio::test(start_paused = true)]
async fn what_checks_print_is_masked_before_it_is_stored_or_told() {
    let world = World::new(auto_merge()).await;
    world.forge.plan_checks(|head| {
        let Checks::Failed { mut failed } = red() else {
            panic!("red is failed");
        };
        failed[0].log_tail = "fatal: cannot read https://ada:pa55word@git.example/".to_owned();
        if head.nth == 1 {
            Checks::Failed { failed }
        } else {
            Checks::Passed
        }
    });
    let task = world.submit("Add a cart").await;
    let _running = world.run();
    world.until(task, StateName::Completed).await;
    let text = serde_json::to_string(&exported(&world).await).unwrap();
    let prompt = &world.runtime.spawned()[1].prompt;
    for told in [&text, prompt] {
        assert!(told.contains("https://ada:***@git.example"), "{told}");
        assert!(!told.contains("pa55word"), "{told}");
    }
}
