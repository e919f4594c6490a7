//! Lines of cron: the standard's corner cases, and a second opinion on everything that two crates read alike.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use insta::assert_snapshot;
use proptest::{prelude::*, sample::select};

use super::*;

fn runs(line: &str, zone: &str, after: &str, count: usize) -> String {
    let cron = CronLine::new(line, zone).unwrap();
    let mut at: Timestamp = after.parse().unwrap();
    let mut seen = Vec::new();
    for _ in 0..count {
        let Some(next) = cron.next_after(at) else {
            seen.push("never again".to_owned());
            break;
        };
        at = next;
        seen.push(at.to_string());
    }
    seen.join(" ")
}

#[test]
fn lines_come_round_as_cron_does() {
    // a day of the week counts from Sunday = 0
    assert_snapshot!(runs("30 4 * * 1-5", "UTC", "2026-11-20T05:00:00Z", 2), @"2026-11-23T04:30:00Z 2026-11-24T04:30:00Z");
    assert_snapshot!(runs("0 0 * * 0", "UTC", "2026-11-20T05:00:00Z", 2), @"2026-11-22T00:00:00Z 2026-11-29T00:00:00Z");
    assert_snapshot!(runs("0 0 * * 7", "UTC", "2026-11-20T05:00:00Z", 1), @"2026-11-22T00:00:00Z");
    // days of the month and of the week are alternatives: the 13th, and each Friday
    assert_snapshot!(runs("0 0 13 * FRI", "UTC", "2026-11-10T00:00:00Z", 3), @"2026-11-13T00:00:00Z 2026-11-20T00:00:00Z 2026-11-27T00:00:00Z");
    assert_snapshot!(runs("0 0 15 * FRI", "UTC", "2026-11-13T00:00:00Z", 2), @"2026-11-15T00:00:00Z 2026-11-20T00:00:00Z");
    assert_snapshot!(runs("0 0 29 2 *", "UTC", "2026-11-10T00:00:00Z", 2), @"2028-02-29T00:00:00Z 2032-02-29T00:00:00Z");
    assert_snapshot!(runs("0 12 L * *", "UTC", "2027-02-01T00:00:00Z", 2), @"2027-02-28T12:00:00Z 2027-03-31T12:00:00Z");
    assert_snapshot!(runs("@daily", "UTC", "2026-11-10T00:00:00Z", 1), @"2026-11-11T00:00:00Z");
}

#[test]
fn a_moment_comes_behind_the_one_that_is_asked_about() {
    assert_snapshot!(runs("* * * * *", "UTC", "2026-11-20T05:00:00Z", 1), @"2026-11-20T05:01:00Z");
    assert_snapshot!(runs("* * * * *", "UTC", "2026-11-20T05:00:59.999999Z", 1), @"2026-11-20T05:01:00Z");
}

