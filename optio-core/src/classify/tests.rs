//! Real messages in, decisions out.

use super::{Evidence, GitStep, Origin, classify};
use crate::{
    failure::{ExitStatus, FailureClass, ReportedError, RetryAdvice},
    transcript::{Failed, RateLimited, RunReport},
};
use insta::assert_snapshot;
use proptest::prelude::*;
use std::collections::BTreeSet;

const NOW: &str = "2026-03-10T12:00:00Z";

/// Set by the engine from facts, never read from a text.
const ONLY_FROM_FACTS: &[FailureClass] = &[
    FailureClass::NoChanges,
    FailureClass::LostLease,
    FailureClass::PromptInvalid,
    FailureClass::PrClosed,
    FailureClass::DependencyFailed,
    FailureClass::AttemptsExhausted,
    FailureClass::ReviewFailed,
];

fn says(message: &str) -> Evidence {
    Evidence::agent(Some(ExitStatus::Code(1))).with_reported(ReportedError::message(message))
}

fn calls_it(kind: &str, http_status: Option<u16>, message: &str) -> Evidence {
    let mut evidence = says(message);
    evidence.reported = evidence.reported.map(|reported| ReportedError {
        kind: Some(kind.to_owned()),
        http_status,
        ..reported
    });
    evidence
}

fn prints(code: i32, stderr: &str) -> Evidence {
    Evidence::agent(Some(ExitStatus::Code(code))).with_stderr(stderr)
}

fn killed(signal: i32) -> Evidence {
    Evidence::agent(Some(ExitStatus::Signal(signal)))
}

/// The rows of `messages.txt`, as evidence.
fn messages() -> Vec<(&'static str, Evidence)> {
    let rows = include_str!("messages.txt").lines();
    rows.filter(|row| !row.is_empty() && !row.starts_with('#'))
        .map(|row| {
            (
                row,
                evidence_of(row).unwrap_or_else(|| panic!("not a row: {row}")),
            )
        })
        .collect()
}

fn evidence_of(row: &str) -> Option<Evidence> {
    let (source, text) = row.split_once(" |")?;
    let text = text
        .trim_start()
        .replace(" / ", "\n")
        .replace('␛', "\u{1b}");
    let given = |word: &str| (word != "-").then(|| word.to_owned());
    Some(match *source.split(' ').collect::<Vec<_>>() {
        ["says", kind, status] => {
            Evidence::agent(Some(ExitStatus::Code(1))).with_reported(ReportedError {
                kind: given(kind),
                http_status: given(status).and_then(|status| status.parse().ok()),
                ..ReportedError::message(text)
            })
        }
        ["agent", how, number] => Evidence::agent(exit(how, number)).with_stderr(text),
        ["agent", how, number, "pod"] => Evidence::agent(exit(how, number)).with_workspace(text),
        ["git", step, how, number] => Evidence::git(git_step(step)?, exit(how, number), text),
        ["pod"] => Evidence::workspace(text),
        ["engine"] => Evidence::engine(text),
        _ => return None,
    })
}

fn exit(how: &str, number: &str) -> Option<ExitStatus> {
    let number = number.parse().ok()?;
    Some(if how == "signal" {
        ExitStatus::Signal(number)
    } else {
        ExitStatus::Code(number)
    })
}

fn git_step(name: &str) -> Option<GitStep> {
    let steps = [
        GitStep::Clone,
        GitStep::Fetch,
        GitStep::Worktree,
        GitStep::Push,
        GitStep::Merge,
    ];
    steps
        .into_iter()
        .find(|step| format!("{step:?}").eq_ignore_ascii_case(name))
}

fn decide(evidence: &Evidence) -> crate::failure::Failure {
    classify(evidence, NOW.parse().unwrap())
}

#[test]
fn real_messages() {
    let table: String = messages()
        .iter()
        .map(|(row, evidence)| {
            let failure = decide(evidence);
            format!(
                "{row}\n  => {}, {}, {}\n",
                failure.class,
                failure.category(),
                failure.retry
            )
        })
        .collect();
    assert_snapshot!("real_messages", table);
}

