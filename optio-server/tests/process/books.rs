//! The books of finished tasks: what must be so whatever happened to the servers on the way.

use optio_core::task::StateName;
use optio_server::api::log::{EventView, LogEntryView};

use crate::{git::Bare, server::Server};

/// A task whose agent prints numbered lines and writes a file of its own.
#[derive(Debug)]
pub(crate) struct Numbered {
    pub(crate) id: String,
    title: String,
    lines: u64,
}

impl Numbered {
    /// Submits it: so many lines, with a pause after each of so many milliseconds.
    pub(crate) async fn submit(
        server: &Server,
        repo: &str,
        title: &str,
        lines: u64,
        pause: u64,
    ) -> Self {
        let mut script = String::new();
        for line in 1..=lines {
            script += &format!("say line {line}\nsleep {pause}\n");
        }
        script += &format!(
            "edit notes/{title} <<END\n{lines} lines\nEND\ncommit Write {title}\ncost 0.01 10 10"
        );
        Self {
            id: server.add_task(repo, title, &script).await,
            title: title.to_owned(),
            lines,
        }
    }

    /// Waits for its end, and checks everything that was written about it.
    pub(crate) async fn check(&self, server: &Server, bare: &Bare, wanted: Runs) -> Checked {
        let task = server.until(&self.id, StateName::Completed).await;
        let runs = server.runs(&self.id).await;
        let (last, before) = runs.split_last().unwrap();
        assert_eq!(
            last.outcome.as_deref(),
            Some("pushed"),
            "{}: {runs:#?}",
            self.title
        );
        assert!(
            wanted == Runs::AsManyAsNeeded || before.is_empty(),
            "{}: {runs:#?}",
            self.title
        );
        let log = server.log(&self.id).await;
        for run in &runs {
            let entries: Vec<&LogEntryView> = log
                .iter()
                .filter(|entry| entry.cursor.run == run.number)
                .collect();
            self.check_log(&entries, run.number == last.number);
        }
        // a task costs what its runs have cost; the one that wrote the file a cent, one that found it written nothing
        let spent: f64 = runs.iter().map(|run| run.usage.cost).sum();
        assert!((task.usage.cost - spent).abs() < 1e-9, "{}", self.title);
        assert!(spent >= 0.01 - 1e-9, "{}: {runs:#?}", self.title);
        let history = server.history(&self.id).await;
        let completed = history.iter().filter(|line| {
            line.to == StateName::Completed && line.from != Some(StateName::Completed)
        });
        assert_eq!(completed.count(), 1, "{}: {history:#?}", self.title);
        // the forge: one squash commit with what the agent wrote
        let number = task.pull_request.unwrap().number;
        let subject = format!("{} (#{number})", self.title);
        let subjects = bare.subjects();
        let merges = subjects.iter().filter(|line| **line == subject).count();
        assert_eq!(merges, 1, "{}: {subjects:?}", self.title);
        let written = bare.file(&format!("notes/{}", self.title));
        assert_eq!(written, format!("{} lines", self.lines));
        Checked {
            pull_request: number,
            epoch: last.epoch,
        }
    }

    /// The log of a run: numbered without gap or double, started once, each line of the agent once and in order; and
    /// all of them if it came to its end.
    fn check_log(&self, entries: &[&LogEntryView], whole: bool) {
        let numbers: Vec<u64> = entries.iter().map(|entry| entry.cursor.seq).collect();
        let expected: Vec<u64> = (1..=entries.len() as u64).collect();
        assert_eq!(numbers, expected, "{}", self.title);
        let (mut sessions, mut results, mut said) = (0, 0, Vec::new());
        for entry in entries {
            match &entry.event {
                EventView::Session { .. } => sessions += 1,
                EventView::Result { .. } => results += 1,
                EventView::Text { text } => said.push(text.clone()),
                _ => {}
            }
        }
        let expected: Vec<String> = (1..=self.lines)
            .map(|line| format!("line {line}"))
            .collect();
        assert_eq!(said, expected[..said.len()], "{}", self.title);
        assert!(sessions <= 1 && results <= 1, "{}: ran twice", self.title);
        if whole {
            assert_eq!(
                (sessions, results, said.len()),
                (1, 1, expected.len()),
                "{}",
                self.title
            );
        }
    }
}

/// How many runs a task may have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// One: nothing that happened was a reason for another.
    One,
    /// Some may have failed.
    AsManyAsNeeded,
}

/// What is told of a task that is in order.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) pull_request: u64,
    pub(crate) epoch: u64,
}

/// Checks all tasks of a repository, which are the only ones it has: one pull request and one merge each.
pub(crate) async fn check_all(
    server: &Server,
    bare: &Bare,
    tasks: &[Numbered],
    wanted: Runs,
) -> Vec<Checked> {
    let mut checked = Vec::new();
    for task in tasks {
        checked.push(task.check(server, bare, wanted).await);
    }
    let mut numbers: Vec<u64> = checked.iter().map(|task| task.pull_request).collect();
    numbers.sort_unstable();
    let expected: Vec<u64> = (1..=tasks.len() as u64).collect();
    assert_eq!(numbers, expected, "a pull request each, and no other");
    assert_eq!(
        bare.subjects().len(),
        tasks.len() + 1,
        "{:?}",
        bare.subjects()
    );
    checked
}
