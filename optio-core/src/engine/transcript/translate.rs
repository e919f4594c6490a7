//! Lines in, events of the transcript out.

use std::sync::Arc;

use crate::{
    agent::Agent,
    secret::Masker,
    transcript::TranscriptEvent,
};

/// An event, and the line it came from where it does not hold all of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Translated {
    pub(crate) event: TranscriptEvent,
    pub(crate) original: Option<String>,
}

/// Translates the lines of one run.
#[derive(Debug)]
pub(crate) struct Translator {
    agent: Arc<dyn Agent>,
    masker: Masker,
}

impl Translator {
    pub(crate) fn new(agent: Arc<dyn Agent>, masker: Masker) -> Self {
        Self { agent, masker }
    }

    /// A line of standard output. It is masked first: whatever the adapter makes of it can hold no secret then.
    pub(crate) fn stdout_line(&self, line: &str) -> Vec<Translated> {
        if line.trim().is_empty() {
            return Vec::new();
        }
        let masked = self.masker.mask(line);
        let mut original = Some(masked.as_ref());
        let translate = |event| {
            // once for a line, with its first event; a raw event is the line itself
            let original = original.take().filter(|_| !matches!(event, TranscriptEvent::Raw { .. }));
            Translated { event, original: original.map(str::to_owned) }
        };
        self.agent.read_line(&masked).into_iter().map(translate).collect()
    }

    /// A line of error output.
    pub(crate) fn stderr_line(&self, line: &str) -> Vec<Translated> {
        if line.trim().is_empty() {
            return Vec::new();
        }
        vec![Translated { event: TranscriptEvent::Raw { text: self.masker.mask(line).into_owned() }, original: None }]
    }
}
