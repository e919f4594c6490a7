//! The order of the queue: priority, then age, with aging so that nothing waits for ever.

use std::{cmp::Ordering, time::Duration};

use crate::{clock::Timestamp, id::TaskId};

/// Waiting this long is worth one step of priority.
pub const AGING_STEP: Duration = Duration::from_secs(60);

/// A place in the order: smaller goes first. It does not change while a task waits, so a queue can keep it as a
/// sorted key: with aging, of two waiting tasks the better one stays the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// Priority and age in one number: the moment it joined, moved later by a step for each point of priority.
    pub score: i64,
    /// Settles ties: the older id.
    pub task: TaskId,
}

/// The rank of a task with this priority (lower first) that joined the queue at `since`.
#[must_use]
pub fn rank(priority: i32, since: Timestamp, task: TaskId) -> Rank {
    let step = i64::try_from(AGING_STEP.as_millis()).unwrap_or(i64::MAX);
    Rank {
        score: since
            .as_millisecond()
            .saturating_add(i64::from(priority).saturating_mul(step)),
        task,
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.score, self.task).cmp(&(other.score, other.task))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        clock::later,
        conformance::sample::{at, task_id},
        task::DEFAULT_PRIORITY,
    };

    /// The numbers of these tasks in the order in which they would be handed out.
    fn order(tasks: &[(u64, i32, u64)]) -> Vec<u64> {
        let mut tasks = tasks.to_vec();
        tasks.sort_by_key(|(n, priority, since)| rank(*priority, at(*since), task_id(*n)));
        tasks.into_iter().map(|(n, ..)| n).collect()
    }

    #[test]
    fn priority_then_age_then_id() {
        assert_eq!(order(&[(1, 100, 0), (2, 50, 0), (3, 200, 0)]), [2, 1, 3]);
        assert_eq!(order(&[(1, 100, 9), (2, 100, 3), (3, 100, 6)]), [2, 3, 1]);
        assert_eq!(order(&[(3, 100, 0), (1, 100, 0), (2, 100, 0)]), [1, 2, 3]);
    }

    #[test]
    fn a_step_of_priority_is_worth_a_minute_of_waiting() {
        assert_eq!(AGING_STEP.as_secs(), 60);
        // ten steps worse, and just over ten minutes older
        assert_eq!(order(&[(1, 90, 601), (2, 100, 0)]), [2, 1]);
        assert_eq!(order(&[(1, 90, 599), (2, 100, 0)]), [1, 2]);
    }

    #[test]
    fn the_most_urgent_is_ahead_of_a_usual_one_for_more_than_an_hour() {
        let urgent = (1, 0, 99 * 60);
        assert_eq!(order(&[urgent, (2, DEFAULT_PRIORITY, 0)]), [1, 2]);
    }

    #[test]
    fn the_ends_of_the_range_do_not_overflow() {
        let best = rank(i32::MIN, Timestamp::MIN, task_id(1));
        let worst = rank(i32::MAX, Timestamp::MAX, task_id(1));
        assert!(best < rank(0, at(0), task_id(1)) && rank(0, at(0), task_id(1)) < worst);
    }

    /// Priorities that lie no further apart than there is time in the calendar to make up for.
    const NEARER: std::ops::Range<i32> = -1_000_000_000..1_000_000_000;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_starves(mine in NEARER, theirs in NEARER, late in 1_u64..1_000_000_000) {
            // who comes later than this can never be put first again, however urgent
            let steps = u32::try_from((i64::from(mine) - i64::from(theirs)).max(0)).unwrap_or(u32::MAX);
            let since = at(0);
            let ahead_from = later(since, AGING_STEP.saturating_mul(steps));
            let later_one = later(ahead_from, std::time::Duration::from_millis(late));
            prop_assert!(rank(mine, since, task_id(9)) < rank(theirs, later_one, task_id(1)));
        }

        #[test]
        fn of_equals_the_older_one_is_first(priority in any::<i32>(), since in 0_u64..1_000_000, more in 1_u64..1_000_000) {
            prop_assert!(rank(priority, at(since), task_id(2)) < rank(priority, at(since + more), task_id(1)));
        }

        #[test]
        fn it_is_a_total_order(tasks in vec((0_u64..20, -5_i32..5, 0_u64..300), 3)) {
            let [a, b, c] = [0, 1, 2].map(|n: usize| rank(tasks[n].1, at(tasks[n].2), task_id(tasks[n].0)));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }
    }
}
