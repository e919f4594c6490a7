//! The PR watcher: looks at open pull requests, on every hint and by a slow sweep, and does what policy says. Replicas
//! divide them into shares, so that no forge is asked more often because there are more of us.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    Optio,
    change::Because,
    commands::ReviewWanted,
    shares::{Due, Share},
    watched::is_watched,
};
use crate::{
    clock::{Timestamp, elapsed},
    decision::DecisionRecord,
    error::{Error, ErrorKind, Result},
    event_bus::Hint,
    forge::MergeRequest,
    id::TaskId,
    pull_request::{Checks, CommitId, PrState, PullRequest},
    reconcile::{Action, Decision, Note, PrSnapshot, SeenReview, reconcile_pull_request},
    replay::{Seen, SeenPullRequest},
    repo::Repo,
    store::TaskQuery,
    task::{AttentionReason, Completion, StateName, Task, TaskEvent, TaskRole, TaskState},
};

impl Optio {
    /// Looks once at every pull request that is still to be decided; at those of other replicas' shares not. Of failed
    /// tasks, whose pull requests somebody may still merge, some hundred are looked at, and the next time those behind them.
    ///
    /// # Errors
    /// The store could not be read. What goes wrong with one pull request does not keep it from the others.
    pub async fn tick_pr_watcher(&self) -> Result<()> {
        let mut ours = BTreeSet::new();
        for share in Share::all_pull_requests(&self.settings().worker.0) {
            if self.ask_for_share(&share).await? {
                ours.insert(share);
            }
        }
        self.look_at_shares(&ours).await
    }

    /// Looks at every pull request of these shares, as long as they stay ours.
    async fn look_at_shares(&self, shares: &BTreeSet<Share>) -> Result<()> {
        if shares.is_empty() {
            return Ok(());
        }
        for task in self.waiting_pull_requests().await? {
            let share = Share::of_pull_request(task.id);
            if shares.contains(&share) && self.has_share(&share).await? {
                self.look_and_log(task.id).await;
            }
        }
        // of every share that is ours: which of them are due when a task's turn comes would be chance
        for task in self.next_failed_pull_requests().await? {
            if self.has_share(&Share::of_pull_request(task.id)).await? {
                self.look_and_log(task.id).await;
            }
        }
        Ok(())
    }

