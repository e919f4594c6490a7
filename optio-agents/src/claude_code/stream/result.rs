//! The closing word of a round of work.

use std::collections::BTreeSet;

use optio_core::{
    failure::ReportedError,
    money::{Usage, Usd},
    transcript::{TranscriptEvent, UsageOf},
};

use crate::json::{Json, count, status, text};

/// How the program marks what is meant for its own developers.
const DIAGNOSTIC: &str = "[ede_diagnostic]";

pub(super) fn events(value: &Json<'_>) -> Vec<TranscriptEvent> {
    // nothing else tells: a call that the provider refused has the subtype `success`
    let Some(failed) = value["is_error"].as_bool() else {
        return Vec::new();
    };
    let message = text(&value["result"])
        .or_else(|| text(&value["errors"][0]).filter(|error| !error.starts_with(DIAGNOSTIC)))
        .unwrap_or_default();
    let error = if failed { error(value, message) } else { None };
    let summary = match (message, &error) {
        ("", Some(TranscriptEvent::Error { error })) => error.kind.clone().unwrap_or_default(),
        _ => message.to_owned(),
    };
    [usage(value), denied(value), error]
        .into_iter()
        .flatten()
        .chain([TranscriptEvent::Result { failed, summary }])
        .collect()
}

/// What was used since the last result; by versions that do not tell that, since the process began.
fn usage(value: &Json<'_>) -> Option<TranscriptEvent> {
    let (models, of) = match value["model_usage_since_last_result"].fields() {
        Some(models) => (models, UsageOf::Part),
        None => (value["modelUsage"].fields()?, UsageOf::Run),
    };
    let mut total = Usage::default();
    for model in models.values() {
        let tokens = |field: &str| count(&model[field]);
        let cached = tokens("cacheReadInputTokens");
        total += Usage {
            cost: Usd::from_dollars(model["costUSD"].as_f64().unwrap_or(0.0)),
            input_tokens: tokens("inputTokens")
                .saturating_add(cached)
                .saturating_add(tokens("cacheCreationInputTokens")),
            cached_tokens: cached,
            output_tokens: tokens("outputTokens"),
        };
    }
    Some(TranscriptEvent::Usage { total, of })
}

/// The tools that were not allowed. The run may well be called a success without them.
fn denied(value: &Json<'_>) -> Option<TranscriptEvent> {
    let denials = value["permission_denials"].as_list()?;
    let tools: BTreeSet<&str> = denials
        .iter()
        .filter_map(|denial| text(&denial["tool_name"]))
        .collect();
    let tools: Vec<&str> = tools.into_iter().collect();
    (!denials.is_empty()).then(|| TranscriptEvent::System {
        text: format!("{} calls were denied: {}", denials.len(), tools.join(", ")),
    })
}

/// The failure in the fields of the result. `None` if they name no cause: then the error of the last message stands.
fn error(value: &Json<'_>, message: &str) -> Option<TranscriptEvent> {
    let field = |name: &str| text(&value[name]);
    let why = field("terminal_reason").filter(|why| *why != "api_error" && *why != "completed");
    let subtype = field("subtype").filter(|subtype| *subtype != "success");
    let kind = field("stop_reason")
        .filter(|reason| *reason == "refusal")
        .or_else(|| field("startup_failure_reason"))
        .or(why)
        .or(subtype)
        .or_else(|| field("api_error"))
        .or_else(|| field("api_error_type"));
    let http_status = status(&value["api_error_status"]);
    if kind.is_none() && http_status.is_none() {
        return None;
    }
    // of a success that is an error, the text is the program's only if a call failed; else the model wrote it
    let of_program = subtype.is_some()
        || http_status.is_some()
        || matches!(
            field("terminal_reason"),
            Some("api_error" | "prompt_too_long")
        );
    Some(TranscriptEvent::Error {
        error: ReportedError {
            kind: kind.map(str::to_owned),
            http_status,
            message: if of_program { message } else { "" }.to_owned(),
            resets_at: None,
        },
    })
}
