//! What went wrong, in words for the person who reads it and with advice for the engine that must go on.
//!
//! A [`Failure`] is stored as its [class](FailureClass), its advice and one line of evidence. The words come from the
//! class each time they are shown, so that better words also reach failures of last month.

use crate::clock::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// The longest [detail](Failure::detail) that is kept, in bytes.
pub const MAX_DETAIL: usize = 2048;

/// Why a run, or a step around it, failed; and whether to try again.
///
/// Two failures are told apart by [`class`](Self::class); everything that is shown to people follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which of the known ways to fail this is.
    pub class: FailureClass,
    /// Whether, and at whose cost, to try again.
    pub retry: RetryAdvice,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Whether the same work should be tried again after a failure.
///
/// It is advice from one failure alone: how long to back off, and when to stop for good, is decided with the history
/// of the task in view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAdvice {
    /// It will fail the same way until a person changes something.
    Never,
    /// Worth another try, which counts as one of the task's attempts.
    Attempt,
    /// The infrastructure's fault: try again with backoff, at no cost in attempts.
    Free,
    /// A lack of capacity that ends by itself: back to the queue until then, at no cost in attempts, and on with the
    /// same session.
    Until(Timestamp),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It exited with this code; zero is success.
    Code(i32),
    /// It was killed by the signal of this number.
    Signal(i32),
}

/// What an agent says about its own failure, in the fields of its structured output.
///
/// [`message`](Self::message) is text that the program or its provider wrote about an error, never the model's prose
/// and never the output of a tool: patterns are applied to it, and a repository about billing must not look like an
/// unpaid bill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedError {
    /// The agent's or provider's own name of the error, such as `authentication_failed` or `insufficient_quota`; or
    /// the [name](FailureClass::name) of a class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The status of the provider's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The error's text; may be empty.
    #[serde(default)]
    pub message: String,
    /// When the limit that was hit resets, if the stream says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
}

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
        "The model provider knows the account but denies it this model, organisation or feature.",
        "Ask the provider's administrator for access, or use another account or model, then retry the task.",
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
    DiskFull "disk_full" (Workspace, Attempt) {
        "Disk is full",
        "The workspace has no space left, or its quota is used up.",
        "Enlarge the volume, or remove caches and preserved worktrees in it, then retry the task.",
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

impl Failure {
    /// A failure of `class`, with the class's own advice and no evidence.
    #[must_use]
    pub fn new(class: FailureClass) -> Self {
        Self {
            class,
            retry: class.retry(),
            detail: None,
        }
    }

    /// The same failure with the line that shows it: cleared of control characters, cut to [`MAX_DETAIL`] bytes.
    /// An empty line is no evidence.
    #[must_use]
    pub fn with_detail(mut self, detail: impl AsRef<str>) -> Self {
        let detail = bounded(detail.as_ref());
        self.detail = (!detail.is_empty()).then_some(detail);
        self
    }

    /// The same failure with other advice.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryAdvice) -> Self {
        self.retry = retry;
        self
    }

    /// The same failure, to be tried again at `at` at no cost in attempts.
    #[must_use]
    pub fn until(self, at: Timestamp) -> Self {
        self.with_retry(RetryAdvice::Until(at))
    }

    /// Which part of the whole it belongs to.
    #[must_use]
    pub fn category(&self) -> FailureCategory {
        self.class.category()
    }

    /// What happened, as a headline.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.class.title()
    }

    /// What happened, in a sentence or two.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.class.description()
    }

    /// What to do now.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        self.class.remedy()
    }

    /// The decisive line of evidence: the agent's error, git's message, the reason of the cluster.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }
}

impl ReportedError {
    /// An error of which only the text is known.
    pub fn message(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }
}

impl From<FailureClass> for Failure {
    fn from(class: FailureClass) -> Self {
        Self::new(class)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())?;
        match self.detail() {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl RetryAdvice {
    /// Whether another try is worth anything without a person.
    #[must_use]
    pub fn is_retry(self) -> bool {
        self != Self::Never
    }

    /// Whether another try counts as one of the task's attempts.
    #[must_use]
    pub fn is_charged(self) -> bool {
        self == Self::Attempt
    }
}

impl fmt::Display for RetryAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Attempt => f.write_str("attempt"),
            Self::Free => f.write_str("free"),
            Self::Until(at) => write!(f, "until {at}"),
        }
    }
}

