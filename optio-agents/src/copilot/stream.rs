//! A line of Copilot CLI's stream as events, and its file about what was used.

use std::sync::LazyLock;

use optio_core::{
    failure::ReportedError,
    money::{Usage, Usd},
    transcript::{SessionId, TranscriptEvent, UsageOf},
};

use crate::{
    json::{Json, Wanted, content, count, raw, status, string, text, typed},
    price::PriceTable,
};

/// What events are made of. What a tool gave back is also there in detail, and as telemetry; that is read over.
static WANTED: LazyLock<Wanted> = LazyLock::new(|| {
    Wanted::of([
        "/type",
        "/ephemeral",
        "/data/content",
        "/data/reasoningText",
        "/data/toolRequests",
        "/data/toolCallId",
        "/data/toolName",
        "/data/arguments",
        "/data/model",
        "/data/success",
        "/data/result/content",
        "/data/error/message",
        "/data/shellExecution/exitCode",
        "/data/message",
        "/data/reason",
        "/data/statusCode",
        "/data/errorType",
        "/data/errorCode",
        "/data/errorMessage",
        "/exitCode",
        "/sessionId",
    ])
});

pub(super) fn events(line: &str) -> Vec<TranscriptEvent> {
    let Some((mut value, kind)) = typed(line, &WANTED) else {
        return raw(line);
    };
    let mut data = value.take("data");
    let data = &mut data;
    let events = match kind.as_ref() {
        "assistant.message" => message(data),
        "tool.execution_start" => call(data).into_iter().collect(),
        "tool.execution_complete" => tool_result(data).into_iter().collect(),
        "user.message" | "system.message" => note(data.take_text("content")),
        "session.info" | "session.warning" => note(data.take_text("message")),
        "assistant.turn_retry" => {
            note(string(&data["reason"]).map(|why| format!("trying again: {why}")))
        }
        "session.error" => error(data, "errorType", "message"),
        "model.call_failure" => error(data, "errorCode", "errorMessage"),
        "abort" => aborted(data),
        "session.tools_updated" => model(data).into_iter().collect(),
        "result" => result(&value),
        _ => Vec::new(),
    };
    if !events.is_empty() {
        return events;
    }
    // what only says that something goes on is told by its name
    let passing = value["ephemeral"].as_bool().unwrap_or(false);
    let turn = matches!(kind.as_ref(), "assistant.turn_start" | "assistant.turn_end");
    if passing || turn {
        vec![TranscriptEvent::System {
            text: kind.into_owned(),
        }]
    } else {
        raw(line)
    }
}

fn note(text: Option<String>) -> Vec<TranscriptEvent> {
    text.map(|text| TranscriptEvent::System { text })
        .into_iter()
        .collect()
}

/// What it thought and said. The tools it asks for are told when they start.
fn message(data: &mut Json<'_>) -> Vec<TranscriptEvent> {
    let thought = data
        .take_text("reasoningText")
        .map(|text| TranscriptEvent::Thinking { text });
    let said = data
        .take_text("content")
        .map(|text| TranscriptEvent::Text { text });
    let events: Vec<_> = [thought, said].into_iter().flatten().collect();
    let asks = data["toolRequests"].as_list().map_or(0, <[_]>::len);
    if events.is_empty() && asks > 0 {
        return note(Some(format!("asks for {asks} tools")));
    }
    events
}

/// The model, of which it tells when it has looked which tools that may use.
fn model(data: &mut Json<'_>) -> Option<TranscriptEvent> {
    let name = data.take_text("model")?;
    Some(TranscriptEvent::Model { name })
}

fn call(data: &mut Json<'_>) -> Option<TranscriptEvent> {
    Some(TranscriptEvent::ToolCall {
        id: data.take_text("toolCallId")?,
        name: data.take_text("toolName")?,
        input: data.take("arguments").into(),
    })
}

fn tool_result(data: &mut Json<'_>) -> Option<TranscriptEvent> {
    let output = match content(data.take("result").take("content")) {
        output if output.is_empty() => content(data.take("error").take("message")),
        output => output,
    };
    let exit_code = data["shellExecution"]["exitCode"].as_i64().unwrap_or(0);
    Some(TranscriptEvent::ToolResult {
        id: data.take_text("toolCallId")?,
        output,
        failed: !data["success"].as_bool().unwrap_or(true) || exit_code != 0,
    })
}

fn error(data: &Json<'_>, kind: &str, message: &str) -> Vec<TranscriptEvent> {
    let http_status = status(&data["statusCode"]);
    let Some(message) = string(&data[message]) else {
        return Vec::new();
    };
    // the error of a `query` may be any; its status and words tell which
    let kind = string(&data[kind]).filter(|kind| kind != "query");
    vec![TranscriptEvent::Error {
        error: ReportedError {
            kind,
            http_status,
            message,
            resets_at: None,
        },
    }]
}

fn aborted(data: &Json<'_>) -> Vec<TranscriptEvent> {
    vec![TranscriptEvent::Error {
        error: ReportedError {
            kind: Some("interrupted".to_owned()),
            message: format!(
                "stopped: {}",
                text(&data["reason"]).unwrap_or("no reason told")
            ),
            ..ReportedError::default()
        },
    }]
}

/// The closing word. It is the only line that names the session.
fn result(value: &Json<'_>) -> Vec<TranscriptEvent> {
    let Some(exit_code) = value["exitCode"].as_i64() else {
        return Vec::new();
    };
    let session = string(&value["sessionId"]).map(|id| TranscriptEvent::Session {
        id: SessionId(id),
        model: None,
        version: None,
    });
    let result = TranscriptEvent::Result {
        failed: exit_code != 0,
        summary: String::new(),
    };
    session.into_iter().chain([result]).collect()
}

/// What the session has used, from the file that `--usage-output-file` names: in all its runs.
pub(super) fn usage(file: &str, prices: &PriceTable) -> Option<TranscriptEvent> {
    let file = Wanted::Whole.read(file)?;
    let models = file["modelMetrics"].fields()?;
    let used = |metrics: &Json<'_>| {
        let tokens = |field: &str| count(&metrics["usage"][field]);
        Usage {
            cost: Usd::ZERO,
            input_tokens: tokens("inputTokens"),
            cached_tokens: tokens("cacheReadTokens"),
            output_tokens: tokens("outputTokens"),
        }
    };
    let mut total = Usage::default();
    for metrics in models.values() {
        total += used(metrics);
    }
    let costs = models
        .iter()
        .map(|(model, metrics)| Some(prices.find(model)?.of(&used(metrics))));
    let costs: Option<Vec<Usd>> = costs.collect();
    total.cost = costs
        .into_iter()
        .flatten()
        .fold(Usd::ZERO, |sum, cost| sum + cost);
    Some(TranscriptEvent::Usage {
        total,
        of: UsageOf::Session,
    })
}
