//! The manifest as it is written, and what is made of it: everything is checked when it is read.

use std::collections::BTreeMap;

use optio_core::failure::FailureClass;
use serde::Deserialize;
use thiserror::Error;

use super::{
    rules::{Format, RawLine, Rules},
    template::{Place, Template},
};

/// What is wrong with a manifest, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key}: {message}")]
pub struct ManifestError {
    /// The key, or the line.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

pub(super) fn wrong(key: impl Into<String>, message: impl Into<String>) -> ManifestError {
    ManifestError {
        key: key.into(),
        message: message.into(),
    }
}

/// A manifest that holds together.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) program: String,
    pub(super) args: Vec<Template>,
    pub(super) prompt: PromptBy,
    pub(super) prompt_args: Vec<Template>,
    pub(super) model: Option<Vec<Template>>,
    pub(super) start: Vec<Template>,
    pub(super) resume: Option<Vec<Template>>,
    pub(super) env: BTreeMap<String, Template>,
    pub(super) secrets: Vec<String>,
    pub(super) leftovers: Vec<String>,
    pub(super) variables: Vec<String>,
    pub(super) version: Vec<String>,
    pub(super) tested: Option<[String; 2]>,
    pub(super) remedy: String,
    pub(super) exit: BTreeMap<i32, FailureClass>,
    pub(super) finished: Finished,
    pub(super) prices: Prices,
    pub(super) hum: Vec<String>,
    pub(super) rules: Rules,
}

/// How the program is given the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PromptBy {
    /// It reads it.
    Stdin,
    /// As an argument, which others on the machine can see, and which has a limit.
    Argument,
    /// In a file, whose name is an argument.
    File,
}

/// What shows that the work is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Finished {
    /// Exit code 0 and an event that is a result.
    #[default]
    Result,
    /// Exit code 0, unless a result or an error says otherwise.
    ExitCode,
}

/// Who knows what its tokens cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Prices {
    /// The program tells it, or nobody.
    #[default]
    Told,
    /// The price table does, where the program tells nothing or less.
    Listed,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawManifest {
    name: String,
    program: String,
    #[serde(default)]
    args: Vec<String>,
    prompt: PromptBy,
    prompt_args: Option<Vec<String>>,
    model_args: Option<Vec<String>>,
    start_args: Option<Vec<String>>,
    resume_args: Option<Vec<String>>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    variables: Vec<String>,
    #[serde(default)]
    leftovers: Vec<String>,
    version: RawVersion,
    #[serde(default)]
    exit: BTreeMap<String, String>,
    output: RawOutput,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVersion {
    args: Vec<String>,
    tested: Option<[String; 2]>,
    remedy: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutput {
    format: Format,
    #[serde(default)]
    finished: Finished,
    #[serde(default)]
    prices: Prices,
    #[serde(default)]
    hum: Vec<String>,
    otherwise: Option<String>,
    #[serde(default)]
    line: Vec<RawLine>,
}

/// The size up to which a prompt can be an argument on every system: Linux takes 128 KiB.
pub(super) const MAX_ARGUMENT: usize = 128 * 1024 - 1;

impl Manifest {
    pub(super) fn parse(text: &str) -> Result<Self, ManifestError> {
        let raw: RawManifest = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                text[..span.start.min(text.len())].matches('\n').count() + 1
            });
            wrong(format!("line {line}"), error.message())
        })?;
        let typed =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        if raw.name.is_empty() || !raw.name.chars().all(typed) {
            let message = format!("{:?} is no name: use small letters, digits and -", raw.name);
            return Err(wrong("name", message));
        }
        if raw.program.is_empty() {
            return Err(wrong(
                "program",
                "it is empty: name the program or its path",
            ));
        }
        let prompt_args = prompt_args(&raw)?;
        Ok(Self {
            args: templates("args", &raw.args, &[])?,
            prompt: raw.prompt,
            prompt_args,
            model: optional("model-args", raw.model_args.as_deref(), Place::Model)?,
            start: optional("start-args", raw.start_args.as_deref(), Place::Session)?
                .unwrap_or_default(),
            resume: optional("resume-args", raw.resume_args.as_deref(), Place::Session)?,
            env: env(&raw.env)?,
            secrets: names("secrets", &raw.secrets, &raw)?,
            variables: names("variables", &raw.variables, &raw)?,
            leftovers: leftovers(&raw.leftovers)?,
            exit: exit(&raw.exit)?,
            finished: raw.output.finished,
            prices: raw.output.prices,
            hum: raw.output.hum,
            rules: Rules::new(
                raw.output.format,
                raw.output.otherwise.as_deref(),
                raw.output.line,
            )?,
            name: raw.name,
            program: raw.program,
            version: raw.version.args,
            tested: raw.version.tested,
            remedy: raw.version.remedy,
        })
    }
}

