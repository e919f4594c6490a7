//! The contract of [`Queue`](crate::queue::Queue).
//!
//! Some clauses need a lease or a delay to end; they wait a fraction of a second for it, or no time at all on a paused
//! runtime.

mod changes;
mod claims;
mod entries;

use std::{collections::BTreeMap, time::Duration};

pub use self::{changes::*, claims::*, entries::*};
use super::{Subject, sample};
use crate::{
    clock::{Timestamp, later},
    id::TaskId,
    queue::{Claim, Job, QueueLimits},
};

/// One test per clause of the [`Queue`](crate::queue::Queue) contract; see [`conformance`](crate::conformance).
///
/// The queue has to go by the clock of its [`Subject`].
#[macro_export]
macro_rules! queue_conformance {
    (#[$test:meta] $make:expr) => {
        $crate::conformance_tests! {
            #[$test] queue: $crate::queue::Queue, $make, [
                an_entry_is_claimed_once
                many_entries_are_pushed_as_one_by_one
                what_is_missing_is_told
                entries_are_claimed_by_priority_then_age
                age_makes_up_for_priority
                pushing_a_task_again_replaces_its_entry
                an_entry_is_not_claimed_before_its_time
                a_removed_entry_is_not_claimed
                an_entry_that_got_another_priority_changes_its_place
                what_waits_is_listed_in_its_order_with_the_reason
                what_is_listed_changes_nothing
                an_entry_stands_where_it_is_listed

                a_completed_claim_gives_its_slot_back_and_its_entry_is_gone
                a_released_entry_waits_again
                a_released_entry_waits_until_the_moment_given
                a_claim_that_is_not_renewed_is_lost_when_its_lease_ends
                a_renewed_claim_lasts
                a_task_pushed_while_it_is_claimed_waits_behind_its_claim
                a_task_pushed_while_it_is_claimed_replaces_what_is_released
                removing_a_task_does_not_touch_its_claim
                the_fleet_s_limit_holds
                a_full_repository_is_skipped
                a_lowered_limit_takes_no_claim_away
                a_limit_of_zero_stops_a_repository
                a_run_at_work_is_adopted_whatever_the_limits_say
                a_task_that_somebody_else_holds_is_not_adopted
                adopting_again_makes_the_older_claim_void
                a_slot_is_passed_on_to_the_next_task
                a_slot_that_was_lost_is_not_passed_on
                a_slot_is_passed_on_to_a_task_that_waited_behind_it
                many_claim_at_once_and_no_limit_is_passed

                every_change_that_frees_work_wakes_who_waits
                the_end_of_a_delay_wakes_who_waits
                the_end_of_a_lease_wakes_who_waits
                a_change_before_the_wait_began_counts
                a_change_between_the_looks_of_two_counts_for_both
                nobody_sleeps_while_there_is_work
            ]
        }
    };
    ($make:expr) => {
        $crate::queue_conformance! { #[tokio::test] $make }
    };
}

/// A lease that does not end within a test.
const LEASE: Duration = Duration::from_secs(600);

/// A lease or delay that ends within a test, and outlives a few calls on a busy machine.
const SHORT: Duration = Duration::from_millis(400);

type Queue = Subject<dyn crate::queue::Queue>;

impl Queue {
    async fn push(&self, job: Job) {
        self.port().push(job).await.expect("push");
    }

    async fn claim(&self, worker: &str) -> Option<Claim> {
        self.claim_for(worker, LEASE).await
    }

    async fn claim_for(&self, worker: &str, lease: Duration) -> Option<Claim> {
        let claim = self.port().claim(&sample::worker(worker), lease).await;
        claim.expect("claim")
    }

    /// Claims what has to be there.
    async fn take(&self, worker: &str) -> Claim {
        self.claim(worker).await.expect("something to claim")
    }

    /// The tasks that are claimed one after the other until there are no more.
    async fn drain(&self) -> Vec<TaskId> {
        let mut tasks = Vec::new();
        while let Some(claim) = self.claim("drain").await {
            tasks.push(claim.job().task);
        }
        tasks
    }

    async fn limit(&self, global: u32, per_repo: u32) {
        self.set_limits(global, per_repo, BTreeMap::new()).await;
    }

    async fn set_limits(
        &self,
        global: u32,
        per_repo: u32,
        repos: BTreeMap<crate::id::RepoId, u32>,
    ) {
        let limits = QueueLimits {
            global,
            per_repo,
            repos,
        };
        self.port().set_limits(limits).await.expect("set_limits");
    }

    fn moment_in(&self, by: Duration) -> Timestamp {
        later(self.clock().now(), by)
    }
}

/// Waits until a [`SHORT`] lease or delay is certainly over.
async fn outlast_short() {
    tokio::time::sleep(SHORT + Duration::from_millis(50)).await;
}

fn tasks(numbers: &[u64]) -> Vec<TaskId> {
    numbers.iter().map(|n| sample::task_id(*n)).collect()
}
