//! When the engine would have stopped the recorded runs, instead of letting their programs try again for minutes.

use std::time::Duration;

use optio_core::{
    agent::AgentVerdict,
    classify::{Refusal, refusal},
    money::Usage,
    transcript::TranscriptEvent,
};

use super::{Recording, every_agent, now, recordings};

/// The refusal for which a run would have been stopped, and how many of its events had come by then. A recording has no
/// times, so an agent that may go on for a while goes on until its model answers, or to its end.
fn stopped(events: &[TranscriptEvent]) -> Option<(Refusal, usize)> {
    let mut pending = None;
    for (n, event) in (1..).zip(events) {
        if event.is_answer() {
            pending = None;
        } else if pending.is_none() {
            pending = refusal(event, now()).map(|refusal| (refusal, n));
        }
        if let Some((refusal, _)) = &pending
            && refusal.patience == Duration::ZERO
        {
            return pending;
        }
    }
    pending
}

#[test]
fn a_program_that_is_refused_is_stopped_at_the_first_word_of_it_and_no_other_is() {
    let mut table = Vec::new();
    for (name, agent) in every_agent() {
        let agent = &**agent;
        for recording in recordings(name) {
            let events = recording.events(agent);
            let Some((refusal, n)) = stopped(&events) else {
                continue;
            };
            let Recording { case, .. } = &recording;
            let report = recording.report(agent, Usage::default());
            let class = refusal.failure.class;
            match recording.verdict(agent, &report, None) {
                AgentVerdict::Failed(failure) => assert_eq!(class, failure.class, "{name} {case}"),
                AgentVerdict::Finished { .. } => panic!("{name} {case} would have succeeded"),
            }
            table.push(format!(
                "{name} {case}: {class}, {}, {} s after event {n} of {}",
                refusal.failure.retry,
                refusal.patience.as_secs(),
                events.len()
            ));
        }
    }
    insta::assert_snapshot!(table.join("\n"));
}
