//! Claims: slots, limits, leases.

use std::collections::BTreeMap;

use super::{LEASE, Queue, SHORT, outlast_short, tasks};
use crate::{
    conformance::{
        refused,
        sample::{self, job, worker},
    },
    error::ErrorKind::Conflict,
    queue::{Claim, Job},
};

/// Another task gets the slot.
pub async fn a_completed_claim_gives_its_slot_back_and_its_entry_is_gone(queue: &Queue) {
    queue.limit(1, 1).await;
    queue.push(job(1, 1)).await;
    queue.push(job(2, 1)).await;
    let claim = queue.take("a").await;
    assert!(queue.claim("b").await.is_none());
    queue.port().complete(claim).await.expect("complete");
    let claim = queue.take("b").await;
    assert_eq!(claim.job(), &job(2, 1));
    queue.port().complete(claim).await.expect("complete");
    assert!(queue.claim("a").await.is_none());
    assert_eq!(queue.port().waiting().await.expect("waiting"), []);
    assert_eq!(queue.port().claimed().await.expect("claimed"), []);
}

/// At its old place.
pub async fn a_released_entry_waits_again(queue: &Queue) {
    queue.limit(1, 1).await;
    queue.push(job(1, 1)).await;
    queue.push(job(2, 1)).await;
    let claim = queue.take("a").await;
    queue.port().release(claim, None).await.expect("release");
    assert_eq!(queue.take("b").await.job(), &job(1, 1));
}

/// Its slot is free meanwhile.
pub async fn a_released_entry_waits_until_the_moment_given(queue: &Queue) {
    queue.limit(1, 1).await;
    queue.push(job(1, 1)).await;
    queue.push(job(2, 1)).await;
    let claim = queue.take("a").await;
    let until = queue.moment_in(SHORT);
    let released = queue.port().release(claim, Some(until)).await;
    released.expect("release");
    let other = queue.take("a").await;
    assert_eq!(other.job(), &job(2, 1));
    queue.port().complete(other).await.expect("complete");
    outlast_short().await;
    let expected = Job {
        not_before: Some(until),
        ..job(1, 1)
    };
    assert_eq!(queue.take("a").await.job(), &expected);
}

/// The entry waits again, unchanged; every call with the old claim is a conflict, also once somebody else holds it.
pub async fn a_claim_that_is_not_renewed_is_lost_when_its_lease_ends(queue: &Queue) {
    queue.limit(1, 1).await;
    queue.push(job(1, 1)).await;
    let mut lost = Vec::new();
    for _ in 0..3 {
        let claim = queue.claim_for("a", SHORT).await.expect("a claim");
        lost.push(claim);
        outlast_short().await;
        assert_eq!(queue.port().claimed().await.expect("claimed"), []);
    }
    let renewed = queue.port().renew(&lost[0], LEASE).await;
    assert_eq!(refused(renewed), Conflict);
    let held = queue.take("b").await;
    assert_eq!(held.job(), &job(1, 1));
    let [first, second, third] = <[Claim; 3]>::try_from(lost).expect("three claims");
    let renewed = queue.port().renew(&first, LEASE).await;
    assert_eq!(refused(renewed), Conflict);
    assert_eq!(refused(queue.port().complete(second).await), Conflict);
    assert_eq!(refused(queue.port().release(third, None).await), Conflict);
    queue.port().renew(&held, LEASE).await.expect("b holds it");
    assert!(queue.claim("c").await.is_none(), "b holds its slot");
}

/// From the moment it is renewed.
pub async fn a_renewed_claim_lasts(queue: &Queue) {
    queue.push(job(1, 1)).await;
    let claim = queue.claim_for("a", SHORT).await.expect("a claim");
    queue.port().renew(&claim, LEASE).await.expect("renew");
    outlast_short().await;
    assert!(queue.claim("b").await.is_none());
    // it can be made shorter as well
    queue.port().renew(&claim, SHORT).await.expect("renew");
    outlast_short().await;
    assert_eq!(refused(queue.port().complete(claim).await), Conflict);
    assert_eq!(queue.take("b").await.job(), &job(1, 1));
}

/// It is handed out once the claim is gone, and not before.
pub async fn a_task_pushed_while_it_is_claimed_waits_behind_its_claim(queue: &Queue) {
    queue.limit(5, 5).await;
    queue.push(job(1, 1)).await;
    let claim = queue.take("a").await;
    let again = Job {
        priority: 7,
        ..job(1, 1)
    };
    queue.push(again.clone()).await;
    assert!(queue.claim("b").await.is_none());
    queue.port().complete(claim).await.expect("complete");
    assert_eq!(queue.take("b").await.job(), &again);

    // the same if the claim is lost
    queue.push(job(2, 1)).await;
    let lost = queue.claim_for("a", SHORT).await.expect("a claim");
    queue
        .push(Job {
            priority: 8,
            ..job(2, 1)
        })
        .await;
    outlast_short().await;
    assert_eq!(queue.take("b").await.job().priority, 8);
    assert_eq!(refused(queue.port().complete(lost).await), Conflict);
    assert!(queue.claim("b").await.is_none());
}

