//! The occasions on which an agent is given a prompt.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::variable::Variable;

/// What a prompt is for. Written `ci_fix`; read also as `ciFix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PromptKind {
    /// A task is begun, or tried again from the start.
    Coding,
    /// The checks of the pull request failed.
    CiFix,
    /// A review requests changes.
    ReviewFix,
    /// The pull request conflicts with its base branch.
    Conflict,
    /// The review agent judges the pull request.
    Review,
}

/// Text that names no kind of prompt.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} is not a kind of prompt: expected coding, ci_fix, review_fix, conflict or review"
)]
pub struct ParsePromptKindError {
    text: String,
}

impl PromptKind {
    /// Every kind, in the order in which a task may meet them.
    pub const ALL: [Self; 5] = [
        Self::Coding,
        Self::CiFix,
        Self::ReviewFix,
        Self::Conflict,
        Self::Review,
    ];

    /// Its name in every interface.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Coding => "coding",
            Self::CiFix => "ci_fix",
            Self::ReviewFix => "review_fix",
            Self::Conflict => "conflict",
            Self::Review => "review",
        }
    }

    /// The template that is used when nothing overrides it.
    #[must_use]
    pub const fn built_in(self) -> &'static str {
        match self {
            Self::Coding => include_str!("builtin/coding.md"),
            Self::CiFix => include_str!("builtin/ci_fix.md"),
            Self::ReviewFix => include_str!("builtin/review_fix.md"),
            Self::Conflict => include_str!("builtin/conflict.md"),
            Self::Review => include_str!("builtin/review.md"),
        }
    }

    /// The variables that a template of this kind may use.
    pub fn variables(self) -> impl Iterator<Item = Variable> {
        Variable::ALL
            .iter()
            .copied()
            .filter(move |variable| variable.kinds().contains(&self))
    }
}

impl fmt::Display for PromptKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PromptKind {
    type Err = ParsePromptKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "coding" => Self::Coding,
            "ci_fix" | "ciFix" => Self::CiFix,
            "review_fix" | "reviewFix" => Self::ReviewFix,
            "conflict" => Self::Conflict,
            "review" => Self::Review,
            _ => {
                return Err(ParsePromptKindError {
                    text: text.chars().take(80).collect(),
                });
            }
        })
    }
}

impl Serialize for PromptKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for PromptKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Cow<'de, str>>::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}
