//! The order of optio-core: a module uses only modules that stand above it in `lib.rs`, so no cycle can form.

use std::collections::HashSet;

use super::text::{self, Shipped, Token, starts};
use super::{File, Violation};

const SOURCES: &str = "optio-core/src/";

pub(super) fn check(files: &[File]) -> Vec<Violation> {
    let read: Vec<(&str, Shipped)> = files
        .iter()
        .filter_map(|file| Some((file.path.strip_prefix(SOURCES)?, file)))
        .filter(|(path, file)| super::is(file, "rs") && !path.starts_with("bin/"))
        .map(|(path, file)| {
            (
                path,
                text::shipped(&text::tokens(&text::split(&file.text).code)),
            )
        })
        .collect();
    let Some((_, root)) = read.iter().find(|(path, _)| *path == "lib.rs") else {
        return Vec::new();
    };
    let order = modules(&root.tokens);
    let for_tests: HashSet<String> = read
        .iter()
        .flat_map(|(path, shipped)| test_paths(path, shipped))
        .collect();
    read.iter()
        .filter(|(path, _)| {
            *path != "lib.rs"
                && !lineage(path)
                    .iter()
                    .any(|module| for_tests.contains(module))
        })
        .flat_map(|(path, shipped)| check_file(path, &shipped.tokens, &order))
        .collect()
}

/// The modules of the crate in the order of `lib.rs`.
fn modules(tokens: &[Token]) -> Vec<String> {
    let mut depth = 0_usize;
    let mut found = Vec::new();
    for pair in tokens.windows(2) {
        match pair[0].text.as_str() {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            "mod" if depth == 0 => found.push(pair[1].text.clone()),
            _ => {}
        }
    }
    found
}

/// `task/state.rs` is the module `task/state`, `task/mod.rs` the module `task`.
fn module(path: &str) -> &str {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    path.strip_suffix("/mod").unwrap_or(path)
}

/// The module of a file and all modules around it.
fn lineage(path: &str) -> Vec<String> {
    let parts: Vec<&str> = module(path).split('/').collect();
    (1..=parts.len())
        .map(|length| parts[..length].join("/"))
        .collect()
}

/// The modules that this file declares for tests only.
fn test_paths(path: &str, shipped: &Shipped) -> Vec<String> {
    let parent = if path == "lib.rs" {
        String::new()
    } else {
        format!("{}/", module(path))
    };
    shipped
        .test_modules
        .iter()
        .map(|name| format!("{parent}{name}"))
        .collect()
}

fn check_file(path: &str, tokens: &[Token], order: &[String]) -> Vec<Violation> {
    let lineage = lineage(path);
    let own = lineage[0].as_str();
    let full = format!("{SOURCES}{path}");
    let place = |name: &str| order.iter().position(|module| module == name);
    let Some(own_place) = place(own) else {
        return vec![Violation::new(
            &full,
            1,
            format!("lib.rs has no module `{own}`: declare it in its place, or remove the file"),
        )];
    };
    let mut violations = Vec::new();
    for Use { line, name, root } in uses(tokens, lineage.len()) {
        let says = match (place(&name), root) {
            (Some(used), _) if used <= own_place => continue,
            (None, Root::Above) => continue, // an inline module made the way up shorter than it looks
            (Some(_), _) => format!(
                "`{own}` uses `{name}`, which stands below it in lib.rs: move the idea they share up"
            ),
            (None, Root::Named) => {
                format!("`crate::{name}` hides a module: name the module that it lives in")
            }
        };
        violations.push(Violation::new(&full, line, says));
    }
    violations
}

/// What a path names right below the root of the crate.
#[derive(Debug, PartialEq, Eq)]
struct Use {
    line: usize,
    name: String,
    root: Root,
}

/// How the path came to the root of the crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// By `crate::`.
    Named,
    /// By enough `super::`.
    Above,
}

/// Everything that `crate::` or a climb of `depth` times `super::` names; macros live at the root and are left out.
fn uses(tokens: &[Token], depth: usize) -> Vec<Use> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (root, after) = if starts(&tokens[at..], &["crate", "::"]) {
            (Root::Named, at + 2)
        } else if starts(&tokens[at..], &["super", "::"]) {
            let climbs = tokens[at..]
                .chunks_exact(2)
                .take_while(|pair| starts(pair, &["super", "::"]))
                .count();
            at += 2 * climbs;
            if climbs < depth {
                continue;
            }
            (Root::Above, at)
        } else {
            at += 1;
            continue;
        };
        at = after;
        found.extend(named(&tokens[after..]).into_iter().map(|token| Use {
            line: token.line,
            name: token.text.clone(),
            root,
        }));
    }
    found
}