/// The newer entry is the one that waits.
pub async fn a_task_pushed_while_it_is_claimed_replaces_what_is_released(queue: &Queue) {
    queue.push(job(1, 1)).await;
    let claim = queue.take("a").await;
    let newer = Job {
        since: sample::at(50),
        ..job(1, 1)
    };
    queue.push(newer.clone()).await;
    let until = queue.moment_in(LEASE);
    let released = queue.port().release(claim, Some(until)).await;
    released.expect("release");
    assert_eq!(queue.take("b").await.job(), &newer);
    assert!(queue.claim("b").await.is_none());
}

/// Only what waits behind it.
pub async fn removing_a_task_does_not_touch_its_claim(queue: &Queue) {
    queue.push(job(1, 1)).await;
    let claim = queue.take("a").await;
    queue.push(job(1, 1)).await;
    let removed = queue.port().remove(sample::task_id(1)).await;
    removed.expect("remove");
    queue.port().renew(&claim, LEASE).await.expect("renew");
    queue.port().complete(claim).await.expect("complete");
    assert!(queue.claim("a").await.is_none());
}

/// Over all repositories; a raised limit lets more in.
pub async fn the_fleet_s_limit_holds(queue: &Queue) {
    queue.limit(2, 10).await;
    for n in 1..6 {
        queue.push(job(n, n)).await;
    }
    assert_eq!(queue.drain().await, tasks(&[1, 2]));
    queue.limit(3, 10).await;
    assert_eq!(queue.drain().await, tasks(&[3]));
}

/// Not waited for; a repository may have a limit of its own.
pub async fn a_full_repository_is_skipped(queue: &Queue) {
    queue
        .set_limits(10, 1, BTreeMap::from([(sample::repo_id(2), 2)]))
        .await;
    for (n, repo) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2), (7, 3)] {
        queue.push(job(n, repo)).await;
    }
    let first = queue.take("a").await;
    assert_eq!(queue.drain().await, tasks(&[4, 5, 7]));
    queue.port().complete(first).await.expect("complete");
    assert_eq!(queue.drain().await, tasks(&[2]));
}

/// It only lets none in until enough are done.
pub async fn a_lowered_limit_takes_no_claim_away(queue: &Queue) {
    queue.limit(3, 3).await;
    for n in 1..6 {
        queue.push(job(n, 1)).await;
    }
    let claims = [
        queue.take("a").await,
        queue.take("a").await,
        queue.take("a").await,
    ];
    queue.limit(1, 3).await;
    assert_eq!(queue.port().claimed().await.expect("claimed").len(), 3);
    for claim in claims {
        assert!(queue.claim("a").await.is_none());
        queue.port().renew(&claim, LEASE).await.expect("renew");
        queue.port().complete(claim).await.expect("complete");
    }
    assert_eq!(queue.drain().await, tasks(&[4]));
}

/// Others go on.
pub async fn a_limit_of_zero_stops_a_repository(queue: &Queue) {
    queue
        .set_limits(10, 5, BTreeMap::from([(sample::repo_id(1), 0)]))
        .await;
    queue.push(job(1, 1)).await;
    queue.push(job(2, 2)).await;
    assert_eq!(queue.drain().await, tasks(&[2]));
    queue.limit(0, 5).await;
    queue.push(job(3, 2)).await;
    assert_eq!(queue.drain().await, []);
}

/// It counts for the limits, and takes the waiting entry of its task with it.
pub async fn a_run_at_work_is_adopted_whatever_the_limits_say(queue: &Queue) {
    queue.limit(1, 1).await;
    queue.push(job(1, 1)).await;
    queue.push(job(3, 1)).await;
    let adopted = [
        adopt(queue, 1, "a").await.expect("adopt"),
        adopt(queue, 2, "a").await.expect("adopt"),
    ];
    assert_eq!(adopted[0].job(), &job(1, 1));
    let claimed = queue.port().claimed().await.expect("claimed");
    let both = [1, 2].map(|n| (sample::task_id(n), worker("a")));
    assert_eq!(claimed, both);
    for claim in adopted {
        assert!(queue.claim("b").await.is_none());
        queue.port().complete(claim).await.expect("complete");
    }
    assert_eq!(queue.drain().await, tasks(&[3]));
}

/// Until the lease ends.
pub async fn a_task_that_somebody_else_holds_is_not_adopted(queue: &Queue) {
    queue.push(job(1, 1)).await;
    let held = queue.claim_for("a", LEASE).await.expect("a claim");
    assert_eq!(refused(adopt(queue, 1, "b").await), Conflict);
    queue.port().renew(&held, SHORT).await.expect("renew");
    outlast_short().await;
    let _adopted = adopt(queue, 1, "b").await.expect("adopt");
    assert_eq!(refused(queue.port().complete(held).await), Conflict);
    assert!(queue.claim("a").await.is_none(), "the entry went with it");
}

