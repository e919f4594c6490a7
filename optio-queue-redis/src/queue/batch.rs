//! Steps of many callers in one script: what waits while others are under way goes together, each with its own answer.
//!
//! A script costs the server more to begin and to end than a step in it, and each question costs both sides a way over
//! the network. A step that nobody else asks at the same time goes at once and alone.

use std::sync::Arc;

use optio_core::error::{Error, Result};
use redis::Script;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::scripts;
use crate::{
    connect::{Redis, Retry},
    error::BACKEND,
};

/// How many calls may wait before callers have to.
const WAITING: usize = 1024;
/// How many steps go together at most, for the server does nothing else meanwhile.
pub(super) const TOGETHER: usize = 200;
/// How many scripts are under way at once, so that the server has something to do while an answer travels.
pub(super) const LANES: usize = 2;

/// One step of `batch.lua`: its name and its values.
#[derive(Debug)]
pub(super) struct Step(Vec<String>);

impl Step {
    pub(super) fn new<const N: usize>(name: &str, values: [String; N]) -> Self {
        let mut words = Vec::with_capacity(N + 1);
        words.push(name.to_owned());
        words.extend(values);
        Self(words)
    }
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is done.
    Done,
    /// This job is claimed.
    Job(String),
    /// There is nothing that may be claimed.
    Nothing,
    /// The claim that it is about does not hold any more.
    Void,
    /// The server has lost the queue.
    Lost,
    /// It did not work, and this is why.
    Failed(String),
}

impl Answer {
    fn read(word: &str, text: String) -> Result<Self> {
        Ok(match word {
            "done" => Self::Done,
            "job" => Self::Job(text),
            "none" => Self::Nothing,
            "void" => Self::Void,
            "lost" => Self::Lost,
            "failed" => Self::Failed(text),
            _ => {
                let message = format!("the server answers {word}, which means nothing here");
                return Err(Error::corrupt(BACKEND, message));
            }
        })
    }
}

/// Whether a step may be done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twice {
    /// Once more changes nothing: it is tried again if the connection turns out to be lost.
    Harmless,
    /// What it came to would be lost with the answer.
    Harmful,
}

/// The steps of one call.
#[derive(Debug)]
struct Call {
    steps: Vec<Step>,
    twice: Twice,
    reply: oneshot::Sender<Result<Vec<Answer>>>,
}

/// Where steps are handed in. Steps that were handed in are carried out to the end, whoever waits for them.
#[derive(Debug)]
pub(super) struct Batches(mpsc::Sender<Call>);

impl Batches {
    /// Needs a runtime of tokio around it. Ends when this handle is dropped and all is done.
    pub(super) fn start(redis: &Redis, keys: &str) -> Self {
        let (calls, waiting) = mpsc::channel(WAITING);
        let lane = Lane {
            redis: redis.clone(),
            keys: keys.into(),
        };
        tokio::spawn(take_turns(lane, waiting));
        Self(calls)
    }

    /// Carries out one step.
    pub(super) async fn one(&self, step: Step, twice: Twice) -> Result<Answer> {
        let mut answers = self.all(vec![step], twice).await?;
        answers.pop().ok_or_else(unanswered)
    }

    /// Carries out some steps, in this order.
    pub(super) async fn all(&self, steps: Vec<Step>, twice: Twice) -> Result<Vec<Answer>> {
        let (reply, answer) = oneshot::channel();
        let call = Call {
            steps,
            twice,
            reply,
        };
        self.0.send(call).await.map_err(|_| unanswered())?;
        answer.await.map_err(|_| unanswered())?
    }
}

/// The error of whoever asks while the process ends, or of an answer that is too short.
fn unanswered() -> Error {
    Error::unavailable(BACKEND, "the queue does not answer")
}

/// Sends what waits, whenever a lane is free.
async fn take_turns(lane: Lane, mut waiting: mpsc::Receiver<Call>) {
    let mut under_way = JoinSet::new();
    while let Some(first) = waiting.recv().await {
        if under_way.len() >= LANES {
            // one that panicked has dropped its calls, which tells those who wait for them
            under_way.join_next().await;
        }
        // whoever was woken together with the first one hands in its step now
        tokio::task::yield_now().await;
        let mut steps = first.steps.len();
        let mut batch = vec![first];
        while steps < TOGETHER
            && let Ok(call) = waiting.try_recv()
        {
            steps += call.steps.len();
            batch.push(call);
        }
        let lane = lane.clone();
        under_way.spawn(async move { lane.carry_out(batch).await });
    }
    while under_way.join_next().await.is_some() {}
}

#[derive(Debug, Clone)]
struct Lane {
    redis: Redis,
    keys: Arc<str>,
}

impl Lane {
    async fn carry_out(&self, mut batch: Vec<Call>) {
        // who has gone away before the step left claims nothing
        batch.retain(|call| call.twice == Twice::Harmless || !call.reply.is_closed());
        let Some(mut failure) = self.answered(&mut batch).await else {
            return;
        };
        if failure.1 == Retry::Useful {
            let (mut again, given_up): (Vec<_>, Vec<_>) = batch
                .into_iter()
                .partition(|call| call.twice == Twice::Harmless);
            refuse(given_up, &failure.0);
            match self.answered(&mut again).await {
                None => return,
                Some(once_more) => failure = once_more,
            }
            batch = again;
        }
        refuse(batch, &failure.0);
    }

    /// Answers all these calls; or, with a failure, none of them.
    async fn answered(&self, batch: &mut Vec<Call>) -> Option<(Error, Retry)> {
        if batch.is_empty() {
            return None;
        }
        let script: &Script = &scripts::BATCH;
        let mut script = script.key(&*self.keys);
        for Step(words) in batch.iter().flat_map(|call| &call.steps) {
            script.arg(words);
        }
        let words: Vec<String> = match self.redis.attempt(&script).await {
            Ok(words) => words,
            Err(failure) => return Some(failure),
        };
        let mut words = words.into_iter();
        for call in batch.drain(..) {
            let answers = call.steps.iter().map(|_| {
                let (word, text) = words.next().zip(words.next()).ok_or_else(unanswered)?;
                Answer::read(&word, text)
            });
            // nobody may be waiting any more: dropping a call does not undo it
            let _ = call.reply.send(answers.collect());
        }
        None
    }
}

fn refuse(batch: Vec<Call>, failure: &Error) {
    for call in batch {
        let error = Error::new(failure.kind(), BACKEND, failure.message());
        let _ = call.reply.send(Err(error));
    }
}
