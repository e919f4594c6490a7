//! The script: sections of steps, found in a prompt and parsed as a whole.

#[cfg(test)]
mod tests;

use optio_core::run::RunKind;
use thiserror::Error;

use super::step::{self, Parsed, Step};

/// The word behind the fence of a script in a prompt.
const FENCE: &str = "optio-script";

/// What a scripted agent does, by the kind of its run.
///
/// A script is a text of lines. A line in brackets opens the section for a kind of run: `[first]`, `[resume-ci]`,
/// `[resume-review]`, `[resume-conflict]`, `[review]` or `[retry]`; `[any]`, which is also meant by steps above the
/// first section, stands in for those that are missing. `[first 2]` holds from the second time on that a run of this
/// kind belongs to the same session. A retry without a section does what the first run does. Empty lines and lines that
/// start with `#` say nothing; every other line is a step:
///
/// | step | what the agent does |
/// |---|---|
/// | `say TEXT`, `think TEXT` | says it, thinks it |
/// | `edit PATH <<END` | writes the following lines, up to the line `END`, to the file; any word will do for `END` |
/// | `append PATH <<END` | adds the lines to the end of the file |
/// | `delete PATH` | removes the file |
/// | `run COMMAND` | runs it through `sh -c`; if it fails, the run ends as failed |
/// | `try COMMAND` | the same, but goes on in any case |
/// | `when COMMAND` | goes on if it succeeds; if it fails, the run ends here as a success |
/// | `commit MESSAGE` | commits all that was changed |
/// | `comment PATH:LINE TEXT` | adds a remark to the verdict that follows |
/// | `verdict approve\|request_changes TEXT` | writes its verdict to the file that it was given |
/// | `cost USD [IN OUT]` | uses up money and, if given, so many tokens in and out |
/// | `rate-limit SECONDS` | is refused until then, and ends with exit code 1 |
/// | `fail CODE [MESSAGE]` | writes the message to stderr and ends with the exit code |
/// | `error KIND MESSAGE` | reports an error such as `authentication_failed`, and ends with exit code 1 |
/// | `hang` | does and prints nothing for ever |
/// | `sleep MILLISECONDS` | waits |
/// | `spam LINES` | says so many lines |
/// | `raw TEXT` | prints a line that is none of the stream |
/// | `bytes HEX` | prints just these bytes, without a line feed; the next step begins a new line |
/// | `long BYTES` | says a text in a line of this length |
/// | `lie` | claims to have done everything, and ends with success |
/// | `crash` | dies by SIGKILL |
/// | `spawn-stray COMMAND` | starts it in a session of its own, and leaves it running |
/// | `wait-file PATH` | waits until the file exists |
///
/// Files that the agent changes lie below its working directory; `wait-file` may look anywhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    sections: Vec<Section>,
}

#[derive(Debug, Clone, PartialEq)]
struct Section {
    kind: Option<RunKind>, // none is [any]
    from_time: u32,
    line: usize,
    steps: Vec<Step>,
}

/// Why a text is not a script.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line of a script.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// No step has this name.
    #[error("there is no step {word:?}; the steps are {}", step::names())]
    UnknownStep {
        /// The first word of the line.
        word: String,
    },
    /// The step is not written like this.
    #[error("{name} is written: {usage}")]
    Usage {
        /// The step.
        name: &'static str,
        /// How it is written.
        usage: &'static str,
    },
    /// No section has this heading.
    #[error(
        "there is no section {heading}; the sections are [first], [resume-ci], [resume-review], [resume-conflict], \
         [review], [retry] and [any], and [first 2] holds from the second time on"
    )]
    UnknownSection {
        /// The heading, with its brackets.
        heading: String,
    },
    /// The section is there already.
    #[error("the section {heading} was opened on line {earlier} already; put all its steps there")]
    SectionAgain {
        /// The heading, with its brackets.
        heading: String,
        /// The line where it was opened.
        earlier: usize,
    },
    /// The text of a file has no end.
    #[error(
        "the text that begins here has no end; close it with a line that says {end} and nothing else"
    )]
    NoEnd {
        /// The word that ends it.
        end: String,
    },
    /// The path leads out of the working directory, or is no file.
    #[error("{path:?} is not a file below the working directory; give a relative path without ..")]
    OutsidePath {
        /// The path.
        path: String,
    },
    /// No run gets there.
    #[error(
        "no run gets here, for the step on line {last} ends it; remove that step or move this one"
    )]
    Unreachable {
        /// The line of the step that ends the run.
        last: usize,
    },
    /// A remark that no verdict takes up.
    #[error("no verdict follows this comment in its section; add one below it")]
    StrayComment,
    /// There is nothing to do.
    #[error("there is no step in the script; write at least one, such as: say hello")]
    Empty,
}

