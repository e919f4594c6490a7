//! `optio task ...`: arguments, and which request each becomes.

mod export;
mod show;
mod wait;

use std::{io::Read, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use optio_core::{clock::Clock, clock::SystemClock, transcript::LogCursor};
use serde_json::Value;

use self::wait::wait;
use super::{
    Outcome,
    client::{Client, Path, shape},
    configuration::ClientFlags,
    follow::Follower,
    log_lines,
    out::{Out, Shape},
};
use crate::{
    api::{
        log::{LogEntryView, LogPage},
        task::TaskView,
        tasks::{MessageRequest, TaskRequest, WhyView},
    },
    config::Environment,
};

/// Add tasks, look at them, and change their fate
///
/// A task is named by its id, or by the last characters of it (at least four) if no other task has the same.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    #[command(flatten)]
    client: ClientFlags,
    #[command(subcommand)]
    command: TaskCommand,
}

#[derive(Debug, Subcommand)]
enum TaskCommand {
    /// Add a task
    Add(AddArgs),
    /// List tasks, newest first
    List(ListArgs),
    /// Show a task, its runs and what happened to it
    Show {
        /// The task
        task: String,
    },
    /// Show a task's log
    Logs(LogArgs),
    /// Try a failed, cancelled or needs_attention task again
    Retry {
        /// The task
        task: String,
    },
    /// Cancel a task; its work is saved
    Cancel {
        /// The task
        task: String,
    },
    /// Tell the agent of a task something
    ///
    /// An agent that is at work and can listen hears it at once. Otherwise the next run of the task is told.
    Message {
        /// The task
        task: String,
        /// What to say; - reads it from the standard input
        #[arg(allow_hyphen_values = true)]
        text: String,
    },
    /// Wait until tasks have ended, or need a person
    #[command(after_help = EXIT_CODES)]
    Wait(WaitArgs),
    /// Say what a task waits for
    Why {
        /// The task
        task: String,
    },
    /// Write out what happened to tasks, with all that was decided from, for `optio replay`
    Export(export::ExportArgs),
}

/// What exit codes tell, for help texts.
const EXIT_CODES: &str = "Exit codes:
  0  all tasks are completed
  1  one has failed
  2  the command could not be carried out
  3  one was cancelled
  4  one needs a person's attention
  5  time is up
Of several, the first in the order 1, 4, 3 counts.";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
struct AddArgs {
    /// The repository: its id, address or name
    repo: String,
    /// One line
    title: String,
    /// The whole wish, in Markdown
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    body: Option<String>,
    /// Read the whole wish from a file; - is the standard input
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// Lower runs first [default: 100]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// The agent; the repository's if none is named
    #[arg(long)]
    agent: Option<String>,
    /// The model; the repository's if none is named
    #[arg(long)]
    model: Option<String>,
    /// Begin when these tasks are completed
    #[arg(long, value_name = "TASK", num_args = 1.., value_delimiter = ',')]
    after: Vec<String>,
    /// Wait until it has ended, or needs a person; the exit code tells how it ended
    #[arg(long)]
    wait: bool,
    /// Wait no longer than so many seconds
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    timeout: Option<u64>,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only those in these states
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Only those of this repository
    #[arg(long)]
    repo: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Go on behind this task
    #[arg(long, value_name = "TASK")]
    after: Option<String>,
}

#[derive(Debug, Args)]
struct LogArgs {
    /// The task
    task: String,
    /// Go on with what comes, until the task has ended
    #[arg(short, long)]
    follow: bool,
    /// Only the last so many entries
    #[arg(long, value_name = "N", conflicts_with_all = ["after", "follow"])]
    tail: Option<usize>,
    /// Only what stands behind this cursor, such as 1.42
    #[arg(long, value_name = "CURSOR")]
    after: Option<LogCursor>,
}

