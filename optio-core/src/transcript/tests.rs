//! Entries as they are stored and sent, cursors, and what the events of a run add up to.

use std::fmt::Write as _;

use insta::assert_snapshot;
use proptest::{collection::vec, prelude::*};
use serde_json::json;

use super::*;
use crate::{conformance::sample::at, money::Usd};

fn every_event() -> Vec<TranscriptEvent> {
    let text = || "hello".to_owned();
    vec![
        TranscriptEvent::Session {
            id: SessionId("s-1".to_owned()),
            model: Some("large".to_owned()),
            version: None,
        },
        TranscriptEvent::Model {
            name: "larger".to_owned(),
        },
        TranscriptEvent::Text { text: text() },
        TranscriptEvent::TextPart { text: text() },
        TranscriptEvent::Thinking { text: text() },
        TranscriptEvent::ToolCall {
            id: "t-1".to_owned(),
            name: "Bash".to_owned(),
            input: json!({"command": "ls"}),
        },
        TranscriptEvent::ToolResult {
            id: "t-1".to_owned(),
            output: "Cargo.toml".to_owned(),
            failed: false,
        },
        TranscriptEvent::Plan {
            items: vec![PlanItem {
                text: text(),
                done: true,
            }],
        },
        TranscriptEvent::System { text: text() },
        TranscriptEvent::Usage {
            total: usage(1),
            of: UsageOf::Run,
        },
        refused(Some(60)),
        TranscriptEvent::Error { error: error("no") },
        TranscriptEvent::Result {
            failed: false,
            summary: "done".to_owned(),
        },
        TranscriptEvent::Raw { text: text() },
    ]
}

fn usage(n: u64) -> Usage {
    Usage {
        cost: Usd::from_micros(n * 250_000),
        input_tokens: n * 100,
        cached_tokens: n * 60,
        output_tokens: n * 10,
    }
}

fn error(message: &str) -> ReportedError {
    ReportedError::message(message)
}

fn refused(resets: Option<u64>) -> TranscriptEvent {
    TranscriptEvent::RateLimit {
        resets_at: resets.map(at),
        refused: true,
    }
}

fn result(failed: bool) -> TranscriptEvent {
    TranscriptEvent::Result {
        failed,
        summary: "bye".to_owned(),
    }
}

fn report(events: impl IntoIterator<Item = TranscriptEvent>) -> RunReport {
    let mut report = RunReport::default();
    for event in events {
        report.fold(&event);
    }
    report
}

#[test]
fn every_entry_is_stored_by_these_names() {
    let mut text = String::new();
    for (seq, event) in (1..).zip(every_event()) {
        let entry = LogEntry {
            cursor: LogCursor { run: 2, seq },
            at: at(seq),
            stream: LogStream::Stdout,
            event,
            original: (seq == 1).then(|| "as it was".to_owned()),
        };
        let line = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<LogEntry>(&line).unwrap(), entry);
        let _ = writeln!(text, "{line}");
    }
    assert_snapshot!(text);
}

#[test]
fn a_report_is_stored_by_these_names_and_one_of_before_is_read() {
    let report = report(every_event().into_iter().chain([
        refused(Some(60)),
        TranscriptEvent::Error { error: error("no") },
    ]));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<RunReport>(&text).unwrap(), report);
    assert_snapshot!(text);
    assert_eq!(
        serde_json::from_str::<RunReport>("{}").unwrap(),
        RunReport::default()
    );
}

