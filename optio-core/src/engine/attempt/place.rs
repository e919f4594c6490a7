//! Placing: the run gets a workspace and is written down, in one commit that only one worker can make.

use crate::{
    agent::Agent,
    clock::Timestamp,
    decision::DecisionRecord,
    engine::{Optio, change::Because},
    error::{Error, ErrorKind, Result},
    failure::{Failure, FailureClass},
    id::{RunId, WorkspaceId},
    money::Usage,
    replay::{Seen, SeenPlaces, SeenSpending},
    repo::Repo,
    run::{Progress, Run, RunKind, RunPhase},
    scheduling::{Admission, Budgets, Exceeded, Place, Placement, Spent, today},
    store::{OnlyLive, RunQuery, RunsOf, Write},
    task::{StateName, Task, TaskEvent, TaskState},
    transcript::{RunReport, SessionId},
    workspace::{Workspace, WorkspaceState},
};

/// What came of placing a task.
#[derive(Debug)]
pub(crate) enum Placed {
    /// It has a run.
    Run(Box<Run>),
    /// It cannot run now or ever, or is not queued any more; what follows from that is stored.
    Moved,
    /// It may not run before this moment, which is nothing that has to be stored with it.
    Later(Timestamp),
}

impl Optio {
    /// Places a queued task that was just read.
    ///
    /// # Errors
    /// A backend failed, or every workspace is full.
    pub(crate) async fn place_run(&self, task: Task) -> Result<Placed> {
        // one after the other here; between processes the commit sees to it that limits are kept
        let _placing = self.inner.placing.lock().await;
        let (id, mut read) = (task.id, Some(task));
        let attempt = |read: Option<Task>| async move {
            let task = match read {
                Some(task) => task,
                None => self.store().task(id).await?, // somebody has changed it
            };
            if task.state.name() != StateName::Queued {
                return Ok(Placed::Moved);
            }
            let repo = self.store().repo(task.repo).await?;
            let spending = self.seen_spending(&task, &repo).await?;
            let over = spending.as_ref().and_then(SeenSpending::decide);
            let budget = spending.map(|seen| Seen::Spending(seen).record());
            if let Some(over) = over {
                self.put_off_for_budget(task, &over, budget).await?;
                return Ok(Placed::Moved);
            }
            let agent = match self.agent_for(&task, &repo) {
                Ok(agent) => agent,
                Err(error) => {
                    let failure = Failure::new(FailureClass::InvalidConfiguration)
                        .with_detail(error.message());
                    self.fail(task, failure, "no_agent".into()).await?;
                    return Ok(Placed::Moved);
                }
            };
            if let Some(account) = agent.account()
                && let Admission::Later(at) = self.admission(&account).await?
            {
                return Ok(Placed::Later(at));
            }
            self.place_in_workspace(task, &repo, &**agent, budget).await
        };
        self.retry_conflicts(|| attempt(read.take())).await
    }

