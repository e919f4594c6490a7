//! What the command line writes: to its output what was asked for, to its error output everything else.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::config::Environment;

/// Where a command writes.
pub(crate) struct Out {
    output: Box<dyn Write + Send>,
    errors: Box<dyn Write + Send>,
    paint: Paint,
}

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Coloured,
    Plain,
}

/// What a piece of text is about, and so its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Attention,
    Busy,
    Quiet,
}

impl Paint {
    /// The text in the colour of its tone.
    pub(crate) fn text(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Attention => "33",
            Tone::Busy => "36",
            Tone::Quiet => "2",
        };
        match self {
            Self::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// How a command shows what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// For people.
    Human,
    /// The server's JSON.
    Json,
}

impl Out {
    /// The output of this process. Coloured on a terminal, unless the user does not want that.
    pub(crate) fn of_process(environment: &Environment) -> Self {
        let stdout = io::stdout();
        let wanted =
            environment.text("NO_COLOR").is_none() && environment.text("TERM") != Some("dumb");
        let paint = if stdout.is_terminal() && wanted {
            Paint::Coloured
        } else {
            Paint::Plain
        };
        Self {
            output: Box::new(io::BufWriter::new(stdout)),
            errors: Box::new(io::stderr()),
            paint,
        }
    }

    /// Whether this output is coloured.
    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.output, "{}", line.as_ref().trim_end())
    }

    /// Writes a JSON document over several lines.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.output, value)?;
        writeln!(self.output)
    }

    /// Writes a JSON document in one line: one of a stream.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.output, value)?;
        writeln!(self.output)
    }

    /// Has what was written so far seen.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// A remark that is not what was asked for.
    pub(crate) fn remark(&mut self, remark: impl AsRef<str>) {
        // with nobody reading the remarks, the work goes on
        let _ = writeln!(self.errors, "optio: {}", remark.as_ref());
    }

    /// Why nothing was done, in one sentence.
    pub(crate) fn refuse(&mut self, error: &anyhow::Error) {
        let _ = self.output.flush();
        self.remark(format!("{error:#}"));
    }
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out")
            .field("paint", &self.paint)
            .finish_non_exhaustive()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
