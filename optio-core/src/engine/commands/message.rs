//! Telling the agent of a task something.

use crate::{
    engine::Optio,
    error::{Error, Result},
    event_bus::Hint,
    id::TaskId,
    task::{MAX_MESSAGE, Message, StateName, Task},
};

impl Optio {
    /// Tells the agent of a task something. One that is at work and can listen hears it at once; otherwise it is part of
    /// the prompt of the task's next run. It is stored with the task until a run that was told it has done its work.
    ///
    /// # Errors
    /// It is empty or longer than [`MAX_MESSAGE`]; or the task is completed, or does not exist.
    pub async fn message(&self, id: TaskId, text: &str) -> Result<Task> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::invalid("optio", "the message is empty"));
        }
        if text.len() > MAX_MESSAGE {
            let message = format!(
                "the message has {} bytes: the longest may have {MAX_MESSAGE}",
                text.len()
            );
            return Err(Error::invalid("optio", message));
        }
        let task = self
            .retry_conflicts(|| async {
                let mut task = self.store().task(id).await?;
                if task.state.name() == StateName::Completed {
                    let message = format!("{id} is completed: no run of it will read the message");
                    return Err(Error::invalid("optio", message));
                }
                let at = self.now();
                task.last_message += 1;
                task.messages.push(Message {
                    number: task.last_message,
                    text: text.to_owned(),
                    at,
                });
                task.updated_at = at;
                let mut change = self.change("api");
                change.put_quietly(&task);
                change.commit().await?;
                task.version += 1;
                Ok(task)
            })
            .await?;
        self.hint(Hint::Task { task: id }).await;
        Ok(task)
    }
}
