//! The classes of failure and their words: one table, a row for each.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

use super::RetryAdvice;

/// Which part of the whole a failure belongs to: what a person looks at first, and what statistics group by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureCategory {
    /// Credentials for the model's provider.
    Auth,
    /// Limits, quotas and load of the model's provider.
    Capacity,
    /// What the model can or will not do.
    Model,
    /// The agent's program and its result.
    Agent,
    /// Git operations and access to the repository.
    Git,
    /// Name resolution, connections, certificates.
    Network,
    /// Pods, folders, disks, processes.
    Workspace,
    /// The pull request and the rules of its forge.
    Forge,
    /// Settings and templates of this installation.
    Configuration,
    /// Money, and the number of attempts.
    Budget,
    /// Another task that this one needs.
    Dependency,
    /// Nothing known matches.
    Unknown,
}

/// Defines [`FailureClass`] and its table of words, one row per class.
macro_rules! failure_classes {
    ($($(#[$doc:meta])* $variant:ident $name:literal ($category:ident, $retry:ident) {
        $title:literal, $description:literal, $remedy:literal $(,)?
    })+) => {
        /// The known ways to fail.
        ///
        /// Written as a snake_case name. A name that this version does not know is read as
        /// [`Unknown`](Self::Unknown), so that replicas of two versions can share one store.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum FailureClass {
            $($(#[$doc])* $variant,)+
        }

        impl FailureClass {
            /// Every class, in the order of their definition.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in stores and interfaces.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Which part of the whole it belongs to.
            #[must_use]
            pub const fn category(self) -> FailureCategory {
                match self { $(Self::$variant => FailureCategory::$category),+ }
            }

            /// What to do about it when nothing more is known than the class.
            #[must_use]
            pub const fn retry(self) -> RetryAdvice {
                match self { $(Self::$variant => RetryAdvice::$retry),+ }
            }

            /// What happened, as a headline.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// What happened, in a sentence or two.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description),+ }
            }

            /// What to do now.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy),+ }
            }
        }
    };
}

