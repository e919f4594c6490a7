//! Rules about `Cargo.toml`: which crates may know which, and that every example is declared.

use super::{File, Violation};

/// Crates that compose others; every other crate of ours is a backend.
const COMPOSERS: [&str; 1] = ["optio-server"];

pub(super) fn check(files: &[File]) -> Vec<Violation> {
    let manifests = files
        .iter()
        .filter_map(|file| Some((file.path.strip_suffix("/Cargo.toml")?, file)));
    let mut violations = Vec::new();
    for (folder, manifest) in manifests {
        if folder.starts_with("optio-") && !COMPOSERS.contains(&folder) {
            violations.extend(siblings(folder, manifest));
        }
        if folder == "examples" {
            violations.extend(examples(files, manifest));
        }
    }
    violations
}

/// A backend knows the core alone; the core knows none of ours.
fn siblings(folder: &str, manifest: &File) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (line, name) in dependencies(&manifest.text) {
        if name.starts_with("optio-") && name != "optio-core" && name != folder {
            let says = format!(
                "{folder} depends on {name}: a backend knows optio-core and no sibling; optio-server and its tests join them"
            );
            violations.push(Violation::new(&manifest.path, line, says));
        }
    }
    violations
}

/// The names in every table of dependencies, with their lines.
fn dependencies(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_table = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_matches(['[', ']']);
            in_table = header.ends_with("dependencies");
            if let Some((table, name)) = header.rsplit_once('.')
                && table.ends_with("dependencies")
            {
                found.push((index + 1, unquoted(name)));
            }
        } else if in_table && let Some((key, _)) = line.split_once('=') {
            let name = key.split('.').next().unwrap_or_default();
            found.push((index + 1, unquoted(name)));
        }
    }
    found
}

/// Cargo does not find examples that lie beside their manifest by itself, and an undeclared one would never run.
fn examples(files: &[File], manifest: &File) -> Vec<Violation> {
    let declared = |name: &str| {
        let path = format!("{name}.rs");
        manifest
            .text
            .lines()
            .filter_map(|line| line.split_once('='))
            .any(|(key, value)| key.trim() == "path" && unquoted(value) == path)
    };
    files
        .iter()
        .filter_map(|file| Some((file, file.path.strip_prefix("examples/")?.strip_suffix(".rs")?)))
        .filter(|(_, name)| !name.contains('/') && !declared(name))
        .map(|(file, name)| {
            let says = format!("declare it in examples/Cargo.toml: [[example]] name = \"{name}\", path = \"{name}.rs\"");
            Violation::new(&file.path, 1, says)
        })
        .collect()
}

fn unquoted(word: &str) -> String {
    word.trim().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn says(files: &[File]) -> Vec<String> {
        check(files)
            .iter()
            .map(|violation| format!("{}:{}", violation.path, violation.line))
            .collect()
    }

    #[test]
    fn a_backend_knows_the_core_alone() {
        let text = "[package]\nname = \"optio-local\"\n[dependencies]\noptio-core = { workspace = true }\nserde = \"1\"\n";
        assert_eq!(says(&[file("optio-local/Cargo.toml", text)]), [""; 0]);
    }

    #[test]
    fn a_sibling_is_seen_in_every_spelling() {
        for text in [
            "[dependencies]\noptio-agents = \"1\"",
            "[dev-dependencies]\noptio-agents.workspace = true",
            "[target.'cfg(unix)'.dependencies]\n\"optio-agents\" = { path = \"..\" }",
            "\n[dependencies.optio-agents]\npath = \"..\"",
        ] {
            assert_eq!(
                says(&[file("optio-local/Cargo.toml", text)]),
                ["optio-local/Cargo.toml:2"],
                "{text}"
            );
            assert_eq!(
                says(&[file("optio-core/Cargo.toml", text)]),
                ["optio-core/Cargo.toml:2"],
                "{text}"
            );
            for composer in [
                "optio-server/Cargo.toml",
                "examples/Cargo.toml",
                "Cargo.toml",
            ] {
                assert_eq!(says(&[file(composer, text)]), [""; 0], "{composer}: {text}");
            }
        }
    }

    #[test]
    fn an_example_is_declared() {
        let manifest = "[[example]]\nname = \"embed\"\npath = \"embed.rs\"\n";
        let files = [
            file("examples/Cargo.toml", manifest),
            file("examples/embed.rs", ""),
            file("examples/custom_agent.rs", ""),
            file("examples/src/lib.rs", ""),
        ];
        assert_eq!(says(&files), ["examples/custom_agent.rs:1"]);
    }
}
