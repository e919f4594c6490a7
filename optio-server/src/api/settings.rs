//! Changing the settings of a repository by a JSON merge patch (RFC 7396): what is named is replaced, null brings back
//! the default, everything else stays.

use optio_core::repo::RepoSettings;
use serde_json::{Map, Value};

use crate::config::nearest;

/// Settings that rows do not have while they are not set.
const SPARE: [&str; 1] = ["effort"];

/// The settings after a patch.
///
/// # Errors
/// A name is unknown, and the nearest known one is told; or a value is not what it should be. In a sentence.
pub fn merge(settings: &RepoSettings, patch: &Map<String, Value>) -> Result<RepoSettings, String> {
    let mut defaults = as_object(&RepoSettings::default())?;
    for name in SPARE {
        defaults.entry(name).or_insert(Value::Null);
    }
    let mut merged = as_object(settings)?;
    for (name, value) in patch {
        let Some(default) = defaults.get(name) else {
            let hint = match nearest(name, defaults.keys().map(String::as_str)) {
                Some(known) => format!("did you mean {known}?"),
                None => format!(
                    "choose one of {}",
                    defaults.keys().cloned().collect::<Vec<_>>().join(", ")
                ),
            };
            return Err(format!("there is no setting {name:?}: {hint}"));
        };
        let value = match (value, merged.get(name)) {
            (Value::Null, _) => default.clone(),
            (Value::Object(more), Some(Value::Object(old))) => {
                Value::Object(merge_objects(old, more, default))
            }
            (value, _) => value.clone(),
        };
        // each one alone first: serde's sentence does not say which one is wrong
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        if let Err(error) = serde_json::from_value::<RepoSettings>(Value::Object(alone)) {
            return Err(format!("{name}: {error}"));
        }
        merged.insert(name.clone(), value);
    }
    serde_json::from_value(Value::Object(merged)).map_err(|error| error.to_string())
}

fn merge_objects(
    old: &Map<String, Value>,
    more: &Map<String, Value>,
    default: &Value,
) -> Map<String, Value> {
    let mut merged = old.clone();
    for (name, value) in more {
        match (value, default.get(name)) {
            (Value::Null, Some(default)) => merged.insert(name.clone(), default.clone()),
            (Value::Null, None) => merged.remove(name),
            (value, _) => merged.insert(name.clone(), value.clone()),
        };
    }
    merged
}

fn as_object(settings: &RepoSettings) -> Result<Map<String, Value>, String> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("settings are not an object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(patch: &Value) -> String {
        let settings = RepoSettings {
            auto_merge: true,
            model: Some("large".into()),
            ..RepoSettings::default()
        };
        let Value::Object(patch) = patch else {
            panic!("an object")
        };
        match merge(&settings, patch) {
            Ok(settings) => format!(
                "autoMerge {} model {:?} ci {} failures {}",
                settings.auto_merge,
                settings.model,
                settings.attempts.ci,
                settings.attempts.failures
            ),
            Err(error) => error,
        }
    }

    #[test]
    fn what_is_named_changes_and_nothing_else() {
        let rows = [
            json!({}),
            json!({"autoMerge": false}),
            json!({"model": null, "attempts": {"ci": 9}}),
            json!({"autoMerge": null}),
            json!({"autoMrege": true}),
            json!({"colour": "red"}),
            json!({"autoMerge": "yes"}),
            json!({"attempts": {"cii": 1}}),
        ];
        let table: Vec<String> = rows
            .map(|patch| format!("{patch} -> {}", merged(&patch)))
            .into();
        insta::assert_snapshot!(table.join("\n"));
    }
}
