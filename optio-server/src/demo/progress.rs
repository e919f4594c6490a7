//! The demo as it happens: a line for each step of each task.

use std::{collections::BTreeMap, io::Write, time::Duration};

use optio_core::{
    Error, Result,
    clock::{Timestamp, elapsed},
    engine::Optio,
    event_bus::Subscription,
    id::TaskId,
    store::{Audit, TaskQuery},
    task::{StateName, TaskRole},
};

use super::{Output, has_ended, say};

/// The demo looks at its tasks this often though nobody hints at anything new.
const SWEEP: Duration = Duration::from_millis(500);

pub(super) struct Progress {
    engine: Optio,
    output: Output,
    hints: Box<dyn Subscription>,
    started: Timestamp,
    /// How many lines of its history were shown, for each task.
    shown: BTreeMap<TaskId, usize>,
}

impl Progress {
    pub(super) async fn start(engine: &Optio, output: Output) -> Result<Self> {
        Ok(Self {
            hints: engine.ports().bus.subscribe().await?,
            started: engine.ports().clock.now(),
            engine: engine.clone(),
            output,
            shown: BTreeMap::new(),
        })
    }

    /// Shows what happens until all tasks have ended.
    pub(super) async fn follow(
        &mut self,
        tasks: &[TaskId],
        out: &mut (dyn Write + Send),
        patience: Duration,
    ) -> Result<()> {
        loop {
            self.show_news(out).await?;
            if all_ended(&self.engine, tasks).await? {
                return self.show_news(out).await;
            }
            if elapsed(self.started, self.engine.ports().clock.now()) > patience {
                return Err(Error::timed_out(
                    "optio",
                    format!("the demo did not end within {} seconds", patience.as_secs()),
                ));
            }
            let _ = tokio::time::timeout(SWEEP, self.hints.next()).await;
        }
    }

    async fn show_news(&mut self, out: &mut (dyn Write + Send)) -> Result<()> {
        let mut news: Vec<(Audit, String)> = Vec::new();
        for task in self.engine.store().tasks(&TaskQuery::default()).await? {
            let history = self.engine.store().history(task.id).await?;
            let shown = self.shown.insert(task.id, history.len()).unwrap_or(0);
            let title = if matches!(task.role, TaskRole::Review { .. }) {
                format!("  {}", task.title)
            } else {
                task.title.clone()
            };
            news.extend(
                history
                    .into_iter()
                    .skip(shown)
                    .map(|line| (line, title.clone())),
            );
        }
        news.sort_by_key(|(line, _)| line.at);
        if self.output == Output::Human {
            for (line, title) in news.iter().filter(|(line, _)| is_telling(line)) {
                say(out, &self.line(line, title))?;
            }
        }
        Ok(())
    }

    fn line(&self, line: &Audit, title: &str) -> String {
        let seconds = elapsed(self.started, line.at).as_secs_f64();
        let detail = line.detail.as_deref().unwrap_or_default();
        format!(
            "{seconds:>5.1}s  {:<36}  {:<15}  {}\n",
            cut(title, 36),
            line.to,
            cut(detail, 90)
        )
    }
}

async fn all_ended(engine: &Optio, tasks: &[TaskId]) -> Result<bool> {
    for &task in tasks {
        if !has_ended(engine.store().task(task).await?.state.name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Steps that only fill the screen are left out: that a task was created, and that its place was found.
fn is_telling(line: &Audit) -> bool {
    line.event != "created" && line.to != StateName::Provisioning
}

/// At most so many characters, with an ellipsis for the rest.
pub(super) fn cut(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}
