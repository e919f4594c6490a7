//! When a limit resets, read from the words of its error.
//!
//! Agents tell it in five ways: seconds since 1970, a date and time of RFC 3339, a time to wait ("try again in 5m30s"),
//! a time of day ("resets 3pm (UTC)"), or a day and a time ("try again at Jan 1st, 2100 12:00 AM").

use crate::clock::{Timestamp, later};
use jiff::{
    ToSpan,
    civil::{Date, DateTime},
    tz::TimeZone,
};
use regex::{Captures, Regex};
use std::{sync::LazyLock, time::Duration};

/// The moment that `message` names for a reset or a new try; a time of day is the next one from this minute on, in UTC
/// unless a time zone stands behind it. `None` if it names none.
pub(super) fn reset_time(message: &str, now: Timestamp) -> Option<Timestamp> {
    epoch(message)
        .or_else(|| rfc3339(message))
        .or_else(|| wait(message, now))
        .or_else(|| time_of_day(message, now))
}

/// Compiles a pattern of this file; they are constants.
#[expect(
    clippy::expect_used,
    reason = "the patterns are constants, and every test of this module compiles them"
)]
fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("every pattern is a regex")
}

fn epoch(message: &str) -> Option<Timestamp> {
    static EPOCH: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"(?i)(?:limit reached\||resets?(?:[_ ]?at)?"?[:= ]+"?)(1\d{9}|[2-9]\d{9}|1\d{12})\b"#,
        )
    });
    let number: i64 = EPOCH.captures(message)?[1].parse().ok()?;
    // thirteen digits are milliseconds
    if number > 99_999_999_999 {
        Timestamp::from_millisecond(number).ok()
    } else {
        Timestamp::from_second(number).ok()
    }
}

fn rfc3339(message: &str) -> Option<Timestamp> {
    static RFC3339: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)(?:reset|retry|again|until|after)\D{0,40}(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))",
        )
    });
    RFC3339.captures(message)?[1].parse().ok()
}

/// "try again in 1.5s", "the next one follows in 500 ms", "retry after 30 seconds", "resets in 2 days 3 hours", "Retry-After: 20", `"retryDelay": "34s"`.
fn wait(message: &str, now: Timestamp) -> Option<Timestamp> {
    static LEAD: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"(?i)(?:(?:again|retry(?:ing)?|resets?|wait|follows) ?(?:in|after|for)?|retry-after|retrydelay|retry_after)[":= ]+"#,
        )
    });
    static PART: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)^(?:,|and|\s)*(\d{1,9}(?:\.\d{1,9})?) ?(milliseconds?|ms|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|s|m|h|d)?(?:[^a-z]|\d|$)",
        )
    });
    LEAD.find_iter(message).find_map(|lead| {
        let mut rest = &message[lead.end()..];
        let mut wait = None;
        while let Some(part) = PART.captures(rest) {
            let Some(length) = length(&part, lead.as_str(), wait.is_none()) else {
                break;
            };
            wait = Some(wait.unwrap_or(Duration::ZERO).saturating_add(length));
            let end = part
                .get(2)
                .or_else(|| part.get(1))
                .map_or(rest.len(), |end| end.end());
            rest = &rest[end..];
        }
        Some(later(now, wait?))
    })
}

/// One "5 minutes". A bare number means seconds, but only right behind the name of a header or field.
fn length(part: &Captures<'_>, lead: &str, first: bool) -> Option<Duration> {
    let number: f64 = part[1].parse().ok()?;
    let seconds = match part.get(2).map(|unit| unit.as_str().to_ascii_lowercase()) {
        Some(unit) if unit.starts_with("ms") || unit.starts_with("milli") => 0.001,
        Some(unit) if unit.starts_with('s') => 1.0,
        Some(unit) if unit.starts_with('m') => 60.0,
        Some(unit) if unit.starts_with('h') => 3600.0,
        Some(_) => 86400.0,
        None if first && lead.to_ascii_lowercase().contains("after") => 1.0,
        None => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// "resets 3pm (Europe/Berlin)", "try again at 3:04 PM", "resets Jan 1, 2100, 12am (UTC)".
fn time_of_day(message: &str, now: Timestamp) -> Option<Timestamp> {
    static TIME: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?ix)(?:again|resets?|until)\ (?:at\ |on\ )?
            (?:([a-z]{3})[a-z]*\ (\d{1,2})(?:st|nd|rd|th)?,?\ (?:(\d{4}),?\ )?(?:at\ )?)?
            (\d{1,2})(?::(\d\d))?\ ?([ap])\.?m\b(?:\ \(([\w/+-]+)\))?",
        )
    });
    let found = TIME.captures(message)?;
    let number = |group: usize| found.get(group)?.as_str().parse::<i8>().ok();
    let zone = match found.get(7) {
        Some(name) => TimeZone::get(name.as_str()).ok()?,
        None => TimeZone::UTC,
    };
    let here: DateTime = now.to_zoned(zone.clone()).datetime();
    let noon = if found[6].eq_ignore_ascii_case("p") {
        12
    } else {
        0
    };
    let hour = number(4).filter(|hour| (1..=12).contains(hour))? % 12 + noon;
    let minute = number(5).unwrap_or(0);
    let on = |date: Date| {
        let at = jiff::civil::Time::new(hour, minute, 0, 0).ok()?;
        Some(
            date.to_datetime(at)
                .to_zoned(zone.clone())
                .ok()?
                .timestamp(),
        )
    };
    match found.get(1) {
        Some(name) => {
            let month = month(name.as_str())?;
            let day = number(2)?;
            match found.get(3) {
                Some(year) => on(Date::new(year.as_str().parse().ok()?, month, day).ok()?),
                None => {
                    let this_year = on(Date::new(here.year(), month, day).ok()?)?;
                    // a day that lies behind us by more than a clock can be wrong is one of next year
                    if later(this_year, Duration::from_secs(86400)) >= now {
                        return Some(this_year);
                    }
                    on(Date::new(here.year().checked_add(1)?, month, day).ok()?)
                }
            }
        }
        None => {
            let today = on(here.date())?;
            // told to the minute, a reset within this one seems to have passed
            if later(today, Duration::from_secs(60)) > now {
                Some(today)
            } else {
                on(here.date().checked_add(1.day()).ok()?)
            }
        }
    }
}

