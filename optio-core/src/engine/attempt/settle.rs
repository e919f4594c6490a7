//! Settling: what came of a run is decided from facts (the exit status, the agent's structured word, git, the forge),
//! and written together with what follows for the task.

use super::{
    Trouble,
    end::keep_worktree,
    messages::forget_heard,
    prepare::{git, run_files, worktree_path},
};
use crate::{
    agent::{AgentVerdict, Ending, VERDICT_FILE},
    engine::{
        Optio,
        git::{Git, Identity, PushOutcome},
        held::Held,
    },
    error::{ErrorKind, Result},
    failure::{ExitStatus, Failure, FailureClass, RetryAdvice},
    forge::NewPullRequest,
    pull_request::{CommitId, PrState, PullRequest, ReviewReport},
    repo::Repo,
    run::{Run, RunKind, RunOutcome, RunPhase, StopReason},
    task::{Completion, Task, TaskEvent, TaskRole},
    worktree::WorktreeState,
};

/// The largest verdict of a review agent that is read.
const MAX_VERDICT: usize = 1 << 20;
/// How much of the end of its error output the outcome of a run is decided from.
const STDERR_TAIL: usize = 64 * 1024;

impl Optio {
    /// Decides what came of a run whose agent has ended.
    pub(super) async fn settle(&self, held: &Held) -> Result<(), Trouble> {
        let run = held.run().await;
        let RunPhase::Exited {
            from,
            status,
            stopped,
        } = run.phase.clone()
        else {
            return Ok(());
        };
        let (status, stopped) = match stopped {
            // only its end was missing
            Some(StopReason::Lingering) => (Some(ExitStatus::SUCCESS), None),
            stopped => (status, stopped),
        };
        let task = self.store().task(run.task).await?;
        if task.state.run() != Some(run.id) || stopped == Some(StopReason::Cancelled) {
            return Err(Trouble::Unwanted);
        }
        if let Some(reason) = stopped {
            return Err(super::stopped(reason).into());
        }
        let repo = self.store().repo(run.repo).await?;
        let verdict = self.agent_verdict(&run, status).await?;
        let (head, pull_request) = match (&task.role, verdict) {
            (TaskRole::Coding, AgentVerdict::Finished { .. }) => {
                self.bring_home(
                    held,
                    Work {
                        task: &task,
                        repo: &repo,
                        from: &from,
                    },
                )
                .await?
            }
            // it may have failed on its way out, with all its work done and pushed by itself
            (TaskRole::Coding, AgentVerdict::Failed(failure)) => {
                match self.already_home(&run, &task, &repo).await {
                    Some(found) if found.0 != from => found,
                    _ => return Err(failure.into()),
                }
            }
            (TaskRole::Review { head, .. }, AgentVerdict::Finished { .. }) => {
                return self.settle_review(held, &task, &repo, head).await;
            }
            (TaskRole::Review { .. }, AgentVerdict::Failed(failure)) => return Err(failure.into()),
        };
        let outcome = RunOutcome::Pushed {
            head,
            pull_request: pull_request.to_ref(),
        };
        let now = self.now();
        held.end(&outcome, |run, task, change| {
            forget_heard(task, run);
            keep_worktree(task, WorktreeState::Preserved, now);
            match &pull_request.state {
                PrState::Merged { commit } => {
                    task.pull_request = Some(pull_request.to_ref());
                    change.apply(
                        task,
                        TaskEvent::Completed {
                            how: Completion::Merged {
                                commit: commit.clone(),
                            },
                        },
                        "merged_meanwhile",
                    )?;
                }
                PrState::Open | PrState::Closed => {
                    change.apply(
                        task,
                        TaskEvent::PrFound {
                            pull_request: pull_request.to_ref(),
                        },
                        "pushed",
                    )?;
                }
            }
            change.put(task);
            Ok(())
        })
        .await?;
        self.forget_spool(&run).await;
        Ok(())
    }

    async fn agent_verdict(
        &self,
        run: &Run,
        status: Option<ExitStatus>,
    ) -> Result<AgentVerdict, Trouble> {
        let Some(agent) = self.ports().agents.get(&run.agent) else {
            return Err(Failure::new(FailureClass::InvalidConfiguration)
                .with_detail(format!("there is no agent called {:?}", run.agent))
                .into());
        };
        let stderr = self.stderr_tail(run).await?;
        if status.is_none() && run.report.result.is_none() {
            // nobody saw how it ended: its machine or its workspace went, not its work
            let failure = Failure::new(FailureClass::WorkspaceLost);
            return Ok(AgentVerdict::Failed(
                failure.with_detail("the agent's process vanished"),
            ));
        }
        let ending = Ending {
            status,
            report: &run.report,
            stderr: &stderr,
            resumed: run.resumes.as_ref(),
        };
        Ok(agent.verdict(&ending, self.now()))
    }

