//! Preparing: the workspace, the clone, the worktree and the prompt; then the agent is started. All of it can be done
//! again after a crash in the middle.

use std::collections::BTreeSet;

use super::{Trouble, messages::with_messages};
use crate::{
    agent::{Places, RunSpec, TASK_FILE},
    engine::{
        Optio,
        git::{EXCLUDES, Git, Ground, Identity, WORKTREES, WorktreeMode},
        held::Held,
    },
    error::ErrorKind,
    failure::{Failure, FailureClass},
    forge::GitCredentials,
    id::RunId,
    prompt::{PromptKind, PromptValues, Variable, render},
    pull_request::CommitId,
    repo::Repo,
    run::{Run, RunKind, RunPhase},
    runtime::{Command, Runtime, WorkspaceSpec},
    store::{Commit, Write},
    task::{Briefing, Task, TaskEvent, TaskRole, TaskState},
    workspace::{WorkspacePath, WorkspaceState},
    worktree::{Worktree, WorktreeState},
};

/// The folder of a workspace with what runs are given, outside their worktrees.
const FILES: &str = "files";

impl Optio {
    pub(super) async fn prepare(&self, held: &Held) -> Result<(), Trouble> {
        let run = held.run().await;
        let task = self.store().task(run.task).await?;
        let repo = self.store().repo(run.repo).await?;
        self.prepare_workspace(&run, &repo).await?;
        let forge = self.forge(&repo.url).map_err(|error| self.failed(&error))?;
        let credentials = forge
            .credentials(&repo)
            .await
            .map_err(|error| self.failed(&error))?;
        let runtime = held.runtime();
        let git = git(&runtime, &run, &repo, credentials.as_ref());
        git.ensure_clone()
            .await
            .map_err(|error| self.git_failed(&error))?;
        self.workspace_is_ready(&run).await?;
        let (path, from) = self.prepare_worktree(held, &git, &task, &repo).await?;
        let command = self.command(
            &run,
            &task,
            &repo,
            &Start {
                path: path.clone(),
                from: from.clone(),
            },
        )?;
        let version = self.version_for(&run).await;
        let (at, told) = (self.now(), task.messages);
        held.update_with_task(|run, task, change| {
            run.phase = RunPhase::Spawned {
                from: from.clone(),
                at,
                stopping: None,
            };
            run.heard_at = at;
            run.report.agent_version.clone_from(&version);
            run.input = command.stdin.len() as u64;
            if let Some(told) = self.told_in_prompt(run, &told, at) {
                change.write(told);
            }
            task.worktree = Some(Worktree {
                workspace: run.workspace,
                path: path.clone(),
                state: WorktreeState::Active,
                since: at,
            });
            change.put_quietly(task);
            Ok(())
        })
        .await?;
        self.start(held, command).await
    }

    /// Starts the agent, or finds that it was started before.
    pub(super) async fn start(&self, held: &Held, command: Command) -> Result<(), Trouble> {
        let run = held.run().await;
        held.runtime()
            .spawn(run.workspace, run.id, command)
            .await
            .map_err(|error| self.failed(&error))?;
        self.mark_started(held).await
    }

    /// The task is running, if it is still about this run and was not before.
    pub(super) async fn mark_started(&self, held: &Held) -> Result<(), Trouble> {
        let task = self.store().task(held.task()).await?;
        let id = held.id();
        if !matches!(task.state, TaskState::Provisioning { run, .. } if run == id) {
            return Ok(());
        }
        held.update_with_task(|run, task, change| {
            if matches!(task.state, TaskState::Provisioning { run: of, .. } if of == run.id) {
                change.apply(task, TaskEvent::Started, "agent_started")?;
                change.put(task);
            }
            Ok(())
        })
        .await?;
        Ok(())
    }

    async fn prepare_workspace(&self, run: &Run, repo: &Repo) -> Result<(), Trouble> {
        let spec = WorkspaceSpec {
            id: run.workspace,
            repo: repo.id,
            name: repo.name().to_owned(),
        };
        self.runtime()
            .create(&spec)
            .await
            .map_err(|error| self.failed(&error))
    }