impl ExitStatus {
    /// Exit code zero.
    pub const SUCCESS: Self = Self::Code(0);

    /// Whether it is exit code zero.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::SUCCESS
    }

    /// The signal that ended the process, also when a shell passed it on as an exit code of 128 and more.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Signal(signal) => Some(signal),
            Self::Code(code @ 129..=159) => Some(code - 128),
            Self::Code(_) => None,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
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

/// `text` without colours, control characters and surrounding space, cut at [`MAX_DETAIL`] bytes between two characters.
fn bounded(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text.trim_start().chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' && rest.as_str().starts_with('[') {
            rest.next(); // a terminal's control sequence: "[", parameters, one letter
            rest.find(|c| matches!(c, '\u{40}'..='\u{7e}'));
        } else if kept.len() + c.len_utf8() > MAX_DETAIL {
            break;
        } else if c == '\n' || !c.is_control() {
            kept.push(c);
        }
    }
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn every_class_has_words() {
        let mut table = String::new();
        for &class in FailureClass::ALL {
            let (title, description, remedy) = (class.title(), class.description(), class.remedy());
            assert!(
                !title.is_empty() && !title.ends_with('.'),
                "{class}: {title}"
            );
            assert!(
                description.ends_with('.') && remedy.ends_with('.'),
                "{class}"
            );
            let (category, retry) = (class.category(), class.retry());
            table += &format!(
                "{class} ({category}, {retry}): {title}\n  {description}\n  -> {remedy}\n"
            );
        }
        assert_snapshot!("words", table);
    }

    #[test]
    fn names_and_titles_are_unique() {
        for read in [FailureClass::name, FailureClass::title] {
            let all: std::collections::BTreeSet<_> =
                FailureClass::ALL.iter().map(|&class| read(class)).collect();
            assert_eq!(all.len(), FailureClass::ALL.len());
        }
    }

    #[test]
    fn a_failure_survives_the_store() {
        let failure = Failure::new(FailureClass::RateLimited)
            .with_detail("429 too many requests")
            .until("2026-01-02T03:04:05Z".parse().unwrap());
        let stored = serde_json::to_string(&failure).unwrap();
        assert_snapshot!(stored, @r#"{"class":"rate_limited","retry":{"until":"2026-01-02T03:04:05Z"},"detail":"429 too many requests"}"#);
        assert_eq!(serde_json::from_str::<Failure>(&stored).unwrap(), failure);
        for &class in FailureClass::ALL {
            let stored = serde_json::to_value(Failure::new(class)).unwrap();
            assert_eq!(
                serde_json::from_value::<Failure>(stored).unwrap(),
                Failure::new(class)
            );
        }
    }

    #[test]
    fn a_class_of_a_newer_version_is_read_as_unknown() {
        let failure: Failure =
            serde_json::from_str(r#"{"class":"sun_burnt_out","retry":"free"}"#).unwrap();
        assert_eq!(
            failure,
            Failure::new(FailureClass::Unknown).with_retry(RetryAdvice::Free)
        );
    }

    #[test]
    fn a_detail_is_bounded_and_clean() {
        let failure =
            Failure::new(FailureClass::DiskFull).with_detail("\u{1b}[31m\0no space\nleft ");
        assert_snapshot!(failure, @"
        Disk is full: no space
        left
        ");
        let long = Failure::new(FailureClass::DiskFull).with_detail("é".repeat(MAX_DETAIL));
        assert_eq!(long.detail().map(str::len), Some(MAX_DETAIL));
        assert_eq!(
            Failure::new(FailureClass::DiskFull)
                .with_detail(" \n")
                .detail(),
            None
        );
    }

    #[test]
    fn an_exit_code_beyond_128_tells_the_signal() {
        assert_eq!(ExitStatus::Code(137).signal(), Some(9));
        assert_eq!(ExitStatus::Signal(15).signal(), Some(15));
        assert_eq!(ExitStatus::Code(1).signal(), None);
        assert_snapshot!(format!("{}, {}", ExitStatus::Code(1), ExitStatus::Signal(9)), @"exit code 1, signal 9");
    }
}
