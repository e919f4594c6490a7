//! The prompt renderer: a template and values in, the text that an agent is given out. Pure.
//!
//! # The language
//!
//! | written | comes out as |
//! |---|---|
//! | `{{NAME}}` | the value of NAME, or nothing if it has none |
//! | `{{#if NAME}}..{{/if}}` | what is inside if NAME is true |
//! | `{{#if NAME}}..{{else}}..{{/if}}` | the first part if NAME is true, else the second |
//! | `{{{{` | `{{` |
//! | anything else | itself: no escaping, no trimming |
//!
//! A variable is false if it has no value or the value is empty, `false` or `0`; all else is true. Conditions nest. A
//! tag stands on one line and may have blanks inside: `{{ NAME }}`. Names match `[A-Z][A-Z0-9_]*`.
//!
//! Braces pair from the left, four to a literal `{{`, so every text can be written: `{{{{NAME}}` is `{{NAME}}` itself,
//! `{{{NAME}}}` is the value in single braces, and `${{{{ matrix.os }}` is `${{ matrix.os }}`. [`Template::escape`] does it.
//!
//! # Promises
//!
//! - One pass: **a value is never expanded again**, so a ticket that says `{{VERDICT_FILE}}` yields just those letters.
//! - A variable that its [`PromptKind`] does not have is an error, also in a branch that is not taken, both when a
//!   template is saved ([`PromptOverrides::set`], [`PromptOverrides::check`]) and when it is rendered ([`render`]).
//! - Errors name line, column and what was meant. No text, however odd or deeply nested, panics.
//!
//! # Which template
//!
//! The repository's override, else the global one, else the built-in one: [`resolve`]. The built-in templates are the
//! `*.md` files beside this one.
//!
//! ```
//! use optio_core::prompt::{self, PromptKind, PromptOverrides, PromptValues, Variable};
//!
//! let mut repo = PromptOverrides::default();
//! repo.set(PromptKind::Coding, "Do {{TASK_TITLE}}{{#if TICKET_URL}} ({{TICKET_URL}}){{/if}}.")?;
//! let values = PromptValues::default().with(Variable::TaskTitle, "the dishes, not {{TASK_BODY}}");
//!
//! let text = prompt::render(PromptKind::Coding, &repo, &PromptOverrides::default(), &values)?;
//! assert_eq!(text, "Do the dishes, not {{TASK_BODY}}.");
//! # Ok::<(), prompt::PromptError>(())
//! ```

mod kind;
mod variable;
mod error;
mod parse;
mod render;
mod overrides;
#[cfg(test)]
mod tests;

pub use self::{
    error::{Position, TemplateError},
    kind::{ParsePromptKindError, PromptKind},
    overrides::{Origin, PromptError, PromptOverrides, render, resolve},
    parse::Template,
    render::PromptValues,
    variable::{ParseVariableError, Variable},
};
