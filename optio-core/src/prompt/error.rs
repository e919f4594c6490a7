//! What can be wrong with a template, and where.

use std::fmt;

use thiserror::Error;

use super::{kind::PromptKind, variable::Variable};

/// A place in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Position {
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// The place right behind `text` if it begins here.
    pub(super) fn after(self, text: &str) -> Self {
        match text.rfind('\n') {
            None => Self {
                column: self.column + text.chars().count(),
                ..self
            },
            Some(last) => Self {
                line: self.line + text.matches('\n').count(),
                column: 1 + text[last + 1..].chars().count(),
            },
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The first mistake in a template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// `{{` with no `}}` on the same line.
    #[error(
        "{at}: this {{{{ is not closed by }}}} on its line (a literal {{{{ is written {{{{{{{{)"
    )]
    UnclosedTag {
        /// Of the `{{`.
        at: Position,
    },
    /// A tag that is neither a name nor a condition, such as `{{task.title}}` or `{{#if}}`.
    #[error(
        "{at}: {found:?} is not a variable name{}",
        advice(nearest, "names are of A-Z, 0-9 and _; a literal {{ is written {{{{")
    )]
    NotAName {
        /// Of the tag.
        at: Position,
        /// What stands where a name should, shortened.
        found: String,
        /// Known names that it resembles.
        nearest: Vec<Variable>,
    },
    /// `{{#each ..}}`, `{{else if ..}}` and the like.
    #[error(
        "{at}: {found:?} is not a tag: there are {{{{NAME}}}}, {{{{#if NAME}}}}, {{{{else}}}} and {{{{/if}}}}"
    )]
    UnknownTag {
        /// Of the tag.
        at: Position,
        /// What is between the braces, shortened.
        found: String,
    },
    /// `{{else}}` with no `{{#if}}` before it.
    #[error("{at}: {{{{else}}}} without an {{{{#if}}}}")]
    ElseWithoutIf {
        /// Of the `{{else}}`.
        at: Position,
    },
    /// A second `{{else}}` of one `{{#if}}`.
    #[error("{at}: a second {{{{else}}}} for the {{{{#if}}}} of {condition}")]
    SecondElse {
        /// Of the second `{{else}}`.
        at: Position,
        /// Of the `{{#if}}`.
        condition: Position,
    },
    /// `{{/if}}` with no `{{#if}}` before it.
    #[error("{at}: {{{{/if}}}} without an {{{{#if}}}}")]
    EndWithoutIf {
        /// Of the `{{/if}}`.
        at: Position,
    },
    /// `{{#if}}` with no `{{/if}}` after it.
    #[error("{at}: {{{{#if {name}}}}} is not closed by {{{{/if}}}}")]
    UnclosedIf {
        /// Of the innermost such `{{#if}}`.
        at: Position,
        /// Its variable.
        name: String,
    },
    /// No prompt has this variable.
    #[error("{at}: unknown variable {name} in a {kind} prompt{}", advice(nearest, &known(*kind)))]
    UnknownVariable {
        /// Of the tag.
        at: Position,
        /// As written, shortened.
        name: String,
        /// The prompt that the template is for.
        kind: PromptKind,
        /// Names of that prompt which it resembles.
        nearest: Vec<Variable>,
    },
    /// The variable exists, but not in this prompt.
    #[error("{at}: a {kind} prompt has no {variable}, which is for {} ({})", homes(*variable), known(*kind))]
    OtherPrompt {
        /// Of the tag.
        at: Position,
        /// The one that is used.
        variable: Variable,
        /// The prompt that the template is for.
        kind: PromptKind,
    },
}

impl TemplateError {
    /// Where it is.
    #[must_use]
    pub const fn at(&self) -> Position {
        match self {
            Self::UnclosedTag { at }
            | Self::NotAName { at, .. }
            | Self::UnknownTag { at, .. }
            | Self::ElseWithoutIf { at }
            | Self::SecondElse { at, .. }
            | Self::EndWithoutIf { at }
            | Self::UnclosedIf { at, .. }
            | Self::UnknownVariable { at, .. }
            | Self::OtherPrompt { at, .. } => *at,
        }
    }
}

/// The start of what a template says, short enough for a sentence.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

fn advice(nearest: &[Variable], otherwise: &str) -> String {
    match nearest {
        [] => format!(" ({otherwise})"),
        near => format!(", did you mean {}?", listed(near.iter(), " or ")),
    }
}

fn known(kind: PromptKind) -> String {
    format!("known are {}", listed(kind.variables(), ", "))
}

fn homes(variable: Variable) -> String {
    listed(variable.kinds().iter(), ", ")
}

fn listed<T: fmt::Display>(names: impl Iterator<Item = T>, between: &str) -> String {
    names
        .map(|name| name.to_string())
        .collect::<Vec<_>>()
        .join(between)
}
