//! Which template is used: the repository's, else the global one, else the built-in one.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{error::TemplateError, kind::PromptKind, parse::Template, render::PromptValues};

/// Templates that somebody put in place of others, for one repository or for all. As JSON: `{"ci_fix": "..."}`.
///
/// A blank template overrides nothing: clearing the text brings back what it replaced.
///
/// Reading one from storage or a request does not check it, so that a template which an update has made invalid can still
/// be shown and mended: [`check`](Self::check) before saving.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PromptOverrides(BTreeMap<PromptKind, String>);

/// Whose template it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The repository's override.
    Repository,
    /// The override for all repositories.
    Global,
    /// Optio's own.
    BuiltIn,
}

/// A prompt that cannot be saved or rendered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PromptError {
    /// An override that may not be saved.
    #[error("{kind} prompt: {error}")]
    Invalid {
        /// Which prompt.
        kind: PromptKind,
        /// What is wrong with its template.
        error: TemplateError,
    },
    /// A template in use that cannot be rendered.
    #[error("the {origin} {kind} prompt: {error}")]
    Unusable {
        /// Which prompt.
        kind: PromptKind,
        /// Whose template.
        origin: Origin,
        /// What is wrong with it.
        error: TemplateError,
    },
    /// The template rendered to nothing that an agent could act on.
    #[error("the {origin} {kind} prompt comes out blank for this task")]
    Blank {
        /// Which prompt.
        kind: PromptKind,
        /// Whose template.
        origin: Origin,
    },
}

impl PromptOverrides {
    /// Puts a template in place, or takes it away if `template` is blank.
    ///
    /// # Errors
    /// [`PromptError::Invalid`], and nothing is changed.
    pub fn set(
        &mut self,
        kind: PromptKind,
        template: impl Into<String>,
    ) -> Result<(), PromptError> {
        let template = template.into();
        if is_blank(&template) {
            self.0.remove(&kind);
        } else {
            check(kind, &template)?;
            self.0.insert(kind, template);
        }
        Ok(())
    }

    /// The override of one prompt, if there is one.
    #[must_use]
    pub fn get(&self, kind: PromptKind) -> Option<&str> {
        self.iter()
            .find_map(|(of, template)| (of == kind).then_some(template))
    }

    /// Every override, in the order of [`PromptKind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (PromptKind, &str)> {
        self.0
            .iter()
            .map(|(&kind, template)| (kind, template.as_str()))
            .filter(|(_, template)| !is_blank(template))
    }

    /// Whether all of these may be saved.
    ///
    /// # Errors
    /// [`PromptError::Invalid`] for the first that may not.
    pub fn check(&self) -> Result<(), PromptError> {
        self.iter()
            .try_for_each(|(kind, template)| check(kind, template))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Repository => "repository",
            Self::Global => "global",
            Self::BuiltIn => "built-in",
        })
    }
}

/// The template in use for a prompt, and whose it is.
#[must_use]
pub fn resolve<'a>(
    kind: PromptKind,
    repo: &'a PromptOverrides,
    global: &'a PromptOverrides,
) -> (Origin, &'a str) {
    match (repo.get(kind), global.get(kind)) {
        (Some(template), _) => (Origin::Repository, template),
        (None, Some(template)) => (Origin::Global, template),
        (None, None) => (Origin::BuiltIn, kind.built_in()),
    }
}

/// The text of a prompt, from the template in use for it.
///
/// # Errors
/// [`PromptError::Unusable`] if that template is broken: it never falls back to another, so nobody's wish is dropped
/// silently. [`PromptError::Blank`] if no text comes out.
pub fn render(
    kind: PromptKind,
    repo: &PromptOverrides,
    global: &PromptOverrides,
    values: &PromptValues,
) -> Result<String, PromptError> {
    let (origin, template) = resolve(kind, repo, global);
    let text = Template::parse(template)
        .and_then(|template| template.render(kind, values))
        .map_err(|error| PromptError::Unusable {
            kind,
            origin,
            error,
        })?;
    if is_blank(&text) {
        return Err(PromptError::Blank { kind, origin });
    }
    Ok(text)
}

fn check(kind: PromptKind, template: &str) -> Result<(), PromptError> {
    Template::parse(template)
        .and_then(|template| template.check(kind))
        .map_err(|error| PromptError::Invalid { kind, error })
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}
