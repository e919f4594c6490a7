//! A line of Gemini CLI's stream as events.

use std::sync::LazyLock;

use optio_core::{
    failure::ReportedError,
    money::{Usage, Usd},
    transcript::{SessionId, TranscriptEvent, UsageOf},
};

use crate::{
    json::{Json, Wanted, content, count, plan, raw, status, string, text, typed},
    price::PriceTable,
};

/// What events are made of; all else is read over.
static WANTED: LazyLock<Wanted> = LazyLock::new(|| {
    Wanted::of([
        "/type",
        "/content",
        "/delta",
        "/role",
        "/tool_id",
        "/tool_name",
        "/parameters",
        "/output",
        "/status",
        "/error",
        "/session_id",
        "/model",
        "/message",
        "/severity",
        "/stats",
    ])
});

pub(super) fn events(line: &str, prices: &PriceTable) -> Vec<TranscriptEvent> {
    let Some((mut value, kind)) = typed(line, &WANTED) else {
        return raw(line);
    };
    let events = match kind.as_ref() {
        "init" => session(&value).into_iter().collect(),
        "message" => message(&mut value).into_iter().collect(),
        "tool_use" => tool_use(&mut value),
        "tool_result" => tool_result(&mut value).into_iter().collect(),
        "error" => notice(&value).into_iter().collect(),
        "result" => result(&value, prices),
        _ => Vec::new(),
    };
    if events.is_empty() { raw(line) } else { events }
}

fn session(value: &Json<'_>) -> Option<TranscriptEvent> {
    Some(TranscriptEvent::Session {
        id: SessionId(string(&value["session_id"])?),
        // `auto` is no model but the word for letting it choose
        model: string(&value["model"]).filter(|model| !model.starts_with("auto")),
        version: None,
    })
}

fn message(value: &mut Json<'_>) -> Option<TranscriptEvent> {
    let words = value.take_text("content")?;
    let is_piece = value["delta"].as_bool().unwrap_or(false);
    Some(match text(&value["role"])? {
        "assistant" if is_piece => TranscriptEvent::TextPart { text: words },
        "assistant" => TranscriptEvent::Text { text: words },
        _ => TranscriptEvent::System { text: words },
    })
}

fn tool_use(value: &mut Json<'_>) -> Vec<TranscriptEvent> {
    let ids = value.take_text("tool_id").zip(value.take_text("tool_name"));
    let Some((id, name)) = ids else {
        return Vec::new();
    };
    let input = value.take("parameters");
    let plan = (name == "write_todos")
        .then(|| plan(&input["todos"], "description"))
        .flatten();
    let input = input.into();
    let call = TranscriptEvent::ToolCall { id, name, input };
    [Some(call), plan].into_iter().flatten().collect()
}

fn tool_result(value: &mut Json<'_>) -> Option<TranscriptEvent> {
    let output = match content(value.take("output")) {
        output if output.is_empty() => content(value.take("error").take("message")),
        output => output,
    };
    Some(TranscriptEvent::ToolResult {
        id: value.take_text("tool_id")?,
        output,
        failed: text(&value["status"]) == Some("error"),
    })
}

fn notice(value: &Json<'_>) -> Option<TranscriptEvent> {
    let message = text(&value["message"])?;
    Some(if text(&value["severity"]) == Some("error") {
        let error = reported(None, message);
        TranscriptEvent::Error { error }
    } else {
        TranscriptEvent::System {
            text: format!("warning: {message}"),
        }
    })
}

fn result(value: &Json<'_>, prices: &PriceTable) -> Vec<TranscriptEvent> {
    let Some(status) = text(&value["status"]) else {
        return Vec::new();
    };
    let failed = status != "success";
    let error = &value["error"];
    let message = text(&error["message"]).unwrap_or_default();
    let error = (failed && error.is_object()).then(|| TranscriptEvent::Error {
        error: reported(text(&error["type"]), message),
    });
    let result = TranscriptEvent::Result {
        failed,
        summary: message.to_owned(),
    };
    [usage(&value["stats"], prices), error, Some(result)]
        .into_iter()
        .flatten()
        .collect()
}

/// The error, with what the provider's own answer in its message says: `[API Error: {"error":{"code":401,...}}]`.
fn reported(kind: Option<&str>, message: &str) -> ReportedError {
    let inner = message
        .split_once("[API Error: ")
        .and_then(|(_, rest)| Some(rest.rsplit_once(']')?.0))
        .unwrap_or(message);
    let answer = Wanted::Whole.read(inner).unwrap_or_default();
    let answer = match &answer {
        // a list of one is how some gateways wrap it
        Json::List(_) => &answer[0],
        answer => answer,
    };
    let answer = &answer["error"];
    ReportedError {
        kind: string(&answer["status"]).or_else(|| {
            let kind = kind.filter(|kind| !matches!(*kind, "unknown" | "Error"));
            kind.map(str::to_owned)
        }),
        http_status: status(&answer["code"]),
        message: text(&answer["message"]).unwrap_or(inner).to_owned(),
        resets_at: None,
    }
}

/// What the run has used, and what that costs if the prices of all its models are known.
fn usage(stats: &Json<'_>, prices: &PriceTable) -> Option<TranscriptEvent> {
    let used = |stats: &Json<'_>| {
        let input = count(&stats["input_tokens"]);
        Usage {
            cost: Usd::ZERO,
            input_tokens: input,
            cached_tokens: count(&stats["cached"]),
            // its thoughts are told in the total alone
            output_tokens: count(&stats["output_tokens"])
                .max(count(&stats["total_tokens"]).saturating_sub(input)),
        }
    };
    stats.is_object().then(|| {
        let models = stats["models"].fields().into_iter().flatten();
        let costs = models.map(|(model, stats)| Some(prices.find(model)?.of(&used(stats))));
        let cost: Option<Vec<Usd>> = costs.collect();
        TranscriptEvent::Usage {
            total: Usage {
                cost: cost
                    .into_iter()
                    .flatten()
                    .fold(Usd::ZERO, |sum, cost| sum + cost),
                ..used(stats)
            },
            of: UsageOf::Run,
        }
    })
}