    async fn place_in_workspace(
        &self,
        mut task: Task,
        repo: &Repo,
        agent: &dyn Agent,
        budget: Option<DecisionRecord>,
    ) -> Result<Placed> {
        let now = self.now();
        let all_live = RunQuery {
            only_live: OnlyLive::Yes,
            ..RunQuery::default()
        };
        let (mut workspaces, live) =
            tokio::try_join!(self.store().workspaces(), self.store().runs(&all_live))?;
        workspaces.retain(|workspace| workspace.repo == repo.id);
        // it was queued again while its last run had not ended, since we looked: that one is adopted first
        if live.iter().any(|run| run.task == task.id) {
            return Ok(Placed::Later(now));
        }
        // the queue hands out no more than this; unless it was lost, or a worker's slot outlived by its run
        let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
        let here = count(live.iter().filter(|run| run.repo == repo.id).count());
        if here >= repo.settings.capacity() || count(live.len()) >= self.settings().limits.global {
            return Err(Error::unavailable(
                "optio",
                format!("as many runs as may be are at work for {}", repo.url),
            ));
        }
        let runs_in = |id: WorkspaceId| {
            u32::try_from(live.iter().filter(|run| run.workspace == id).count()).unwrap_or(u32::MAX)
        };
        let places: Vec<Place> = workspaces
            .iter()
            .filter(|workspace| workspace.state.takes_runs())
            .map(|workspace| Place {
                workspace: workspace.id,
                ordinal: workspace.ordinal,
                runs: runs_in(workspace.id),
            })
            .collect();
        let seen = SeenPlaces {
            settings: repo.settings.clone(),
            places,
            last: task.last_workspace,
        };
        let (workspace, used) = match seen.decide() {
            Placement::Use(id) => (id, Write::UseWorkspace(id, now)),
            Placement::ScaleUp { ordinal } => {
                let id = WorkspaceId::generate(self.clock());
                let new = Workspace {
                    id,
                    repo: repo.id,
                    ordinal,
                    state: WorkspaceState::Creating,
                    created_at: now,
                    used_at: now,
                    version: 0,
                };
                (id, Write::Workspace(new))
            }
            Placement::Full => {
                return Err(Error::unavailable(
                    "optio",
                    format!("every workspace of {} is full", repo.url),
                ));
            }
        };
        let TaskState::Queued { next, .. } = &task.state else {
            return Err(Error::conflict("optio", "the task is no longer queued"));
        };
        let kind = next.kind;
        // a session lives in the home folder of its workspace
        let goes_on = kind != RunKind::Retry && task.last_workspace == Some(workspace);
        let resumes = task.session.clone().filter(|_| goes_on);
        let report = RunReport {
            session_before: self.used_by_session(&task, resumes.as_ref()).await?,
            ..RunReport::default()
        };
        let run = Run {
            id: RunId::generate(self.clock()),
            task: task.id,
            repo: repo.id,
            number: task.runs + 1,
            kind,
            epoch: 1,
            lease: self.new_lease(now),
            phase: RunPhase::Preparing,
            workspace,
            agent: agent.name().to_owned(),
            account: agent.account(),
            model: task.model.clone().or_else(|| repo.settings.model.clone()),
            resumes,
            progress: Progress::default(),
            heard: 0,
            input: 0,
            report,
            started_at: now,
            heard_at: now,
        };
        let mut change = self.change("worker");
        change.apply(
            &mut task,
            TaskEvent::Placed {
                run: run.id,
                workspace,
            },
            Because::from("placed")
                .decided(budget.into_iter().chain([Seen::Places(seen).record()])),
        )?;
        change.put(&task);
        change.write(used);
        change.write(Write::NewRun(run.clone()));
        // what was counted above may have changed: other replicas place runs too
        for (of, limit) in [
            (
                RunsOf::Workspace(workspace),
                repo.settings.max_agents_per_pod,
            ),
            (RunsOf::Repo(repo.id), repo.settings.capacity()),
            (RunsOf::Fleet, self.settings().limits.global),
        ] {
            change.write(Write::LiveRunsAtMost { of, limit });
        }
        change.commit().await?;
        tracing::info!(task = %task.id, run = %run.id, workspace = %run.workspace, kind = %run.kind, "run placed");
        Ok(Placed::Run(Box::new(run)))
    }

    /// What the earlier runs of a task say that their session had used in all.
    async fn used_by_session(&self, task: &Task, session: Option<&SessionId>) -> Result<Usage> {
        if session.is_none() {
            return Ok(Usage::default());
        }
        let earlier = self
            .store()
            .runs(&RunQuery {
                task: Some(task.id),
                ..RunQuery::default()
            })
            .await?;
        let last = earlier
            .iter()
            .filter(|run| run.report.session.as_ref() == session)
            .filter_map(|run| Some((run.number, run.report.session_usage?)))
            .max_by_key(|(number, _)| *number);
        Ok(last.map_or_else(Usage::default, |(_, used)| used))
    }

    /// The budget that is used up for a task, if one is.
    pub(crate) async fn over_budget(&self, task: &Task, repo: &Repo) -> Result<Option<Exceeded>> {
        let seen = self.seen_spending(task, repo).await?;
        Ok(seen.and_then(|seen| seen.decide()))
    }

