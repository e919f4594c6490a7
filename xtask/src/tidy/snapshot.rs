//! Rules about snapshots in files of their own: the test that wrote one still exists, and someone has accepted it.

use super::{File, Violation};

pub(super) fn check(files: &[File]) -> Vec<Violation> {
    let exists = |path: &str| files.iter().any(|file| file.path == path);
    let mut violations = Vec::new();
    for file in files {
        if file.path.ends_with(".snap.new") {
            violations.push(Violation::new(
                &file.path,
                1,
                "this snapshot was not accepted: accept it, or remove it",
            ));
        } else if file.path.ends_with(".snap") {
            let says = match source(&file.text) {
                None => {
                    "this snapshot does not name its source: write it again with insta".to_owned()
                }
                Some(source) if exists(source) => continue,
                Some(source) => format!("its test is gone ({source}): remove the snapshot"),
            };
            violations.push(Violation::new(&file.path, 1, says));
        }
    }
    violations
}

/// The file whose test wrote the snapshot, from the front matter that insta puts on top.
fn source(text: &str) -> Option<&str> {
    let mut lines = text.lines();
    if lines.next()? != "---" {
        return None;
    }
    lines
        .take_while(|line| *line != "---")
        .find_map(|line| line.strip_prefix("source: "))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_stays_as_long_as_its_test() {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let files = [
            file("a/src/grid.rs", "//! a"),
            file(
                "a/src/snapshots/kept.snap",
                "---\nsource: a/src/grid.rs\nexpression: x\n---\ntext",
            ),
            file(
                "a/src/snapshots/left.snap",
                "---\nsource: a/src/gone.rs\n---\ntext",
            ),
            file("a/src/snapshots/bare.snap", "text\nsource: a/src/grid.rs"),
            file("a/src/snapshots/open.snap.new", ""),
        ];
        let says: Vec<String> = check(&files).iter().map(ToString::to_string).collect();
        let expected = [
            "a/src/snapshots/left.snap:1: its test is gone (a/src/gone.rs): remove the snapshot",
            "a/src/snapshots/bare.snap:1: this snapshot does not name its source: write it again with insta",
            "a/src/snapshots/open.snap.new:1: this snapshot was not accepted: accept it, or remove it",
        ];
        assert_eq!(says, expected);
    }
}
