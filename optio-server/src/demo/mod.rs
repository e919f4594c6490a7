//! `optio demo`: a sample repository, a handful of tasks, and a scripted agent that meets everything that happens to
//! real ones: a red CI, a review that requests changes, a conflict with a sibling, a rate limit, a failure for good.
//!
//! Only the agent plays a part. Processes, worktrees, pushes, checks, reviews and merges are real, and the server is
//! the same as that of `optio serve`.

mod plan;
mod progress;
mod sample;
mod summary;

use std::{io::Write, path::PathBuf, time::Duration};

use optio_core::{
    Clock, Error, Result, SystemClock,
    engine::{NewTask, Optio},
    id::TaskId,
    repo::{AttemptLimits, Repo, RepoSettings, ReviewTrigger},
    task::StateName,
};
use tokio_util::sync::CancellationToken;

use self::plan::{PLAN, Planned};
use crate::{config::ServerConfig, serve::Server};

/// The longest the demo may take before it gives up.
const PATIENCE: Duration = Duration::from_secs(180);

/// How the demo is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoOptions {
    /// Where its data lies; a temporary folder, removed at the end, if none.
    pub folder: Option<PathBuf>,
    /// What happens when all tasks have ended.
    pub afterwards: Afterwards,
    /// How the outcome is shown.
    pub output: Output,
}

/// What happens when all tasks have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// The server stops.
    Stop,
    /// The server runs on until it is interrupted.
    Keep,
}

/// How the outcome is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Live progress and a table, for people.
    Human,
    /// One JSON document at the end.
    Json,
}

/// Runs the demo. True if every task ended as it should.
///
/// # Errors
/// The server cannot start, or the demo does not come to its end; one sentence says why.
pub async fn run(
    mut config: ServerConfig,
    options: DemoOptions,
    out: &mut (dyn Write + Send),
) -> Result<bool> {
    let (folder, temporary) = folder(options.folder)?;
    config.data = folder.join("data");
    config.max_concurrent = 4;
    let shutdown = crate::serve::until_interrupted().map_err(|error| {
        Error::unavailable("optio", format!("signals cannot be listened for: {error}"))
    })?;
    let repository = sample::create(&folder, &config.passed_on).await?;
    let server = Server::open(&config).await?;
    let (engine, address) = (server.optio().clone(), server.address);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.run(stop.clone()));
    if options.output == Output::Human {
        say(
            out,
            &format!(
                "Optio works on {} and listens on http://{address}\n",
                repository.display()
            ),
        )?;
    }
    let url = repository.display().to_string();
    let shown = tokio::select! {
        shown = show(&engine, &url, options.output, out) => shown,
        () = shutdown.cancelled() => Err(Error::unavailable("optio", "interrupted")),
    };
    if options.afterwards == Afterwards::Keep && shown.is_ok() && !shutdown.is_cancelled() {
        if options.output == Output::Human {
            say(
                out,
                &format!(
                    "\nThe server runs on. Try: optio --server http://{address} task list\nStop it with Ctrl-C.\n"
                ),
            )?;
        }
        shutdown.cancelled().await;
    }
    stop.cancel();
    serving
        .await
        .map_err(|error| Error::unavailable("optio", "the server broke down").caused_by(error))??;
    if temporary && let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!(%error, folder = %folder.display(), "the demo's folder was not removed");
    }
    shown
}

async fn show(
    engine: &Optio,
    repository: &str,
    output: Output,
    out: &mut (dyn Write + Send),
) -> Result<bool> {
    let url = repository
        .parse()
        .map_err(|error: optio_core::repo::ParseRepoUrlError| {
            Error::invalid("optio", error.to_string())
        })?;
    let settings = RepoSettings {
        agent: Some("scripted".to_owned()),
        max_concurrent_tasks: 4,
        max_pod_instances: 2,
        max_agents_per_pod: 2,
        auto_merge: true,
        review_enabled: true,
        review_trigger: ReviewTrigger::OnCiPass,
        attempts: AttemptLimits {
            failures: 2,
            ..AttemptLimits::default()
        },
        ..RepoSettings::default()
    };
    let repo = engine.add_repo(url, settings).await?;
    let mut progress = progress::Progress::start(engine, output).await?;
    let tasks = submit(engine, &repo).await?;
    progress.follow(&tasks, out, PATIENCE).await?;
    let rows = summary::rows(engine, &tasks).await?;
    match output {
        Output::Human => say(out, &summary::table(&rows))?,
        Output::Json => say(out, &format!("{}\n", summary::json(&rows)))?,
    }
    let as_planned = rows
        .iter()
        .zip(PLAN)
        .all(|(row, planned)| row.state == planned.ends_as);
    if !as_planned && output == Output::Human {
        say(
            out,
            "\nNot every task ended as it should: see `optio task show` and `optio task logs` with --keep.\n",
        )?;
    }
    Ok(as_planned)
}

async fn submit(engine: &Optio, repo: &Repo) -> Result<Vec<TaskId>> {
    let mut tasks: Vec<TaskId> = Vec::new();
    for Planned {
        title,
        priority,
        after,
        script,
        ..
    } in PLAN
    {
        let body = format!("```optio-script\n{}\n```\n", script.trim());
        let mut new = NewTask::new(repo.id, *title)
            .with_body(body)
            .with_priority(*priority);
        if let Some(earlier) = after.and_then(|index| tasks.get(index)) {
            new = new.after(*earlier);
        }
        tasks.push(engine.submit(new).await?.id);
    }
    Ok(tasks)
}

fn folder(wanted: Option<PathBuf>) -> Result<(PathBuf, bool)> {
    let (folder, temporary) = match wanted {
        Some(folder) => (folder, false),
        None => (
            std::env::temp_dir().join(format!("optio-demo-{:016x}", SystemClock.random())),
            true,
        ),
    };
    if folder.join("data").exists() || folder.join(sample::NAME).exists() {
        return Err(Error::invalid(
            "optio",
            format!(
                "{} holds a demo already: choose another folder",
                folder.display()
            ),
        ));
    }
    std::fs::create_dir_all(&folder).map_err(|error| {
        Error::invalid(
            "optio",
            format!(
                "{} cannot be made ({error}): choose another folder",
                folder.display()
            ),
        )
    })?;
    Ok((folder, temporary))
}

fn say(out: &mut (dyn Write + Send), text: &str) -> Result<()> {
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| {
        Error::unavailable("optio", "the output cannot be written").caused_by(error)
    })
}

/// Whether a task has come to the end that the demo waits for.
fn has_ended(state: StateName) -> bool {
    state.is_final() || state == StateName::NeedsAttention
}