fn month(name: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let index = MONTHS
        .iter()
        .position(|month| month.eq_ignore_ascii_case(name))?;
    i8::try_from(index + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn reset_times() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        let table: String = [
            "Claude AI usage limit reached|1773147600",
            "rate limited, resetsAt: 1773147600000",
            "quota resets at 2026-03-10T13:00:00Z",
            "try again after 2026-03-10 15:00:00+02:00",
            "retry after 30 seconds",
            "Rate limit reached for gpt-5.5. Please try again in 1.5s.",
            "Please try again in 5m30s.",
            "Please try again in 1h2m3.5s",
            "Please try again in 350ms",
            "Try again in 3 days 4 hours 9 minutes.",
            "resets in 2 hours and 5 minutes",
            "Suggested retry after 2s.]",
            "Please retry in 34.074824224s.",
            "\"retryDelay\": \"34s\"",
            "Retry-After: 20",
            "You've hit your 5-hour limit · resets 3pm (UTC)",
            "You've hit your weekly limit · resets 9:30am (Europe/Berlin)",
            "You've hit your weekly limit · resets Mar 12, 4am (America/New_York)",
            "You've hit your 5-hour limit · resets Jan 1, 2100, 12am (UTC)",
            "You've hit your limit · resets Jan 2, 12pm",
            "purchase more credits or try again at Jan 1st, 2100 12:00 AM.",
            "try again at 11:15 AM.",
            "try again at 11:59 AM.",
            "try again at 12:00 PM.",
            "rate limit exceeded",
            "try again later",
            "try again in a moment",
            "try again at 25pm",
            "resets Foo 40, 3pm",
            "resets 3pm (Nowhere/Land)",
            "retry 3 of 5",
            "see section 1773147600",
        ]
        .map(|message| match reset_time(message, now) {
            Some(at) => format!("{message} => {at}\n"),
            None => format!("{message} => -\n"),
        })
        .concat();
        assert_snapshot!(table, @r#"
        Claude AI usage limit reached|1773147600 => 2026-03-10T13:00:00Z
        rate limited, resetsAt: 1773147600000 => 2026-03-10T13:00:00Z
        quota resets at 2026-03-10T13:00:00Z => 2026-03-10T13:00:00Z
        try again after 2026-03-10 15:00:00+02:00 => 2026-03-10T13:00:00Z
        retry after 30 seconds => 2026-03-10T12:00:30Z
        Rate limit reached for gpt-5.5. Please try again in 1.5s. => 2026-03-10T12:00:01.5Z
        Please try again in 5m30s. => 2026-03-10T12:05:30Z
        Please try again in 1h2m3.5s => 2026-03-10T13:02:03.5Z
        Please try again in 350ms => 2026-03-10T12:00:00.35Z
        Try again in 3 days 4 hours 9 minutes. => 2026-03-13T16:09:00Z
        resets in 2 hours and 5 minutes => 2026-03-10T14:05:00Z
        Suggested retry after 2s.] => 2026-03-10T12:00:02Z
        Please retry in 34.074824224s. => 2026-03-10T12:00:34.074824224Z
        "retryDelay": "34s" => 2026-03-10T12:00:34Z
        Retry-After: 20 => 2026-03-10T12:00:20Z
        You've hit your 5-hour limit · resets 3pm (UTC) => 2026-03-10T15:00:00Z
        You've hit your weekly limit · resets 9:30am (Europe/Berlin) => 2026-03-11T08:30:00Z
        You've hit your weekly limit · resets Mar 12, 4am (America/New_York) => 2026-03-12T08:00:00Z
        You've hit your 5-hour limit · resets Jan 1, 2100, 12am (UTC) => 2100-01-01T00:00:00Z
        You've hit your limit · resets Jan 2, 12pm => 2027-01-02T12:00:00Z
        purchase more credits or try again at Jan 1st, 2100 12:00 AM. => 2100-01-01T00:00:00Z
        try again at 11:15 AM. => 2026-03-11T11:15:00Z
        try again at 11:59 AM. => 2026-03-11T11:59:00Z
        try again at 12:00 PM. => 2026-03-10T12:00:00Z
        rate limit exceeded => -
        try again later => -
        try again in a moment => -
        try again at 25pm => -
        resets Foo 40, 3pm => -
        resets 3pm (Nowhere/Land) => -
        retry 3 of 5 => -
        see section 1773147600 => -
        "#);
    }
}
