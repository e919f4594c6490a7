//! `optio task export`: histories with their decisions, a line of JSON for each step.

use anyhow::Result;
use clap::Args;
use optio_core::id::TaskId;

use crate::{
    api::{runs::History, tasks::TaskPage},
    cli::{
        client::{Client, Path, shape},
        out::Out,
    },
};

/// How many tasks are asked for at once.
const PAGE: usize = 500;

/// Each step is a line of JSON, with the rule that fired, what the rule was shown and a digest of that. `optio replay`
/// says what today's rules would have decided.
///
/// The lines hold what tasks, reviewers and the logs of failed checks say: read them before you pass them on.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The tasks
    #[arg(value_name = "TASK", required_unless_present = "all")]
    tasks: Vec<String>,
    /// Every task, oldest first
    #[arg(long, conflicts_with = "tasks")]
    all: bool,
}

impl ExportArgs {
    pub(super) async fn run(self, client: &Client, out: &mut Out) -> Result<()> {
        let tasks = if self.all {
            all(client).await?
        } else {
            self.tasks
        };
        for task in tasks {
            let path = Path::of(&["api", "tasks", &task, "history"]).with("decisions", true);
            let told: History = shape(&client.get(&path).await?)?;
            for line in &told.history {
                out.json_line(line)?;
            }
        }
        Ok(())
    }
}

async fn all(client: &Client) -> Result<Vec<String>> {
    let mut tasks = Vec::new();
    let mut after: Option<TaskId> = None;
    loop {
        let mut path = Path::of(&["api", "tasks"]).with("limit", PAGE);
        if let Some(after) = after {
            path = path.with("after", after);
        }
        let page: TaskPage = shape(&client.get(&path).await?)?;
        tasks.extend(page.tasks.iter().map(|task| task.id.to_string()));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    tasks.reverse();
    Ok(tasks)
}
