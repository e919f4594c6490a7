//! `optio replay`: what was decided, shown to today's rules.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use optio_core::{
    Timestamp,
    id::TaskId,
    replay::{Difference, Outcome as Replay, Replayed, Subject, replay},
    store::Audit,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    Outcome,
    out::{Out, Tone},
};

/// The longest text that is shown of a difference; all of it is in the JSON.
const LONGEST: usize = 100;

/// See whether today's rules would decide as recorded
///
/// Reads what `optio task export` wrote, shows each decision's snapshot to the rules of this program, and each
/// transition to its state machine, and lists what would be another today. Needs no server.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:
  0  everything would be the same
  1  something differs, or a record was changed afterwards
  2  the file cannot be read")]
pub(crate) struct ReplayArgs {
    /// The file; - is the standard input
    file: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What came of it all.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    decisions: u64,
    transitions: u64,
    /// Decisions whose snapshot was too large to be kept.
    not_kept: u64,
    differ: u64,
    news: Vec<News>,
}

/// A step that is not as it was.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct News {
    task: TaskId,
    at: Timestamp,
    line: usize,
    #[serde(flatten)]
    replayed: Replayed,
}

impl ReplayArgs {
    pub(crate) fn run(self, out: &mut Out) -> Result<Outcome> {
        let report = if self.file.as_os_str() == "-" {
            read(io::stdin().lock(), "the standard input")?
        } else {
            let file = open(&self.file)?;
            read(BufReader::new(file), &self.file.display().to_string())?
        };
        if self.json {
            out.json(&report)?;
        } else {
            show(&report, out)?;
        }
        Ok(if report.differ == 0 {
            Outcome::Done
        } else {
            Outcome::Failed
        })
    }
}

fn open(file: &Path) -> Result<File> {
    File::open(file).with_context(|| format!("{} cannot be read", file.display()))
}

fn read(lines: impl BufRead, name: &str) -> Result<Report> {
    let mut report = Report::default();
    for (line, text) in (1..).zip(lines.lines()) {
        let text = text.with_context(|| format!("line {line} of {name} cannot be read"))?;
        if text.trim().is_empty() {
            continue;
        }
        let step: Audit = serde_json::from_str(&text).map_err(|error| {
            anyhow!("line {line} of {name} is no line of `optio task export`: {error}")
        })?;
        report.add(&step, line);
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, step: &Audit, line: usize) {
        for replayed in replay(step) {
            match replayed.subject {
                Subject::Transition => self.transitions += 1,
                Subject::Decision(_) if replayed.outcome == Replay::NotKept => self.not_kept += 1,
                Subject::Decision(_) => self.decisions += 1,
            }
            if replayed.outcome.is_news() {
                self.differ += 1;
                self.news.push(News {
                    task: step.task,
                    at: step.at,
                    line,
                    replayed,
                });
            }
        }
    }
}

fn show(report: &Report, out: &mut Out) -> Result<()> {
    for news in &report.news {
        let heading = format!("{} {} {}", news.task, news.at, news.replayed.subject);
        out.line(out.paint().text(Tone::Attention, &heading))?;
        match &news.replayed.outcome {
            Replay::Differs { differences } => {
                for difference in differences {
                    out.line(told(difference))?;
                }
            }
            Replay::Altered { recorded, found } => out.line(format!(
                "  the record was changed afterwards: its digest is {recorded} and should be {found}"
            ))?,
            Replay::Unreadable { why } => {
                out.line(format!("  today's rules cannot read the snapshot: {why}"))?;
            }
            Replay::Same | Replay::NotKept => {}
        }
    }
    let not_kept = match report.not_kept {
        0 => String::new(),
        n => format!("; of {n} more the snapshot was too large to be kept"),
    };
    out.line(format!(
        "{} decisions and {} transitions replayed, {} differ{not_kept}",
        report.decisions, report.transitions, report.differ
    ))?;
    Ok(())
}

fn told(difference: &Difference) -> String {
    format!(
        "  {}: {} -> {}",
        difference.what,
        shortened(&difference.then),
        shortened(&difference.now)
    )
}

fn shortened(value: &Value) -> String {
    let text = match value {
        Value::String(text) if !text.contains('\n') => text.clone(),
        value => value.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
