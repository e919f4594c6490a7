//! The contract of [`Store`](crate::store::Store).

mod concurrency;
mod log;
mod outbox;
mod pauses;
mod queries;
mod records;
mod runs;
mod whole;

pub use self::{
    concurrency::*, log::*, outbox::*, pauses::*, queries::*, records::*, runs::*, whole::*,
};
use super::Subject;
use crate::{
    error::Result,
    store::{Commit, Write},
};

/// One test per clause of the [`Store`](crate::store::Store) contract; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! store_conformance {
    (#[$test:meta] $make:expr) => {
        $crate::conformance_tests! {
            #[$test] store: $crate::store::Store, $make, [
                a_new_record_is_stored_with_version_one
                what_is_not_there_is_not_found
                a_change_of_the_stored_version_is_stored_with_the_next
                a_stale_version_is_a_conflict_and_changes_nothing
                a_record_that_is_not_there_cannot_be_changed
                one_commit_may_change_a_record_twice
                a_task_is_read_back_in_every_state
                a_task_is_read_back_with_all_its_fields
                a_repository_is_found_by_every_spelling_of_its_address
                two_repositories_cannot_share_an_address
                workspaces_come_by_repository_and_ordinal_until_they_are_forgotten
                two_workspaces_that_take_runs_cannot_share_a_place
                a_workspace_is_used_whatever_was_read_of_it_if_it_takes_runs
                schedules_and_webhooks_are_kept_until_they_are_forgotten
                history_is_kept_in_the_order_of_its_writing

                whatever_comes_before_a_bad_write_is_not_stored
                whatever_makes_a_commit_fail_leaves_all_of_it_out
                an_empty_commit_is_no_error

                a_run_is_read_back_in_every_phase
                a_new_run_needs_a_new_id
                a_guard_needs_a_live_run_of_its_epoch
                a_run_is_changed_only_under_its_own_guard
                a_run_that_changes_hands_fences_off_its_old_holder
                a_run_that_changes_hands_keeps_what_is_stored
                a_run_changes_hands_only_from_the_epoch_below
                a_run_that_has_ended_stays_as_it_is
                live_runs_are_counted_in_the_commit
                runs_are_found_by_task_workspace_and_life
                spending_adds_up_runs_by_repository_and_time

                tasks_come_by_age_in_either_order
                tasks_are_found_by_state
                tasks_are_found_by_repository_parent_dependency_and_ticket
                tasks_are_found_by_their_ids
                tasks_are_paged_in_either_order
                tasks_are_counted_by_state

                a_log_is_removed_from_its_beginning_and_says_so
                the_log_of_a_run_that_is_live_is_kept
                runs_with_old_logs_are_found_until_those_are_removed
                log_entries_of_a_run_follow_on_without_a_gap
                a_log_is_read_in_pages_behind_a_cursor
                the_tail_of_a_log_is_its_last_entries_ascending
                every_kind_of_log_entry_is_read_back_whole

                an_outbox_entry_is_claimed_when_it_is_due
                a_claimed_outbox_entry_is_given_out_again_once_the_claim_has_ended
                outbox_entries_come_oldest_first_and_no_more_than_asked_for
                a_delivered_outbox_entry_is_forgotten
                a_postponed_outbox_entry_is_due_at_its_new_time
                every_outbox_message_is_read_back
                a_lease_is_held_by_one_until_it_ends

                pauses_are_read_back_by_name
                of_several_pauses_of_an_account_the_one_that_ends_last_is_kept
                a_pause_is_lifted_by_its_end
                a_pause_is_stored_only_with_the_rest_of_its_commit
                of_many_who_pause_an_account_at_once_the_last_end_wins

                changes_by_many_at_once_are_all_kept
                limits_on_live_runs_hold_among_commits_of_one_moment
                of_many_who_take_a_ticket_one_makes_its_task
                of_two_who_take_over_a_run_one_wins
                of_many_who_want_a_lease_one_gets_it
                an_outbox_entry_is_claimed_by_one_of_many
                a_reader_never_sees_half_of_a_commit
            ]
        }
    };
    ($make:expr) => {
        $crate::store_conformance! { #[tokio::test] $make }
    };
}

type Store = Subject<dyn crate::store::Store>;

impl Store {
    /// Commits these writes, guarded by nothing.
    fn write(&self, writes: impl IntoIterator<Item = Write>) -> impl Future<Output = Result<()>> {
        // collected before the future is made, which would else be as large as all of them
        let commit = writes.into_iter().fold(Commit::new(), Commit::with);
        self.port().commit(commit)
    }

    /// Commits what has to succeed.
    fn put(&self, writes: impl IntoIterator<Item = Write>) -> impl Future<Output = ()> {
        let written = self.write(writes);
        async { written.await.expect("commit") }
    }
}
