//! Secrets: values that must not appear in any log, and the mask that keeps them out of transcripts.

use std::{fmt, sync::Arc};

use regex::Regex;

/// A value that prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for handing to the program or server that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Replaces known secrets, and text of the shape of well-known tokens, before anything is stored.
#[derive(Debug, Clone)]
pub struct Masker {
    known: Option<Arc<Regex>>,
    shapes: Arc<Regex>,
}

/// Shapes of the tokens that leak most often: forge, model and cloud keys, and passwords in URLs.
const SHAPES: &str = r"(?x)
    \b(?: gh[pousr]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,} | glpat-[A-Za-z0-9_-]{20,} | sk-[A-Za-z0-9_-]{20,}
        | lin_(?:api|oauth)_[A-Za-z0-9]{20,} | xox[abprs]-[A-Za-z0-9-]{10,} | AKIA[0-9A-Z]{16} | AIza[A-Za-z0-9_-]{35} )";

impl Masker {
    /// A mask for these values. One shorter than six characters is not searched for: it would black out ordinary text.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut known: Vec<String> = Vec::new();
        for secret in secrets {
            for line in secret
                .expose()
                .lines()
                .map(str::trim)
                .filter(|line| line.chars().count() >= 6)
            {
                known.push(regex::escape(line));
                // a secret inside a JSON string is escaped there
                let escaped = serde_json::Value::from(line).to_string();
                known.push(regex::escape(&escaped[1..escaped.len() - 1]));
            }
        }
        known.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
        known.dedup();
        Self {
            known: if known.is_empty() {
                None
            } else {
                Regex::new(&known.join("|")).ok().map(Arc::new)
            },
            shapes: shapes(),
        }
    }

    /// `text` with every secret replaced by [`MASK`].
    #[must_use]
    pub fn mask<'t>(&self, text: &'t str) -> std::borrow::Cow<'t, str> {
        let masked = match &self.known {
            Some(known) => known.replace_all(text, MASK),
            None => text.into(),
        };
        match masked {
            std::borrow::Cow::Borrowed(text) => self.shapes.replace_all(text, MASK),
            std::borrow::Cow::Owned(text) => {
                self.shapes.replace_all(&text, MASK).into_owned().into()
            }
        }
    }
}

impl Default for Masker {
    fn default() -> Self {
        Self::new([])
    }
}

fn shapes() -> Arc<Regex> {
    static COMPILED: std::sync::LazyLock<Arc<Regex>> = std::sync::LazyLock::new(|| {
        #[expect(clippy::expect_used, reason = "a constant pattern, compiled by a test")]
        Arc::new(Regex::new(SHAPES).expect("the pattern of token shapes is valid"))
    });
    Arc::clone(&COMPILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_and_token_shapes_are_masked() {
        let secrets = [
            Secret::new("hunter2-hunter2"),
            Secret::new("line one\nline two"),
            Secret::new("a\"quote\"d"),
            Secret::new("short"),
        ];
        let masker = Masker::new(&secrets);
        assert_eq!(
            masker.mask("pass hunter2-hunter2 short line two"),
            "pass *** short ***"
        );
        assert_eq!(masker.mask(r#"{"x":"a\"quote\"d"}"#), r#"{"x":"***"}"#);
        assert_eq!(
            masker.mask("token ghp_0123456789abcdefghijABCDEFGHIJ here"),
            "token *** here"
        );
        assert_eq!(format!("{:?}", secrets[0]), "***");
    }
}