    /// The end of a run's error output, from its stored log: masked, and there even if the workspace is gone.
    async fn stderr_tail(&self, run: &Run) -> Result<String> {
        use crate::transcript::{LogStream, TranscriptEvent};
        let entries = self.store().log_tail(run.task, 500).await?;
        let lines = entries
            .iter()
            .filter(|entry| entry.cursor.run == run.number && entry.stream == LogStream::Stderr)
            .filter_map(|entry| match &entry.event {
                TranscriptEvent::Raw { text } => Some(text.as_str()),
                _ => None,
            });
        let mut text = lines.collect::<Vec<_>>().join("\n");
        if text.len() > STDERR_TAIL {
            let cut = text.ceil_char_boundary(text.len() - STDERR_TAIL);
            text.drain(..cut);
        }
        Ok(text)
    }

    /// Commits what the agent left, pushes the branch and opens its pull request, unless all of that is so already.
    async fn bring_home(
        &self,
        held: &Held,
        work: Work<'_>,
    ) -> Result<(CommitId, PullRequest), Trouble> {
        let run = held.run().await;
        let Work { task, repo, from } = work;
        let forge = self.forge(&repo.url).map_err(|error| self.failed(&error))?;
        let credentials = forge
            .credentials(repo)
            .await
            .map_err(|error| self.failed(&error))?;
        let runtime = held.runtime();
        let git = git(&runtime, &run, repo, credentials.as_ref());
        let head = self.commit_the_rest(&git, &work).await?;
        if head == *from && run.kind != RunKind::First && run.kind != RunKind::Retry {
            return Err(Failure::new(FailureClass::NoChanges)
                .with_detail("the agent was resumed and made no commit")
                .into());
        }
        // from here on things leave this machine: only the holder may do that
        held.check().await?;
        let remote = git
            .remote_head(&task.branch)
            .await
            .map_err(|error| self.git_failed(&error))?;
        if remote.as_ref() != Some(&head) {
            let path = worktree_path(task);
            let expected = match &remote {
                // what is there is part of our branch: nothing of it is lost
                Some(there) if matches!(git.contains(&head, there).await, Ok(true)) => {
                    Some(there.clone())
                }
                // else it must be what it was when the agent set out, and the agent has rewritten that
                _ => git
                    .remembered(&task.branch)
                    .await
                    .map_err(|error| self.git_failed(&error))?,
            };
            match git
                .push(&path, &task.branch, expected.as_ref())
                .await
                .map_err(|error| self.git_failed(&error))?
            {
                PushOutcome::Pushed(_) | PushOutcome::UpToDate(_) => {}
                PushOutcome::Rejected { reason } => {
                    return Err(Failure::new(FailureClass::GitPushRejected)
                        .with_detail(reason)
                        .into());
                }
            }
        }
        held.check().await?;
        let known = forge
            .find(repo, &task.branch)
            .await
            .map_err(|error| self.failed(&error))?;
        // one that is merged is ours even if we were never told of it: it was opened and the answer was lost. Of those that
        // were closed only the one that the task knows is; another run opens another one
        let pull_request = match known.filter(|known| {
            known.state != PrState::Closed
                || Some(known.number) == task.pull_request.as_ref().map(|known| known.number)
        }) {
            Some(known) => known,
            None => {
                let new = NewPullRequest {
                    head_branch: task.branch.clone(),
                    base_branch: repo.default_branch.clone(),
                    title: task.title.clone(),
                    body: pull_request_body(task),
                };
                forge
                    .open(repo, &new)
                    .await
                    .map_err(|error| self.failed(&error))?
            }
        };
        Ok((head, pull_request))
    }