    pub(crate) async fn watch_pull_requests(&self, shutdown: CancellationToken) {
        loop {
            let ended = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                ended = self.watch_until_trouble() => ended,
            };
            if let Err(error) = ended {
                tracing::warn!(%error, "pull requests could not be watched");
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.settings().sweep_interval) => {}
            }
        }
    }

    async fn watch_until_trouble(&self) -> Result<()> {
        let mut hints = self.ports().bus.subscribe().await?;
        let interval = self.settings().pr_interval;
        let every = self.keep_every(interval);
        let mut looks: BTreeMap<Share, Due> = Share::all_pull_requests(&self.settings().worker.0)
            .map(|share| (share, Due::every(interval)))
            .collect();
        let mut sweep = tokio::time::interval(every);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = sweep.tick() => self.keep_shares(&mut looks, every).await?,
                hint = hints.next() => self.take_hint(hint?).await?,
            }
        }
    }

    /// Keeps our shares and takes those that nobody has; looks at those that are due, and at new ones at once.
    async fn keep_shares(&self, looks: &mut BTreeMap<Share, Due>, every: Duration) -> Result<()> {
        let mut due = BTreeSet::new();
        for share in Share::all_pull_requests(&self.settings().worker.0) {
            let ours = self.ask_for_share(&share).await?;
            let Some(look) = looks.get_mut(&share) else {
                continue;
            };
            if !ours {
                look.forget();
            } else if look.is_now(every) {
                due.insert(share);
            }
        }
        self.look_at_shares(&due).await
    }

    async fn take_hint(&self, hint: Hint) -> Result<()> {
        match hint {
            Hint::Task { task } => self.look_if_watched(task).await,
            Hint::PullRequest { repo, number } => {
                for task in self.watchers_of(repo, number).await? {
                    if self.has_share(&Share::of_pull_request(task.id)).await? {
                        self.look_and_log(task.id).await;
                    }
                }
                Ok(())
            }
            Hint::Missed => self.tick_pr_watcher().await,
            Hint::Log { .. } | Hint::Outbox => Ok(()),
        }
    }

    /// Every replica gets each hint; the one whose share the task is looks.
    async fn look_if_watched(&self, id: TaskId) -> Result<()> {
        if !self.has_share(&Share::of_pull_request(id)).await? {
            return Ok(());
        }
        let task = self.store().task(id).await?;
        if is_watched(&task) && !task.state.is_final() {
            self.look_and_log(id).await;
        }
        Ok(())
    }

    async fn look_and_log(&self, id: TaskId) {
        match self.look_at_pull_request(id).await {
            Ok(()) => {}
            // somebody else moved it on: they, or the hint of their change, look again
            Err(error) if error.kind() == ErrorKind::Conflict => {
                tracing::debug!(task = %id, %error, "looked too late")
            }
            Err(error) => tracing::warn!(task = %id, %error, "pull request could not be looked at"),
        }
    }

    /// Looks at the pull request of a task and does what follows, until nothing more follows at once.
    ///
    /// # Errors
    /// A backend failed, or the task has changed meanwhile.
    pub async fn look_at_pull_request(&self, id: TaskId) -> Result<()> {
        let lock = self.inner.looking.of(id);
        let _one_at_a_time = lock.lock().await;
        let asked_at = self.now();
        let task = self.store().task(id).await?;
        let Some(pull_request) = task.pull_request.as_ref().filter(|_| is_watched(&task)) else {
            return Ok(());
        };
        let repo = self.store().repo(task.repo).await?;
        let forge = self.forge(&repo.url)?;
        let seen = match forge.pull_request(&repo, pull_request.number).await {
            // a failed task waits for nothing but a merge: no reason to complain about its forge
            Err(_) if task.state.is_final() => return Ok(()),
            seen => seen
                .map(|shown| self.masked(shown))
                .map_err(|error| error.to_string()),
        };
        let reviews = self.seen_reviews(id).await?;
        let snapshot = PrSnapshot {
            task: &task,
            settings: &repo.settings,
            pull_request: seen.as_ref().map_err(String::as_str),
            reviews: &reviews,
        };
        let now = self.now();
        let decision = reconcile_pull_request(&snapshot, now);
        tracing::debug!(task = %id, rule = decision.rule, "pull request looked at");
        let record = changes_a_state(&task, &decision.action)
            .then(|| Seen::PullRequest(Box::new(SeenPullRequest::new(&snapshot, now))).record());
        self.act(task, &repo, decision, Look { asked_at, record })
            .await
    }

    /// What checks print may hold secrets; what is decided from is stored, told to the agent and exported.
    fn masked(&self, mut shown: PullRequest) -> PullRequest {
        if let Checks::Failed { failed } = &mut shown.checks {
            for check in failed {
                check.log_tail = self.masker().mask(&check.log_tail).into_owned();
            }
        }
        shown
    }

    async fn act(&self, mut task: Task, repo: &Repo, decision: Decision, look: Look) -> Result<()> {
        let Look { asked_at, record } = look;
        let mut change = self.change("pr_watcher");
        let noted = note(&mut task, &decision.notes);
        let because = || Because::from(decision.rule).decided(record.clone());
        let well = matches!(
            decision.action,
            Action::Wait { .. } | Action::StartReview { .. } | Action::Merge { .. }
        );
        let watched_again = well && task.state.name() == StateName::NeedsAttention;
        if watched_again {
            change.apply(&mut task, TaskEvent::Watched, because())?;
        }
        match decision.action {
            Action::Nothing { .. }
            | Action::Wait { .. }
            | Action::StartReview { .. }
            | Action::Merge { .. } => {
                if watched_again {
                    change.put(&task);
                } else if noted {
                    change.put_quietly(&task);
                }
                if watched_again || noted {
                    change.commit().await?;
                    task.version += 1;
                }
            }
            Action::Complete { commit } => {
                change.apply(
                    &mut task,
                    TaskEvent::Completed {
                        how: Completion::Merged { commit },
                    },
                    because(),
                )?;
                change.put(&task);
                return change.commit().await;
            }
            Action::Fail { failure } => {
                change.apply(&mut task, TaskEvent::Failed { failure }, because())?;
                change.put(&task);
                return change.commit().await;
            }
            Action::Attention { reason } => {
                change.apply(&mut task, TaskEvent::AttentionNeeded { reason }, because())?;
                change.put(&task);
                return change.commit().await;
            }
            Action::Resume { reason, next } => {
                let known = matches!(&task.state, TaskState::NeedsAttention { reason: known, .. } if *known == reason);
                let enqueued = if known {
                    because()
                } else {
                    change.apply(&mut task, TaskEvent::AttentionNeeded { reason }, because())?;
                    Because::from(decision.rule).follows(record.as_ref())
                };
                change.apply(&mut task, TaskEvent::Enqueued { next }, enqueued)?;
                change.put(&task);
                return change.commit().await;
            }
        }
        match decision.action {
            Action::StartReview { head } => {
                let wanted = ReviewWanted {
                    actor: "pr_watcher",
                    head,
                    decision: record,
                };
                self.spawn_review(task, repo, wanted).await.map(|_| ())
            }
            Action::Merge { head } => {
                self.merge(task, repo, head, Look { asked_at, record })
                    .await
            }
            _ => Ok(()),
        }
    }

    /// Merges, and completes the task by what the forge says afterwards.
    async fn merge(&self, mut task: Task, repo: &Repo, head: CommitId, look: Look) -> Result<()> {
        let Look { asked_at, record } = look;
        let Some(pull_request) = task.pull_request.clone() else {
            return Ok(());
        };
        // a last look: a task that was cancelled meanwhile is not merged
        let fresh = self.store().task(task.id).await?;
        if fresh.version != task.version {
            return Err(Error::conflict("optio", "the task has changed"));
        }
        // nor one whose facts are old, because this replica was frozen: others look after it by then
        if elapsed(asked_at, self.now()) > self.settings().lease / 3 {
            return Err(Error::conflict(
                "optio",
                "what the forge said is too old to merge by",
            ));
        }
        let forge = self.forge(&repo.url)?;
        let request = MergeRequest {
            expected_head: head,
            title: format!("{} ({})", task.title, pull_request.number),
            body: format!("Optio-Task: {}", task.id),
        };
        match forge.merge(repo, pull_request.number, &request).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Conflict => {
                tracing::info!(task = %task.id, %error, "not merged: look again");
                return Ok(());
            }
            // it may have worked all the same: the read below tells
            Err(error) => tracing::warn!(task = %task.id, %error, "merge failed"),
        }
        if let PrState::Merged { commit } =
            forge.pull_request(repo, pull_request.number).await?.state
        {
            let completed = TaskEvent::Completed {
                how: Completion::Merged { commit },
            };
            let mut change = self.change("pr_watcher");
            if task.state.name() == StateName::NeedsAttention {
                let because = Because::from("ready").follows(record.as_ref());
                change.apply(&mut task, TaskEvent::Watched, because)?;
            }
            let because = Because::from("merged_by_optio").decided(record);
            change.apply(&mut task, completed, because)?;
            change.put(&task);
            change.commit().await?;
        }
        Ok(())
    }

    /// The review subtasks of a task, oldest first.
    pub(crate) async fn seen_reviews(&self, parent: TaskId) -> Result<Vec<SeenReview>> {
        let reviews = self
            .store()
            .tasks(&TaskQuery {
                parent: Some(parent),
                ..TaskQuery::default()
            })
            .await?;
        Ok(reviews
            .into_iter()
            .filter_map(|review| {
                let TaskRole::Review {
                    head,
                    blocks_parent,
                    ..
                } = review.role
                else {
                    return None;
                };
                let state = review.state.name();
                let report = match review.state {
                    TaskState::Completed {
                        how: Completion::Reviewed { report, .. },
                        ..
                    } => Some(report),
                    _ => None,
                };
                Some(SeenReview {
                    head,
                    blocking: blocks_parent,
                    state,
                    report,
                })
            })
            .collect())
    }
}

