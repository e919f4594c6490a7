//! Optio embedded in a program of your own: ten lines that take a wish to a merged pull request.
//!
//! Everything here is in memory, the git repository and the agent too. Put real backends in their place, one by one:
//! the engine does not notice.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::Arc;

use optio_core::{
    NewTask, Optio, SystemClock,
    engine::Limits,
    memory::{FakeGit, MemoryAgent, MemoryForge, MemoryRuntime},
    repo::RepoSettings,
    transcript::LogCursor,
};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let git = FakeGit::new();
    let url = "https://memory.test/acme/shop".parse()?;
    git.add_remote(&url, "main", &[("README.md", "# The shop\n")]);

    let optio = Optio::builder()
        .runtime(MemoryRuntime::new(git.clone()))
        .agent(MemoryAgent::new())
        .forge(MemoryForge::new(git, Arc::new(SystemClock)))
        .limits(Limits::default().with_global(50))
        .build()?;
    let settings = RepoSettings {
        auto_merge: true,
        ..RepoSettings::default()
    };
    let repo = optio.add_repo(url, settings).await?;
    let task = optio
        .submit(NewTask::new(repo.id, "Fix the flaky login test"))
        .await?;

    let shutdown = CancellationToken::new();
    let workers = tokio::spawn({
        let (optio, shutdown) = (optio.clone(), shutdown.clone());
        async move { optio.run(shutdown).await }
    });
    let mut log = optio.follow_log(task.id, LogCursor::default()).await?;
    while let Some(entries) = log.next().await? {
        for entry in entries {
            println!("{:>5}  {:?}", entry.cursor, entry.event);
        }
    }
    let task = optio.store().task(task.id).await?;
    println!(
        "{}: {} for {}",
        task.title,
        task.state.name(),
        task.usage.cost
    );
    shutdown.cancel();
    workers.await??;
    Ok(())
}