    /// What the agent left uncommitted is committed; what it left half done is a failure.
    async fn commit_the_rest(&self, git: &Git<'_>, work: &Work<'_>) -> Result<CommitId, Trouble> {
        let path = worktree_path(work.task);
        let base = &work.repo.default_branch;
        let mut facts = git
            .facts(&path, work.from, base)
            .await
            .map_err(|error| self.git_failed(&error))?;
        if let Some(operation) = facts.operation {
            let failure = Failure::new(FailureClass::MergeConflict).with_detail(
                format!("the agent left git in the middle of a {operation:?}").to_lowercase(),
            );
            return Err(failure.with_retry(RetryAdvice::Attempt).into());
        }
        if facts.dirty {
            let committed = git
                .commit_all(&path, &work.task.title, &Identity::default())
                .await
                .map_err(|error| self.git_failed(&error))?;
            facts.ahead += u64::from(committed.is_some());
            facts.head = committed.unwrap_or(facts.head);
        }
        if facts.ahead == 0 {
            let detail = "the agent says that it is done and has changed nothing";
            return Err(Failure::new(FailureClass::NoChanges)
                .with_detail(detail)
                .into());
        }
        Ok(facts.head)
    }

    /// The head and the pull request of a branch that is on the forge just as it is in the worktree.
    async fn already_home(
        &self,
        run: &Run,
        task: &Task,
        repo: &Repo,
    ) -> Option<(CommitId, PullRequest)> {
        let forge = self.forge(&repo.url).ok()?;
        let credentials = forge.credentials(repo).await.ok()?;
        let git = git(self.runtime(), run, repo, credentials.as_ref());
        let known = forge
            .find(repo, &task.branch)
            .await
            .ok()?
            .filter(|known| known.state == PrState::Open)?;
        let remote = git.remote_head(&task.branch).await.ok()??;
        let facts = git
            .facts(&worktree_path(task), &remote, &repo.default_branch)
            .await
            .ok()?;
        (facts.head == remote && !facts.dirty && facts.operation.is_none())
            .then_some((remote, known))
    }

    async fn settle_review(
        &self,
        held: &Held,
        task: &Task,
        repo: &Repo,
        head: &CommitId,
    ) -> Result<(), Trouble> {
        let run = held.run().await;
        let report = self.read_verdict(&run).await?;
        held.check().await?;
        if let Some(pull_request) = &task.pull_request {
            let forge = self.forge(&repo.url).map_err(|error| self.failed(&error))?;
            forge
                .review(repo, pull_request.number, head, &report)
                .await
                .map_err(|error| self.failed(&error))?;
        }
        let outcome = RunOutcome::Reviewed {
            head: head.clone(),
            report: report.clone(),
        };
        let now = self.now();
        held.end(&outcome, |run, task, change| {
            forget_heard(task, run);
            keep_worktree(task, WorktreeState::Dirty, now);
            let how = Completion::Reviewed {
                head: head.clone(),
                report: report.clone(),
            };
            change.apply(task, TaskEvent::Completed { how }, "reviewed")?;
            change.put(task);
            Ok(())
        })
        .await?;
        self.forget_spool(&run).await;
        Ok(())
    }

    /// What the review agent wrote. A review without a verdict is no review.
    async fn read_verdict(&self, run: &Run) -> Result<ReviewReport, Trouble> {
        let refuse = |detail: String| {
            Trouble::from(Failure::new(FailureClass::ReviewFailed).with_detail(detail))
        };
        let path = run_files(run.id).child(VERDICT_FILE);
        let bytes = match self
            .runtime()
            .read_file(run.workspace, &path, MAX_VERDICT)
            .await
        {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(refuse("the review agent left no verdict".to_owned()));
            }
            Err(error) => return Err(self.failed(&error)),
            Ok(bytes) => bytes,
        };
        let mut report: ReviewReport = serde_json::from_slice(&bytes)
            .map_err(|error| refuse(format!("the verdict is not what was asked for: {error}")))?;
        report.summary = self.masker().mask(&report.summary).into_owned();
        for comment in &mut report.comments {
            comment.body = self.masker().mask(&comment.body).into_owned();
        }
        Ok(report)
    }
}

/// What there is to bring home.
#[derive(Clone, Copy)]
struct Work<'a> {
    task: &'a Task,
    repo: &'a Repo,
    from: &'a CommitId,
}

fn pull_request_body(task: &Task) -> String {
    let ticket = task
        .ticket
        .as_ref()
        .and_then(|ticket| ticket.url.as_ref())
        .map_or_else(String::new, |url| format!("\n\nTicket: {url}"));
    format!("{}{ticket}\n\nOptio-Task: {}", task.body.trim(), task.id)
        .trim_start()
        .to_owned()
}
