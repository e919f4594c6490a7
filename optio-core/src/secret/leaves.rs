//! What is secret inside a secret that is JSON: a login, the file of a service account, a list of MCP servers.
//!
//! Whoever prints such a secret whole is the exception; an agent that prints its environment shows the one key in it.
//! Not every text in it is a key, and a mask that blacks out `npx` or an address makes a log useless. So each text is
//! asked whether it can be one: by the name that it stands under, and by its looks.

use serde_json::Value;

/// The shortest text that is taken for a secret.
const SHORTEST: usize = 8;

/// The length from which letters and digits in a row are taken for a secret, whatever they are called.
const LONG: usize = 16;

/// Parts of names under which secrets stand, in small letters and without separators.
const NAMES: [&str; 11] = [
    "access",
    "auth",
    "bearer",
    "cookie",
    "credential",
    "key",
    "pass",
    "refresh",
    "secret",
    "session",
    "token",
];

/// How names end that only say what kind of secret there is.
const KINDS: [&str; 4] = ["type", "mode", "method", "uri"];

/// Where a text stands.
#[derive(Clone, Copy)]
enum Place<'n> {
    /// Under this name, somewhere.
    Named(&'n str),
    /// Under this name in the environment or the headers of an MCP server, which is where its keys are.
    Given(&'n str),
    /// Somewhere in a description of MCP servers: programs, arguments, addresses.
    Described,
}

/// The texts in this value that can be secrets; none if it is no JSON, or no object and no list.
pub(super) fn of(secret: &str) -> Option<Vec<String>> {
    let value: Value = serde_json::from_str(secret).ok()?;
    if !value.is_object() && !value.is_array() {
        return None;
    }
    let mut found = Vec::new();
    let place = match value.get("mcpServers") {
        Some(_) => Place::Described,
        None => Place::Named(""),
    };
    collect(&value, place, &mut found);
    Some(found)
}

fn collect(value: &Value, place: Place<'_>, found: &mut Vec<String>) {
    match value {
        Value::String(text) => match of(text) {
            // what is JSON once more is masked like a secret of its own
            Some(inner) => found.extend(inner),
            None => texts(text, place, found),
        },
        Value::Array(values) => {
            for value in values {
                collect(value, place, found);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let place = match (place, name.as_str()) {
                    (Place::Described, "env" | "headers") => Place::Given(""),
                    (Place::Described, _) => Place::Described,
                    (Place::Given(_), name) => Place::Given(name),
                    (Place::Named(_), name) => Place::Named(name),
                };
                collect(value, place, found);
            }
        }
        _ => {}
    }
}

/// What of a text can be a secret.
fn texts(text: &str, place: Place<'_>, found: &mut Vec<String>) {
    if let Some(parts) = of_address(text) {
        found.extend(parts);
        return;
    }
    let can_be = match place {
        Place::Described => {
            // an argument such as `--key=KEY` or `Authorization: Bearer KEY`
            let words = text.split([' ', '=']).filter(|word| is_random(word));
            found.extend(words.map(str::to_owned));
            false
        }
        Place::Given(name) => is_named(name) || !is_plain(text),
        Place::Named(name) => is_named(name) || is_random(text),
    };
    if !can_be {
        return;
    }
    // a key of several lines is printed with them; its first and its last line are no secret
    let lines = text.lines().map(str::trim);
    for line in lines.filter(|line| line.len() >= SHORTEST && !line.starts_with("-----")) {
        found.push(line.to_owned());
        // `Bearer KEY` is printed without the first word as well
        if let Some((_, key)) = line
            .split_once(' ')
            .filter(|(_, key)| key.len() >= SHORTEST)
        {
            found.push(key.trim().to_owned());
        }
    }
}

/// The password and the parameters of an address; None if it is no address.
fn of_address(text: &str) -> Option<Vec<String>> {
    let (scheme, rest) = text.split_once("://")?;
    if scheme.is_empty()
        || !scheme
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || it == '+')
    {
        return None;
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let password = host
        .rsplit_once('@')
        .and_then(|(user, _)| Some(user.split_once(':')?.1));
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let values = query.split(['&', '#']).filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (is_named(name) || is_random(value)).then_some(value)
    });
    let parts = password.into_iter().chain(values);
    Some(
        parts
            .filter(|part| part.len() >= SHORTEST)
            .map(str::to_owned)
            .collect(),
    )
}

/// Whether secrets stand under this name.
fn is_named(name: &str) -> bool {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let plain = letters.collect::<String>().to_ascii_lowercase();
    NAMES.iter().any(|part| plain.contains(part)) && !KINDS.iter().any(|kind| plain.ends_with(kind))
}

/// Whether it is a path, or words as people write them: nothing that a key looks like.
fn is_plain(text: &str) -> bool {
    let is_path = ["/", "./", "~/"]
        .iter()
        .any(|start| text.starts_with(start));
    let mut words = text.split(|letter: char| " -_./,:;*".contains(letter));
    is_path
        || words.all(|word| {
            let rest = word.trim_start_matches(|letter: char| letter.is_ascii_uppercase());
            let begins = word.len() - rest.len();
            let is_word = rest.chars().all(|letter| letter.is_ascii_lowercase());
            is_word && (begins <= 1 || rest.is_empty()) && word.len() < LONG
        })
}

/// Whether so many letters and digits stand in a row in it that it is nothing that a person has thought of.
fn is_random(text: &str) -> bool {
    let mut rows = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    rows.any(|row| {
        row.len() >= LONG
            && row.contains(|letter: char| letter.is_ascii_digit())
            && row.contains(|letter: char| letter.is_ascii_alphabetic())
    })
}
