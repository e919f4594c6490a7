//! Reads Rust just well enough for rules about words: what is code, what is a comment, what is only compiled for tests.

/// A source file taken apart. Both parts have the lines of the original, with blanks where the other part stands, and
/// the contents of literals are in neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) code: String,
    pub(super) comments: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Takes a source file apart.
pub(super) fn split(text: &str) -> Parts {
    let chars: Vec<char> = text.chars().collect();
    let mut parts = Parts {
        code: String::with_capacity(text.len()),
        comments: String::new(),
    };
    let mut at = 0;
    while at < chars.len() {
        let (kind, end) = next(&chars, at);
        for &c in &chars[at..end] {
            let blank = if c == '\n' { '\n' } else { ' ' };
            parts.code.push(if kind == Kind::Code { c } else { blank });
            parts
                .comments
                .push(if kind == Kind::Comment { c } else { blank });
        }
        at = end;
    }
    parts
}

/// The kind and the end of the piece that begins at `at`.
fn next(chars: &[char], at: usize) -> (Kind, usize) {
    let c = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
    match (c(0), c(1)) {
        ('/', '/') => (Kind::Comment, position(chars, at, |c| c == '\n')),
        ('/', '*') => (Kind::Comment, block_comment(chars, at)),
        ('"', _) => (Kind::Literal, string(chars, at, '"')),
        ('\'', '\\') => (Kind::Literal, string(chars, at, '\'')),
        ('\'', _) if c(2) == '\'' => (Kind::Literal, at + 3),
        ('r', '"' | '#') if at == 0 || !is_word(chars[at - 1]) || is_prefix(chars, at - 1) => {
            raw_string(chars, at).map_or((Kind::Code, at + 1), |end| (Kind::Literal, end))
        }
        _ => (Kind::Code, at + 1),
    }
}

/// Whether the `b` or `c` at `at` is all that stands before a raw string.
fn is_prefix(chars: &[char], at: usize) -> bool {
    matches!(chars[at], 'b' | 'c') && (at == 0 || !is_word(chars[at - 1]))
}

fn position(chars: &[char], from: usize, found: impl Fn(char) -> bool) -> usize {
    chars[from..]
        .iter()
        .position(|&c| found(c))
        .map_or(chars.len(), |offset| from + offset)
}

fn block_comment(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_string(chars: &[char], from: usize) -> Option<usize> {
    let quote = position(chars, from + 1, |c| c != '#');
    if chars.get(quote) != Some(&'"') {
        return None; // a raw name such as r#type
    }
    let hashes = quote - from - 1;
    let mut at = quote + 1;
    while at < chars.len() {
        let close = position(chars, at, |c| c == '"');
        let end = close + 1 + hashes;
        if end <= chars.len() && chars[close + 1..end].iter().all(|&c| c == '#') {
            return Some(end);
        }
        at = close + 1;
    }
    Some(chars.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A word or a single sign of code, and the line it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) text: String,
}

impl Token {
    pub(super) fn is_word(&self) -> bool {
        self.text.starts_with(is_word)
    }
}

/// The words and signs of code, with `::` and `#[cfg(test)]` items left in.
pub(super) fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (token, after) = rest.split_at(length);
            tokens.push(Token {
                line: index + 1,
                text: token.to_owned(),
            });
            rest = after.trim_start();
        }
    }
    tokens
}

/// Code without what only tests compile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shipped {
    pub(super) tokens: Vec<Token>,
    /// Modules that only tests compile and that lie in a file of their own.
    pub(super) test_modules: Vec<String>,
}

/// Leaves out every item under `#[cfg(test)]` or `#[cfg(all(test, ..))]`, and everything after `#![cfg(test)]`.
pub(super) fn shipped(tokens: &[Token]) -> Shipped {
    let mut shipped = Shipped::default();
    let mut at = 0;
    while at < tokens.len() {
        if starts(&tokens[at..], &["#", "!", "[", "cfg", "(", "test", ")"]) {
            return Shipped::default();
        }
        let for_tests = [
            ["#", "[", "cfg", "(", "test", ")"].as_slice(),
            &["#", "[", "cfg", "(", "all", "(", "test"],
        ];
        if for_tests
            .iter()
            .any(|attribute| starts(&tokens[at..], attribute))
        {
            let end = item_end(tokens, at);
            let item = &tokens[at..end];
            if let [.., keyword, name, semicolon] = item
                && keyword.text == "mod"
                && semicolon.text == ";"
            {
                shipped.test_modules.push(name.text.clone());
            }
            at = end;
        } else {
            shipped.tokens.push(tokens[at].clone());
            at += 1;
        }
    }
    shipped
}

pub(super) fn starts(tokens: &[Token], with: &[&str]) -> bool {
    tokens.len() >= with.len()
        && tokens
            .iter()
            .zip(with)
            .all(|(token, text)| token.text == *text)
}

/// The end of the item whose attributes begin at `from`: its semicolon, or the brace that closes it.
fn item_end(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut is_import = false;
    for (index, token) in tokens.iter().enumerate().skip(from) {
        match token.text.as_str() {
            "use" if depth == 0 => is_import = true,
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && !is_import {
                    return index + 1;
                }
            }
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(tokens: &[Token]) -> String {
        tokens
            .iter()
            .map(|token| token.text.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn literals_are_neither_code_nor_comment() {
        for (text, code) in [
            (r#"a("// b /* \" c") d"#, "a ( ) d"),
            (
                r##"a(r#"x "y" // z"#, b"q", br"\", '"', '\'', 'x') // c"##,
                "a ( , b , b , , , )",
            ),
            (
                "fn f<'a>(x: &'a str) /* one /* two */ still */ {}",
                "fn f < ' a > ( x : & ' a str ) { }",
            ),
            ("let r#type = for_r; // r\"", "let r # type = for_r ;"),
            ("\"two\nlines\" x", "x"),
        ] {
            assert_eq!(words(&tokens(&split(text).code)), code, "{text}");
        }
    }

    #[test]
    fn parts_keep_the_lines() {
        let parts = split("a\n/* b\nc */ d\n// é\n");
        assert_eq!(parts.code, "a\n    \n     d\n    \n");
        assert_eq!(parts.comments, " \n/* b\nc */  \n// é\n");
    }

    #[test]
    fn what_only_tests_compile_is_left_out() {
        for (text, left, modules) in [
            ("a; #[cfg(test)] mod tests { use x; { } } b;", "a ; b ;", ""),
            (
                "#[cfg(test)] #[path] pub(crate) mod world; b;",
                "b ;",
                "world",
            ),
            ("#[cfg(test)] use x::{a, b}; c;", "c ;", ""),
            (
                "#[cfg(all(test, unix))] fn f(x: [u8; 3]) -> u8 { 1 } c",
                "c",
                "",
            ),
            (
                "#[cfg(any(test, feature))] a;",
                "# [ cfg ( any ( test , feature ) ) ] a ;",
                "",
            ),
            ("#![cfg(test)] a;", "", ""),
        ] {
            let shipped = shipped(&tokens(text));
            assert_eq!(words(&shipped.tokens), left, "{text}");
            assert_eq!(shipped.test_modules.join(" "), modules, "{text}");
        }
    }
}