#[test]
fn a_day_of_23_or_25_hours_has_one_run() {
    let new_york = "America/New_York";
    // 02:30 does not exist on 8 March 2026: right after the gap
    assert_snapshot!(runs("30 2 * * *", new_york, "2026-03-07T12:00:00Z", 2), @"2026-03-08T07:00:00Z 2026-03-09T06:30:00Z");
    // 01:30 is there twice on 1 November 2026: once
    assert_snapshot!(runs("30 1 * * *", new_york, "2026-10-31T12:00:00Z", 2), @"2026-11-01T05:30:00Z 2026-11-02T06:30:00Z");
    // Lord Howe moves by half an hour
    assert_snapshot!(runs("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2), @"2026-10-03T15:30:00Z 2026-10-04T15:15:00Z");
}

#[test]
fn the_database_of_zones_is_the_one_we_bring() {
    // decided in 2026; a machine's own database may be years old
    assert_snapshot!(runs("0 9 * * *", "America/Vancouver", "2026-12-01T00:00:00Z", 1), @"2026-12-01T16:00:00Z");
}

#[test]
fn what_never_comes_is_none_and_not_a_loop() {
    assert_eq!(
        runs("0 0 30 2 *", "UTC", "2026-11-20T05:00:00Z", 1),
        "never again"
    );
}

#[test]
fn what_is_no_line_or_no_zone_is_refused_in_a_sentence() {
    let mut text = String::new();
    for line in [
        "every day",
        "",
        "* * * *",
        "* * * * * *",
        "0 * * * * * 2030",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
    ] {
        let error = CronLine::new(line, "UTC").unwrap_err();
        let _ = writeln!(text, "{error}");
    }
    assert_snapshot!(text);
    assert_snapshot!(CronLine::new("* * * * *", "Mars/Olympus").unwrap_err(), @r#""Mars/Olympus" is not a time zone: expected a name such as UTC or Europe/Berlin"#);
}

#[test]
fn what_is_stored_is_checked_when_it_is_read() {
    let line = CronLine::new("30 4 * * 1-5", "Europe/Berlin").unwrap();
    let text = serde_json::to_string(&line).unwrap();
    assert_snapshot!(text, @r#"{"line":"30 4 * * 1-5","timeZone":"Europe/Berlin"}"#);
    assert_eq!(serde_json::from_str::<CronLine>(&text).unwrap(), line);
    assert!(serde_json::from_str::<CronLine>(r#"{"line":"soon","timeZone":"UTC"}"#).is_err());
}

/// A field between two bounds, in the forms that both crates read alike.
fn any_field(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("*".to_owned()),
        2 => (low..=high).prop_map(|n| n.to_string()),
        1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (low..=high, low..=high, low..=high).prop_map(|(a, b, c)| format!("{a},{b},{c}")),
        1 => (2_u32..=high / 2).prop_map(|step| format!("*/{step}")),
    ]
}

/// Day of the month, month and day of the week: one of the days is `*`, for the crates differ on both; days of the week
/// are named, for the crates count them from different days.
fn any_days() -> impl Strategy<Value = String> {
    let month = || any_field(1, 12);
    let days = select(vec![
        "*",
        "MON",
        "SUN",
        "SAT",
        "MON-FRI",
        "TUE,THU",
        "SUN,WED,SAT",
    ]);
    prop_oneof![
        (any_field(1, 28), month()).prop_map(|(day, month)| format!("{day} {month} *")),
        (month(), days).prop_map(|(month, day)| format!("* {month} {day}")),
        Just("31 * *".to_owned()),
        Just("29 2 *".to_owned()),
    ]
}

fn by_the_other(line: &str, after: Timestamp, count: usize) -> Vec<Timestamp> {
    let schedule: cron::Schedule = format!("0 {line} *").parse().unwrap();
    let after = DateTime::<Utc>::from_timestamp(after.as_second(), 0).unwrap();
    schedule
        .after(&after)
        .take(count)
        .map(|moment| Timestamp::from_second(moment.timestamp()).unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_crates_agree(
        minute in any_field(0, 59),
        hour in any_field(0, 23),
        days in any_days(),
        after in 1_700_000_000_i64..1_900_000_000,
    ) {
        let line = format!("{minute} {hour} {days}");
        let mut at = Timestamp::from_second(after).unwrap();
        let others = by_the_other(&line, at, 5);
        let ours = CronLine::new(line.as_str(), "UTC").unwrap();
        for other in others {
            at = ours.next_after(at).unwrap();
            prop_assert_eq!(at, other, "{}", line);
        }
    }

    #[test]
    fn the_next_moment_is_always_later(
        minute in any_field(0, 59),
        hour in any_field(0, 23),
        days in any_days(),
        zone in select(vec!["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia"]),
        after in 1_700_000_000_i64..1_900_000_000,
    ) {
        let line = CronLine::new(format!("{minute} {hour} {days}"), zone).unwrap();
        let mut at = Timestamp::from_second(after).unwrap();
        for _ in 0..5 {
            let next = line.next_after(at).unwrap();
            prop_assert!(next > at, "{} in {zone}: {next} after {at}", line.line());
            at = next;
        }
    }
}
