//! Rules about one source file alone: its first line, its length, its name, its words.

use std::path::Path;

use super::text::{self, Parts, starts};
use super::{File, Violation};

/// The longest a source file may be.
const LINES: usize = 500;

/// Files that may be longer, each with its reason.
const LONGER: [(&str, &str); 0] = [];

/// Names that say nothing about what belongs there.
const ROOMS: [&str; 7] = [
    "util", "utils", "common", "helper", "helpers", "misc", "types",
];

/// Work that is promised instead of done.
const PROMISES: [&str; 3] = ["TODO", "FIXME", "XXX"];

pub(super) fn check(file: &File) -> Vec<Violation> {
    let parts = text::split(&file.text);
    let mut violations = Vec::new();
    violations.extend(opening(file));
    violations.extend(length(file));
    violations.extend(rooms(file));
    violations.extend(comments(file, &parts));
    violations.extend(code(file, &parts));
    violations
}

fn opening(file: &File) -> Option<Violation> {
    let first = file.text.lines().next().unwrap_or_default();
    let says_something = first
        .strip_prefix("//!")
        .is_some_and(|says| !says.trim().is_empty());
    (!says_something).then(|| {
        Violation::new(
            &file.path,
            1,
            "open the file with `//!` and say what lives here",
        )
    })
}

fn length(file: &File) -> Option<Violation> {
    let lines = file.text.lines().count();
    let excused = LONGER.iter().any(|(path, _)| *path == file.path);
    (lines > LINES && !excused).then(|| {
        Violation::new(
            &file.path,
            lines,
            format!("{lines} lines are more than {LINES}: split the file by idea"),
        )
    })
}

fn rooms(file: &File) -> Option<Violation> {
    let path = Path::new(&file.path).with_extension("");
    let room = path
        .iter()
        .filter_map(|part| part.to_str())
        .find(|part| ROOMS.contains(part))?
        .to_owned();
    let says = format!("`{room}` says nothing about what lives there: name the concept");
    Some(Violation::new(&file.path, 1, says))
}

fn comments(file: &File, parts: &Parts) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, line) in parts.comments.lines().enumerate() {
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        for word in words.filter(|word| PROMISES.contains(word)) {
            let says = format!("{word}: do it now, or open an issue");
            violations.push(Violation::new(&file.path, index + 1, says));
        }
        if line.contains("```ignore") {
            let says = "this example is switched off: make it run, or call it `text` or `no_run`";
            violations.push(Violation::new(&file.path, index + 1, says));
        }
    }
    violations
}

fn code(file: &File, parts: &Parts) -> Vec<Violation> {
    let tokens = text::tokens(&parts.code);
    let mut violations = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let rest = &tokens[index..];
        if starts(rest, &["#", "[", "ignore"]) {
            violations.push(Violation::new(
                &file.path,
                token.line,
                "this test is switched off: make it run, or remove it",
            ));
        }
        for name in ["todo", "unimplemented"] {
            if starts(rest, &[name, "!"]) && !starts(rest, &[name, "!", "="]) {
                violations.push(Violation::new(
                    &file.path,
                    token.line,
                    format!("{name}! promises work: do it now"),
                ));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &str, text: &str) -> Vec<String> {
        let file = File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        check(&file)
            .iter()
            .map(|violation| format!("{}: {}", violation.line, violation.says))
            .collect()
    }

    #[test]
    fn a_file_in_order_is_left_alone() {
        let text = "//! Values.\nfn todo() { if todo != \"TODO todo!()\" {} }\n/// ```no_run\n/// a todo list, unXXX\n";
        assert_eq!(says("optio-core/src/type_names.rs", text), [""; 0]);
    }

    #[test]
    fn a_file_says_first_what_it_holds() {
        for text in ["", "use x;\n", "//!\n", "// Values.\n", "\n//! Values.\n"] {
            assert_eq!(
                says("a.rs", text),
                ["1: open the file with `//!` and say what lives here"],
                "{text}"
            );
        }
    }

    #[test]
    fn a_long_file_is_split() {
        let text = |lines| "//! a\n".repeat(lines);
        assert_eq!(says("a.rs", &text(500)), [""; 0]);
        assert_eq!(
            says("a.rs", &text(501)),
            ["501: 501 lines are more than 500: split the file by idea"]
        );
    }

    #[test]
    fn a_room_has_a_name_of_its_own() {
        for path in [
            "a/src/util.rs",
            "a/tests/common/mod.rs",
            "a/src/types/task.rs",
        ] {
            let found = says(path, "//! a\n");
            assert!(
                found.len() == 1 && found[0].contains("name the concept"),
                "{path}: {found:?}"
            );
        }
    }

    #[test]
    fn nothing_is_left_for_later() {
        let text = "//! a\n// TODO: b\nfn f() { todo!() }\n#[ignore = \"slow\"]\nfn g() { unimplemented!() } /* FIXME */\n/// ```ignore\n";
        let expected = [
            "2: TODO: do it now, or open an issue",
            "5: FIXME: do it now, or open an issue",
            "6: this example is switched off: make it run, or call it `text` or `no_run`",
            "3: todo! promises work: do it now",
            "4: this test is switched off: make it run, or remove it",
            "5: unimplemented! promises work: do it now",
        ];
        assert_eq!(says("a.rs", text), expected);
    }
}