#[derive(Debug, Args)]
struct WaitArgs {
    /// The tasks
    #[arg(required = true, value_name = "TASK")]
    tasks: Vec<String>,
    /// Wait no longer than so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

impl TaskArgs {
    pub(crate) async fn run(self, environment: &Environment, out: &mut Out) -> Result<Outcome> {
        let client = Client::new(self.client.load(environment)?)?;
        let wanted = self.client.shape();
        let api = |task: &str, rest: &[&str]| Path::of(&[&["api", "tasks", task], rest].concat());
        match self.command {
            TaskCommand::Add(args) => return add(args, &client, wanted, out).await,
            TaskCommand::Wait(args) => {
                return wait(
                    &client,
                    &args.tasks,
                    args.timeout.map(Duration::from_secs),
                    wanted,
                    out,
                )
                .await;
            }
            TaskCommand::Export(args) => args.run(&client, out).await?,
            TaskCommand::Logs(args) => logs(args, &client, wanted, out).await?,
            TaskCommand::List(args) => list(&args, &client, wanted, out).await?,
            TaskCommand::Show { task } => {
                let answer = client.get(&api(&task, &[])).await?;
                if wanted == Shape::Json {
                    out.json(&answer)?;
                } else {
                    let view: TaskView = shape(&answer)?;
                    let id = view.id.to_string();
                    let (runs, history) = tokio::try_join!(
                        async { client.get(&api(&id, &["runs"])).await },
                        async { client.get(&api(&id, &["history"])).await }
                    )?;
                    show::task(&view, &shape(&runs)?, &shape(&history)?, out)?;
                }
            }
            TaskCommand::Retry { task } => {
                let answer = client.post(&api(&task, &["retry"]), None::<&Value>).await?;
                changed(&answer, wanted, out)?;
            }
            TaskCommand::Cancel { task } => {
                let answer = client
                    .post(&api(&task, &["cancel"]), None::<&Value>)
                    .await?;
                changed(&answer, wanted, out)?;
            }
            TaskCommand::Message { task, text } => {
                let text = if text == "-" {
                    read(std::path::Path::new("-"))?
                } else {
                    text
                };
                let wish = MessageRequest { text };
                let answer = client.post(&api(&task, &["message"]), Some(&wish)).await?;
                changed(&answer, wanted, out)?;
            }
            TaskCommand::Why { task } => {
                let answer = client.get(&api(&task, &["why"])).await?;
                if wanted == Shape::Json {
                    out.json(&answer)?;
                } else {
                    let why: WhyView = shape(&answer)?;
                    let place = why
                        .position
                        .map(|place| format!(", number {place} in the queue"))
                        .unwrap_or_default();
                    out.line(format!(
                        "{}{place}: {}",
                        show::state(why.state, out.paint()),
                        why.explanation
                    ))?;
                }
            }
        }
        Ok(Outcome::Done)
    }
}

async fn add(args: AddArgs, client: &Client, wanted: Shape, out: &mut Out) -> Result<Outcome> {
    let body = match (args.body, args.body_file) {
        (Some(body), _) => body,
        (None, Some(file)) => read(&file)?,
        (None, None) => String::new(),
    };
    let repo = if args.repo.starts_with('.') {
        std::fs::canonicalize(&args.repo)?.display().to_string()
    } else {
        args.repo
    };
    let wish = TaskRequest {
        repo,
        title: args.title,
        body,
        priority: args.priority,
        agent: args.agent,
        model: args.model,
        depends_on: args.after,
    };
    let answer = client
        .post(&Path::of(&["api", "tasks"]), Some(&wish))
        .await?;
    let task: TaskView = shape(&answer)?;
    if !args.wait {
        if wanted == Shape::Json {
            out.json(&answer)?;
        } else {
            out.line(format!(
                "{} is {}",
                task.id,
                show::state(task.state, out.paint())
            ))?;
        }
        return Ok(Outcome::Done);
    }
    if wanted == Shape::Human {
        out.line(format!(
            "{} is {}",
            task.id,
            show::state(task.state, out.paint())
        ))?;
        out.flush()?;
    }
    wait(
        client,
        &[task.id.to_string()],
        args.timeout.map(Duration::from_secs),
        wanted,
        out,
    )
    .await
}

fn read(file: &std::path::Path) -> Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("the standard input cannot be read")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

async fn list(args: &ListArgs, client: &Client, wanted: Shape, out: &mut Out) -> Result<()> {
    let mut path = Path::of(&["api", "tasks"]).with("limit", args.limit);
    if !args.state.is_empty() {
        path = path.with("state", args.state.join(","));
    }
    if let Some(repo) = &args.repo {
        path = path.with("repo", repo);
    }
    if let Some(after) = &args.after {
        path = path.with("after", after);
    }
    let answer = client.get(&path).await?;
    match wanted {
        Shape::Json => out.json(&answer)?,
        Shape::Human => show::list(&shape(&answer)?, SystemClock.now(), out)?,
    }
    Ok(())
}

async fn logs(args: LogArgs, client: &Client, wanted: Shape, out: &mut Out) -> Result<()> {
    let after = args.after.unwrap_or_default();
    if args.follow {
        let mut log = Follower::start(client, &args.task, after).await?;
        while let Some(entries) = log.next().await? {
            print(&entries, wanted, out)?;
            out.flush()?;
        }
        return Ok(());
    }
    let path = Path::of(&["api", "tasks", &args.task, "logs"]);
    if let Some(tail) = args.tail {
        let page: LogPage = shape(&client.get(&path.with("tail", tail)).await?)?;
        return print(&page.entries, wanted, out);
    }
    let mut after = after;
    loop {
        let page: LogPage = shape(
            &client
                .get(&path.clone().with("after", after).with("limit", 500))
                .await?,
        )?;
        if page.entries.is_empty() {
            return Ok(());
        }
        print(&page.entries, wanted, out)?;
        after = page.next;
    }
}

/// As JSON, each entry is a line: a log may be longer than memory.
fn print(entries: &[LogEntryView], wanted: Shape, out: &mut Out) -> Result<()> {
    for entry in entries {
        match wanted {
            Shape::Json => out.json_line(entry)?,
            Shape::Human => {
                for line in log_lines::lines(entry, out.paint()) {
                    out.line(line)?;
                }
            }
        }
    }
    Ok(())
}

fn changed(answer: &Value, wanted: Shape, out: &mut Out) -> Result<()> {
    if wanted == Shape::Json {
        return Ok(out.json(answer)?);
    }
    let task: TaskView = shape(answer)?;
    Ok(out.line(format!(
        "{} is {}",
        task.id,
        show::state(task.state, out.paint())
    ))?)
}