failure_classes! {
    /// The agent has no credentials at all.
    AuthMissing "auth_missing" (Auth, Never) {
        "Agent is not signed in",
        "The agent found no credentials for its model provider.",
        "Add the agent's API key or token to the secrets, then retry the task.",
    }
    /// The credentials were refused: wrong, revoked or too old.
    AuthExpired "auth_expired" (Auth, Never) {
        "Agent's credentials were refused",
        "The model provider did not accept the API key or token: it is wrong, revoked or expired.",
        "Put a fresh API key or token into the secrets, then retry the task.",
    }
    /// The credentials are good, but not for this.
    AuthForbidden "auth_forbidden" (Auth, Never) {
        "Agent's account may not do this",
        "The model provider knows the account but denies it this model or feature.",
        "Ask the provider's administrator for access, or use another account or model, then retry the task.",
    }
    /// The account itself may do nothing: it is on hold, shut out by its organisation, or has to be verified first.
    AccountBlocked "account_blocked" (Auth, Never) {
        "Agent's account is blocked",
        "The model provider knows the account and refuses everything that it asks for: it is on hold, its organisation \
         does not allow it, or it has to be verified first.",
        "Clear it with the provider or the organisation's administrator and resume the account, or use another one; then \
         retry the task.",
    }
    /// Too many requests, or a usage window is used up.
    RateLimited "rate_limited" (Capacity, Free) {
        "Model rate limit reached",
        "The model provider allows no more requests for now. No attempt was charged.",
        "Nothing to do: the task goes on with the same session when the limit resets. If it happens often, raise the \
         provider's limit or run fewer tasks at once.",
    }
    /// No credit or paid quota is left.
    QuotaExhausted "quota_exhausted" (Capacity, Never) {
        "Model credit is used up",
        "The account at the model provider has no credit or paid quota left.",
        "Add credit or raise the spending limit at the model provider, then retry the task.",
    }
    /// The provider itself is overloaded or failing.
    Overloaded "overloaded" (Capacity, Free) {
        "Model provider is overloaded",
        "The model provider answered that it is overloaded or failing on its side. No attempt was charged.",
        "Nothing to do: the task is tried again. If it goes on, look at the provider's status page or use another model.",
    }
    /// The model's name is not known to the provider.
    ModelNotFound "model_not_found" (Model, Never) {
        "Model does not exist",
        "The model provider does not know the model's name, or does not show it to this account.",
        "Correct the model in the repository's settings, then retry the task.",
    }
    /// The conversation no longer fits into the model.
    ContextLength "context_length" (Model, Attempt) {
        "Task is too long for the model",
        "The prompt and the conversation together exceed the model's context window.",
        "Split the task, shorten its description or use a model with a larger context window.",
    }
    /// The provider or the model refused the content.
    ContentFilter "content_filter" (Model, Never) {
        "Model declined the task",
        "The model, or a filter of its provider, declined to answer.",
        "Reword the task so that it says what it is for, or use another model, then retry.",
    }
    /// The agent used all turns that it was given.
    MaxTurns "max_turns" (Agent, Attempt) {
        "Agent ran out of turns",
        "The agent reached its maximum number of turns before it was done.",
        "Raise the maximum number of turns in the repository's settings, or split the task.",
    }
    /// One answer of the model was longer than allowed.
    OutputLimit "output_limit" (Model, Attempt) {
        "Model's answer was cut off",
        "The model reached its output limit in the middle of an answer and could not go on.",
        "Retry, ask for smaller steps in the task, or raise the agent's output limit.",
    }
    /// The agent does not know the session that it should continue.
    SessionNotFound "session_not_found" (Agent, Attempt) {
        "Agent's session is gone",
        "The agent could not find the conversation that it should have continued.",
        "Retry the task: it starts a new session on the work done so far.",
    }
    /// The repository does not exist, or is hidden from these credentials.
    RepositoryNotFound "repository_not_found" (Git, Never) {
        "Repository was not found",
        "The git server does not know the repository, or hides it from these credentials.",
        "Check the repository's address, and that the git credentials may read it, then retry the task.",
    }
    /// The base branch or another ref that was asked for does not exist.
    BranchNotFound "branch_not_found" (Git, Never) {
        "Branch was not found",
        "The repository has no branch of the name that the task should start from.",
        "Correct the default branch in the repository's settings, or push the branch, then retry the task.",
    }
    /// Credentials for reading the repository are missing or refused.
    GitAuth "git_auth" (Git, Never) {
        "Git credentials were refused",
        "The git server did not accept the credentials for reading the repository.",
        "Put a git token or key that may read this repository into the secrets, then retry the task.",
    }
    /// Cloning failed for no better known reason.
    GitCloneFailed "git_clone_failed" (Git, Attempt) {
        "Repository could not be cloned",
        "Git failed while it cloned the repository.",
        "Read git's message below. Clone the repository by hand with the same credentials to see the whole of it.",
    }
    /// Fetching failed for no better known reason.
    GitFetchFailed "git_fetch_failed" (Git, Attempt) {
        "Changes could not be fetched",
        "Git failed while it fetched from the repository.",
        "Read git's message below, then retry the task. If it stays, remove the workspace: it is cloned afresh.",
    }
    /// A worktree could not be made or reset.
    GitWorktreeFailed "git_worktree_failed" (Git, Attempt) {
        "Worktree could not be prepared",
        "Git failed while it prepared the folder in which the agent works.",
        "Read git's message below, then retry the task. If it stays, remove the workspace: it is cloned afresh.",
    }
    /// Credentials for pushing are missing, refused or read-only.
    GitPushAuth "git_push_auth" (Git, Never) {
        "Git credentials may not push",
        "The git server did not accept the credentials for writing to the repository. The work is kept.",
        "Put a git token or key with write access to this repository into the secrets, then retry the task.",
    }
    /// Pushing failed for no better known reason.
    GitPushFailed "git_push_failed" (Git, Attempt) {
        "Work could not be pushed",
        "Git failed while it pushed the agent's commits. The work is kept.",
        "Read git's message below, then retry the task.",
    }
    /// The branch moved on the server, or git refused the update.
    GitPushRejected "git_push_rejected" (Git, Attempt) {
        "Push was rejected",
        "The branch on the server has changes that the agent's work does not contain. The work is kept.",
        "Retry the task. If it stays, look who else pushes to the task's branch.",
    }
    /// A rule or hook on the server refuses the push, whoever pushes.
    GitPushForbidden "git_push_forbidden" (Forge, Never) {
        "Repository's rules refuse the push",
        "A branch protection, repository rule or hook on the server declined the push. The work is kept.",
        "Read the server's message below; change the rule, or tell the agent in a comment what to change, then retry.",
    }
    /// The work and the base branch change the same lines.
    MergeConflict "merge_conflict" (Git, Attempt) {
        "Work conflicts with the base branch",
        "The agent's branch and the base branch change the same lines.",
        "Resume the agent to resolve the conflict, or resolve it by hand and push.",
    }
    /// A connection failed or broke off.
    Network "network" (Network, Free) {
        "Network connection failed",
        "A connection could not be made or broke off. No attempt was charged.",
        "Nothing to do: the task is tried again. If it goes on, check proxies, firewalls and network policies of the workspace.",
    }
    /// A host name could not be resolved.
    Dns "dns" (Network, Free) {
        "Host name could not be resolved",
        "The workspace could not look up the address of a host. No attempt was charged.",
        "Check the host name in the message below, and name resolution in the workspace; the task is tried again.",
    }
    /// A certificate is not trusted, or no secure connection came about.
    Tls "tls" (Network, Never) {
        "Secure connection failed",
        "The other side's certificate is not trusted, or the two sides could not agree on encryption.",
        "Add the certificate authority of your proxy or server to the workspace, or renew the certificate, then retry.",
    }
    /// The image of the workspace cannot be pulled.
    ImagePull "image_pull" (Workspace, Attempt) {
        "Container image could not be pulled",
        "The cluster could not get the workspace's container image.",
        "Check the image's name and tag in the settings, and the pull secret of its registry, then retry the task.",
    }
    /// The pod found no node in time.
    PodPending "pod_pending" (Workspace, Free) {
        "No room for the pod",
        "The cluster did not start the workspace's pod in time. No attempt was charged.",
        "Add nodes, lower the pod's resource requests or run fewer pods; check that its volumes can be bound.",
    }
    /// A container ran out of memory.
    PodOom "pod_oom" (Workspace, Attempt) {
        "Workspace ran out of memory",
        "The agent or one of its tools used more memory than the workspace has and was killed.",
        "Raise the workspace's memory limit, or run fewer agents in one workspace, then retry the task.",
    }
    /// The cluster removed the pod.
    PodEvicted "pod_evicted" (Workspace, Free) {
        "Pod was evicted",
        "The cluster removed the workspace's pod to free resources or to drain its node. No attempt was charged.",
        "Nothing to do: the task is tried again. If it happens often, give the pods more resources or a higher priority.",
    }
    /// The pod's container ends as often as it is started.
    PodCrashLoop "pod_crash_loop" (Workspace, Never) {
        "Pod keeps crashing",
        "The workspace's container ends each time right after it was started.",
        "Look at the pod's log; the image or its setup commands do not work. Correct them, then retry the task.",
    }
    /// The workspace disappeared under the run.
    WorkspaceLost "workspace_lost" (Workspace, Free) {
        "Workspace was lost",
        "The pod or folder in which the agent worked is gone. No attempt was charged.",
        "Nothing to do: the task is tried again in another workspace.",
    }
    /// No space is left.
    DiskFull "disk_full" (Workspace, Free) {
        "Disk is full",
        "The workspace has no space left, or its quota is used up. No attempt was charged.",
        "Enlarge the volume, or remove caches and preserved worktrees in it: the task is tried again.",
    }
    /// A file may not be read, written or executed.
    PermissionDenied "permission_denied" (Workspace, Never) {
        "File access was denied",
        "A program in the workspace may not read, write or execute a file that it needs.",
        "Make the path in the message below accessible to the workspace's user, then retry the task.",
    }
    /// The run took longer than it was given.
    TimedOut "timed_out" (Agent, Attempt) {
        "Run took too long",
        "The run, or one of its steps, was stopped because it exceeded its time limit. The work is kept.",
        "Raise the time limit in the repository's settings, or split the task.",
    }
    /// The agent showed no sign of life.
    Stalled "stalled" (Agent, Attempt) {
        "Agent stopped responding",
        "The agent gave no output and showed no activity for too long and was stopped. The work is kept.",
        "Look at the end of the log for what it waited on, then retry. Raise the silence limit if its tools are slow.",
    }
    /// The agent's program is not there.
    AgentNotInstalled "agent_not_installed" (Agent, Never) {
        "Agent is not installed",
        "The agent's program was not found in the workspace, or cannot be executed there.",
        "Install the agent in the workspace's image or on this machine, then retry the task.",
    }
    /// The agent's program ended without a result.
    AgentCrashed "agent_crashed" (Agent, Attempt) {
        "Agent crashed",
        "The agent's program ended without saying how its work went.",
        "Look at the end of the log, then retry the task.",
    }
    /// The agent says that it failed, for no known reason.
    AgentReported "agent_reported" (Agent, Attempt) {
        "Agent reported an error",
        "The agent ended and said that it failed.",
        "Read the agent's message below, then retry or change the task.",
    }
    /// The agent ended well but changed nothing.
    NoChanges "no_changes" (Agent, Never) {
        "Agent changed nothing",
        "The agent ended without an error, but there is no new commit on the task's branch.",
        "Read the agent's last message: the work may already be done, or the task may be unclear. Reword it and retry.",
    }
    /// Another worker has taken over.
    LostLease "lost_lease" (Workspace, Free) {
        "Worker lost its claim",
        "This worker was cut off for too long, and its claim on the run ended. No attempt was charged.",
        "Nothing to do: another worker goes on with the run.",
    }
    /// A setting is wrong or missing.
    InvalidConfiguration "invalid_configuration" (Configuration, Never) {
        "Configuration is invalid",
        "A setting of the agent, the repository or this installation is wrong or missing.",
        "Correct the setting named in the message below, then retry the task.",
    }
    /// The prompt cannot be rendered.
    PromptInvalid "prompt_invalid" (Configuration, Never) {
        "Prompt template is invalid",
        "The prompt for the agent could not be made from its template.",
        "Correct the template named in the message below, then retry the task.",
    }
    /// A spending limit is reached.
    BudgetReached "budget_reached" (Budget, Never) {
        "Budget is used up",
        "The spending limit of the task, the repository or the day is reached. The work is kept.",
        "Raise the budget, or wait until it starts anew, then retry the task.",
    }
    /// Somebody closed the pull request without merging it.
    PrClosed "pr_closed" (Forge, Never) {
        "Pull request was closed",
        "The pull request was closed without being merged.",
        "Reopen the pull request, or retry the task to start over.",
    }
    /// A task that this one needs failed or was cancelled.
    DependencyFailed "dependency_failed" (Dependency, Never) {
        "A task it depends on failed",
        "A task that must be completed first failed or was cancelled.",
        "Retry the other task first, then this one.",
    }
    /// All attempts are used up.
    AttemptsExhausted "attempts_exhausted" (Budget, Never) {
        "No attempts are left",
        "The task failed as often as it may be tried.",
        "Look at the last failures below, change what caused them, then retry the task.",
    }
    /// The review agent ended without a verdict.
    ReviewFailed "review_failed" (Forge, Attempt) {
        "Review came to no verdict",
        "The review agent ended without a clear verdict. This never counts as an approval.",
        "Retry the review, or review the pull request yourself.",
    }
    /// Something outside stopped the agent.
    Interrupted "interrupted" (Workspace, Free) {
        "Run was interrupted",
        "The agent was stopped from outside, as when its machine shuts down. No attempt was charged.",
        "Nothing to do: the task is tried again.",
    }
    /// Nothing known matches.
    Unknown "unknown" (Unknown, Attempt) {
        "Something unexpected went wrong",
        "The run failed in a way that is not known.",
        "Look at the message below and at the end of the log, then retry the task.",
    }
}

impl FailureCategory {
    /// The name in stores and interfaces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Capacity => "capacity",
            Self::Model => "model",
            Self::Agent => "agent",
            Self::Git => "git",
            Self::Network => "network",
            Self::Workspace => "workspace",
            Self::Forge => "forge",
            Self::Configuration => "configuration",
            Self::Budget => "budget",
            Self::Dependency => "dependency",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for FailureCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of a [`FailureClass`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such class of failure")]
pub struct UnknownFailureClass;

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FailureClass {
    type Err = UnknownFailureClass;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|class| class.name() == name)
            .ok_or(UnknownFailureClass)
    }
}

impl Serialize for FailureClass {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for FailureClass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name.is_empty() {
            return Err(de::Error::custom("a class of failure has a name"));
        }
        Ok(name.parse().unwrap_or(Self::Unknown))
    }
}