/// The first words of what follows `crate::`: one, or those of a group in braces.
fn named(tokens: &[Token]) -> Vec<&Token> {
    let Some(first) = tokens.first() else {
        return Vec::new();
    };
    if first.text != "{" {
        let is_macro = tokens.get(1).is_some_and(|token| token.text == "!");
        let counts = first.is_word() && !is_macro || first.text == "*";
        return if counts { vec![first] } else { Vec::new() };
    }
    let mut depth = 0_usize;
    let mut found = Vec::new();
    for pair in tokens.windows(2) {
        match pair[0].text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(pair[0].text.as_str(), "{" | ",") && pair[1].text != "}" {
            found.push(&pair[1]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "pub mod id;\npub mod task;\n#[cfg(feature = \"conformance\")]\npub mod conformance;\n#[cfg(test)]\nmod world;\n";

    /// What tidy says about one file of optio-core beside a `lib.rs` with the modules id, task and conformance.
    fn says(path: &str, text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File {
            path: format!("{SOURCES}{path}"),
            text: text.to_owned(),
        };
        let files = [file("lib.rs", LIB), file(path, text)];
        check(&files)
            .iter()
            .map(|violation| format!("{}: {}", violation.line, violation.says))
            .collect()
    }

    #[test]
    fn a_module_may_look_up_and_at_itself() {
        for (path, text) in [
            (
                "id.rs",
                "use std::fmt; use crate::id::Id; use super::id::Id;",
            ),
            (
                "task/mod.rs",
                "use crate::{id::{Id, Other}, task::State}; pub(crate) mod state;",
            ),
            (
                "task/state.rs",
                "use super::super::id::Id; use super::state; pub(in crate::task) fn f() { crate::row!() }",
            ),
            (
                "task/state.rs",
                "/// See [`crate::conformance`].\nconst A: &str = \"crate::conformance\";",
            ),
            (
                "conformance/queue.rs",
                "macro_rules! q { () => { $crate::task::run() } }",
            ),
        ] {
            assert_eq!(says(path, text), [""; 0], "{path}: {text}");
        }
    }

    #[test]
    fn a_module_may_not_look_down() {
        let expected =
            ["1: `id` uses `task`, which stands below it in lib.rs: move the idea they share up"];
        for text in [
            "use crate::task::State;",
            "fn f() { let x = crate::task::State; }",
            "use super::task::State;",
            "use crate::{id::Id, task::{State}};",
            "macro_rules! i { () => { $crate::task::State } }",
        ] {
            assert_eq!(says("id.rs", text), expected, "{text}");
        }
    }

    #[test]
    fn a_nested_file_belongs_to_its_module() {
        let found = says(
            "task/state/grid.rs",
            "\nuse super::super::super::conformance;",
        );
        assert_eq!(
            found,
            [
                "2: `task` uses `conformance`, which stands below it in lib.rs: move the idea they share up"
            ]
        );
    }

    #[test]
    fn a_name_at_the_root_hides_its_module() {
        for (text, name) in [
            ("use crate::Task;", "Task"),
            ("use crate::*;", "*"),
            ("use crate::{id::Id, Task};", "Task"),
        ] {
            let expected =
                format!("1: `crate::{name}` hides a module: name the module that it lives in");
            assert_eq!(says("id.rs", text), [expected], "{text}");
        }
    }

    #[test]
    fn tests_may_use_everything() {
        for (path, text) in [
            (
                "id.rs",
                "#[cfg(test)] mod tests { use crate::conformance; }",
            ),
            ("world.rs", "use crate::conformance;"),
            ("world/agent.rs", "use crate::conformance;"),
        ] {
            assert_eq!(says(path, text), [""; 0], "{path}");
        }
    }

    #[test]
    fn a_file_has_its_place_in_the_order() {
        let expected =
            "1: lib.rs has no module `stray`: declare it in its place, or remove the file";
        assert_eq!(says("stray.rs", "fn f() {}"), [expected]);
    }
}
