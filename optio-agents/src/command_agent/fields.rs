//! The fields of an event: how they are named in a manifest, and how they are found in a line.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    events::RawEvent,
    manifest::{ManifestError, wrong},
    rules::{Format, Source, pointer},
};
use crate::json::{Wanted, content};

impl Source<'_> {
    /// Text that is not empty; of numbers and the like their spelling, of blocks of content their text.
    pub(super) fn text(&self, at: &str) -> Option<String> {
        let text = match self {
            Self::Json(value) => content(value.pointer(at)?.clone()),
            Self::Text(_, groups) => groups.name(at)?.as_str().to_owned(),
        };
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn value(&self, at: &str) -> Value {
        match self {
            Self::Json(value) => value.pointer(at).cloned().unwrap_or_default().into(),
            Self::Text(..) => self.text(at).map_or(Value::Null, Value::from),
        }
    }

    /// A number; in text also `1.2k` and `$0.01`.
    pub(super) fn number(&self, at: &str) -> Option<f64> {
        match self {
            Self::Json(value) => value.pointer(at)?.as_f64(),
            Self::Text(..) => {
                let text = self.text(at)?;
                let text = text.trim_start_matches('$').replace(',', "");
                let (digits, factor) = match text.strip_suffix(['k', 'K']) {
                    Some(digits) => (digits, 1e3),
                    None => match text.strip_suffix('M') {
                        Some(digits) => (digits, 1e6),
                        None => (text.as_str(), 1.0),
                    },
                };
                Some(digits.parse::<f64>().ok()? * factor)
            }
        }
    }
}

impl RawEvent {
    /// Adds what an item of a line of JSON is looked at for.
    pub(super) fn want(&mut self, wanted: &mut Wanted) {
        let failed = self.failed.as_ref().and_then(toml::Value::as_table);
        let conditions = self.when.iter().flat_map(BTreeMap::keys);
        for at in conditions.chain(failed.into_iter().flat_map(toml::Table::keys)) {
            wanted.add(at);
        }
        for (_, at) in Fields::slots(self) {
            if let Some(at) = at {
                wanted.add(at);
            }
        }
    }
}

/// The fields of an event that come from the line, taken one by one.
pub(super) struct Fields<'a> {
    pub(super) key: &'a str,
    pub(super) format: Format,
    /// The named groups of a line of text.
    pub(super) groups: &'a [&'a str],
    pub(super) raw: RawEvent,
}

impl Fields<'_> {
    fn slots(raw: &mut RawEvent) -> [(&'static str, &mut Option<String>); 13] {
        [
            ("id", &mut raw.id),
            ("model", &mut raw.model),
            ("version", &mut raw.version),
            ("text", &mut raw.text),
            ("name", &mut raw.name),
            ("input", &mut raw.input),
            ("output", &mut raw.output),
            ("summary", &mut raw.summary),
            ("kind", &mut raw.kind),
            ("status", &mut raw.status),
            ("message", &mut raw.message),
            ("cost", &mut raw.cost),
            ("cached", &mut raw.cached),
        ]
    }

    pub(super) fn may(&mut self, name: &str) -> Result<Option<String>, ManifestError> {
        let slot = Self::slots(&mut self.raw)
            .into_iter()
            .find(|(slot, _)| *slot == name);
        let Some(at) = slot.and_then(|(_, slot)| slot.take()) else {
            return Ok(None);
        };
        let key = format!("{}.{name}", self.key);
        match self.format {
            Format::Ndjson => pointer(&key, &at)?,
            Format::Text if self.groups.contains(&at.as_str()) => {}
            Format::Text => {
                let message = format!("match has no group {at:?}: write (?P<{at}>...) in it");
                return Err(wrong(key, message));
            }
        }
        Ok(Some(at))
    }

    pub(super) fn must(&mut self, name: &str) -> Result<String, ManifestError> {
        let missing = || wrong(format!("{}.{name}", self.key), "it is missing");
        let missing = missing();
        self.may(name)?.ok_or(missing)
    }

    /// Words: of a line of text all of it, unless a part is named.
    pub(super) fn words(&mut self, name: &str) -> Result<Option<String>, ManifestError> {
        match self.format {
            Format::Text => self.may(name),
            Format::Ndjson => self.must(name).map(Some),
        }
    }

    /// A field that was given and not taken.
    pub(super) fn rest(&mut self) -> Option<&'static str> {
        let slots = Self::slots(&mut self.raw);
        slots
            .into_iter()
            .find(|(_, slot)| slot.is_some())
            .map(|(name, _)| name)
    }
}
