//! What a template may say, which template is used, and the built-in prompts as agents see them.

mod built_in;
mod language;
mod overrides;
mod properties;

use super::*;

/// What a coding template comes out as: its text, or its mistake.
fn coding(template: &str, values: &PromptValues) -> String {
    match Template::parse(template).and_then(|template| template.render(PromptKind::Coding, values))
    {
        Ok(text) => text,
        Err(error) => format!("error: {error}"),
    }
}