#[test]
fn cursors_are_read_as_they_are_written_and_stand_in_the_order_of_the_log() {
    let cursor = |run, seq| LogCursor { run, seq };
    assert_snapshot!(cursor(2, 145), @"2.145");
    assert_eq!("2.145".parse(), Ok(cursor(2, 145)));
    assert!(LogCursor::default() < cursor(1, 1), "before everything");
    assert!(
        cursor(1, 9) < cursor(1, 10) && cursor(1, u64::MAX) < cursor(2, 0),
        "by number, not by letter"
    );
    for wrong in ["", "2", "2.", ".2", "2.1.1", "-1.2", "a.b", "4294967296.1"] {
        assert!(wrong.parse::<LogCursor>().is_err(), "{wrong}");
    }
    assert_snapshot!("2".parse::<LogCursor>().unwrap_err(), @r#""2" is not a log cursor: expected the one of an entry, such as 1.42"#);
}

#[test]
fn the_last_closing_word_counts_and_a_good_one_forgives() {
    let after = report([
        TranscriptEvent::Error {
            error: error("overloaded"),
        },
        refused(Some(60)),
        result(true),
    ]);
    assert_eq!(after.result, Some((Failed::Yes, "bye".to_owned())));
    assert_eq!(after.error, Some(error("overloaded")));
    assert_eq!(
        after.rate_limited,
        Some(RateLimited {
            resets_at: Some(at(60))
        })
    );

    let after = report([
        TranscriptEvent::Error {
            error: error("overloaded"),
        },
        refused(None),
        result(true),
        result(false),
    ]);
    assert_eq!(after.result, Some((Failed::No, "bye".to_owned())));
    assert_eq!(
        (after.error, after.rate_limited),
        (None, None),
        "it got over that"
    );
}

#[test]
fn trouble_behind_the_closing_word_counts() {
    let after = report([
        result(false),
        TranscriptEvent::Error {
            error: error("no credit"),
        },
    ]);
    assert_eq!(after.error, Some(error("no credit")));
}

#[test]
fn a_warning_about_the_rate_is_no_refusal() {
    let warning = TranscriptEvent::RateLimit {
        resets_at: Some(at(60)),
        refused: false,
    };
    assert_eq!(report([warning]).rate_limited, None);
}

#[test]
fn a_session_that_tells_less_takes_nothing_back() {
    let session = |id: &str, model: Option<&str>| TranscriptEvent::Session {
        id: SessionId(id.to_owned()),
        model: model.map(str::to_owned),
        version: None,
    };
    let after = report([session("one", Some("large")), session("two", None)]);
    assert_eq!(after.session, Some(SessionId("two".to_owned())));
    assert_eq!(after.model.as_deref(), Some("large"));
    let model = TranscriptEvent::Model {
        name: "small".to_owned(),
    };
    let after = report([session("one", Some("large")), model]);
    assert_eq!(after.session, Some(SessionId("one".to_owned())));
    assert_eq!(after.model.as_deref(), Some("small"));
}

#[test]
fn what_the_agent_says_is_no_verdict_and_costs_nothing() {
    let prose = every_event().into_iter().filter(|event| {
        matches!(
            event,
            TranscriptEvent::Text { .. }
                | TranscriptEvent::TextPart { .. }
                | TranscriptEvent::Thinking { .. }
                | TranscriptEvent::ToolCall { .. }
                | TranscriptEvent::ToolResult { .. }
                | TranscriptEvent::Plan { .. }
                | TranscriptEvent::System { .. }
                | TranscriptEvent::Raw { .. }
        )
    });
    let said = RunReport {
        last_words: "hello".to_owned(),
        ..RunReport::default()
    };
    assert_eq!(report(prose), said, "it is kept to be shown");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_total_never_shrinks_and_a_restart_in_the_middle_changes_nothing(
        events in vec((0..every_event().len(), 0_u64..50), 0..30),
        restart in 0_usize..30,
    ) {
        let events: Vec<TranscriptEvent> = events
            .into_iter()
            .zip(0_usize..)
            .map(|((kind, size), n)| match every_event().swap_remove(kind) {
                TranscriptEvent::Usage { .. } => TranscriptEvent::Usage {
                    total: usage(size),
                    of: match n % 4 {
                        0 => UsageOf::Run,
                        1 => UsageOf::Part,
                        2 => UsageOf::Session,
                        _ => UsageOf::Answer((n % 3).to_string()),
                    },
                },
                event => event,
            })
            .collect();
        let mut resumed = RunReport::default();
        let mut seen = Usage::default();
        for (n, event) in events.iter().enumerate() {
            if n == restart {
                // the report is stored with the run, and read back by whoever takes it over
                resumed = serde_json::from_str(&serde_json::to_string(&resumed).unwrap()).unwrap();
            }
            resumed.fold(event);
            prop_assert!(resumed.usage.cost >= seen.cost && resumed.usage.input_tokens >= seen.input_tokens);
            seen = resumed.usage;
        }
        prop_assert_eq!(resumed, report(events));
    }

    #[test]
    fn every_cursor_is_read_back(run in any::<u32>(), seq in any::<u64>()) {
        let cursor = LogCursor { run, seq };
        prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        let json = serde_json::to_string(&cursor).unwrap();
        prop_assert_eq!(serde_json::from_str::<LogCursor>(&json).unwrap(), cursor);
    }
}

fn used(n: u64, of: UsageOf) -> TranscriptEvent {
    TranscriptEvent::Usage {
        total: usage(n),
        of,
    }
}

#[test]
fn parts_add_up_and_sums_do_not() {
    let rows = [
        (UsageOf::Run, [2, 3, 3], usage(3)),
        (UsageOf::Part, [2, 3, 3], usage(8)),
        (UsageOf::Session, [2, 3, 3], usage(3)),
    ];
    for (of, reports, sum) in rows {
        let report = report(reports.into_iter().map(|n| used(n, of.clone())));
        assert_eq!(report.usage, sum, "{of:?}");
    }
}

#[test]
fn answers_are_an_estimate_until_the_agent_tells() {
    let answer = |id: &str, n| used(n, UsageOf::Answer(id.to_owned()));
    let told = |n| used(n, UsageOf::Part);
    let rows = [
        // two answers at a time, each seen growing
        (
            vec![
                answer("a", 2),
                answer("b", 1),
                answer("a", 3),
                answer("b", 1),
            ],
            4,
        ),
        // more is told in the end than was seen, and the next round begins from there
        (vec![answer("a", 2), told(5)], 5),
        (vec![answer("a", 2), told(5), answer("b", 1)], 6),
        (vec![answer("a", 2), told(5), answer("b", 1), told(2)], 7),
        // less is told: the total does not shrink, and nothing is counted twice
        (vec![answer("a", 4), told(3)], 4),
        (vec![answer("a", 4), told(3), answer("b", 2)], 5),
        (vec![answer("a", 4), told(3), told(3)], 6),
        // by versions that tell what was used since the beginning
        (
            vec![answer("a", 2), used(5, UsageOf::Run), answer("b", 1)],
            6,
        ),
        (
            vec![
                answer("a", 2),
                used(5, UsageOf::Run),
                answer("b", 1),
                used(7, UsageOf::Run),
            ],
            7,
        ),
    ];
    for (events, sum) in rows {
        assert_eq!(report(events.clone()).usage, usage(sum), "{events:?}");
    }
    let many = (0..100).map(|n| answer(&n.to_string(), 1));
    let report = report(many);
    assert_eq!(report.usage, usage(100));
    assert_eq!(report.estimate.unwrap().answers.len(), MAX_ANSWERS);
}

#[test]
fn a_run_that_goes_on_with_a_session_has_used_what_was_added_to_it() {
    let mut second = RunReport {
        session_before: usage(5),
        ..RunReport::default()
    };
    second.fold(&used(7, UsageOf::Session));
    assert_eq!(second.usage, usage(2));
    assert_eq!(second.session_usage, Some(usage(7)));
}

#[test]
fn an_error_is_over_once_the_model_has_answered() {
    let error = || TranscriptEvent::Error {
        error: error("no connection"),
    };
    let says = || TranscriptEvent::Text {
        text: "hello".to_owned(),
    };
    let over = report([error(), says()]);
    assert_eq!(over.error, None);
    assert!(
        over.overcame.is_some(),
        "it is still told that there was one"
    );
    assert_eq!(report([refused(None), says()]).rate_limited, None);
    assert!(report([says(), error()]).error.is_some());
}

#[test]
fn a_closing_word_without_a_summary_is_what_was_said_last() {
    let closing = |failed| TranscriptEvent::Result {
        failed,
        summary: String::new(),
    };
    let says = |text: String| TranscriptEvent::Text { text };
    let long = "é".repeat(MAX_LAST_WORDS);
    let of = |events: [TranscriptEvent; 2]| report(events).result.unwrap().1;
    assert_eq!(
        of([says("all done".to_owned()), closing(false)]),
        "all done"
    );
    assert_eq!(of([says("all done".to_owned()), closing(true)]), "");
    assert_eq!(of([says(long), closing(false)]).len(), MAX_LAST_WORDS);
}

#[test]
fn pieces_in_a_row_are_one_text() {
    let piece = |text: &str| TranscriptEvent::TextPart {
        text: text.to_owned(),
    };
    let notice = TranscriptEvent::System {
        text: "meanwhile".to_owned(),
    };
    let words = report([
        piece("I be"),
        piece("gan"),
        notice,
        piece("all "),
        piece("done"),
    ]);
    assert_eq!(words.last_words, "all done");
    let long: Vec<_> = std::iter::repeat_n(piece("é"), MAX_LAST_WORDS).collect();
    assert_eq!(report(long).last_words.len(), MAX_LAST_WORDS);
}

#[test]
fn a_tool_that_is_called_after_the_closing_word_begins_another_round() {
    let closing = TranscriptEvent::Result {
        failed: false,
        summary: "done".to_owned(),
    };
    let call = TranscriptEvent::ToolCall {
        id: "1".to_owned(),
        name: "shell".to_owned(),
        input: Value::Null,
    };
    assert_eq!(report([closing.clone(), call.clone()]).result, None);
    assert!(report([closing.clone(), call, closing]).result.is_some());
}