impl Script {
    /// Parses a script.
    ///
    /// # Errors
    /// The first line that is wrong, with the way out.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut parser = Parser::default();
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line));
        while let Some((number, line)) = lines.next() {
            let at = |problem| ScriptError {
                line: number,
                problem,
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with('[') {
                parser.open(number, line)?;
                continue;
            }
            let step = match Step::parse(line).map_err(at)? {
                Parsed::Whole(step) => step,
                Parsed::Wants { end, make, path } => {
                    let mut content = String::new();
                    loop {
                        match lines.next() {
                            Some((_, line)) if line.trim_end() == end => break make(path, content),
                            Some((_, line)) => content += &format!("{line}\n"),
                            None => return Err(at(Problem::NoEnd { end })),
                        }
                    }
                }
            };
            parser.push(number, step)?;
        }
        parser.finish()
    }

    /// The text of the first script in `prompt`: what stands between a line of three or more backticks with the word
    /// `optio-script` behind them, and the next line of as many backticks (or the end).
    #[must_use]
    pub fn find(prompt: &str) -> Option<String> {
        let mut lines = prompt.lines();
        let fence = lines.find_map(|line| {
            let line = line.trim();
            let word = line.trim_start_matches('`');
            let ticks = line.len() - word.len();
            (ticks >= 3 && word.trim() == FENCE).then(|| "`".repeat(ticks))
        })?;
        let inside = lines.take_while(|line| line.trim() != fence);
        Some(inside.flat_map(|line| [line, "\n"]).collect())
    }

    /// The steps for a run of `kind`, which happens for the `time`-th time (from 1) in its session; none if the script
    /// has no section for it.
    #[must_use]
    pub fn steps(&self, kind: RunKind, time: u32) -> Option<&[Step]> {
        let latest = |wanted: Option<RunKind>| {
            let held = self
                .sections
                .iter()
                .filter(|section| section.kind == wanted && section.from_time <= time);
            held.max_by_key(|section| section.from_time)
        };
        let instead = || {
            (kind == RunKind::Retry)
                .then(|| latest(Some(RunKind::First)))
                .flatten()
        };
        let section = latest(Some(kind))
            .or_else(|| latest(None))
            .or_else(instead)?;
        Some(&section.steps)
    }
}

#[derive(Debug, Default)]
struct Parser {
    sections: Vec<Section>,
    last: Option<usize>, // the line of the step that ends the current section's run
    comment: Option<usize>, // the line of the first comment that still waits for a verdict
}

impl Parser {
    fn open(&mut self, line: usize, heading: &str) -> Result<(), ScriptError> {
        let unknown = || ScriptError {
            line,
            problem: Problem::UnknownSection {
                heading: heading.to_owned(),
            },
        };
        let inner = heading
            .trim_start_matches('[')
            .strip_suffix(']')
            .ok_or_else(unknown)?;
        let (name, time) = inner.trim().split_once(' ').unwrap_or((inner.trim(), "1"));
        let from_time = time
            .trim()
            .parse()
            .ok()
            .filter(|&time: &u32| time > 0)
            .ok_or_else(unknown)?;
        let kind = if name == "any" {
            None
        } else {
            Some(kind(name).ok_or_else(unknown)?)
        };
        self.begin(
            Section {
                kind,
                from_time,
                line,
                steps: Vec::new(),
            },
            heading,
        )
    }

    fn begin(&mut self, section: Section, heading: &str) -> Result<(), ScriptError> {
        self.close()?;
        let same =
            |other: &&Section| (other.kind, other.from_time) == (section.kind, section.from_time);
        if let Some(earlier) = self.sections.iter().find(same).map(|other| other.line) {
            let problem = Problem::SectionAgain {
                heading: heading.to_owned(),
                earlier,
            };
            return Err(ScriptError {
                line: section.line,
                problem,
            });
        }
        self.sections.push(section);
        Ok(())
    }

    fn push(&mut self, line: usize, step: Step) -> Result<(), ScriptError> {
        if self.sections.is_empty() {
            self.sections.push(Section {
                kind: None,
                from_time: 1,
                line,
                steps: Vec::new(),
            });
        }
        if let Some(last) = self.last {
            return Err(ScriptError {
                line,
                problem: Problem::Unreachable { last },
            });
        }
        match step {
            Step::Comment(_) => self.comment = self.comment.or(Some(line)),
            Step::Verdict { .. } => self.comment = None,
            _ => {}
        }
        self.last = step.is_last().then_some(line);
        if let Some(section) = self.sections.last_mut() {
            section.steps.push(step);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), ScriptError> {
        self.last = None;
        match self.comment.take() {
            Some(line) => Err(ScriptError {
                line,
                problem: Problem::StrayComment,
            }),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Script, ScriptError> {
        self.close()?;
        if self.sections.iter().all(|section| section.steps.is_empty()) {
            return Err(ScriptError {
                line: 1,
                problem: Problem::Empty,
            });
        }
        Ok(Script {
            sections: self.sections,
        })
    }
}

/// The kind of run with this name, in `kebab-case` as in scripts, or in `snake_case`.
pub(super) fn kind(name: &str) -> Option<RunKind> {
    let name = name.replace('_', "-");
    RunKind::ALL.into_iter().find(|kind| kind.as_str() == name)
}
