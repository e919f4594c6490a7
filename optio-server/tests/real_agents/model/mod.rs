//! A stand-in for the models of both vendors: it speaks their protocols and says what a test has scripted.
//!
//! Only calls that offer tools are turns of the script. What a program asks besides, such as for a title, is answered
//! with one word that costs nothing.

mod anthropic;
mod openai;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::any,
};
use optio_core::{
    Clock as _,
    clock::{SystemClock, Timestamp, later},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the model does when it is asked.
#[derive(Debug, Clone)]
pub(crate) enum Turn {
    /// It has a file written.
    Write {
        path: &'static str,
        text: &'static str,
    },
    /// It has a command run by a shell.
    Run(String),
    /// It says something, and is done.
    Say(&'static str),
    /// The account's limit is reached; it resets in so long.
    ReachLimit(Duration),
    /// The key is refused. Whoever tries it again gets no answer at all.
    RefuseKey,
}

/// Tokens, as vendors count them: those read anew, those read from a cache, and those written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) fresh: u64,
    pub(crate) cached: u64,
    pub(crate) written: u64,
}

impl Tokens {
    /// Those of the `n`th answer, so that no two cost the same.
    fn of_answer(n: u64) -> Self {
        Self {
            fresh: 1200 + 10 * n,
            cached: 1000 * n,
            written: 80 + n,
        }
    }

    /// Those of all these answers.
    pub(crate) fn of(asked: &[Asked]) -> Self {
        let sum = |part: fn(&Self) -> u64| asked.iter().map(|asked| part(&asked.used)).sum();
        Self {
            fresh: sum(|tokens| tokens.fresh),
            cached: sum(|tokens| tokens.cached),
            written: sum(|tokens| tokens.written),
        }
    }
}

/// A request that was a turn of the script.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The session that it was about.
    pub(crate) session: String,
    /// The headers that show who asks, as `name: value`.
    pub(crate) credentials: Vec<String>,
    /// Everything that was said in it so far.
    pub(crate) conversation: String,
    /// The whole request.
    pub(crate) whole: String,
    /// What its answer used.
    pub(crate) used: Tokens,
    /// When the limit resets, if it was answered with that.
    pub(crate) resets_at: Option<Timestamp>,
}

/// The running stand-in.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    address: String,
    state: Arc<Mutex<Played>>,
}

#[derive(Debug, Default)]
struct Played {
    script: VecDeque<Turn>,
    asked: Vec<Asked>,
    /// Whether the key was refused already.
    refused: bool,
    /// Whether nobody gets an answer any more.
    silent: bool,
    /// Requests that came after the end of the script.
    beyond: u64,
}

impl Model {
    /// Starts it on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let model = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::default(),
        };
        let router = Router::new()
            .fallback(any(answer))
            .with_state(Arc::clone(&model.state));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        model
    }

    /// Where it listens, as a URL without a path.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Appends to the script.
    pub(crate) fn will(&self, turns: impl IntoIterator<Item = Turn>) {
        self.state.lock().unwrap().script.extend(turns);
    }

    /// From now on the key is not refused any more.
    pub(crate) fn accept_key(&self) {
        let mut played = self.state.lock().unwrap();
        played.refused = false;
        played
            .script
            .retain(|turn| !matches!(turn, Turn::RefuseKey));
    }

    /// From now on nobody gets an answer, and what is asked does not count: a program that is told to stop may see its tool
    /// end first, and tell of that.
    pub(crate) fn fall_silent(&self) {
        self.state.lock().unwrap().silent = true;
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// What it was asked, now that its script has come to its end and nobody asked more.
    pub(crate) fn told(&self) -> Vec<Asked> {
        let played = self.state.lock().unwrap();
        assert!(played.script.is_empty(), "never said: {:?}", played.script);
        assert_eq!(played.beyond, 0, "requests after the end of the script");
        played.asked.clone()
    }
}

impl Played {
    /// The next turn. One that refuses all stays.
    fn next(&mut self) -> Turn {
        match self.script.front() {
            Some(Turn::RefuseKey) => Turn::RefuseKey,
            Some(_) => self.script.pop_front().unwrap_or(Turn::Say("")),
            None => {
                self.beyond += 1;
                Turn::Say("There is nothing left to say.")
            }
        }
    }
}

