//! What went wrong, in words for the person who reads it and with advice for the engine that must go on.
//!
//! A [`Failure`] is stored as its [class](FailureClass), its advice and one line of evidence. The words come from the
//! class each time they are shown, so that better words also reach failures of last month.

use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

mod class;

pub use self::class::{FailureCategory, FailureClass, UnknownFailureClass};

/// The longest [detail](Failure::detail) that is kept, in bytes.
pub const MAX_DETAIL: usize = 2048;

/// Why a run, or a step around it, failed; and whether to try again.
///
/// Two failures are told apart by [`class`](Self::class); everything that is shown to people follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which of the known ways to fail this is.
    pub class: FailureClass,
    /// Whether, and at whose cost, to try again.
    pub retry: RetryAdvice,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Whether the same work should be tried again after a failure.
///
/// It is advice from one failure alone: how long to back off, and when to stop for good, is decided with the history
/// of the task in view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAdvice {
    /// It will fail the same way until a person changes something.
    Never,
    /// Worth another try, which counts as one of the task's attempts.
    Attempt,
    /// The infrastructure's fault: try again with backoff, at no cost in attempts.
    Free,
    /// A lack of capacity that ends by itself: back to the queue until then, at no cost in attempts, and on with the
    /// same session.
    Until(Timestamp),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It exited with this code; zero is success.
    Code(i32),
    /// It was killed by the signal of this number.
    Signal(i32),
}

/// What an agent says about its own failure, in the fields of its structured output.
///
/// [`message`](Self::message) is text that the program or its provider wrote about an error, never the model's prose
/// and never the output of a tool: patterns are applied to it, and a repository about billing must not look like an
/// unpaid bill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedError {
    /// The agent's or provider's own name of the error, such as `authentication_failed` or `insufficient_quota`; or
    /// the [name](FailureClass::name) of a class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The status of the provider's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The error's text; may be empty.
    #[serde(default)]
    pub message: String,
    /// When the limit that was hit resets, if the stream says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
}

impl Failure {
    /// A failure of `class`, with the class's own advice and no evidence.
    #[must_use]
    pub fn new(class: FailureClass) -> Self {
        Self {
            class,
            retry: class.retry(),
            detail: None,
        }
    }

    /// The same failure with the line that shows it: cleared of control characters, cut to [`MAX_DETAIL`] bytes.
    /// An empty line is no evidence.
    #[must_use]
    pub fn with_detail(mut self, detail: impl AsRef<str>) -> Self {
        let detail = bounded(detail.as_ref());
        self.detail = (!detail.is_empty()).then_some(detail);
        self
    }

    /// The same failure with other advice.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryAdvice) -> Self {
        self.retry = retry;
        self
    }

    /// The same failure, to be tried again at `at` at no cost in attempts.
    #[must_use]
    pub fn until(self, at: Timestamp) -> Self {
        self.with_retry(RetryAdvice::Until(at))
    }

    /// Which part of the whole it belongs to.
    #[must_use]
    pub fn category(&self) -> FailureCategory {
        self.class.category()
    }

    /// What happened, as a headline.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.class.title()
    }

    /// What happened, in a sentence or two.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.class.description()
    }

    /// What to do now.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        self.class.remedy()
    }

    /// The decisive line of evidence: the agent's error, git's message, the reason of the cluster.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }
}

impl ReportedError {
    /// An error of which only the text is known.
    pub fn message(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }
}

impl From<FailureClass> for Failure {
    fn from(class: FailureClass) -> Self {
        Self::new(class)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())?;
        match self.detail() {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl RetryAdvice {
    /// Whether another try is worth anything without a person.
    #[must_use]
    pub fn is_retry(self) -> bool {
        self != Self::Never
    }

    /// Whether another try counts as one of the task's attempts.
    #[must_use]
    pub fn is_charged(self) -> bool {
        self == Self::Attempt
    }
}

impl fmt::Display for RetryAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Attempt => f.write_str("attempt"),
            Self::Free => f.write_str("free"),
            Self::Until(at) => write!(f, "until {at}"),
        }
    }
}

