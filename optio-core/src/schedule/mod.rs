//! Schedules: tasks made by the clock.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    clock::Timestamp,
    id::{RepoId, ScheduleId},
};

/// Makes a task each time its cron line comes round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Its key.
    pub id: ScheduleId,
    /// When.
    pub cron: CronLine,
    /// The repository of its tasks.
    pub repo: RepoId,
    /// The title of its tasks.
    pub title: String,
    /// The body of its tasks.
    pub body: String,
    /// The priority of its tasks.
    pub priority: i32,
    /// Whether it is switched off.
    pub paused: bool,
    /// When it makes the next task; none if its line never comes round again.
    pub next_at: Option<Timestamp>,
    /// When it last made one.
    pub last_at: Option<Timestamp>,
    /// Counts the changes of this record. Two workers cannot both move it on, so a moment makes one task.
    pub version: u64,
}

/// A line of cron's five fields and the time zone in which it is read.
///
/// Days of the month and of the week are alternatives if both are given; a moment that daylight saving skips comes
/// right after the gap, one that it repeats comes once. These are the rules of the `croner` crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "RawCronLine")]
pub struct CronLine {
    line: String,
    time_zone: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCronLine {
    line: String,
    time_zone: String,
}

/// A cron line or a time zone that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CronError {
    /// The line.
    #[error(
        "{line:?} is not a cron line ({reason}): expected five fields, minute hour day month weekday, such as 30 4 * * 1-5"
    )]
    Line {
        /// What was given.
        line: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The time zone.
    #[error("{0:?} is not a time zone: expected a name such as UTC or Europe/Berlin")]
    TimeZone(String),
}

impl CronLine {
    /// Reads a line.
    ///
    /// # Errors
    /// The line has not five readable fields, or the zone is not in the time zone database.
    pub fn new(line: impl Into<String>, time_zone: impl Into<String>) -> Result<Self, CronError> {
        let parsed = Self {
            line: line.into(),
            time_zone: time_zone.into(),
        };
        parsed.pattern()?;
        parsed.zone()?;
        Ok(parsed)
    }

    /// The five fields.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The name of the zone.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        &self.time_zone
    }

    /// The first moment after `after`; none if there is no more.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let zone = self.zone().ok()?;
        let pattern = self.pattern().ok()?;
        pattern
            .find_next_occurrence(&after.to_zoned(zone), false)
            .ok()
            .map(|zoned| zoned.timestamp())
    }

    fn pattern(&self) -> Result<croner::Cron, CronError> {
        // a field for seconds or years would be read as something else by every other cron
        croner::parser::CronParser::builder()
            .seconds(croner::parser::Seconds::Disallowed)
            .year(croner::parser::Year::Disallowed)
            .build()
            .parse(&self.line)
            .map_err(|error| CronError::Line {
                line: self.line.clone(),
                reason: error.to_string(),
            })
    }

    fn zone(&self) -> Result<TimeZone, CronError> {
        // the bundled database: the machine's may be missing or years old
        TimeZoneDatabase::bundled()
            .get(&self.time_zone)
            .map_err(|_| CronError::TimeZone(self.time_zone.clone()))
    }
}

impl TryFrom<RawCronLine> for CronLine {
    type Error = CronError;

    fn try_from(raw: RawCronLine) -> Result<Self, Self::Error> {
        Self::new(raw.line, raw.time_zone)
    }
}

#[cfg(test)]
mod tests;
