//! A task as JSON.

use optio_core::{
    Timestamp,
    failure::Failure,
    id::{RepoId, RunId, TaskId, WorkspaceId},
    money::Usage,
    pull_request::{PullRequestRef, ReviewVerdict},
    repo::Repo,
    run::RunKind,
    task::{AttentionReason, Completion, Message, StateName, Task, TaskRole, TaskState},
    worktree::WorktreeState,
};
use serde::{Deserialize, Serialize};

/// A task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    /// Its id.
    pub id: TaskId,
    /// Its repository.
    pub repo: RepoLink,
    /// One line.
    pub title: String,
    /// The whole wish, in Markdown.
    pub body: String,
    /// Its state.
    pub state: StateName,
    /// Why it is not at work, where something holds it back for a while.
    pub hold: Option<String>,
    /// Until when that lasts.
    pub not_before: Option<Timestamp>,
    /// The run at work on it, or about to be.
    pub run: Option<RunId>,
    /// Why that runs, or the next one will.
    pub run_kind: Option<RunKind>,
    /// What needs attention.
    pub attention: Option<AttentionView>,
    /// What makes it done.
    pub completion: Option<CompletionView>,
    /// Why it failed.
    pub failure: Option<FailureView>,
    /// Lower runs first.
    pub priority: i32,
    /// The agent it asks for; its repository's if none.
    pub agent: Option<String>,
    /// The model it asks for.
    pub model: Option<String>,
    /// Work on code, or a review.
    pub role: RoleView,
    /// The task whose pull request it reviews.
    pub parent: Option<TaskId>,
    /// Tasks that must be completed first.
    pub depends_on: Vec<TaskId>,
    /// The ticket it came from.
    pub ticket: Option<TicketView>,
    /// The branch of its work.
    pub branch: String,
    /// Its pull request.
    pub pull_request: Option<PullRequestView>,
    /// Its worktree.
    pub worktree: Option<WorktreeView>,
    /// The agent's session.
    pub session: Option<String>,
    /// What its agent was told and no run that did its work has heard, oldest first.
    #[serde(default)]
    pub messages: Vec<MessageView>,
    /// How many runs it has had.
    pub runs: u32,
    /// What they have used.
    pub usage: UsageView,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Which repository is meant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepoLink {
    /// Its id.
    pub id: RepoId,
    /// What people call it.
    pub name: String,
    /// Its address.
    pub url: String,
}

/// What a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleView {
    /// Work on code.
    Coding,
    /// A review of another task's pull request.
    Review,
}

/// What needs attention.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttentionView {
    /// `ci_failed`, `changes_requested`, `conflict`, or `person`: Optio has done what it may.
    pub reason: String,
    /// The same in a sentence.
    pub summary: String,
    /// When that was seen.
    pub since: Timestamp,
}

/// What makes a task done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompletionView {
    /// `merged` or `reviewed`.
    pub how: String,
    /// The commit that is in the base branch, or that was reviewed.
    pub commit: String,
    /// What the review decided.
    pub verdict: Option<ReviewVerdict>,
    /// What it said.
    pub summary: Option<String>,
}

/// A failure, in words.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureView {
    /// Which of the known ways to fail.
    pub class: String,
    /// What it belongs to.
    pub category: String,
    /// A few words.
    pub title: String,
    /// What that means.
    pub description: String,
    /// What to do.
    pub remedy: String,
    /// The evidence.
    pub detail: Option<String>,
}

/// Something that a person said to a task's agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MessageView {
    /// Its number, from 1.
    pub number: u32,
    /// What.
    pub text: String,
    /// When.
    pub at: Timestamp,
}

impl From<&Message> for MessageView {
    fn from(message: &Message) -> Self {
        Self {
            number: message.number,
            text: message.text.clone(),
            at: message.at,
        }
    }
}

/// The ticket of a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TicketView {
    /// Where it lives.
    pub source: String,
    /// Its key there.
    pub key: String,
    /// Where a person can look at it.
    pub url: Option<String>,
}

/// The pull request of a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequestView {
    /// Its number.
    pub number: u64,
    /// Where a person can look at it.
    pub url: String,
}

/// The worktree of a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorktreeView {
    /// The workspace it is in.
    pub workspace: WorkspaceId,
    /// Where in it.
    pub path: String,
    /// `active`, `dirty`, `reset`, `preserved` or `removed`.
    pub state: WorktreeState,
}

/// What was used.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageView {
    /// US dollars.
    pub cost: f64,
    /// Tokens read, cached ones included.
    pub input_tokens: u64,
    /// Those of them that came out of the cache.
    pub cached_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