fn templates(
    key: &str,
    texts: &[String],
    allowed: &[Place],
) -> Result<Vec<Template>, ManifestError> {
    let parse =
        |text: &String| Template::parse(text, allowed).map_err(|message| wrong(key, message));
    texts.iter().map(parse).collect()
}

/// Arguments that are there for the sake of one place, which has to stand in them.
fn optional(
    key: &str,
    texts: Option<&[String]>,
    place: Place,
) -> Result<Option<Vec<Template>>, ManifestError> {
    let Some(texts) = texts else {
        return Ok(None);
    };
    let templates = templates(key, texts, &[place])?;
    if !templates.iter().any(|template| template.holds(place)) {
        return Err(wrong(key, format!("{place} is missing in it")));
    }
    Ok(Some(templates))
}

fn prompt_args(raw: &RawManifest) -> Result<Vec<Template>, ManifestError> {
    let (key, texts) = ("prompt-args", raw.prompt_args.as_deref());
    let place = match raw.prompt {
        PromptBy::Stdin => {
            return templates(key, texts.unwrap_or_default(), &[]);
        }
        PromptBy::Argument => Place::Prompt,
        PromptBy::File => Place::PromptFile,
    };
    optional(key, texts, place)?
        .ok_or_else(|| wrong(key, format!("it is missing: say where {place} stands")))
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

fn env(raw: &BTreeMap<String, String>) -> Result<BTreeMap<String, Template>, ManifestError> {
    let pairs = raw.iter().map(|(name, text)| {
        let key = format!("env.{name}");
        if !is_variable(name) {
            return Err(wrong(key, "it cannot be the name of a variable"));
        }
        let template = Template::parse(text, &[]).map_err(|message| wrong(key, message))?;
        Ok((name.clone(), template))
    });
    pairs.collect()
}

/// Variables to be taken over, none of which may stand in two lists.
fn names(key: &str, names: &[String], raw: &RawManifest) -> Result<Vec<String>, ManifestError> {
    for name in names {
        if !is_variable(name) {
            let message = format!("{name:?} cannot be the name of a variable");
            return Err(wrong(key, message));
        }
        let lists = [&raw.secrets, &raw.variables];
        let count = lists
            .into_iter()
            .flatten()
            .filter(|other| *other == name)
            .count();
        if raw.env.contains_key(name) || count > 1 {
            let message =
                format!("{name} stands twice in env, secrets and variables: keep one of them");
            return Err(wrong(key, message));
        }
    }
    Ok(names.to_vec())
}

/// Patterns, each of which is a line.
fn leftovers(raw: &[String]) -> Result<Vec<String>, ManifestError> {
    match raw
        .iter()
        .find(|it| it.trim().is_empty() || it.contains('\n'))
    {
        Some(pattern) => Err(wrong(
            "leftovers",
            format!("{pattern:?} is no pattern: write one as in a .gitignore"),
        )),
        None => Ok(raw.to_vec()),
    }
}

fn exit(raw: &BTreeMap<String, String>) -> Result<BTreeMap<i32, FailureClass>, ManifestError> {
    let pairs = raw.iter().map(|(code, name)| {
        let key = format!("exit.{code}");
        let code = code
            .parse()
            .ok()
            .filter(|code| (1..=255).contains(code))
            .ok_or_else(|| wrong(key.clone(), "expected an exit code from 1 to 255"))?;
        Ok((code, class(&key, name)?))
    });
    pairs.collect()
}

/// A class of failure by its name.
pub(super) fn class(key: &str, name: &str) -> Result<FailureClass, ManifestError> {
    name.parse().map_err(|_| {
        let known: Vec<&str> = FailureClass::ALL.iter().map(|class| class.name()).collect();
        wrong(
            key,
            format!(
                "{name:?} is no class of failure: use one of {}",
                known.join(", ")
            ),
        )
    })
}
