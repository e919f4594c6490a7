//! Messages from people on their way to an agent: into the prompt of its run, or into its input while it is at work.
//!
//! What a run was told is part of its record: the number of the last message, and how long its input is by now. A message
//! is given first and written down then; whoever comes after a crash between the two gives it once more, at the same place
//! of the input, which does nothing.

use super::{Trouble, reader::Reader};
use crate::{
    clock::Timestamp,
    engine::{Optio, held::Held},
    error::ErrorKind,
    event_bus::Hint,
    id::{RunId, TaskId},
    run::Run,
    runtime::{Input, Runtime},
    store::Write,
    task::{Message, Task},
    transcript::{LogCursor, LogEntry, LogStream, TranscriptEvent},
};

/// A task is looked at this often while its run is at work, hints or not.
const SWEEP: std::time::Duration = std::time::Duration::from_secs(5);

/// Why whoever follows a run has to turn to its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Called {
    /// The task is no longer at this run: it was cancelled, or has failed by another hand.
    Unwanted,
    /// There is a message that the run was not told.
    Message,
}

impl Optio {
    /// Ends once the task is no longer at this run.
    pub(super) async fn until_unwanted(&self, task: TaskId, run: RunId) {
        self.until_called((task, run), None).await;
    }

    /// Ends once there is something in the task that concerns its run: that nobody wants it any more; or, if the run can
    /// be told anything, a message behind the last one that it heard.
    pub(super) async fn until_called(
        &self,
        (task, run): (TaskId, RunId),
        heard: Option<u32>,
    ) -> Called {
        let mut hints = self.ports().bus.subscribe().await.ok();
        loop {
            match self.store().task(task).await {
                Ok(task) if task.state.run() != Some(run) => return Called::Unwanted,
                Ok(task) if heard.is_some_and(|heard| has_more(&task, heard)) => {
                    return Called::Message;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => return Called::Unwanted,
                Ok(_) | Err(_) => {}
            }
            let mine = async {
                match &mut hints {
                    Some(hints) => loop {
                        match hints.next().await {
                            Ok(Hint::Task { task: hinted }) if hinted == task => return,
                            Ok(Hint::Missed) => return,
                            Ok(_) => {}
                            Err(_) => return std::future::pending().await,
                        }
                    },
                    None => std::future::pending().await,
                }
            };
            let _ = tokio::time::timeout(SWEEP, mine).await;
        }
    }

    /// Tells a run at work what it has not heard yet.
    pub(super) async fn tell(&self, held: &Held, reader: &mut Reader) -> Result<(), Trouble> {
        let task = self.store().task(held.task()).await?;
        let heard = held.run().await.heard;
        for message in task.messages.iter().filter(|it| it.number > heard) {
            let run = held.run().await;
            let Some(line) = reader.agent.message(&message.text) else {
                reader.is_deaf();
                return Ok(());
            };
            let length = line.len() as u64;
            let input = Input::More {
                at: run.input,
                bytes: line.into(),
            };
            match held.runtime().feed(run.workspace, run.id, input).await {
                Ok(()) => {}
                // it is ending: the next run is told
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    tracing::debug!(run = %run.id, task = %run.task, %error, "run not told");
                    return self.dismiss(held, &run, reader).await;
                }
                Err(error) => return Err(error.into()),
            }
            tracing::info!(run = %run.id, task = %run.task, message = message.number, "run told");
            reader.told(self.as_event(message), self.now());
            self.flush_with(held, reader, |run| {
                run.heard = message.number;
                run.input += length;
            })
            .await?;
        }
        Ok(())
    }

    /// The agent has said its closing word, and would wait for more: it is told what there is, or that there is none.
    pub(super) async fn tell_or_dismiss(
        &self,
        held: &Held,
        reader: &mut Reader,
    ) -> Result<(), Trouble> {
        let run = held.run().await;
        let task = self.store().task(run.task).await?;
        if has_more(&task, run.heard) {
            reader.has_more_to_do();
            return self.tell(held, reader).await;
        }
        self.dismiss(held, &run, reader).await
    }

    /// Ends the input of an agent: it ends once it has done what it has heard.
    async fn dismiss(&self, held: &Held, run: &Run, reader: &mut Reader) -> Result<(), Trouble> {
        held.runtime()
            .feed(run.workspace, run.id, Input::End)
            .await?;
        reader.is_deaf();
        Ok(())
    }

    fn as_event(&self, message: &Message) -> TranscriptEvent {
        TranscriptEvent::Message {
            number: message.number,
            text: self.masker().mask(&message.text).into_owned(),
        }
    }

    /// The log entries of messages that stand in a run's prompt, without those it was told before.
    pub(super) fn told_in_prompt(
        &self,
        run: &mut Run,
        messages: &[Message],
        at: Timestamp,
    ) -> Option<Write> {
        let mut entries = Vec::new();
        for message in messages {
            if message.number > run.heard {
                run.heard = message.number;
                run.progress.seq += 1;
                entries.push(LogEntry {
                    cursor: LogCursor {
                        run: run.number,
                        seq: run.progress.seq,
                    },
                    at,
                    stream: LogStream::Optio,
                    event: self.as_event(message),
                    original: None,
                });
            }
        }
        (!entries.is_empty()).then_some(Write::Log(run.task, entries))
    }
}

fn has_more(task: &Task, heard: u32) -> bool {
    task.messages.iter().any(|message| message.number > heard)
}

/// A prompt with what people have said since the task was written.
pub(super) fn with_messages(mut prompt: String, messages: &[Message]) -> String {
    if messages.is_empty() {
        return prompt;
    }
    prompt.truncate(prompt.trim_end().len());
    prompt.push_str(
        "\n\n## Messages\n\nPeople have said this about the task since it was written, the oldest first. Where it \
         differs from what stands above, it counts.\n",
    );
    for message in messages {
        prompt.push('\n');
        for line in message.text.lines() {
            prompt.push_str(if line.is_empty() { ">" } else { "> " });
            prompt.push_str(line);
            prompt.push('\n');
        }
    }
    prompt
}

/// What a run that has done its work was told needs no other run.
pub(super) fn forget_heard(task: &mut Task, run: &Run) {
    task.messages.retain(|message| message.number > run.heard);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::sample::at;

    #[test]
    fn messages_stand_behind_the_prompt_as_quotes() {
        let message = |number, text: &str| Message {
            number,
            text: text.to_owned(),
            at: at(1),
        };
        let messages = [
            message(1, "use tabs"),
            message(2, "and:\n\n## not a heading of ours"),
        ];
        insta::assert_snapshot!(with_messages("Do it.\n\n".to_owned(), &messages), @r"
        Do it.

        ## Messages

        People have said this about the task since it was written, the oldest first. Where it differs from what stands above, it counts.

        > use tabs

        > and:
        >
        > ## not a heading of ours
        ");
        assert_eq!(with_messages("Do it.\n".to_owned(), &[]), "Do it.\n");
    }
}
