//! The table: today's numbers, the peer or limit of the same run, the target, and what was stored before.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Which numbers are good ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Throughput.
    More,
    /// Latency and memory.
    Less,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// This number or a better one.
    Value(f64),
    /// This multiple of the peer or limit, or a better one.
    Ratio(f64),
}

/// One thing that was measured.
#[derive(Debug, Clone)]
pub struct Row {
    what: String,
    unit: &'static str,
    better: Better,
    ours: f64,
    against: Option<(&'static str, f64)>,
    target: Option<Target>,
}

impl Row {
    /// Something in this unit.
    #[must_use]
    pub fn new(what: impl Into<String>, ours: f64, unit: &'static str, better: Better) -> Self {
        Self {
            what: what.into(),
            unit,
            better,
            ours,
            against: None,
            target: None,
        }
    }

    /// Throughput.
    #[must_use]
    pub fn rate(what: impl Into<String>, ours: f64, unit: &'static str) -> Self {
        Self::new(what, ours, unit, Better::More)
    }

    /// A latency in milliseconds.
    #[must_use]
    pub fn millis(what: impl Into<String>, ours: f64) -> Self {
        Self::new(what, ours, "ms", Better::Less)
    }

    /// Beside it a peer or limit, in the same unit and from the same run.
    #[must_use]
    pub fn against(mut self, name: &'static str, value: f64) -> Self {
        self.against = Some((name, value));
        self
    }

    /// What is wanted.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.against
            .map(|(_, value)| self.ours / value)
            .filter(|ratio| ratio.is_finite())
    }

    /// How much of the target was reached: 1 or more means all of it.
    fn reached(&self) -> Option<f64> {
        let (is, wanted) = match self.target? {
            Target::Value(wanted) => (self.ours, wanted),
            Target::Ratio(wanted) => (self.ratio()?, wanted),
        };
        Some(match self.better {
            Better::More => is / wanted,
            Better::Less => wanted / is,
        })
    }

    fn cells(&self, stored: Option<&Stored>) -> [String; 7] {
        let optional = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let target = self.target.map(|target| {
            let sign = match self.better {
                Better::More => "≥",
                Better::Less => "≤",
            };
            match target {
                Target::Value(value) => format!("{sign} {}", number(value)),
                Target::Ratio(ratio) => format!("{sign} {} x", number(ratio)),
            }
        });
        let met = self.reached().map(|reached| {
            if reached >= 1.0 {
                "met".to_owned()
            } else {
                format!("MISSED: {:.0} % of it", reached * 100.0)
            }
        });
        let before = stored.map(|stored| {
            let change = (self.ours / stored.ours - 1.0) * 100.0;
            let ratio = stored
                .ratio
                .map_or_else(String::new, |ratio| format!(", ratio {}", number(ratio)));
            format!("{} ({change:+.0} %){ratio}", number(stored.ours))
        });
        [
            self.what.clone(),
            format!("{} {}", number(self.ours), self.unit),
            optional(
                self.against
                    .map(|(name, value)| format!("{} {name}", number(value))),
            ),
            optional(self.ratio().map(number)),
            optional(target),
            optional(met),
            optional(before),
        ]
    }
}

const HEAD: [&str; 7] = ["what", "ours", "against", "ratio", "target", "", "stored"];

/// A number of a row as it was stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    ours: f64,
    unit: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

/// The rows of one bench.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    question: &'static str,
    rows: Vec<Row>,
    remarks: Vec<String>,
    keep: Keep,
}

/// Whether today's numbers become the stored ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Stored,
    Today,
}

impl Report {
    /// Begins the bench of this name, whose stored numbers lie in `results/NAME.toml`.
    ///
    /// # Errors
    /// The program was called with something else than `--save`.
    pub fn begin(name: &'static str, question: &'static str) -> Result<Self> {
        let mut keep = Keep::Stored;
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--save" => keep = Keep::Today,
                other => bail!("a bench knows only --save, not {other}"),
            }
        }
        Ok(Self {
            name,
            question,
            rows: Vec::new(),
            remarks: Vec::new(),
            keep,
        })
    }

    /// One more row.
    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// A sentence below the table.
    pub fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// Prints the table, and stores its numbers if that was asked for.
    ///
    /// # Errors
    /// The stored numbers cannot be read or written.
    pub fn end(self) -> Result<()> {
        let path = self.path();
        let stored = read(&path)?;
        print(&self.table(&stored));
        if self.keep == Keep::Today {
            let rows = self.rows.iter().map(|row| {
                let stored = Stored {
                    ours: rounded(row.ours),
                    unit: row.unit.to_owned(),
                    ratio: row.ratio().map(rounded),
                };
                (row.what.clone(), stored)
            });
            let rows: BTreeMap<String, Stored> = rows.collect();
            let text = format!(
                "# {}\n# Written by `cargo xtask bench {} --save`. Ratios travel, absolute numbers are of one machine.\n\n{}",
                self.question,
                self.name,
                toml::to_string(&rows)?
            );
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            print(&format!("stored in benches/results/{}.toml\n", self.name));
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("results")
            .join(format!("{}.toml", self.name))
    }

    fn table(&self, stored: &BTreeMap<String, Stored>) -> String {
        let mut lines = vec![HEAD.map(str::to_owned)];
        lines.extend(self.rows.iter().map(|row| row.cells(stored.get(&row.what))));
        let widths: [usize; 7] = std::array::from_fn(|column| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or(0)
        });
        let mut text = format!("\n{}: {}\n\n", self.name, self.question);
        for line in lines {
            for (cell, width) in line.iter().zip(widths) {
                let _ = write!(text, "  {cell:<width$}");
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        for remark in &self.remarks {
            let _ = writeln!(text, "  {remark}");
        }
        text
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, Stored>> {
    match fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text)
            .with_context(|| format!("{} does not hold stored numbers", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[expect(clippy::print_stdout, reason = "the table is what a bench is for")]
fn print(text: &str) {
    print!("{text}");
}

/// Three significant digits, or the whole part if that is longer.
fn number(value: f64) -> String {
    match value.abs() {
        big if big >= 100.0 => {
            let digits = format!("{value:.0}");
            let mut grouped = String::new();
            for (n, digit) in digits.chars().enumerate() {
                if n > 0 && (digits.len() - n).is_multiple_of(3) && !grouped.ends_with('-') {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
        ten if ten >= 10.0 => format!("{value:.1}"),
        one if one >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Four significant digits, so that stored numbers say no more than was measured.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}