    async fn workspace_is_ready(&self, run: &Run) -> Result<(), Trouble> {
        let found = self
            .store()
            .workspaces()
            .await?
            .into_iter()
            .find(|workspace| workspace.id == run.workspace);
        let Some(mut workspace) = found else {
            return Err(Failure::new(FailureClass::WorkspaceLost)
                .with_detail("its record is gone")
                .into());
        };
        if workspace.state == WorkspaceState::Creating {
            workspace.state = WorkspaceState::Ready;
            match self
                .store()
                .commit(Commit::new().with(Write::Workspace(workspace)))
                .await
            {
                // another run in it was quicker to say so
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                written => written?,
            }
        }
        Ok(())
    }

    async fn prepare_worktree(
        &self,
        held: &Held,
        git: &Git<'_>,
        task: &Task,
        repo: &Repo,
    ) -> Result<(WorkspacePath, CommitId), Trouble> {
        let lock = self.inner.worktrees.of(task.id);
        let _not_removed_meanwhile = lock.lock().await;
        let run = held.run().await;
        let path = worktree_path(task);
        let base = &repo.default_branch;
        let site = git
            .survey(&path, &task.branch, base)
            .await
            .map_err(|error| self.git_failed(&error))?;
        let here = task
            .worktree
            .as_ref()
            .is_some_and(|worktree| worktree.workspace == run.workspace);
        let mode = match (&task.role, run.kind) {
            (TaskRole::Review { head, .. }, _) => WorktreeMode::Detached(head.clone()),
            (TaskRole::Coding, RunKind::Retry) => WorktreeMode::Reset,
            (TaskRole::Coding, RunKind::First) if !here && task.runs <= 1 => WorktreeMode::Fresh,
            (TaskRole::Coding, _) => WorktreeMode::Resume,
        };
        let discards = matches!(mode, WorktreeMode::Reset | WorktreeMode::Fresh);
        if discards && site.ground == Ground::Taken {
            let name = super::rescue::ref_name(task.id, run.id);
            git.rescue(&path, base, &name)
                .await
                .map_err(|error| self.git_failed(&error))?;
        }
        let reset = mode == WorktreeMode::Reset;
        let head = git
            .ensure_worktree(&site, mode)
            .await
            .map_err(|error| self.git_failed(&error))?;
        if reset {
            let since = self.now();
            held.update_with_task(|run, task, change| {
                task.worktree = Some(Worktree {
                    workspace: run.workspace,
                    path: path.clone(),
                    state: WorktreeState::Reset,
                    since,
                });
                change.put_quietly(task);
                Ok(())
            })
            .await?;
        }
        Ok((path, head))
    }

    fn command(
        &self,
        run: &Run,
        task: &Task,
        repo: &Repo,
        start: &Start,
    ) -> Result<Command, Trouble> {
        let files = run_files(run.id);
        let places = Places {
            root: self.runtime().root(run.workspace),
            worktree: start.path.clone(),
            files: files.clone(),
        };
        let mut spec = RunSpec::new(task.id, run.id, run.kind, String::new(), places);
        spec.model = run.model.clone();
        spec.effort = repo.settings.effort.clone();
        spec.resume = run.resumes.clone();
        let (TaskState::Provisioning { next, .. } | TaskState::Running { next, .. }) = &task.state
        else {
            return Err(Trouble::Unwanted);
        };
        let values = values(
            task,
            repo,
            &spec,
            Occasion {
                briefing: &next.briefing,
                from: &start.from,
            },
        );
        spec.prompt = render(
            prompt_kind(run.kind),
            &repo.settings.prompts,
            &self.settings().prompts,
            &values,
        )
        .map_err(|error| {
            Failure::new(FailureClass::PromptInvalid).with_detail(error.to_string())
        })?;
        spec.prompt = with_messages(spec.prompt, &task.messages);
        let Some(agent) = self.ports().agents.get(&run.agent) else {
            return Err(Failure::new(FailureClass::InvalidConfiguration)
                .with_detail(format!("there is no agent called {:?}", run.agent))
                .into());
        };
        let mut command = agent.command(&spec).map_err(|error| {
            Failure::new(FailureClass::InvalidConfiguration).with_detail(error.message())
        })?;
        command
            .files
            .entry(files.child(TASK_FILE))
            .or_insert_with(|| full_text(task).into());
        if let Some(patterns) = self.leftovers() {
            command = command.shared_file(
                EXCLUDES
                    .iter()
                    .fold(WorkspacePath::root(), |path, name| path.child(name)),
                patterns,
            );
        }
        command.dir.get_or_insert(start.path.clone());
        for (name, value) in Identity::default().env() {
            command.env.entry(name).or_insert(value);
        }
        Ok(command)
    }

