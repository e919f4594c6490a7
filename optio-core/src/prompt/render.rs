//! [`Template`] and [`PromptValues`] to text. One pass: what a value says is copied, never read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    error::TemplateError,
    kind::PromptKind,
    parse::{Step, Template},
    variable::Variable,
};

/// The values of a prompt's variables. What is not set is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PromptValues(BTreeMap<Variable, String>);

impl PromptValues {
    /// Sets a variable, over any earlier value.
    pub fn set(&mut self, variable: Variable, value: impl Into<String>) -> &mut Self {
        self.0.insert(variable, value.into());
        self
    }

    /// The same values with one more.
    #[must_use]
    pub fn with(mut self, variable: Variable, value: impl Into<String>) -> Self {
        self.set(variable, value);
        self
    }

    /// A variable's value: empty if it was not set.
    #[must_use]
    pub fn get(&self, variable: Variable) -> &str {
        self.0.get(&variable).map_or("", String::as_str)
    }

    /// What `{{#if}}` asks: set, and not empty, `false` or `0`.
    #[must_use]
    pub fn is_true(&self, variable: Variable) -> bool {
        !matches!(self.get(variable), "" | "false" | "0")
    }
}

impl Template {
    /// The text for these values.
    ///
    /// # Errors
    /// As [`check`](Self::check): a variable that prompts of this kind do not have, in branches taken or not.
    pub fn render(&self, kind: PromptKind, values: &PromptValues) -> Result<String, TemplateError> {
        self.check(kind)?;
        let mut text = String::new();
        let mut next = 0;
        while let Some(step) = self.steps.get(next) {
            next += 1; // jumps lead only forward, so this ends
            match step {
                Step::Text(literal) => text.push_str(literal),
                Step::Value(used) => text.push_str(values.get(used.resolve(kind)?)),
                Step::If {
                    condition,
                    otherwise,
                } if !values.is_true(condition.resolve(kind)?) => next = *otherwise,
                Step::If { .. } => {}
                Step::Skip { to } => next = *to,
            }
        }
        Ok(text)
    }
}
