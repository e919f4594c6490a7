//! Accounts: which failure pauses one for everybody, who may find out whether it works again, and what proves that it
//! does.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    account::{Pause, PauseEnd},
    clock::{Timestamp, later},
    failure::{Failure, FailureClass, RetryAdvice},
};

/// How often to look whether the run that finds out has found out. It is told at once; this is for when it is not.
const LOOK_AT_PROBE: Duration = Duration::from_secs(30);
/// How often to look whether somebody has resumed an account. It is told at once; this is for when it is not.
const LOOK_AT_PERSON: Duration = Duration::from_secs(10 * 60);

/// What ends the pause that a failure brings over the account of its run; none if the failure says nothing of other runs.
#[must_use]
pub fn pause_end(failure: &Failure) -> Option<PauseEnd> {
    // not AuthForbidden: it may concern one model, and other runs ask for another
    use FailureClass::{AccountBlocked, AuthExpired, AuthMissing, QuotaExhausted, RateLimited};
    match (failure.class, failure.retry) {
        (RateLimited | QuotaExhausted, RetryAdvice::Until(at)) => Some(PauseEnd::At(at)),
        (AuthMissing | AuthExpired | AccountBlocked | QuotaExhausted, _) => Some(PauseEnd::Resumed),
        _ => None,
    }
}

/// Whether a run may be placed that works with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// It may.
    Open,
    /// It may, and finds out for all others whether the account works again.
    Probe,
    /// It may not; look again then, or when told to.
    Later(Timestamp),
}

/// Decides by the account's pause and by how many runs are at work that were placed since it was to end.
///
/// When the time of a pause is over, one run finds out: if the provider still refuses, the others need not be refused too.
#[must_use]
pub fn admit(pause: Option<&Pause>, probing: usize, now: Timestamp) -> Admission {
    match pause.map(|pause| pause.until) {
        None => Admission::Open,
        Some(PauseEnd::Resumed) => Admission::Later(later(now, LOOK_AT_PERSON)),
        Some(PauseEnd::At(at)) if at > now => Admission::Later(at),
        Some(PauseEnd::At(_)) if probing > 0 => Admission::Later(later(now, LOOK_AT_PROBE)),
        Some(PauseEnd::At(_)) => Admission::Probe,
    }
}

/// An answer of a model to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// When it came.
    pub at: Timestamp,
    /// When the run was placed.
    pub placed_at: Timestamp,
}

/// Whether an answer proves that a pause of the same account has no reason any more. An answer that was under way when
/// the pause began proves nothing.
#[must_use]
pub fn is_over(pause: &Pause, answered: Answered) -> bool {
    match pause.until {
        PauseEnd::At(at) => answered.at >= at,
        PauseEnd::Resumed => answered.placed_at > pause.since,
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        account::AccountName,
        conformance::sample::{at, run_id},
    };

    fn pause(until: PauseEnd) -> Pause {
        Pause {
            account: AccountName::unseen("codex", "workspace"),
            until,
            since: at(0),
            reason: Failure::new(FailureClass::RateLimited),
            run: run_id(1),
        }
    }

    #[test]
    fn a_failure_pauses_its_account_if_other_runs_would_fail_alike() {
        let told = |class| Failure::new(class).until(at(60));
        let rows = FailureClass::ALL
            .iter()
            .flat_map(|&class| {
                [("", Failure::new(class)), (", told when", told(class))]
                    .map(|(how, failure)| (class, how, pause_end(&failure)))
            })
            .filter_map(|(class, how, end)| Some(format!("{class}{how}: {:?}", end?)));
        assert_snapshot!(rows.collect::<Vec<_>>().join("\n"), @r"
        auth_missing: Resumed
        auth_missing, told when: Resumed
        auth_expired: Resumed
        auth_expired, told when: Resumed
        account_blocked: Resumed
        account_blocked, told when: Resumed
        rate_limited, told when: At(2025-01-01T00:01:00.123456Z)
        quota_exhausted: Resumed
        quota_exhausted, told when: At(2025-01-01T00:01:00.123456Z)
        ");
    }

    #[test]
    fn one_run_finds_out_whether_an_account_works_again() {
        let limited = pause(PauseEnd::At(at(60)));
        let refused = pause(PauseEnd::Resumed);
        for (pause, probing, now, expected) in [
            (None, 7, at(0), Admission::Open),
            (Some(&limited), 0, at(59), Admission::Later(at(60))),
            (Some(&limited), 0, at(60), Admission::Probe),
            (Some(&limited), 1, at(60), Admission::Later(at(90))),
            (Some(&refused), 0, at(60), Admission::Later(at(660))),
        ] {
            assert_eq!(admit(pause, probing, now), expected);
        }
    }

    #[test]
    fn an_answer_ends_a_pause_unless_it_was_under_way_before() {
        let limited = pause(PauseEnd::At(at(60)));
        let refused = pause(PauseEnd::Resumed);
        for (pause, placed, heard, over) in [
            (&limited, 1, 59, false),
            (&limited, 1, 60, true),
            (&refused, 0, 999, false),
            (&refused, 1, 999, true),
        ] {
            let answered = Answered {
                at: at(heard),
                placed_at: at(placed),
            };
            assert_eq!(is_over(pause, answered), over, "{pause} {answered:?}");
        }
    }
}
