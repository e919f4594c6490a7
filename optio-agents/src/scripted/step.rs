//! One step of a script: what it is, and how it is written on its line.

use std::{
    path::{Component, Path},
    time::Duration,
};

use optio_core::{
    money::Usd,
    pull_request::{ReviewComment, ReviewVerdict},
};

use super::script::Problem;

/// The longest line that `long` prints, in bytes.
const MAX_LONG: usize = 256 << 20;

/// The shortest line of the stream that can hold a text: `{"type":"text","text":""}`.
pub(super) const MIN_LONG: usize = 25;

/// Something that the agent does; how each is written stands at [`Script`](super::Script).
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Says a text.
    Say(String),
    /// Thinks a text.
    Think(String),
    /// Writes a file, and the folders above it.
    Edit {
        /// The file, below the working directory.
        path: String,
        /// All that it holds afterwards.
        content: String,
    },
    /// Adds to the end of a file; makes it if it is not there.
    Append {
        /// The file, below the working directory.
        path: String,
        /// What is added.
        content: String,
    },
    /// Removes a file.
    Delete {
        /// The file, below the working directory.
        path: String,
    },
    /// Runs a line of shell.
    Run {
        /// The line, for `sh -c`.
        command: String,
        /// What becomes of the script when it fails.
        on_failure: OnFailure,
    },
    /// Ends the run here, as a success, unless a line of shell succeeds.
    When(String),
    /// Commits all changes.
    Commit(String),
    /// Adds a remark to the verdict that follows.
    Comment(ReviewComment),
    /// Writes the verdict of a review.
    Verdict {
        /// What was decided.
        verdict: ReviewVerdict,
        /// Why.
        summary: String,
    },
    /// Uses up money and tokens.
    Cost {
        /// Money.
        usd: Usd,
        /// Tokens read.
        input_tokens: u64,
        /// Tokens written.
        output_tokens: u64,
    },
    /// Is refused for the rate until then, and ends with exit code 1.
    RateLimit(Duration),
    /// Ends with this exit code.
    Fail {
        /// From 1 to 255.
        code: u8,
        /// What is written to stderr.
        message: Option<String>,
    },
    /// Reports an error and ends with exit code 1.
    Error {
        /// What kind of error, such as `authentication_failed`.
        kind: String,
        /// The provider's words.
        message: String,
    },
    /// Does and prints nothing for ever.
    Hang,
    /// Does nothing for a time.
    Sleep(Duration),
    /// Says so many lines.
    Spam(u64),
    /// Prints a line as it is.
    Raw(String),
    /// Prints bytes as they are.
    Bytes(Vec<u8>),
    /// Says a text such that its line is this long, in bytes without the line feed.
    Long(usize),
    /// Claims to have done everything and ends with success.
    Lie,
    /// Dies by SIGKILL.
    Crash,
    /// Starts a line of shell in a session of its own, and leaves it running.
    SpawnStray(String),
    /// Waits until a file exists.
    WaitFile(String),
}

/// What becomes of the script when a command fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It ends with a failure.
    Stop,
    /// It goes on.
    GoOn,
}

/// A step as far as its first line tells.
#[derive(Debug)]
pub(super) enum Parsed {
    /// Nothing is missing.
    Whole(Step),
    /// The lines up to `end` make it whole.
    Wants {
        end: String,
        make: fn(String, String) -> Step,
        path: String,
    },
}

/// The name of every step and how it is written.
const STEPS: &[(&str, &str)] = &[
    ("say", "say TEXT"),
    ("think", "think TEXT"),
    ("edit", "edit PATH <<END"),
    ("append", "append PATH <<END"),
    ("delete", "delete PATH"),
    ("run", "run COMMAND"),
    ("try", "try COMMAND"),
    ("when", "when COMMAND"),
    ("commit", "commit MESSAGE"),
    ("comment", "comment PATH:LINE TEXT"),
    ("verdict", "verdict approve|request_changes TEXT"),
    ("cost", "cost USD [INPUT_TOKENS OUTPUT_TOKENS]"),
    ("rate-limit", "rate-limit SECONDS"),
    ("fail", "fail CODE [MESSAGE], with a code from 1 to 255"),
    ("error", "error KIND MESSAGE"),
    ("hang", "hang"),
    ("sleep", "sleep MILLISECONDS"),
    ("spam", "spam LINES"),
    ("raw", "raw TEXT"),
    ("bytes", "bytes HEX, two digits for each byte"),
    ("long", "long BYTES, with 25 to 268435456 bytes"),
    ("lie", "lie"),
    ("crash", "crash"),
    ("spawn-stray", "spawn-stray COMMAND"),
    ("wait-file", "wait-file PATH"),
];

/// The names of all steps, for a message.
pub(super) fn names() -> String {
    STEPS
        .iter()
        .map(|&(name, _)| name)
        .collect::<Vec<_>>()
        .join(", ")
}

