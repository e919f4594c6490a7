//! Entries: their order, their time, what is shown of them.

use std::time::Duration;

use super::{LEASE, Queue, SHORT, outlast_short, tasks};
use crate::{
    conformance::sample::{self, job},
    queue::{Job, Position},
    scheduling::{AGING_STEP, WaitReason},
};

/// Whole, as it was pushed.
pub async fn an_entry_is_claimed_once(queue: &Queue) {
    assert!(queue.claim("a").await.is_none(), "the queue is empty");
    let pushed = Job {
        priority: i32::MIN,
        not_before: Some(sample::at(0)),
        ..job(1, 1)
    };
    queue.push(pushed.clone()).await;
    let claim = queue.take("a").await;
    assert_eq!(claim.job(), &pushed);
    assert_eq!(claim.worker(), &sample::worker("a"));
    assert!(queue.claim("b").await.is_none());
    let claimed = queue.port().claimed().await.expect("claimed");
    assert_eq!(claimed, [(sample::task_id(1), sample::worker("a"))]);
}

/// Each takes its place, and replaces what its task had.
pub async fn many_entries_are_pushed_as_one_by_one(queue: &Queue) {
    queue.limit(1_000, 1_000).await;
    queue.push(job(7, 1)).await;
    queue.port().push_all(Vec::new()).await.expect("push_all");
    let later = Job {
        priority: i32::MAX,
        ..job(7, 2)
    };
    let mut jobs: Vec<Job> = (0..450).rev().map(|n| job(n, n % 3)).collect();
    jobs.push(later.clone());
    queue.port().push_all(jobs).await.expect("push_all");
    let mut expected: Vec<u64> = (0..450).filter(|n| *n != 7).collect();
    expected.push(7);
    assert_eq!(queue.drain().await, tasks(&expected));
}

/// What waits, now or later, and what is claimed is there.
pub async fn what_is_missing_is_told(queue: &Queue) {
    queue.limit(1, 1).await;
    queue.push(job(1, 1)).await;
    let _held = queue.take("a").await;
    queue.push(job(2, 1)).await;
    let delayed = Job {
        not_before: Some(queue.moment_in(LEASE)),
        ..job(3, 1)
    };
    queue.push(delayed).await;
    let all: Vec<_> = (0..450).rev().map(sample::task_id).collect();
    let missing = queue.port().missing(&all).await.expect("missing");
    let there = tasks(&[1, 2, 3]);
    let expected: Vec<_> = all.iter().filter(|id| !there.contains(id)).collect();
    assert_eq!(missing.iter().collect::<Vec<_>>(), expected);
    assert_eq!(queue.port().missing(&[]).await.expect("missing"), []);
}

/// Lower priorities first, then the older, then the older id.
pub async fn entries_are_claimed_by_priority_then_age(queue: &Queue) {
    queue.limit(100, 100).await;
    let with = |n, priority, since| Job {
        priority,
        since: sample::at(since),
        ..job(n, n % 2)
    };
    for entry in [
        with(1, 100, 7),
        with(2, 100, 6),
        with(3, 10, 9),
        with(4, 1_000, 0),
        with(6, 100, 7),
        with(5, -5, 9),
    ] {
        queue.push(entry).await;
    }
    assert_eq!(queue.drain().await, tasks(&[5, 3, 2, 1, 6, 4]));
}

/// Who has waited a step longer stands as one with a priority better by one.
pub async fn age_makes_up_for_priority(queue: &Queue) {
    queue.limit(100, 100).await;
    let step = AGING_STEP.as_secs();
    let old = Job {
        priority: 110,
        since: sample::at(0),
        ..job(1, 1)
    };
    let young = Job {
        priority: 100,
        since: sample::at(10 * step + 1),
        ..job(2, 1)
    };
    queue.push(young).await;
    queue.push(old).await;
    assert_eq!(queue.drain().await, tasks(&[1, 2]));
}

/// There is one entry of a task, and it is the newer one.
pub async fn pushing_a_task_again_replaces_its_entry(queue: &Queue) {
    queue.limit(100, 100).await;
    queue.push(job(1, 1)).await;
    queue.push(job(2, 1)).await;
    let newer = Job {
        since: sample::at(3),
        ..job(1, 2)
    };
    queue.push(newer.clone()).await;
    queue.push(newer.clone()).await;
    assert_eq!(queue.take("a").await.job(), &job(2, 1));
    assert_eq!(queue.take("a").await.job(), &newer);
    assert!(queue.claim("a").await.is_none());
    // a delay is replaced as well
    let delayed = Job {
        not_before: Some(queue.moment_in(LEASE)),
        ..job(3, 1)
    };
    queue.push(delayed).await;
    assert!(queue.claim("a").await.is_none());
    queue.push(job(3, 1)).await;
    assert_eq!(queue.take("a").await.job(), &job(3, 1));
}

/// Also if it would be first; others are.
pub async fn an_entry_is_not_claimed_before_its_time(queue: &Queue) {
    let until = |by| Some(queue.moment_in(by));
    queue
        .push(Job {
            not_before: until(LEASE),
            ..job(1, 1)
        })
        .await;
    queue.push(job(2, 1)).await;
    assert_eq!(queue.drain().await, tasks(&[2]));
    queue
        .push(Job {
            not_before: until(SHORT),
            ..job(3, 2)
        })
        .await;
    outlast_short().await;
    assert_eq!(queue.drain().await, tasks(&[3]));
}

