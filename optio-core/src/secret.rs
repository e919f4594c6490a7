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
    known: Known,
    shapes: Arc<Regex>,
}

/// Known values, the longest first: of two that begin alike, all of the longer one is masked.
#[derive(Debug, Clone)]
enum Known {
    None,
    /// All in one pass, which is what every line of every log goes through.
    AtOnce(Arc<Regex>),
    /// More than a pattern should hold: one after the other. Slower, and never nothing.
    OneByOne(Arc<[String]>),
}

/// Shapes of the tokens that leak most often: forge, model and cloud keys, and passwords in URLs.
const SHAPES: &str = r##"(?x)
    (?P<before> ://[^\s/:@?\#"'<>]*: ) [^\s/@"'<>]+ (?P<after> @ )
    | \b(?: gh[pousr]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,} | glpat-[A-Za-z0-9_-]{20,} | sk-[A-Za-z0-9_-]{20,}
        | lin_(?:api|oauth)_[A-Za-z0-9]{20,} | xox[abprs]-[A-Za-z0-9-]{10,} | AKIA[0-9A-Z]{16} | AIza[A-Za-z0-9_-]{35} )"##;

/// What stands in the place of a shape: of a URL with a password, all but the password is kept.
const SHAPE_MASK: &str = "${before}***${after}";

/// The most that is put into one pattern, in bytes: compiling takes ever longer, and more than this is no usual secret.
const MAX_PATTERN: usize = 64 * 1024;

impl Masker {
    /// A mask for these values. One shorter than six characters is not searched for: it would black out ordinary text.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut values: Vec<String> = Vec::new();
        for secret in secrets {
            for line in secret
                .expose()
                .lines()
                .map(str::trim)
                .filter(|line| line.chars().count() >= 6)
            {
                values.push(line.to_owned());
                // a secret inside a JSON string is escaped there
                let escaped = serde_json::Value::from(line).to_string();
                values.push(escaped[1..escaped.len() - 1].to_owned());
            }
        }
        Self {
            known: Known::new(values),
            shapes: shapes(),
        }
    }

    /// `text` with every secret replaced by [`MASK`].
    #[must_use]
    pub fn mask<'t>(&self, text: &'t str) -> std::borrow::Cow<'t, str> {
        let masked = match &self.known {
            Known::AtOnce(pattern) => pattern.replace_all(text, MASK),
            Known::OneByOne(values) => one_by_one(values, text),
            Known::None => text.into(),
        };
        match masked {
            std::borrow::Cow::Borrowed(text) => self.shapes.replace_all(text, SHAPE_MASK),
            std::borrow::Cow::Owned(text) => self
                .shapes
                .replace_all(&text, SHAPE_MASK)
                .into_owned()
                .into(),
        }
    }
}

impl Default for Masker {
    fn default() -> Self {
        Self::new([])
    }
}

impl Known {
    fn new(mut values: Vec<String>) -> Self {
        values.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        values.dedup();
        if values.is_empty() {
            return Self::None;
        }
        let escaped: Vec<String> = values.iter().map(|value| regex::escape(value)).collect();
        let pattern = escaped.join("|");
        let compiled = (pattern.len() <= MAX_PATTERN)
            .then(|| Regex::new(&pattern))
            .and_then(Result::ok);
        match compiled {
            Some(pattern) => Self::AtOnce(Arc::new(pattern)),
            None => Self::OneByOne(values.into()),
        }
    }
}

fn one_by_one<'t>(values: &[String], text: &'t str) -> std::borrow::Cow<'t, str> {
    let mut masked = std::borrow::Cow::Borrowed(text);
    for value in values {
        if masked.contains(value) {
            masked = masked.replace(value, MASK).into();
        }
    }
    masked
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

    #[test]
    fn of_a_url_only_the_password_is_masked() {
        let masker = Masker::default();
        let rows = [
            (
                "clone https://ada:pa55@git.example/a/b.git now",
                "clone https://ada:***@git.example/a/b.git now",
            ),
            (
                "postgres://app:p:w@db:5432/optio",
                "postgres://app:***@db:5432/optio",
            ),
            (
                "https://x-access-token:ghs_0123456789abcdefghij@github.com/a/b",
                "https://x-access-token:***@github.com/a/b",
            ),
            (
                "https://git.example:8443/@ada",
                "https://git.example:8443/@ada",
            ),
            (
                "git@github.com:acme/shop.git",
                "git@github.com:acme/shop.git",
            ),
            (
                "http://localhost:3000 by ada@example.org",
                "http://localhost:3000 by ada@example.org",
            ),
        ];
        for (text, masked) in rows {
            assert_eq!(masker.mask(text), masked);
        }
    }

    #[test]
    fn of_two_that_begin_alike_the_longer_one_is_masked_whole() {
        let secrets = ["abcdef", "abcdefgh", "abcdef"].map(Secret::new);
        assert_eq!(Masker::new(&secrets).mask("abcdefgh abcdef"), "*** ***");
    }

    #[test]
    fn a_secret_of_any_size_is_masked() {
        let huge = "0123456789abcdef".repeat(40_000);
        let masker = Masker::new(&[Secret::new(huge.as_str()), Secret::new("hunter2")]);
        assert_eq!(masker.mask(&format!("a {huge} b hunter2")), "a *** b ***");
    }
}