/// A worker that lost track of its claim gets a new one, for the same slot.
pub async fn adopting_again_makes_the_older_claim_void(queue: &Queue) {
    queue.limit(2, 2).await;
    queue.push(job(1, 1)).await;
    let older = queue.take("a").await;
    let newer = adopt(queue, 1, "a").await.expect("adopt");
    assert_eq!(refused(queue.port().complete(older).await), Conflict);
    queue.push(job(2, 1)).await;
    queue.push(job(3, 1)).await;
    assert_eq!(queue.drain().await, tasks(&[2]));
    queue.port().complete(newer).await.expect("complete");
    assert_eq!(queue.drain().await, tasks(&[3]));
}

/// The best of all, and nothing if nothing may follow.
pub async fn a_slot_is_passed_on_to_the_next_task(queue: &Queue) {
    queue.limit(2, 1).await;
    for (n, repo) in [(1, 1), (2, 2), (3, 2), (4, 1), (5, 3)] {
        queue.push(job(n, repo)).await;
    }
    let (first, _second) = (queue.take("a").await, queue.take("b").await);
    let pass = async |claim: Claim| {
        let passed = queue.port().complete_and_claim(claim, LEASE).await;
        passed.expect("complete_and_claim")
    };
    // the third's repository is full
    let fourth = pass(first).await.expect("the fourth");
    assert_eq!(fourth.job(), &job(4, 1));
    assert_eq!(fourth.worker(), &worker("a"));
    let claimed = queue.port().claimed().await.expect("claimed");
    let both = [(2, "b"), (4, "a")].map(|(n, by)| (sample::task_id(n), worker(by)));
    assert_eq!(claimed, both);
    assert!(queue.claim("c").await.is_none(), "no slot is free");
    let fifth = pass(fourth).await.expect("the fifth");
    assert_eq!(fifth.job(), &job(5, 3));
    queue.port().renew(&fifth, LEASE).await.expect("renew");
    assert!(pass(fifth).await.is_none(), "the third still has to wait");
    let claimed = queue.port().claimed().await.expect("claimed");
    assert_eq!(claimed, [(sample::task_id(2), worker("b"))]);
}

/// It is as if it had not been asked.
pub async fn a_slot_that_was_lost_is_not_passed_on(queue: &Queue) {
    queue.limit(2, 2).await;
    queue.push(job(1, 1)).await;
    let lost = queue.claim_for("a", SHORT).await.expect("a claim");
    outlast_short().await;
    let held = queue.take("b").await;
    queue.push(job(2, 1)).await;
    let passed = queue.port().complete_and_claim(lost, LEASE).await;
    assert_eq!(refused(passed), Conflict);
    let claimed = queue.port().claimed().await.expect("claimed");
    assert_eq!(claimed, [(sample::task_id(1), worker("b"))]);
    queue.port().renew(&held, LEASE).await.expect("b holds it");
}

/// Its own newer entry among them.
pub async fn a_slot_is_passed_on_to_a_task_that_waited_behind_it(queue: &Queue) {
    queue.limit(1, 1).await;
    queue.push(job(1, 1)).await;
    let claim = queue.take("a").await;
    queue.push(job(1, 1)).await;
    let passed = queue.port().complete_and_claim(claim, LEASE).await;
    let claim = passed.expect("complete_and_claim").expect("a claim");
    assert_eq!(claim.job(), &job(1, 1));
    queue.port().complete(claim).await.expect("complete");
    assert!(queue.claim("b").await.is_none());
}

/// Each entry goes to one of them.
pub async fn many_claim_at_once_and_no_limit_is_passed(queue: &Queue) {
    queue.limit(7, 3).await;
    for n in 0..20 {
        queue.push(job(n, n % 4)).await;
    }
    let claimers = (0..16).map(|n| {
        let queue = queue.shared();
        tokio::spawn(async move {
            let worker = worker(&format!("worker {n}"));
            let claim = queue.claim(&worker, LEASE).await.expect("claim");
            claim.map(|claim| claim.job().clone())
        })
    });
    let mut claimed = Vec::new();
    for claimer in claimers.collect::<Vec<_>>() {
        claimed.extend(claimer.await.expect("a task of the test"));
    }
    let mut distinct: Vec<_> = claimed.iter().map(|job| job.task).collect();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 7);
    for repo in 0..4 {
        let of_repo = |job: &&Job| job.repo == sample::repo_id(repo);
        assert!(claimed.iter().filter(of_repo).count() <= 3);
    }
}

async fn adopt(queue: &Queue, n: u64, by: &str) -> crate::error::Result<Claim> {
    queue.port().adopt(job(n, 1), &worker(by), LEASE).await
}