/// A look at a pull request: since when its facts hold, and what is kept of them.
struct Look {
    asked_at: Timestamp,
    record: Option<DecisionRecord>,
}

/// Whether an action moves the task, or makes another one: what is decided then is worth keeping.
fn changes_a_state(task: &Task, action: &Action) -> bool {
    match action {
        Action::Nothing { .. } => false,
        Action::Wait { .. } => task.state.name() == StateName::NeedsAttention,
        Action::Complete { .. }
        | Action::Fail { .. }
        | Action::Resume { .. }
        | Action::Attention { .. }
        | Action::StartReview { .. }
        | Action::Merge { .. } => true,
    }
}

/// Keeps facts with the task. Whether there was anything to keep.
fn note(task: &mut Task, notes: &[Note]) -> bool {
    for note in notes {
        match note {
            Note::Green(head) => {
                task.last_green = Some(head.clone());
                task.attempts.ci = 0;
            }
            Note::Mergeable => task.attempts.conflict = 0,
            Note::Approved => task.attempts.review = 0,
        }
    }
    !notes.is_empty()
}

/// What a person is told when resuming the agent has failed for good while the pull request is open.
pub(crate) fn ask_a_person(failure: &crate::failure::Failure) -> AttentionReason {
    AttentionReason::Person {
        summary: format!("{failure}; {}", failure.remedy()),
    }
}
