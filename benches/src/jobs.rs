//! Entries for a queue, as many as are wanted.

use std::time::Duration;

use anyhow::Result;
use optio_core::{Clock, SystemClock, clock::later, id::RepoId, queue::Job};

use crate::{fresh_task, template};

/// So many repositories.
#[must_use]
pub fn repo_ids(count: usize) -> Vec<RepoId> {
    (0..count).map(|_| RepoId::generate(&SystemClock)).collect()
}

/// So many entries, of these repositories in turn, of several priorities and ages.
///
/// # Errors
/// None in fact.
pub async fn jobs(repos: &[RepoId], count: usize) -> Result<Vec<Job>> {
    let template = template().await?;
    let start = SystemClock.now();
    let jobs = (0..count).zip(repos.iter().cycle()).map(|(n, repo)| Job {
        task: fresh_task(&template.task).id,
        repo: *repo,
        priority: i32::try_from(n % 7).unwrap_or(0) * 10,
        since: later(start, Duration::from_millis(u64::try_from(n).unwrap_or(0))),
        not_before: None,
    });
    Ok(jobs.collect())
}
