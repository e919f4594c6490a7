//! The layers that settings come from: flags over environment over file over defaults. Mistakes are gathered, not
//! thrown: whoever starts the server learns of all of them at once.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use super::setting::{Origin, Setting};

/// The variables of a process.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The variables of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// The same with one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// A variable, if it is set, not empty and text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(&OsString::from(name))
            .and_then(|value| value.to_str())
            .filter(|value| !value.is_empty())
    }

    /// A variable that holds an absolute path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.0
            .get(&OsString::from(name))
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    }

    /// Those of these variables that are set, as text.
    #[must_use]
    pub fn pick(&self, names: &[&str]) -> BTreeMap<String, String> {
        names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.text(name)?.to_owned())))
            .collect()
    }
}

impl<'v> FromIterator<(&'v str, &'v str)> for Environment {
    fn from_iter<T: IntoIterator<Item = (&'v str, &'v str)>>(variables: T) -> Self {
        let pairs = variables.into_iter();
        Self(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        variables.into_iter().collect()
    }
}

/// All mistakes in a configuration, each naming where it was made and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "the configuration has a mistake: {one}"),
            many => {
                write!(f, "the configuration has {} mistakes:", many.len())?;
                for mistake in many {
                    write!(f, "\n  - {mistake}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Mistakes {}

/// What was set where, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Layers {
    flags: BTreeMap<Setting, String>,
    environment: Environment,
    file: Option<(PathBuf, BTreeMap<Setting, String>)>,
    /// The tables of single agents in the file, by their names.
    pub(super) agents: BTreeMap<String, toml::Table>,
    pub(super) mistakes: Vec<String>,
}

impl Layers {
    pub(super) fn new(flags: BTreeMap<Setting, String>, environment: &Environment) -> Self {
        let mut mistakes = Vec::new();
        for setting in Setting::ALL {
            let name = setting.variable();
            if environment
                .0
                .get(&OsString::from(&name))
                .is_some_and(|value| value.to_str().is_none())
            {
                mistakes.push(format!("{name} is not UTF-8: set it to plain text"));
            }
        }
        Self {
            flags,
            environment: environment.clone(),
            file: None,
            agents: BTreeMap::new(),
            mistakes,
        }
    }

    /// Reads a file. One that was asked for by name must be there.
    pub(super) fn read_file(&mut self, path: &Path, asked_for: AskedFor) {
        let shown = path.display();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if asked_for == AskedFor::No && error.kind() == io::ErrorKind::NotFound => {
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.mistakes.push(format!(
                    "--config {shown} does not exist: create it, or leave the flag out"
                ));
            }
            Err(error) => {
                return self.mistakes.push(format!(
                    "{shown} cannot be read ({error}): check its permissions"
                ));
            }
        };
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                let at = error.span().map_or(1, |span| {
                    text[..span.start.min(text.len())].matches('\n').count() + 1
                });
                return self.mistakes.push(format!(
                    "{shown} is not TOML, line {at}: {}",
                    error.message()
                ));
            }
        };
        let mut values = BTreeMap::new();
        for (key, value) in table {
            if key == AGENT {
                self.tables_of_agents(value, path);
                continue;
            }
            let Some(setting) = Setting::ALL
                .into_iter()
                .find(|setting| setting.key() == key)
            else {
                let nearest = nearest(&key, Setting::ALL.iter().map(|setting| setting.key()));
                self.mistakes.push(format!(
                    "{key} in {shown} is not a setting: {}",
                    did_you_mean(nearest)
                ));
                continue;
            };
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Float(number) => number.to_string(),
                toml::Value::Table(_) if setting == Setting::Agents => {
                    self.mistakes.push(format!(
                        "{key} in {shown} is a table: expected a folder with manifests; what is set of an agent is the table [{AGENT}.NAME]"
                    ));
                    continue;
                }
                other => {
                    self.mistakes.push(format!(
                        "{key} in {shown} is {}: expected text or a number",
                        kind_of(&other)
                    ));
                    continue;
                }
            };
            values.insert(setting, value);
        }
        self.file = Some((path.to_owned(), values));
    }

    fn tables_of_agents(&mut self, value: toml::Value, path: &Path) {
        let toml::Value::Table(agents) = value else {
            return self.mistakes.push(format!(
                "{AGENT} in {} is {}: expected tables [{AGENT}.NAME]",
                path.display(),
                kind_of(&value)
            ));
        };
        for (name, value) in agents {
            match value {
                toml::Value::Table(table) => {
                    self.agents.insert(name, table);
                }
                other => self.mistakes.push(format!(
                    "{AGENT}.{name} in {} is {}: expected a table [{AGENT}.{name}]",
                    path.display(),
                    kind_of(&other)
                )),
            }
        }
    }

    /// A place in the file.
    pub(super) fn place(&self, key: &str) -> String {
        let file = self.file.as_ref().map(|(path, _)| path.display());
        file.map_or_else(|| key.to_owned(), |file| format!("{key} in {file}"))
    }

    /// A variable of the environment that belongs to no [`Setting`].
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.text(name)
    }

    /// The value that counts, and where it came from.
    pub(super) fn get(&self, setting: Setting) -> Option<(Origin, &str)> {
        if let Some(value) = self.flags.get(&setting) {
            return Some((Origin::Flag(setting), value));
        }
        let common = setting.common_variable().map(str::to_owned);
        for name in [Some(setting.variable()), common].into_iter().flatten() {
            if let Some(value) = self.environment.text(&name) {
                return Some((Origin::Variable(name), value));
            }
        }
        let (path, values) = self.file.as_ref()?;
        Some((
            Origin::File(setting, path.display().to_string()),
            values.get(&setting)?,
        ))
    }

    /// Reads the value that counts. `expected` says what it should be; a mistake is noted and gives nothing.
    pub(super) fn read<T>(
        &mut self,
        setting: Setting,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let (origin, text) = self.get(setting)?;
        let parsed = parse(text.trim());
        if parsed.is_none() {
            let mistake = format!("{origin} is {text:?}: expected {expected}");
            self.mistakes.push(mistake);
        }
        parsed
    }

    pub(super) fn origin(&self, setting: Setting) -> Origin {
        self.get(setting)
            .map_or(Origin::Default(setting), |(origin, _)| origin)
    }
}

/// Whether somebody named a file, or it is only looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AskedFor {
    Yes,
    No,
}

/// The table of the file with what is set of single agents.
const AGENT: &str = "agent";

fn kind_of(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "text",
        toml::Value::Integer(_) | toml::Value::Float(_) => "a number",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Array(_) => "a list",
        toml::Value::Table(_) => "a table",
        _ => "a date",
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("did you mean {name}?"),
        None => format!(
            "choose one of {}, [{AGENT}.NAME]",
            Setting::ALL.map(Setting::key).join(", ")
        ),
    }
}

/// The name that was most likely meant: no more than a third of its letters differ.
pub(crate) fn nearest<'n>(
    wrong: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let wrong = wrong.to_lowercase();
    let distance = |name: &&str| edits(&wrong, &name.to_lowercase());
    let best = names.into_iter().min_by_key(distance)?;
    (distance(&best) * 3 <= best.len().max(3)).then_some(best)
}

/// How many letters have to be added, removed or replaced (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