/// Whether it is due or delayed; removing what is not there is no error.
pub async fn a_removed_entry_is_not_claimed(queue: &Queue) {
    queue.push(job(1, 1)).await;
    queue.push(job(2, 1)).await;
    let delayed = Job {
        not_before: Some(queue.moment_in(SHORT)),
        ..job(3, 2)
    };
    queue.push(delayed).await;
    for n in [1, 3, 1, 9] {
        let removed = queue.port().remove(sample::task_id(n)).await;
        removed.expect("remove");
    }
    outlast_short().await;
    assert_eq!(queue.drain().await, tasks(&[2]));
}

/// It keeps its age and its delay; without an entry it is no error.
pub async fn an_entry_that_got_another_priority_changes_its_place(queue: &Queue) {
    queue.limit(100, 100).await;
    for n in [1, 2, 3] {
        queue.push(job(n, 1)).await;
    }
    let delayed = Job {
        not_before: Some(queue.moment_in(LEASE)),
        ..job(4, 1)
    };
    queue.push(delayed).await;
    for (n, priority) in [(3, 1), (1, 1_000), (4, 0), (9, 5)] {
        let task = sample::task_id(n);
        let done = queue.port().reprioritise(task, priority).await;
        done.expect("reprioritise");
    }
    let first = queue.take("a").await;
    let expected = Job {
        priority: 1,
        ..job(3, 1)
    };
    assert_eq!(first.job(), &expected);
    assert_eq!(queue.drain().await, tasks(&[2, 1]));
}

/// What is due by rank; then what is delayed.
pub async fn what_waits_is_listed_in_its_order_with_the_reason(queue: &Queue) {
    queue.limit(2, 1).await;
    queue.push(job(1, 1)).await;
    let _at_work = queue.take("a").await;
    let until = queue.moment_in(LEASE);
    queue.push(job(1, 1)).await; // behind its own claim
    queue.push(job(2, 1)).await; // its repository is full
    queue.push(job(3, 2)).await;
    queue
        .push(Job {
            not_before: Some(until),
            priority: i32::MIN,
            ..job(4, 3)
        })
        .await;
    let full = WaitReason::RepoLimit {
        at_work: 1,
        limit: 1,
    };
    let later = WaitReason::NotBefore { until };
    assert_eq!(
        reasons(queue).await,
        [
            (1, WaitReason::OwnRun),
            (2, full),
            (3, WaitReason::Ready),
            (4, later.clone()),
        ]
    );
    queue.limit(1, 5).await;
    let full = WaitReason::GlobalLimit {
        at_work: 1,
        limit: 1,
    };
    assert_eq!(
        reasons(queue).await,
        [
            (1, WaitReason::OwnRun),
            (2, full.clone()),
            (3, full),
            (4, later),
        ]
    );
}

/// Looking is free.
pub async fn what_is_listed_changes_nothing(queue: &Queue) {
    queue.push(job(1, 1)).await;
    for _ in 0..2 {
        assert_eq!(reasons(queue).await, [(1, WaitReason::Ready)]);
        assert_eq!(queue.port().claimed().await.expect("claimed"), []);
    }
    let claim = queue.claim_for("a", Duration::from_secs(60)).await;
    assert!(claim.is_some());
    assert_eq!(reasons(queue).await, []);
}

/// One entry by itself stands where the list has it.
pub async fn an_entry_stands_where_it_is_listed(queue: &Queue) {
    queue.limit(3, 2).await;
    for (n, repo) in [(1, 1), (2, 1), (3, 2)] {
        queue.push(job(n, repo)).await;
        let _at_work = queue.take("a").await;
    }
    let (soon, later) = (queue.moment_in(LEASE), queue.moment_in(LEASE * 2));
    // behind their own claims, one of them with a delay
    queue.push(job(2, 1)).await;
    let delayed = |until| {
        move |job| Job {
            not_before: Some(until),
            ..job
        }
    };
    queue.push(delayed(soon)(job(3, 2))).await;
    // at the same moments, and with the same ranks but for their ids
    for n in [9, 4, 6, 5, 8, 7] {
        queue.push(job(n, n % 3)).await;
        queue.push(delayed(soon)(job(n + 10, n % 3))).await;
        queue.push(delayed(later)(job(n + 20, n % 3))).await;
    }
    let urgent = Job {
        priority: -1,
        ..job(30, 3)
    };
    queue.push(urgent.clone()).await;
    queue
        .push(delayed(later)(Job {
            task: sample::task_id(31),
            ..urgent
        }))
        .await;

    let listed = queue.port().waiting().await.expect("waiting");
    assert_eq!(listed.len(), 2 + 3 * 6 + 2);
    for (place, waiting) in (1..).zip(listed) {
        let found = queue.port().position(waiting.job.task).await;
        let expected = Position { place, waiting };
        assert_eq!(found.expect("position"), Some(expected));
    }
    // at work, and in no queue
    for n in [1, 99] {
        let found = queue.port().position(sample::task_id(n)).await;
        assert_eq!(found.expect("position"), None);
    }
}

/// The numbers of the tasks that wait, and why.
async fn reasons(queue: &Queue) -> Vec<(u64, WaitReason)> {
    let waiting = queue.port().waiting().await.expect("waiting");
    let number = |task| (0..100).find(|n| sample::task_id(*n) == task);
    waiting
        .into_iter()
        .map(|waiting| {
            let n = number(waiting.job.task).expect("a task of the test");
            (n, waiting.why)
        })
        .collect()
}