impl ExitStatus {
    /// Exit code zero.
    pub const SUCCESS: Self = Self::Code(0);

    /// Whether it is exit code zero.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::SUCCESS
    }

    /// The signal that ended the process, also when a shell passed it on as an exit code of 128 and more.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Signal(signal) => Some(signal),
            Self::Code(code @ 129..=159) => Some(code - 128),
            Self::Code(_) => None,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// `text` without colours, control characters and surrounding space, cut at [`MAX_DETAIL`] bytes between two characters.
fn bounded(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text.trim_start().chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' && rest.as_str().starts_with('[') {
            rest.next(); // a terminal's control sequence: "[", parameters, one letter
            rest.find(|c| matches!(c, '\u{40}'..='\u{7e}'));
        } else if kept.len() + c.len_utf8() > MAX_DETAIL {
            break;
        } else if c == '\n' || !c.is_control() {
            kept.push(c);
        }
    }
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn every_class_has_words() {
        let mut table = String::new();
        for &class in FailureClass::ALL {
            let (title, description, remedy) = (class.title(), class.description(), class.remedy());
            assert!(
                !title.is_empty() && !title.ends_with('.'),
                "{class}: {title}"
            );
            assert!(
                description.ends_with('.') && remedy.ends_with('.'),
                "{class}"
            );
            let (category, retry) = (class.category(), class.retry());
            table += &format!(
                "{class} ({category}, {retry}): {title}\n  {description}\n  -> {remedy}\n"
            );
        }
        assert_snapshot!("words", table);
    }

    #[test]
    fn names_and_titles_are_unique() {
        for read in [FailureClass::name, FailureClass::title] {
            let all: std::collections::BTreeSet<_> =
                FailureClass::ALL.iter().map(|&class| read(class)).collect();
            assert_eq!(all.len(), FailureClass::ALL.len());
        }
    }

    #[test]
    fn a_failure_survives_the_store() {
        let failure = Failure::new(FailureClass::RateLimited)
            .with_detail("429 too many requests")
            .until("2026-01-02T03:04:05Z".parse().unwrap());
        let stored = serde_json::to_string(&failure).unwrap();
        assert_snapshot!(stored, @r#"{"class":"rate_limited","retry":{"until":"2026-01-02T03:04:05Z"},"detail":"429 too many requests"}"#);
        assert_eq!(serde_json::from_str::<Failure>(&stored).unwrap(), failure);
        for &class in FailureClass::ALL {
            let stored = serde_json::to_value(Failure::new(class)).unwrap();
            assert_eq!(
                serde_json::from_value::<Failure>(stored).unwrap(),
                Failure::new(class)
            );
        }
    }

    #[test]
    fn a_class_of_a_newer_version_is_read_as_unknown() {
        let failure: Failure =
            serde_json::from_str(r#"{"class":"sun_burnt_out","retry":"free"}"#).unwrap();
        assert_eq!(
            failure,
            Failure::new(FailureClass::Unknown).with_retry(RetryAdvice::Free)
        );
    }

    #[test]
    fn a_detail_is_bounded_and_clean() {
        let failure =
            Failure::new(FailureClass::DiskFull).with_detail("\u{1b}[31m\0no space\nleft ");
        assert_snapshot!(failure, @"
        Disk is full: no space
        left
        ");
        let long = Failure::new(FailureClass::DiskFull).with_detail("é".repeat(MAX_DETAIL));
        assert_eq!(long.detail().map(str::len), Some(MAX_DETAIL));
        assert_eq!(
            Failure::new(FailureClass::DiskFull)
                .with_detail(" \n")
                .detail(),
            None
        );
    }

    #[test]
    fn an_exit_code_beyond_128_tells_the_signal() {
        assert_eq!(ExitStatus::Code(137).signal(), Some(9));
        assert_eq!(ExitStatus::Signal(15).signal(), Some(15));
        assert_eq!(ExitStatus::Code(1).signal(), None);
        assert_snapshot!(format!("{}, {}", ExitStatus::Code(1), ExitStatus::Signal(9)), @"exit code 1, signal 9");
    }
}