#[test]
fn every_class_is_reached_by_a_message_or_set_from_facts() {
    let mut seen: BTreeSet<_> = messages()
        .iter()
        .map(|(_, evidence)| decide(evidence).class)
        .collect();
    for class in ONLY_FROM_FACTS {
        assert!(
            seen.insert(*class),
            "{class} is read from a message after all"
        );
    }
    let missing: Vec<_> = FailureClass::ALL
        .iter()
        .filter(|class| !seen.contains(class))
        .collect();
    assert!(missing.is_empty(), "no message leads to {missing:?}");
}

/// Work on a repository about billing, quotas and rate limits is not a billing problem.
#[test]
fn the_subject_of_the_work_is_no_evidence() {
    let table: String = [
        "tests in billing failed: invoice.rs:12: expected quota 5, got 4",
        "the script gave up: rate limiter tests are red",
        "could not fix payment retries; context: a model for overload handling",
        "exit after 401 lines; 429 files checked, 503 skipped",
        "authentication module: 3 failures",
    ]
    .map(|message| format!("{message} => {}\n", decide(&says(message)).class))
    .concat();
    assert_snapshot!(table, @"
    tests in billing failed: invoice.rs:12: expected quota 5, got 4 => agent_reported
    the script gave up: rate limiter tests are red => agent_reported
    could not fix payment retries; context: a model for overload handling => agent_reported
    exit after 401 lines; 429 files checked, 503 skipped => agent_reported
    authentication module: 3 failures => agent_reported
    ");
    // a structured kind is not overruled by words that a message quotes
    let evidence = calls_it(
        "max_turns",
        None,
        "last tool said: Invalid API key, connection refused",
    );
    assert_eq!(decide(&evidence).class, FailureClass::MaxTurns);
    // patterns for git and pods do not read the agent's words
    for words in [
        "CONFLICT (content): Merge conflict in a.rs",
        "pod is in CrashLoopBackOff",
        "Repository not found.",
    ] {
        assert_eq!(
            decide(&says(words)).class,
            FailureClass::AgentReported,
            "{words}"
        );
        assert_eq!(
            decide(&prints(1, words)).class,
            FailureClass::AgentCrashed,
            "{words}"
        );
    }
}

#[test]
fn a_limit_waits_for_its_reset() {
    let now: crate::Timestamp = NOW.parse().unwrap();
    let reset = |seconds| {
        let mut evidence = calls_it(
            "rate_limit",
            Some(429),
            "You've hit your limit · resets 11pm",
        );
        let at = now
            .checked_add(jiff::SignedDuration::from_secs(seconds))
            .unwrap();
        evidence.reported = evidence.reported.map(|reported| ReportedError {
            resets_at: Some(at),
            ..reported
        });
        decide(&evidence).retry.to_string()
    };
    assert_snapshot!(reset(3600), @"until 2026-03-10T13:00:00Z");
    // our clock is ahead: not at once, or it spins
    assert_snapshot!(reset(-3600), @"until 2026-03-10T12:00:10Z");
    // nobody says when
    assert_snapshot!(decide(&calls_it("rate_limit", None, "")).retry.to_string(), @"until 2026-03-10T12:05:00Z");
    assert_eq!(
        decide(&calls_it("overloaded", None, "")).retry,
        RetryAdvice::Free
    );
}

#[test]
fn an_agents_stream_becomes_evidence() {
    let failed = Some((
        Failed::Yes,
        "Quota exceeded. Check your plan: that is what the test says".to_owned(),
    ));
    let verdict = |report: RunReport, stderr: &str| {
        let failure = decide(&Evidence::of_agent(
            Some(ExitStatus::Code(1)),
            &report,
            stderr,
        ));
        format!("{failure} [{}, {}]", failure.class, failure.retry)
    };
    // prose is shown and never matched, and noise in stderr does not overrule it
    let report = RunReport {
        result: failed.clone(),
        ..RunReport::default()
    };
    assert_snapshot!(verdict(report, "warning: connection reset by peer"), @"Agent reported an error: Quota exceeded. Check your plan: that is what the test says [agent_reported, attempt]");
    let report = RunReport {
        error: Some(ReportedError::message("")),
        result: failed,
        ..RunReport::default()
    };
    assert_snapshot!(verdict(report, ""), @"Agent reported an error: Quota exceeded. Check your plan: that is what the test says [agent_reported, attempt]");
    let refused = RateLimited {
        resets_at: Some("2026-03-10T14:00:00Z".parse().unwrap()),
    };
    let report = RunReport {
        rate_limited: Some(refused),
        ..RunReport::default()
    };
    assert_snapshot!(verdict(report, ""), @"Model rate limit reached: rate_limited [rate_limited, until 2026-03-10T14:00:00Z]");
    let error = ReportedError {
        kind: Some("rate_limit".into()),
        ..ReportedError::message("You've hit your limit")
    };
    let report = RunReport {
        rate_limited: Some(refused),
        error: Some(error),
        ..RunReport::default()
    };
    assert_snapshot!(verdict(report, ""), @"Model rate limit reached: You've hit your limit [rate_limited, until 2026-03-10T14:00:00Z]");
    // it called its work done, but its exit code did not
    let report = RunReport {
        result: Some((Failed::No, "done".into())),
        ..RunReport::default()
    };
    assert_snapshot!(verdict(report, "Error: cleanup"), @"Agent crashed: Error: cleanup (exit code 1) [agent_crashed, attempt]");
    assert_snapshot!(verdict(RunReport::default(), "connection reset by peer"), @"Network connection failed: connection reset by peer [network, free]");
}

#[test]
fn the_decisive_line_is_kept() {
    let detail = |evidence: &Evidence| decide(evidence).to_string();
    assert_snapshot!(detail(&Evidence::git(GitStep::Clone, None, "Cloning into 'app'...\nremote: Repository not found.\nfatal: gone")), @"Repository was not found: remote: Repository not found.");
    assert_snapshot!(detail(&prints(1, "warning: old\nError: no flux\n    at main.js:1")), @"Agent crashed: Error: no flux (exit code 1)");
    assert_snapshot!(detail(&prints(3, "one\ntwo\n\n")), @"Agent crashed: two (exit code 3)");
    assert_snapshot!(detail(&prints(0, "")), @"Agent crashed: ended with exit code 0 but without a result");
    assert_snapshot!(detail(&killed(9)), @"Agent crashed: signal 9");
    assert_snapshot!(detail(&calls_it("account_on_hold", None, "")), @"Agent's account is blocked: account_on_hold");
    assert_snapshot!(detail(&Evidence::workspace("strange")), @"Something unexpected went wrong: strange");
}

fn evidence() -> impl Strategy<Value = Evidence> {
    use GitStep::{Clone, Fetch, Merge, Push, Worktree};
    let text = || {
        prop_oneof![
            any::<String>(),
            "(fatal: |error: |429 |resets? |try again in |at |[0-9]{1,12}|[smhdp :,.|é])*"
        ]
    };
    let origin = prop_oneof![
        Just(Origin::Agent),
        Just(Origin::Workspace),
        Just(Origin::Engine),
        proptest::sample::select(vec![Clone, Fetch, Merge, Push, Worktree]).prop_map(Origin::Git),
    ];
    let exit = proptest::option::of(prop_oneof![
        any::<i32>().prop_map(ExitStatus::Code),
        any::<i32>().prop_map(ExitStatus::Signal),
    ]);
    let kind = proptest::option::of(prop_oneof![
        text().boxed(),
        Just("rate_limit".to_owned()).boxed()
    ]);
    let reset = proptest::option::of(
        any::<i32>().prop_map(|s| crate::Timestamp::from_second(s.into()).unwrap()),
    );
    let reported = (kind, any::<Option<u16>>(), text(), reset).prop_map(
        |(kind, http_status, message, resets_at)| ReportedError {
            kind,
            http_status,
            message,
            resets_at,
        },
    );
    (
        origin,
        exit,
        proptest::option::of(reported),
        text(),
        proptest::option::of(text()),
    )
        .prop_map(|(origin, exit, reported, stderr, workspace)| Evidence {
            closing_word: None,
            origin,
            exit,
            reported,
            stderr,
            workspace,
        })
}

proptest! {
    #[test]
    fn any_evidence_has_a_class(evidence in evidence()) {
        let failure = decide(&evidence);
        prop_assert!(failure.detail().is_none_or(|detail| detail.len() <= crate::failure::MAX_DETAIL));
        if let RetryAdvice::Until(at) = failure.retry {
            prop_assert!(at > NOW.parse().unwrap());
        }
    }
}
