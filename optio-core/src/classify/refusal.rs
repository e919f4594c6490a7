//! Refusals in the middle of a run: what an agent's program reports before it gives up, if it ever does.
//!
//! Such programs try a refused request again, for minutes, or for as long as a limit lasts. The first report tells all
//! that the last one will.

use std::time::Duration;

use super::{Evidence, classify, told_reset};
use crate::{
    clock::{Timestamp, elapsed},
    failure::{Failure, FailureCategory, FailureClass, ReportedError},
    transcript::TranscriptEvent,
};

/// A limit that resets within this time is left to the agent, which waits for it and goes on.
const BEARABLE: Duration = Duration::from_secs(60);
/// How long an agent whose limit is reached may take to end by itself: its last words tell what it has cost.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A request that was refused, and will be for as long as this run could last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the run fails from.
    pub failure: Failure,
    /// How long the agent may go on before it is stopped. It has got over it if the model answers meanwhile.
    pub patience: Duration,
}

/// The refusal that an event tells of; none if it tells of none, or of one that passes.
#[must_use]
pub fn refusal(event: &TranscriptEvent, now: Timestamp) -> Option<Refusal> {
    let reported = match event {
        TranscriptEvent::Error { error } => error.clone(),
        TranscriptEvent::RateLimit {
            resets_at,
            refused: true,
        } => ReportedError {
            kind: Some(FailureClass::RateLimited.name().to_owned()),
            resets_at: *resets_at,
            ..ReportedError::default()
        },
        _ => return None,
    };
    let evidence = Evidence::agent(None).with_reported(reported);
    let failure = classify(&evidence, now);
    let reset = told_reset(&failure, &evidence, now);
    let patience = match failure.class {
        class if class.category() == FailureCategory::Auth => Duration::ZERO,
        FailureClass::QuotaExhausted if reset.is_none() => LAST_WORDS,
        FailureClass::RateLimited | FailureClass::QuotaExhausted
            if elapsed(now, reset?) > BEARABLE =>
        {
            LAST_WORDS
        }
        _ => return None,
    };
    Some(Refusal { failure, patience })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn said(event: &TranscriptEvent) -> String {
        let now = "2026-03-10T12:00:00Z".parse().unwrap();
        match refusal(event, now) {
            Some(Refusal { failure, patience }) => {
                let class = failure.class;
                format!("{class}, {}, after {} s", failure.retry, patience.as_secs())
            }
            None => "goes on".to_owned(),
        }
    }

    fn error(kind: &str, status: u16, message: &str) -> TranscriptEvent {
        TranscriptEvent::Error {
            error: ReportedError {
                kind: (!kind.is_empty()).then(|| kind.to_owned()),
                http_status: Some(status).filter(|status| *status > 0),
                ..ReportedError::message(message)
            },
        }
    }

    #[test]
    fn what_passes_is_left_to_the_agent_and_what_does_not_is_not() {
        let retries = "attempt 1 of 11 failed, the next one follows in";
        let limit = |resets: Option<&str>, refused| TranscriptEvent::RateLimit {
            resets_at: resets.map(|at| at.parse().unwrap()),
            refused,
        };
        let rows = [
            error("authentication_failed", 401, &format!("{retries} 500 ms")),
            error(
                "",
                401,
                "Reconnecting... 1/5 (unexpected status 401 Unauthorized: no)",
            ),
            error("", 403, "your organisation does not allow this"),
            error("", 0, "Missing environment variable: `CODEX_API_KEY`."),
            error("rate_limit", 429, &format!("{retries} 500 ms")),
            error("rate_limit", 429, &format!("{retries} 900000 ms")),
            error(
                "rate_limit",
                429,
                "API Error: Request rejected (429), try again in 30 minutes",
            ),
            error("rate_limit", 429, "API Error: Request rejected (429)"),
            error(
                "",
                429,
                "Quota exceeded. Check your plan and billing details.",
            ),
            error("overloaded", 529, &format!("{retries} 900000 ms")),
            error("server_error", 500, "try again"),
            error("connection_failed", 0, &format!("{retries} 500 ms")),
            limit(Some("2026-03-10T14:00:00Z"), true),
            limit(Some("2026-03-10T12:00:30Z"), true),
            limit(None, true),
            limit(Some("2026-03-10T14:00:00Z"), false),
            TranscriptEvent::Text {
                text: "401 Unauthorized: Invalid API key".to_owned(),
            },
            TranscriptEvent::ToolResult {
                id: "1".to_owned(),
                output: "Error: 401 Unauthorized, invalid api key".to_owned(),
                failed: true,
            },
        ];
        let shown = rows.map(|event| {
            let row = serde_json::to_string(&event).unwrap();
            format!("{row}\n  => {}", said(&event))
        });
        assert_snapshot!(shown.join("\n"));
    }
}