impl Step {
    /// Reads the first line of a step.
    pub(super) fn parse(line: &str) -> Result<Parsed, Problem> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let Some(&(name, usage)) = STEPS.iter().find(|&&(name, _)| name == word) else {
            return Err(Problem::UnknownStep {
                word: word.to_owned(),
            });
        };
        let wrong = || Problem::Usage { name, usage };
        let text = || {
            if rest.is_empty() {
                Err(wrong())
            } else {
                Ok(rest.to_owned())
            }
        };
        let alone = |step| {
            if rest.is_empty() {
                Ok(step)
            } else {
                Err(wrong())
            }
        };
        Ok(Parsed::Whole(match name {
            "say" => Self::Say(text()?),
            "think" => Self::Think(text()?),
            "edit" => return file_text(rest, |path, content| Self::Edit { path, content }, wrong),
            "append" => {
                return file_text(rest, |path, content| Self::Append { path, content }, wrong);
            }
            "delete" => Self::Delete {
                path: inside(text()?)?,
            },
            "run" => Self::Run {
                command: text()?,
                on_failure: OnFailure::Stop,
            },
            "try" => Self::Run {
                command: text()?,
                on_failure: OnFailure::GoOn,
            },
            "when" => Self::When(text()?),
            "commit" => Self::Commit(text()?),
            "comment" => Self::Comment(comment(rest).ok_or_else(wrong)?),
            "verdict" => verdict(rest).ok_or_else(wrong)?,
            "cost" => cost(rest).ok_or_else(wrong)?,
            "rate-limit" => Self::RateLimit(Duration::from_secs(
                rest.parse::<u32>().map_err(|_| wrong())?.into(),
            )),
            "fail" => fail(rest).ok_or_else(wrong)?,
            "error" => error(rest).ok_or_else(wrong)?,
            "hang" => alone(Self::Hang)?,
            "sleep" => Self::Sleep(Duration::from_millis(rest.parse().map_err(|_| wrong())?)),
            "spam" => Self::Spam(rest.parse().map_err(|_| wrong())?),
            "raw" => Self::Raw(text()?),
            "bytes" => Self::Bytes(bytes(rest).ok_or_else(wrong)?),
            "long" => {
                let length = rest
                    .parse()
                    .ok()
                    .filter(|length| (MIN_LONG..=MAX_LONG).contains(length));
                Self::Long(length.ok_or_else(wrong)?)
            }
            "lie" => alone(Self::Lie)?,
            "crash" => alone(Self::Crash)?,
            "spawn-stray" => Self::SpawnStray(text()?),
            "wait-file" => Self::WaitFile(text()?),
            _ => {
                return Err(Problem::UnknownStep {
                    word: word.to_owned(),
                });
            }
        }))
    }

    /// Whether nothing can come after it.
    pub(super) fn is_last(&self) -> bool {
        matches!(
            self,
            Self::RateLimit(_)
                | Self::Fail { .. }
                | Self::Error { .. }
                | Self::Hang
                | Self::Lie
                | Self::Crash
        )
    }
}

fn file_text(
    rest: &str,
    make: fn(String, String) -> Step,
    wrong: impl Fn() -> Problem,
) -> Result<Parsed, Problem> {
    let (path, end) = rest.rsplit_once("<<").ok_or_else(&wrong)?;
    let (path, end) = (path.trim(), end.trim());
    if path.is_empty() || end.is_empty() || end.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok(Parsed::Wants {
        end: end.to_owned(),
        make,
        path: inside(path.to_owned())?,
    })
}

/// The path, if it names something below the working directory.
fn inside(path: String) -> Result<String, Problem> {
    let below = Path::new(&path)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let names_a_file = !path.ends_with('/') && Path::new(&path).file_name().is_some();
    if below && names_a_file {
        Ok(path)
    } else {
        Err(Problem::OutsidePath { path })
    }
}

fn comment(rest: &str) -> Option<ReviewComment> {
    let (place, body) = place_and_text(rest)?;
    let (path, line) = place.rsplit_once(':')?;
    let line = line.parse().ok().filter(|&line: &u32| line > 0)?;
    Some(ReviewComment {
        path: path.to_owned(),
        line: Some(line),
        body: body.to_owned(),
    })
}

/// Splits `PATH:LINE TEXT` behind the first word that ends like `:12`, so that a path may hold spaces.
fn place_and_text(rest: &str) -> Option<(&str, &str)> {
    let mut spaces = rest.match_indices(' ').map(|(at, _)| at);
    let is_place = |place: &str| {
        let line = place
            .rsplit_once(':')
            .filter(|(path, _)| !path.is_empty())
            .map(|(_, line)| line);
        line.is_some_and(|line| line.parse::<u32>().is_ok())
    };
    let at = spaces.find(|&at| is_place(&rest[..at]))?;
    Some((&rest[..at], rest[at..].trim())).filter(|(_, text)| !text.is_empty())
}

fn verdict(rest: &str) -> Option<Step> {
    let (word, summary) = rest.split_once(char::is_whitespace)?;
    let verdict = match word {
        "approve" => ReviewVerdict::Approve,
        "request_changes" => ReviewVerdict::RequestChanges,
        _ => return None,
    };
    Some(Step::Verdict {
        verdict,
        summary: summary.trim().to_owned(),
    })
}

fn cost(rest: &str) -> Option<Step> {
    let mut words = rest.split_whitespace();
    let usd = words.next()?.parse().ok()?;
    let (input_tokens, output_tokens) = match (words.next(), words.next(), words.next()) {
        (None, ..) => (0, 0),
        (Some(input), Some(output), None) => (input.parse().ok()?, output.parse().ok()?),
        _ => return None,
    };
    Some(Step::Cost {
        usd,
        input_tokens,
        output_tokens,
    })
}

fn fail(rest: &str) -> Option<Step> {
    let (code, message) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let message = message.trim();
    let code = code.parse().ok().filter(|&code: &u8| code > 0)?;
    Some(Step::Fail {
        code,
        message: (!message.is_empty()).then(|| message.to_owned()),
    })
}

fn error(rest: &str) -> Option<Step> {
    let (kind, message) = rest.split_once(char::is_whitespace)?;
    Some(Step::Error {
        kind: kind.to_owned(),
        message: message.trim().to_owned(),
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len().is_multiple_of(2))?;
    Some(
        digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}
