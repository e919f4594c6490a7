//! Secrets: values that must not appear in any log, and the mask that keeps them out of transcripts.

mod leaves;

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

/// The shortest value that is searched for, in characters.
const SHORTEST: usize = 6;

/// The most that is put into one pattern, in bytes: compiling takes ever longer, and more than this is no usual secret.
const MAX_PATTERN: usize = 64 * 1024;

impl Masker {
    /// A mask for these values. One shorter than six characters is not searched for: it would black out ordinary text.
    /// Of one that is JSON, such as a login, what can be a secret in it is masked by itself too.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut values: Vec<String> = Vec::new();
        let mut add = |line: &str| {
            values.push(line.to_owned());
            // a secret inside a JSON string is escaped there
            let escaped = serde_json::Value::from(line).to_string();
            values.push(escaped[1..escaped.len() - 1].to_owned());
        };
        for secret in secrets {
            let text = secret.expose().trim();
            let leaves = leaves::of(text);
            // lines of JSON are no secrets: what is one in them is a leaf
            let is_whole = leaves.is_none() || !text.contains('\n');
            let lines = text.lines().map(str::trim).filter(|_| is_whole);
            lines
                .filter(|line| line.chars().count() >= SHORTEST)
                .for_each(&mut add);
            leaves.iter().flatten().for_each(|leaf| add(leaf));
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
mod tests;