/// What both vendors have in common is here; how they say it, in their modules.
async fn answer(
    State(state): State<Arc<Mutex<Played>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let vendor = match uri.path() {
        "/v1/messages" => Vendor::Anthropic,
        "/v1/responses" => Vendor::OpenAi,
        path => {
            let error = json!({"error": {"type": "not_found_error", "message": path}});
            return (StatusCode::NOT_FOUND, Json(error)).into_response();
        }
    };
    if let Some(poll) = vendor.look_again(&body) {
        return stream(&poll);
    }
    if !vendor.offers_tools(&body) {
        return stream(&vendor.frames(&body, &Turn::Say("ok"), Tokens::default()));
    }
    match take_turn(&state, vendor, &headers, &body) {
        Some(response) => response,
        None => std::future::pending().await,
    }
}

/// The answer of the next turn, if it has one.
fn take_turn(
    state: &Mutex<Played>,
    vendor: Vendor,
    headers: &HeaderMap,
    body: &Value,
) -> Option<Response> {
    let mut played = state.lock().unwrap();
    if played.silent {
        return None;
    }
    let turn = played.next();
    let used = Tokens::of_answer(played.asked.len() as u64 + 1);
    let resets_at = match turn {
        Turn::ReachLimit(wait) => {
            let at = later(SystemClock.now(), wait).as_second();
            Some(Timestamp::from_second(at).unwrap())
        }
        _ => None,
    };
    let refusal = match (&turn, resets_at) {
        (Turn::RefuseKey, _) => Some(vendor.refuse_key()),
        (_, Some(at)) => Some(vendor.refuse_until(at)),
        _ => None,
    };
    let credentials = ["authorization", "x-api-key"].into_iter();
    let credentials = credentials.filter_map(|name| {
        let value = headers.get(name)?.to_str().unwrap_or("not text");
        Some(format!("{name}: {value}"))
    });
    played.asked.push(Asked {
        session: vendor.session(body),
        credentials: credentials.collect(),
        conversation: vendor.conversation(body),
        whole: body.to_string(),
        used: refusal.as_ref().map_or(used, |_| Tokens::default()),
        resets_at,
    });
    let again = matches!(turn, Turn::RefuseKey) && std::mem::replace(&mut played.refused, true);
    (!again).then(|| match refusal {
        Some(refusal) => refusal.into_response(),
        None => stream(&vendor.frames(body, &turn, used)),
    })
}

/// A request that is refused: the status, headers, and what is in the vendor's `error`.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
    error: Value,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"type": "error", "error": self.error});
        let mut response = (self.status, Json(body)).into_response();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }
}

/// Events as a stream of server-sent events; a client cannot tell that they come at once.
fn stream(frames: &[Value]) -> Response {
    let text: String = frames
        .iter()
        .map(|frame| {
            let name = frame["type"].as_str().unwrap();
            format!("event: {name}\ndata: {frame}\n\n")
        })
        .collect();
    ([(CONTENT_TYPE, "text/event-stream")], text).into_response()
}

/// Whose protocol is spoken.
#[derive(Debug, Clone, Copy)]
enum Vendor {
    Anthropic,
    OpenAi,
}

impl Vendor {
    fn offers_tools(self, body: &Value) -> bool {
        match self {
            Self::Anthropic => anthropic::offers_tools(body),
            Self::OpenAi => openai::offers_tools(body),
        }
    }

    fn session(self, body: &Value) -> String {
        match self {
            Self::Anthropic => anthropic::session(body),
            Self::OpenAi => openai::session(body),
        }
    }

    fn conversation(self, body: &Value) -> String {
        let part = match self {
            Self::Anthropic => "messages",
            Self::OpenAi => "input",
        };
        body[part].to_string()
    }

    /// What is said to a program that asks too early: only Codex does, about a command that still runs.
    fn look_again(self, body: &Value) -> Option<Vec<Value>> {
        match self {
            Self::Anthropic => None,
            Self::OpenAi => openai::look_again(body),
        }
    }

    fn refuse_key(self) -> Refusal {
        match self {
            Self::Anthropic => anthropic::refuse_key(),
            Self::OpenAi => openai::refuse_key(),
        }
    }

    fn refuse_until(self, at: Timestamp) -> Refusal {
        match self {
            Self::Anthropic => anthropic::refuse_until(at),
            Self::OpenAi => openai::refuse_until(at),
        }
    }

    fn frames(self, body: &Value, turn: &Turn, used: Tokens) -> Vec<Value> {
        match self {
            Self::Anthropic => anthropic::frames(body, turn, used),
            Self::OpenAi => openai::frames(body, turn, used),
        }
    }
}