    /// What git is to overlook in worktrees. That of all agents: those of a workspace share its clone.
    fn leftovers(&self) -> Option<String> {
        let agents = self.ports().agents.values();
        let patterns: BTreeSet<String> = agents.flat_map(|agent| agent.leftovers()).collect();
        let lines = patterns.into_iter().map(|pattern| pattern + "\n");
        Some(lines.collect::<String>()).filter(|text| !text.is_empty())
    }
}

/// The folder of a run's own files.
pub(super) fn run_files(run: RunId) -> WorkspacePath {
    WorkspacePath::root().child(FILES).child(&run.to_string())
}

/// Git in the workspace of a run.
pub(super) fn git<'r>(
    runtime: &'r dyn Runtime,
    run: &Run,
    repo: &Repo,
    credentials: Option<&GitCredentials>,
) -> Git<'r> {
    Git::new(runtime, run.workspace, repo.url.as_str(), credentials)
}

/// Where the agent sets out.
struct Start {
    path: WorkspacePath,
    from: CommitId,
}

/// What is special about this run's prompt.
#[derive(Clone, Copy)]
struct Occasion<'a> {
    briefing: &'a Briefing,
    from: &'a CommitId,
}

/// The worktree of a task, in its workspace.
pub(crate) fn worktree_path(task: &Task) -> WorkspacePath {
    WorkspacePath::root()
        .child(WORKTREES)
        .child(&task.id.to_string())
}

fn prompt_kind(kind: RunKind) -> PromptKind {
    match kind {
        RunKind::First | RunKind::Retry => PromptKind::Coding,
        RunKind::ResumeCi => PromptKind::CiFix,
        RunKind::ResumeReview => PromptKind::ReviewFix,
        RunKind::ResumeConflict => PromptKind::Conflict,
        RunKind::Review => PromptKind::Review,
    }
}

fn values(task: &Task, repo: &Repo, spec: &RunSpec, occasion: Occasion<'_>) -> PromptValues {
    let Occasion { briefing, from } = occasion;
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut values = PromptValues::default();
    values
        .set(Variable::TaskId, task.id.to_string())
        .set(Variable::TaskTitle, task.title.clone())
        .set(Variable::TaskBody, task.body.clone())
        .set(Variable::TaskFile, spec.task_file.clone())
        .set(
            Variable::TicketUrl,
            task.ticket
                .as_ref()
                .and_then(|ticket| ticket.url.clone())
                .unwrap_or_default(),
        )
        .set(
            Variable::RepoName,
            repo.url
                .host_and_path()
                .map_or_else(|| repo.name().to_owned(), |(_, path)| path.to_owned()),
        )
        .set(Variable::BranchName, task.branch.clone())
        .set(Variable::BaseBranch, repo.default_branch.clone())
        .set(Variable::HeadCommit, from.to_string())
        .set(
            Variable::CheckCommand,
            or_empty(&repo.settings.check_command),
        )
        .set(
            Variable::PreviousAttempt,
            or_empty(&briefing.previous_attempt),
        )
        .set(Variable::CiFailures, or_empty(&briefing.ci_failures))
        .set(
            Variable::ReviewComments,
            or_empty(&briefing.review_comments),
        )
        .set(Variable::ConflictFiles, or_empty(&briefing.conflict_files))
        .set(
            Variable::DiffCommand,
            format!("git diff origin/{}...{from}", repo.default_branch),
        )
        .set(Variable::VerdictFile, spec.verdict_file.clone());
    if let Some(pull_request) = &task.pull_request {
        values
            .set(Variable::PrNumber, pull_request.number.0.to_string())
            .set(Variable::PrUrl, pull_request.url.clone());
    }
    values
}

fn full_text(task: &Task) -> String {
    if task.body.trim().is_empty() {
        format!("# {}\n", task.title)
    } else {
        format!("# {}\n\n{}\n", task.title, task.body)
    }
}
