//! What follows from a failed run: another one, when, and at whose cost; or the end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    clock::{Timestamp, later},
    failure::{Failure, FailureClass, RetryAdvice},
    repo::AttemptLimits,
    task::Attempts,
};

/// The first wait after a failure that is charged as an attempt.
const ATTEMPT_BACKOFF: Duration = Duration::from_secs(5);
/// The first wait after a failure of the infrastructure.
const FREE_BACKOFF: Duration = Duration::from_secs(10);
/// The longest wait.
const MAX_BACKOFF: Duration = Duration::from_secs(15 * 60);
/// Failures of the infrastructure in a row after which a person is better than another try. The waits before add up to hours.
const MAX_FREE: u32 = 20;

/// What follows from a failed run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum AfterFailure {
    /// Another run, not before this moment, with these counts.
    TryAgain {
        /// The moment.
        not_before: Timestamp,
        /// The task's counts from now on.
        attempts: Attempts,
    },
    /// The task has failed.
    GiveUp(Failure),
}

/// What follows from `failure`, after what the task has been through. `jitter` is any random number: it spreads tasks that
/// failed together over a quarter of the wait.
#[must_use]
pub fn after_failure(
    failure: &Failure,
    before: Attempts,
    limits: AttemptLimits,
    now: Timestamp,
    jitter: u64,
) -> AfterFailure {
    match failure.retry {
        RetryAdvice::Never => AfterFailure::GiveUp(failure.clone()),
        RetryAdvice::Until(moment) if moment > now => AfterFailure::TryAgain {
            not_before: moment,
            attempts: before,
        },
        // a limit that is said to have been reset, and yet refuses, must not be tried without a pause for ever
        RetryAdvice::Free | RetryAdvice::Until(_) => {
            let attempts = Attempts {
                free: before.free.saturating_add(1),
                ..before
            };
            if attempts.free > MAX_FREE {
                return AfterFailure::GiveUp(failure.clone());
            }
            AfterFailure::TryAgain {
                not_before: later(now, backoff(FREE_BACKOFF, before.free, jitter)),
                attempts,
            }
        }
        RetryAdvice::Attempt => {
            let attempts = Attempts {
                failures: before.failures.saturating_add(1),
                free: 0,
                ..before
            };
            if attempts.failures >= limits.failures {
                let detail = format!(
                    "{} attempts failed, the last one: {failure}",
                    attempts.failures
                );
                let exhausted = Failure::new(FailureClass::AttemptsExhausted).with_detail(detail);
                return AfterFailure::GiveUp(if attempts.failures > 1 {
                    exhausted
                } else {
                    failure.clone()
                });
            }
            AfterFailure::TryAgain {
                not_before: later(now, backoff(ATTEMPT_BACKOFF, before.failures, jitter)),
                attempts,
            }
        }
    }
}

/// Doubles with each failure before, up to the longest wait; a quarter of it is random.
fn backoff(first: Duration, before: u32, jitter: u64) -> Duration {
    let wait = first
        .saturating_mul(1_u32.checked_shl(before.min(16)).unwrap_or(u32::MAX))
        .min(MAX_BACKOFF);
    let spread = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) / 4;
    wait + Duration::from_millis(if spread == 0 { 0 } else { jitter % spread })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn wait_of(after: &AfterFailure) -> u64 {
        match after {
            AfterFailure::TryAgain { not_before, .. } => {
                u64::try_from(not_before.as_second()).unwrap()
            }
            AfterFailure::GiveUp(failure) => panic!("gave up: {failure}"),
        }
    }

    fn failure(retry: RetryAdvice) -> Failure {
        Failure::new(FailureClass::AgentCrashed).with_retry(retry)
    }

    #[test]
    fn the_infrastructures_failures_wait_longer_each_time_and_cost_nothing() {
        let waits: Vec<u64> = (0..8)
            .map(|free| {
                wait_of(&after_failure(
                    &failure(RetryAdvice::Free),
                    Attempts {
                        free,
                        ..Attempts::default()
                    },
                    AttemptLimits::default(),
                    now(),
                    0,
                ))
            })
            .collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 900]);
        let AfterFailure::TryAgain { attempts, .. } = after_failure(
            &failure(RetryAdvice::Free),
            Attempts::default(),
            AttemptLimits::default(),
            now(),
            0,
        ) else {
            panic!()
        };
        assert_eq!(
            attempts,
            Attempts {
                free: 1,
                ..Attempts::default()
            }
        );
    }

    #[test]
    fn the_agents_failures_are_counted_to_the_limit() {
        let limits = AttemptLimits {
            failures: 2,
            ..AttemptLimits::default()
        };
        let AfterFailure::TryAgain { attempts, .. } = after_failure(
            &failure(RetryAdvice::Attempt),
            Attempts::default(),
            limits,
            now(),
            0,
        ) else {
            panic!()
        };
        let AfterFailure::GiveUp(last) =
            after_failure(&failure(RetryAdvice::Attempt), attempts, limits, now(), 0)
        else {
            panic!()
        };
        assert_eq!(last.class, FailureClass::AttemptsExhausted);
    }

    #[test]
    fn a_limit_that_resets_is_waited_for_at_no_cost() {
        let reset = Timestamp::from_second(3600).unwrap();
        let after = after_failure(
            &failure(RetryAdvice::Until(reset)),
            Attempts::default(),
            AttemptLimits::default(),
            now(),
            7,
        );
        assert_eq!(
            after,
            AfterFailure::TryAgain {
                not_before: reset,
                attempts: Attempts::default()
            }
        );
    }

    #[test]
    fn a_limit_that_was_to_reset_before_now_is_waited_for_as_any_other_trouble() {
        for reset in [now(), Timestamp::from_second(-3600).unwrap()] {
            let mut attempts = Attempts::default();
            let mut waits = Vec::new();
            let advice = failure(RetryAdvice::Until(reset));
            while let AfterFailure::TryAgain {
                not_before,
                attempts: after,
            } = after_failure(&advice, attempts, AttemptLimits::default(), now(), 0)
            {
                waits.push(not_before.as_second());
                attempts = after;
            }
            assert_eq!(waits[..4], [10, 20, 40, 80]);
            assert_eq!(waits.len(), 20, "and not for ever");
            assert_eq!(attempts.failures, 0, "at no cost");
        }
    }

    #[test]
    fn what_cannot_be_mended_by_another_try_is_not_tried() {
        let never = failure(RetryAdvice::Never);
        let after = after_failure(
            &never,
            Attempts::default(),
            AttemptLimits::default(),
            now(),
            0,
        );
        assert_eq!(after, AfterFailure::GiveUp(never));
    }

    #[test]
    fn the_only_attempt_gives_up_with_its_own_failure() {
        let limits = AttemptLimits {
            failures: 1,
            ..AttemptLimits::default()
        };
        let crashed = failure(RetryAdvice::Attempt);
        let after = after_failure(&crashed, Attempts::default(), limits, now(), 0);
        assert_eq!(after, AfterFailure::GiveUp(crashed));
    }

    #[test]
    fn jitter_stays_within_a_quarter() {
        for jitter in [0, 1, u64::MAX, 12_345_678_901] {
            let wait = backoff(FREE_BACKOFF, 0, jitter);
            assert!(
                wait >= FREE_BACKOFF && wait < FREE_BACKOFF.mul_f64(1.25),
                "{wait:?}"
            );
        }
    }
}