    /// The budgets of a task and what was spent of them; none if there are none.
    async fn seen_spending(&self, task: &Task, repo: &Repo) -> Result<Option<SeenSpending>> {
        let budgets = Budgets {
            task: repo.settings.max_cost_per_task,
            repo_day: repo.settings.max_cost_per_day,
            fleet_day: self.settings().limits.cost_per_day,
        };
        if budgets == Budgets::default() {
            return Ok(None);
        }
        let now = self.now();
        // what a review costs is counted with the task that it reviews, and so is its budget
        let counted = match task.parent() {
            Some(parent) => self.store().task(parent).await?.usage.cost,
            None => task.usage.cost,
        };
        let mut spent = Spent {
            task: counted,
            ..Spent::default()
        };
        if let Some(run) = task.state.run() {
            // what a run at work has used is added to the task only when it ends
            spent.task += match self.store().run(run).await {
                Ok(run) => run.usage().cost,
                Err(error) if error.kind() == ErrorKind::NotFound => crate::money::Usd::ZERO,
                Err(error) => return Err(error),
            };
        }
        if budgets.repo_day.is_some() {
            spent.repo_day = self.store().spent(Some(repo.id), today(now)).await?;
        }
        if budgets.fleet_day.is_some() {
            spent.fleet_day = self.store().spent(None, today(now)).await?;
        }
        Ok(Some(SeenSpending {
            budgets,
            spent,
            now,
        }))
    }

    /// A budget for the day comes again tomorrow; that of a task only by a person's hand.
    async fn put_off_for_budget(
        &self,
        mut task: Task,
        over: &Exceeded,
        budget: Option<DecisionRecord>,
    ) -> Result<()> {
        let Some(renews_at) = over.renews_at else {
            let because = Because::from("budget_of_task").decided(budget);
            return self.fail(task, over.failure(), because).await;
        };
        let TaskState::Queued { next, .. } = task.state.clone() else {
            return Ok(());
        };
        let mut change = self.change("worker");
        let requeued = TaskEvent::Requeued {
            next,
            not_before: Some(renews_at),
            hold: Some(over.to_string()),
        };
        let because = Because::from("budget_of_day").decided(budget);
        change.apply(&mut task, requeued, because)?;
        change.put(&task);
        change.commit().await
    }

    async fn fail(&self, mut task: Task, failure: Failure, because: Because) -> Result<()> {
        let mut change = self.change("worker");
        change.apply(&mut task, TaskEvent::Failed { failure }, because)?;
        change.put(&task);
        change.commit().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        NewTask,
        memory::{FakeGit, MemoryAgent, MemoryForge, MemoryRuntime, TokioClock},
        repo::RepoSettings,
    };

    #[tokio::test(start_paused = true)]
    async fn a_task_that_was_queued_again_since_we_looked_gets_no_second_run_beside_its_first() {
        let git = FakeGit::new();
        let url = "https://memory.test/acme/shop".parse().unwrap();
        git.add_remote(&url, "main", &[("README.md", "# A shop\n")]);
        let engine = Optio::builder()
            .clock(TokioClock::new())
            .runtime(MemoryRuntime::new(git.clone()))
            .agent(MemoryAgent::new())
            .forge(MemoryForge::new(git, Arc::new(TokioClock::new())))
            .build()
            .unwrap();
        let repo = engine.add_repo(url, RepoSettings::default()).await.unwrap();
        let task = engine.submit(NewTask::new(repo.id, "Add a cart")).await;
        // a worker reads the task and freezes
        let seen = engine.store().task(task.unwrap().id).await.unwrap();

        // meanwhile another one places it and dies, and a person begins the task anew
        let placed = engine.place_run(seen.clone()).await.unwrap();
        assert!(matches!(placed, Placed::Run(_)), "{placed:?}");
        engine.cancel(seen.id).await.unwrap();
        engine.retry(seen.id).await.unwrap();

        // the first one goes on
        let late = engine.place_run(seen.clone()).await.unwrap();
        assert!(matches!(late, Placed::Later(_)), "{late:?}");
        let runs = RunQuery {
            task: Some(seen.id),
            ..RunQuery::default()
        };
        assert_eq!(engine.store().runs(&runs).await.unwrap().len(), 1);
    }
}