impl TaskView {
    /// The task as it is shown.
    #[must_use]
    pub fn new(task: &Task, repo: RepoLink) -> Self {
        let mut view = Self {
            id: task.id,
            repo,
            title: task.title.clone(),
            body: task.body.clone(),
            state: task.state.name(),
            hold: None,
            not_before: None,
            run: task.state.run(),
            run_kind: None,
            attention: None,
            completion: None,
            failure: None,
            priority: task.priority,
            agent: task.agent.clone(),
            model: task.model.clone(),
            role: match task.role {
                TaskRole::Coding => RoleView::Coding,
                TaskRole::Review { .. } => RoleView::Review,
            },
            parent: task.parent(),
            depends_on: task.depends_on.clone(),
            ticket: task.ticket.as_ref().map(|ticket| TicketView {
                source: ticket.source.clone(),
                key: ticket.key.clone(),
                url: ticket.url.clone(),
            }),
            branch: task.branch.clone(),
            pull_request: task.pull_request.as_ref().map(PullRequestView::from),
            worktree: task.worktree.as_ref().map(|tree| WorktreeView {
                workspace: tree.workspace,
                path: tree.path.as_str().to_owned(),
                state: tree.state,
            }),
            session: task.session.as_ref().map(ToString::to_string),
            messages: task.messages.iter().map(MessageView::from).collect(),
            runs: task.runs,
            usage: task.usage.into(),
            created_at: task.created_at,
            updated_at: task.updated_at,
            ended_at: None,
        };
        view.take_state(&task.state);
        view
    }

    fn take_state(&mut self, state: &TaskState) {
        match state {
            TaskState::Pending | TaskState::WaitingOnDeps | TaskState::PrOpened { .. } => {}
            TaskState::Queued {
                next,
                not_before,
                hold,
                ..
            } => {
                self.run_kind = Some(next.kind);
                self.not_before = *not_before;
                self.hold.clone_from(hold);
            }
            TaskState::Provisioning { next, .. } | TaskState::Running { next, .. } => {
                self.run_kind = Some(next.kind)
            }
            TaskState::NeedsAttention { reason, since } => {
                self.attention = Some(AttentionView::new(reason, *since))
            }
            TaskState::Completed { how, at } => {
                self.completion = Some(how.into());
                self.ended_at = Some(*at);
            }
            TaskState::Failed { failure, at } => {
                self.failure = Some(failure.into());
                self.ended_at = Some(*at);
            }
            TaskState::Cancelled { at } => self.ended_at = Some(*at),
        }
    }

    /// Whether nothing more happens to it unless a person does something: it has ended, or needs a person.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.state.is_final()
            || self
                .attention
                .as_ref()
                .is_some_and(|attention| attention.reason == "person")
    }
}

impl AttentionView {
    fn new(reason: &AttentionReason, since: Timestamp) -> Self {
        let (reason, summary) = match reason {
            AttentionReason::CiFailed => ("ci_failed", "its checks failed"),
            AttentionReason::ChangesRequested => {
                ("changes_requested", "a review requested changes")
            }
            AttentionReason::Conflict => ("conflict", "it conflicts with its base"),
            AttentionReason::Person { summary } => ("person", summary.as_str()),
        };
        Self {
            reason: reason.to_owned(),
            summary: summary.to_owned(),
            since,
        }
    }
}

impl From<&Completion> for CompletionView {
    fn from(how: &Completion) -> Self {
        match how {
            Completion::Merged { commit } => Self {
                how: "merged".to_owned(),
                commit: commit.to_string(),
                verdict: None,
                summary: None,
            },
            Completion::Reviewed { head, report } => Self {
                how: "reviewed".to_owned(),
                commit: head.to_string(),
                verdict: Some(report.verdict),
                summary: Some(report.summary.clone()),
            },
        }
    }
}

impl FailureView {
    /// What happened, with the evidence.
    #[must_use]
    pub fn in_a_line(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{}: {detail}", self.title),
            None => self.title.clone(),
        }
    }
}

impl From<&Failure> for FailureView {
    fn from(failure: &Failure) -> Self {
        Self {
            class: failure.class.name().to_owned(),
            category: category(failure),
            title: failure.title().to_owned(),
            description: failure.description().to_owned(),
            remedy: failure.remedy().to_owned(),
            detail: failure.detail().map(ToOwned::to_owned),
        }
    }
}

/// The category's name as it is written everywhere.
fn category(failure: &Failure) -> String {
    match serde_json::to_value(failure.category()) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "unknown".to_owned(),
    }
}

impl From<&Repo> for RepoLink {
    fn from(repo: &Repo) -> Self {
        Self {
            id: repo.id,
            name: repo.name().to_owned(),
            url: repo.url.to_string(),
        }
    }
}

impl From<&PullRequestRef> for PullRequestView {
    fn from(pull_request: &PullRequestRef) -> Self {
        Self {
            number: pull_request.number.0,
            url: pull_request.url.clone(),
        }
    }
}

impl From<Usage> for UsageView {
    fn from(usage: Usage) -> Self {
        Self {
            cost: usage.cost.dollars(),
            input_tokens: usage.input_tokens,
            cached_tokens: usage.cached_tokens,
            output_tokens: usage.output_tokens,
        }
    }
}
