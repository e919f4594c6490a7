//! The arguments of the process.

use std::{ffi::OsString, path::PathBuf};

use optio_core::run::RunKind;
use thiserror::Error;

use super::script;

/// How the process is called.
pub const USAGE: &str = "\
usage: optio-scripted-agent [OPTION...] < PROMPT

  --prompt-file FILE    read the prompt from FILE instead of stdin
  --task-file FILE      where the task's text stands, if that is not all in the prompt
  --script FILE         the script, if neither the prompt nor the task holds one between
                        ```optio-script and ```; without this option it is .optio/script
  --kind KIND           which section to play: first (the default), resume-ci, resume-review,
                        resume-conflict, review or retry
  --session ID          begin a session with this id
  --resume ID           go on with the session of this id
  --verdict-file FILE   where a review writes its verdict
  --model NAME          the model to claim

sessions are remembered in $OPTIO_SCRIPTED_HOME, or else in $HOME/.optio-scripted";

/// What the caller wants.
#[derive(Debug, PartialEq)]
pub(super) struct Args {
    pub(super) prompt_file: Option<PathBuf>,
    pub(super) task_file: Option<PathBuf>,
    pub(super) script: Option<PathBuf>,
    pub(super) kind: RunKind,
    pub(super) session: Wanted,
    pub(super) verdict_file: Option<PathBuf>,
    pub(super) model: String,
}

/// Which session the run belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A new one with a generated id.
    New,
    /// A new one with this id.
    NewAs(String),
    /// The one of this id.
    Earlier(String),
}

/// Why the arguments cannot be followed.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum ArgsError {
    #[error("there is no option {0:?}; see --help")]
    Unknown(String),
    #[error("{0} wants a value; see --help")]
    NoValue(String),
    #[error("{0} was given twice; give it once")]
    Twice(String),
    #[error(
        "{0:?} is no kind of run; the kinds are first, resume-ci, resume-review, resume-conflict, review and retry"
    )]
    Kind(String),
    #[error("--session begins a session and --resume goes on with one; give one of them")]
    BothSessions,
    #[error(
        "{0:?} cannot be the id of a session; use up to 128 letters, digits, dots, hyphens and underscores, no dot first"
    )]
    SessionId(String),
}

/// What was asked for: a run, or just words about the program.
#[derive(Debug, PartialEq)]
pub(super) enum Call {
    Run(Args),
    Help,
    Version,
}

impl Call {
    pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, ArgsError> {
        let mut given = Given::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let text = arg.to_string_lossy().into_owned();
            match text.as_str() {
                "--help" | "-h" => return Ok(Self::Help),
                "--version" => return Ok(Self::Version),
                _ => {}
            }
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(OsString::from(value))),
                None => (text, None),
            };
            let slot = given.slot(&name)?;
            if slot.is_some() {
                return Err(ArgsError::Twice(name));
            }
            *slot = Some(
                value
                    .or_else(|| args.next())
                    .ok_or(ArgsError::NoValue(name))?,
            );
        }
        given.check().map(Self::Run)
    }
}

#[derive(Debug, Default)]
struct Given {
    prompt_file: Option<OsString>,
    task_file: Option<OsString>,
    script: Option<OsString>,
    kind: Option<OsString>,
    session: Option<OsString>,
    resume: Option<OsString>,
    verdict_file: Option<OsString>,
    model: Option<OsString>,
}

impl Given {
    fn slot(&mut self, name: &str) -> Result<&mut Option<OsString>, ArgsError> {
        Ok(match name {
            "--prompt-file" => &mut self.prompt_file,
            "--task-file" => &mut self.task_file,
            "--script" => &mut self.script,
            "--kind" => &mut self.kind,
            "--session" => &mut self.session,
            "--resume" => &mut self.resume,
            "--verdict-file" => &mut self.verdict_file,
            "--model" => &mut self.model,
            _ => return Err(ArgsError::Unknown(name.to_owned())),
        })
    }

    fn check(self) -> Result<Args, ArgsError> {
        let session = match (self.session, self.resume) {
            (None, None) => Wanted::New,
            (Some(id), None) => Wanted::NewAs(session_id(&id)?),
            (None, Some(id)) => Wanted::Earlier(session_id(&id)?),
            (Some(_), Some(_)) => return Err(ArgsError::BothSessions),
        };
        Ok(Args {
            prompt_file: self.prompt_file.map(PathBuf::from),
            task_file: self.task_file.map(PathBuf::from),
            script: self.script.map(PathBuf::from),
            kind: self.kind.map_or(Ok(RunKind::First), |name| {
                let name = name.to_string_lossy();
                script::kind(&name).ok_or_else(|| ArgsError::Kind(name.clone().into_owned()))
            })?,
            session,
            verdict_file: self.verdict_file.map(PathBuf::from),
            model: self.model.map_or_else(
                || "scripted".to_owned(),
                |model| model.to_string_lossy().into_owned(),
            ),
        })
    }
}

/// An id that is safe as the name of a file.
fn session_id(text: &OsString) -> Result<String, ArgsError> {
    let id = text.to_string_lossy().into_owned();
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if (1..=128).contains(&id.len()) && !id.starts_with('.') && id.chars().all(safe) {
        Ok(id)
    } else {
        Err(ArgsError::SessionId(id))
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn refusal(args: &[&str]) -> String {
        Call::parse(args.iter().map(OsString::from))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_cannot_be_followed_is_refused_with_the_way_out() {
        let rows: &[&[&str]] = &[
            &["--sesion", "a"],
            &["--kind"],
            &["--kind", "resume"],
            &["--session=a", "--resume=a"],
            &["--session", "../a"],
            &["--model", "a", "--model", "b"],
            &["prompt"],
        ];
        let table: Vec<_> = rows
            .iter()
            .map(|args| format!("{}: {}", args.join(" "), refusal(args)))
            .collect();
        assert_snapshot!(table.join("\n"), @r#"
        --sesion a: there is no option "--sesion"; see --help
        --kind: --kind wants a value; see --help
        --kind resume: "resume" is no kind of run; the kinds are first, resume-ci, resume-review, resume-conflict, review and retry
        --session=a --resume=a: --session begins a session and --resume goes on with one; give one of them
        --session ../a: "../a" cannot be the id of a session; use up to 128 letters, digits, dots, hyphens and underscores, no dot first
        --model a --model b: --model was given twice; give it once
        prompt: there is no option "prompt"; see --help
        "#);
    }

    #[test]
    fn a_value_stands_behind_its_option_or_an_equals_sign() {
        let parse = |args: &[&str]| Call::parse(args.iter().map(OsString::from));
        assert_eq!(
            parse(&["--kind", "resume_ci"]),
            parse(&["--kind=resume-ci"])
        );
        assert_eq!(parse(&["--kind=nonsense", "-h"]), Ok(Call::Help));
    }
}
