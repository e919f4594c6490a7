//! Arguments with places to be filled: `--model={model}`. What fills a place is data; it never becomes more than one
//! argument, and no shell sees it.

use std::{collections::BTreeMap, fmt};

/// What can stand in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The prompt itself.
    Prompt,
    /// The file with the prompt.
    PromptFile,
    /// The model.
    Model,
    /// The session: the one to go on with, or the id of a new one.
    Session,
    /// The worktree.
    Worktree,
    /// The folder of the run's own files.
    Files,
    /// The file with the task's full text.
    TaskFile,
    /// The file for a review's verdict.
    VerdictFile,
    /// The run's id.
    Run,
}

impl Place {
    const ALL: [(&'static str, Self); 9] = [
        ("prompt", Self::Prompt),
        ("prompt-file", Self::PromptFile),
        ("model", Self::Model),
        ("session", Self::Session),
        ("worktree", Self::Worktree),
        ("files", Self::Files),
        ("task-file", Self::TaskFile),
        ("verdict-file", Self::VerdictFile),
        ("run", Self::Run),
    ];

    fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, place)| *place)
    }

    /// Whether it can be filled in every run.
    fn is_always_there(self) -> bool {
        !matches!(
            self,
            Self::Prompt | Self::PromptFile | Self::Model | Self::Session
        )
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, place)| place == self);
        write!(f, "{{{}}}", name.map_or("", |(name, _)| name))
    }
}

/// What the places are filled with.
pub(super) type Filling = BTreeMap<Place, String>;

/// One argument, or the value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

impl Template {
    /// Reads a template in which, beside those that are always there, these places may stand.
    pub(super) fn parse(text: &str, allowed: &[Place]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = after.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = after.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else if let Some((name, after)) =
                after.strip_prefix('{').and_then(|it| it.split_once('}'))
            {
                let place = Place::named(name).ok_or_else(|| {
                    let known = Place::ALL.map(|(name, _)| format!("{{{name}}}"));
                    format!("{{{name}}} is no known place: use {}", known.join(", "))
                })?;
                if !place.is_always_there() && !allowed.contains(&place) {
                    return Err(format!("{place} cannot stand here"));
                }
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Place(place));
                rest = after;
            } else {
                return Err(format!(
                    "{text:?} holds a lone brace: write {{{{ or }}}} for one"
                ));
            }
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    /// With its places filled; those that have no filling stay empty.
    pub(super) fn fill(&self, filling: &Filling) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Place(place) => filling.get(place).map_or("", String::as_str),
        });
        parts.collect()
    }

    /// Whether this place is in it.
    pub(super) fn holds(&self, place: Place) -> bool {
        self.0.contains(&Part::Place(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_filled_with_data() {
        let filling = Filling::from([
            (Place::Model, "large {run} $(rm -rf /)".to_owned()),
            (Place::Run, "7".to_owned()),
        ]);
        let fill = |text: &str| {
            Template::parse(text, &[Place::Model]).map(|template| template.fill(&filling))
        };
        let rows = [
            "--model={model}/{run}",
            "{{model}} {{}}",
            "plain",
            "",
            "{modell}",
            "{session}",
            "a } b",
            "{model",
        ];
        let table = rows.map(|row| match fill(row) {
            Ok(text) => format!("{row} => {text:?}"),
            Err(error) => format!("{row} is refused: {error}"),
        });
        insta::assert_snapshot!(table.join("\n"), @r#"
        --model={model}/{run} => "--model=large {run} $(rm -rf /)/7"
        {{model}} {{}} => "{model} {}"
        plain => "plain"
         => ""
        {modell} is refused: {modell} is no known place: use {prompt}, {prompt-file}, {model}, {session}, {worktree}, {files}, {task-file}, {verdict-file}, {run}
        {session} is refused: {session} cannot stand here
        a } b is refused: "a } b" holds a lone brace: write {{ or }} for one
        {model is refused: "{model" holds a lone brace: write {{ or }} for one
        "#);
    }
}
